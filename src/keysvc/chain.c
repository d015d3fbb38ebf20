/*
 * chain.c: see chain.h. Called at start and on reload, after the keys are read.
 */
#include "config.h"

#include "keysvc/chain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "keysvc/pemkeys.h"

#include "base/poison.h"

/* ---- one chain */

static int64_t unix_of(const ASN1_TIME *t)
{
	struct tm tm;

	return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static bool put(struct writer *w, X509 *cert)
{
	uint8_t *der = NULL;
	int len = i2d_X509(cert, &der);

	if (len <= 0)
		return false;
	writer_u8(w, (uint8_t)(len >> 16));
	writer_u16(w, (uint16_t)len);
	writer_put(w, der, (size_t)len);
	OPENSSL_free(der);
	return w->ok;
}

static int encode(struct chain *chain, const struct cert_chain *from)
{
	uint8_t *buf = malloc(CHAIN_MAX), *fit;
	struct writer w = writer_of(buf, buf == NULL ? 0 : CHAIN_MAX);
	bool ok = put(&w, from->leaf);

	for (int i = 0; ok && i < sk_X509_num(from->rest); i++)
		ok = put(&w, sk_X509_value(from->rest, i));
	if (!ok) {
		free(buf);
		return -1;
	}
	chain->len = writer_len(&w);
	fit = realloc(buf, chain->len);
	chain->at = fit == NULL ? buf : fit;
	return 0;
}

static struct chain *chain_of(struct cert_chain *from, const char *file)
{
	struct chain *chain = calloc(1, sizeof(*chain));

	if (chain == NULL || encode(chain, from) == -1 || (chain->file = strdup(file)) == NULL) {
		chain_free(chain);
		return NULL;
	}
	chain->names = from->names;
	chain->names_n = from->names_n;
	from->names = NULL;
	from->names_n = 0;
	chain->not_before = unix_of(X509_get0_notBefore(from->leaf));
	chain->not_after = unix_of(X509_get0_notAfter(from->leaf));
	return chain;
}

void chain_free(struct chain *chain)
{
	if (chain == NULL)
		return;
	for (size_t i = 0; i < chain->names_n; i++)
		free(chain->names[i]);
	free(chain->names);
	free(chain->file);
	free(chain->at);
	free(chain);
}

/* Copies the CERTIFICATE blocks of a file that may hold a key too. */
static size_t certificates_of(struct bytes pem, uint8_t *out)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----",
			  end[] = "-----END CERTIFICATE-----";
	const uint8_t *at = pem.at, *stop = pem.at + pem.len;
	size_t n = 0;

	while (at < stop) {
		const uint8_t *from = memmem(at, (size_t)(stop - at), begin, sizeof(begin) - 1),
			      *to;

		if (from == NULL)
			break;
		to = memmem(from, (size_t)(stop - from), end, sizeof(end) - 1);
		if (to == NULL)
			break;
		at = to + sizeof(end) - 1;
		memcpy(out + n, from, (size_t)(at - from));
		n += (size_t)(at - from);
		out[n++] = '\n'; /* the markers of two blocks never touch, so there is room */
	}
	return n;
}

struct chain *chain_parse(
    struct bytes pem, const char *file, uint8_t ski[static CERT_SKI_LEN], char *why, size_t size)
{
	uint8_t *only = malloc(pem.len + 1);
	size_t n = only == NULL || pem.len == 0 ? 0 : certificates_of(pem, only);
	struct cert_chain *certs = NULL;
	struct chain *chain = NULL;

	why[0] = '\0';
	if (only == NULL)
		snprintf(why, size, "out of memory");
	else if (n > 0)
		certs = cert_chain_parse(bytes_of(only, n), file, why, size);
	if (certs != NULL) {
		memcpy(ski, certs->ski, CERT_SKI_LEN);
		chain = chain_of(certs, file);
		snprintf(why, size, "%s: a chain above %d KiB, or out of memory", file,
		    CHAIN_MAX / 1024);
	}
	cert_chain_free(certs);
	free(only);
	return chain;
}

/* ---- files */

struct search {
	struct keystore *keys;
	uint8_t *buf; /* PEMKEYS_FILE_MAX; one file, wiped after each: it may hold a key */
	char *last; /* folder; many keys of one folder: it is read once */
	size_t files;
};

static void say_dates(const struct chain *chain)
{
	int64_t now = (int64_t)time(NULL);

	if (chain->not_after < now)
		log_warnx("%s: the certificate has expired: renew it", chain->file);
	else if (chain->not_before > now)
		log_warnx("%s: the certificate is not valid yet: is the clock right?", chain->file);
}

static void give(struct search *s, struct chain *chain, const uint8_t ski[static CERT_SKI_LEN])
{
	struct key *key = keystore_unsealed_find(s->keys, ski);

	if (key == NULL || (key->chain != NULL && key->chain->not_before >= chain->not_before)) {
		chain_free(chain); /* another key's, or an older one */
		return;
	}
	chain_free(key->chain);
	key->chain = chain;
}

static size_t slurp(int fd, uint8_t *buf)
{
	size_t len = 0;
	ssize_t got;

	while (len < PEMKEYS_FILE_MAX) {
		got = read(fd, buf + len, PEMKEYS_FILE_MAX - len);
		if (got == -1 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	return len;
}

static void search_file(struct search *s, int folder, const char *path, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t ski[CERT_SKI_LEN];
	char why[512], *file;
	struct chain *chain;
	struct stat st;
	size_t len;

	if (fd == -1)
		return; /* pemkeys_load has said it, where it is a key's */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && s->files++ < CHAIN_FILES_MAX &&
	    asprintf(&file, "%s%s%s", path, pemkeys_between(path), name) != -1) {
		len = slurp(fd, s->buf);
		chain = chain_parse(bytes_of(s->buf, len), file, ski, why, sizeof(why));
		if (chain != NULL)
			give(s, chain, ski);
		else if (why[0] != '\0')
			log_warnx("%s", why);
		OPENSSL_cleanse(s->buf, len);
		free(file);
	}
	close(fd);
}

static void search_folder(struct search *s, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			search_file(s, dirfd(dir), path, entry->d_name);
	}
	closedir(dir);
}

static void search_beside(struct search *s, const char *path)
{
	char *copy = strdup(path), *folder;
	struct stat st;

	if (copy == NULL)
		return;
	folder = strdup(stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? path : dirname(copy));
	free(copy);
	if (folder != NULL && (s->last == NULL || strcmp(folder, s->last) != 0))
		search_folder(s, folder);
	free(s->last);
	s->last = folder;
}

size_t chain_load(struct keystore *keys, char *const *paths, size_t n)
{
	struct search s = { .keys = keys, .buf = malloc(PEMKEYS_FILE_MAX) };
	size_t found = 0;

	if (s.buf == NULL)
		return 0;
	for (size_t i = 0; i < n; i++)
		search_beside(&s, paths[i]);
	free(s.buf);
	free(s.last);
	ERR_clear_error();
	for (size_t i = 0; i < keystore_n(keys); i++) {
		const struct key *key = keystore_at(keys, i);

		if (key->chain == NULL)
			continue;
		found++;
		say_dates(key->chain);
	}
	return found;
}
