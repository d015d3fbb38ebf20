/*
 * ticketsecret.c: the file of ticket secrets, and the epoch keys that come of one. Called by the
 * gateway's checks of a configuration and by its workers; time is passed in.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/hex.h"
#include "crypto/ticketsecret.h"

#include "base/poison.h"

void ticketsecrets_clear(struct ticketsecrets *s)
{
	OPENSSL_cleanse(s, sizeof(*s));
}

/* ---- the file */

static bool blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Without its comment and the blanks around it. */
static struct bytes trimmed(struct bytes line)
{
	const uint8_t *comment = line.len > 0 ? memchr(line.at, '#', line.len) : NULL;

	if (comment != NULL)
		line.len = (size_t)(comment - line.at);
	while (line.len > 0 && blank(line.at[line.len - 1]))
		line.len--;
	while (line.len > 0 && blank(line.at[0])) {
		line.at++;
		line.len--;
	}
	return line;
}

static const char *take_line(struct bytes line, struct ticketsecrets *out)
{
	uint8_t all = 0;

	if (line.len == 0)
		return NULL;
	if (line.len != 2 * (size_t)TICKETSECRET_LEN)
		return "not 64 hex digits: make one with \"openssl rand -hex 32\"";
	if (out->n == TICKETSECRETS_MAX)
		return "more than 4 secrets: take old ones out";
	if (hex_read(out->at[out->n], TICKETSECRET_LEN, (const char *)line.at) == -1)
		return "not 64 hex digits: make one with \"openssl rand -hex 32\"";
	for (size_t i = 0; i < TICKETSECRET_LEN; i++)
		all |= (uint8_t)(out->at[out->n][i] ^ out->at[out->n][0]);
	if (all == 0)
		return "a secret of one byte, repeated: make one with \"openssl rand -hex 32\"";
	for (size_t i = 0; i < out->n; i++) {
		if (CRYPTO_memcmp(out->at[i], out->at[out->n], TICKETSECRET_LEN) == 0)
			return "the same secret twice: leave one out";
	}
	out->n++;
	return NULL;
}

const char *ticketsecrets_parse(struct bytes text, struct ticketsecrets *out, unsigned *line)
{
	const char *wrong = NULL;

	memset(out, 0, sizeof(*out));
	*line = 0;
	while (text.len > 0 && wrong == NULL) {
		const uint8_t *end = memchr(text.at, '\n', text.len);
		size_t len = end != NULL ? (size_t)(end - text.at) : text.len;

		++*line;
		wrong = take_line(trimmed(bytes_of(text.at, len)), out);
		len += end != NULL;
		text.at += len;
		text.len -= len;
	}
	if (wrong == NULL && out->n == 0)
		wrong = "no secret in it: make one with \"openssl rand -hex 32\"";
	if (wrong != NULL)
		ticketsecrets_clear(out);
	return wrong;
}

/* Of an open file; NULL, or what is wrong. */
static const char *check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "not a file";
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return "others than its owner may open it, and with it every session: chmod 600";
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return "it belongs to another user, who can open every session: chown root";
	return st.st_size > TICKETSECRET_FILE_MAX ? "too long for a file of secrets" : NULL;
}

int ticketsecrets_load(const char *path, struct ticketsecrets *out, char *why, size_t size)
{
	uint8_t text[TICKETSECRET_FILE_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *wrong = fd < 0 ? strerror(errno) : check_file(fd);
	unsigned line = 0;
	size_t len = 0;
	ssize_t n = 0;

	memset(out, 0, sizeof(*out));
	while (wrong == NULL && len < sizeof(text) &&
	       (n = read(fd, text + len, sizeof(text) - len)) > 0)
		len += (size_t)n;
	if (wrong == NULL)
		wrong = n < 0 ? strerror(errno)
			      : ticketsecrets_parse(bytes_of(text, len), out, &line);
	OPENSSL_cleanse(text, sizeof(text));
	if (fd >= 0)
		close(fd);
	if (wrong == NULL)
		return 0;
	if (line > 0)
		snprintf(why, size, "%s:%u: %s", path, line, wrong);
	else
		snprintf(why, size, "%s: %s", path, wrong);
	return -1;
}

/* ---- derivation */

static int expand(struct kit *kit, const uint8_t *secret, const char *label, struct bytes context,
    uint8_t *out, size_t len)
{
	struct bytes info[] = { bytes_str(label), context };

	return kit_expand(kit, bytes_of(secret, TICKETSECRET_LEN), info, 2, out, len);
}

int ticketsecret_record(struct kit *kit, const uint8_t secret[static TICKETSECRET_LEN],
    struct bytes group, uint64_t e, uint64_t unix_now, uint64_t now_ms, struct epoch_record *out)
{
	uint8_t epoch_key[EPOCH_KEY_LEN], number[sizeof(uint64_t)];
	struct writer w = writer_of(number, sizeof(number));
	uint64_t begins = e * TICKETSECRET_PERIOD_S;
	uint64_t ends = begins + TICKETSECRET_PERIOD_S + EPOCH_ACCEPT_S;
	int rc;

	writer_u64(&w, e);
	*out = (struct epoch_record){ .kind = EPOCH_MADE,
		.e = e,
		.current_at = now_ms + (begins > unix_now ? begins - unix_now : 0) * 1000,
		.void_at = now_ms + (ends > unix_now ? ends - unix_now : 0) * 1000 };
	rc = expand(kit, secret, "sslgw ticket id", bytes_of(NULL, 0), out->id, EPOCH_ID_LEN);
	if (out->id[0] == 0 && out->id[1] == 0)
		out->id[0] = 1;
	if (rc == 0)
		rc = expand(kit, secret, "sslgw ticket epoch", bytes_of(number, sizeof(number)),
		    epoch_key, sizeof(epoch_key));
	if (rc == 0)
		rc = epoch_group_key(kit, epoch_key, group, out->group_key);
	OPENSSL_cleanse(epoch_key, sizeof(epoch_key));
	if (rc != 0)
		OPENSSL_cleanse(out, sizeof(*out));
	return rc;
}
