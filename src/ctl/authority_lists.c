/*
 * authority_lists.c: "issued" and "deny" of a CA's folder. Called by authority.c and the pki commands.
 */
#include "ctl/authority_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#include "base/poison.h"

#define TIME_FORMAT "%Y-%m-%dT%H:%M:%SZ"
#define ISSUED_HEAD                                                                                \
	"# Identities that this CA has signed: name, role, SHA-256 of the public key, valid "      \
	"from, "                                                                                   \
	"until,\n# files. sslgwctl pki keeps it: current ones are renewed.\n"

/* Instead of files: nobody renews it, but it is on record until it expires, to be denied. */
#define FORGOTTEN "-"

enum { TIME_TEXT = 32 };

static const char *time_text(int64_t at, char text[static TIME_TEXT])
{
	time_t t = (time_t)at;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, TIME_TEXT, TIME_FORMAT, &tm);
	return text;
}

static int time_parse(const char *text, int64_t *at)
{
	struct tm tm = { 0 };
	const char *end = text == NULL ? NULL : strptime(text, TIME_FORMAT, &tm);

	if (end == NULL || *end != '\0')
		return -1;
	*at = timegm(&tm);
	return 0;
}

static struct issued *add(struct authority *a)
{
	struct issued *more;

	if (a->issued_n == AUTHORITY_ISSUED_MAX) {
		log_errorx("%s/issued: more than %d identities", a->dir, AUTHORITY_ISSUED_MAX);
		return NULL;
	}
	/* Doubled at each power of two. */
	if ((a->issued_n & (a->issued_n - 1)) == 0) {
		more = reallocarray(
		    a->issued, a->issued_n == 0 ? 1 : a->issued_n * 2, sizeof(*more));
		if (more == NULL) {
			log_errorx("no memory");
			return NULL;
		}
		a->issued = more;
	}
	more = &a->issued[a->issued_n];
	memset(more, 0, sizeof(*more));
	return more;
}

/* The last line of each prefix is the current one; of what was forgotten, none. */
static void mark_current(struct authority *a, size_t last)
{
	if (strcmp(a->issued[last].prefix, FORGOTTEN) == 0)
		return;
	for (size_t i = 0; i < last; i++)
		if (strcmp(a->issued[i].prefix, a->issued[last].prefix) == 0)
			a->issued[i].current = false;
	a->issued[last].current = true;
}

static int parse_line(struct authority *a, char *line)
{
	struct issued *it = add(a);
	const char *name = strsep(&line, " "), *role = strsep(&line, " ");
	const char *spki = strsep(&line, " ");
	const char *from = strsep(&line, " "), *until = strsep(&line, " ");

	if (it == NULL || line == NULL || *line == '\0' || authority_name_wrong(name) != NULL ||
	    !authority_role_valid(role) || strlen(spki) != AUTHORITY_SPKI_TEXT - 1 ||
	    time_parse(from, &it->not_before) != 0 || time_parse(until, &it->not_after) != 0)
		return -1;
	strlcpy(it->name, name, sizeof(it->name));
	strlcpy(it->role, role, sizeof(it->role));
	strlcpy(it->spki, spki, sizeof(it->spki));
	it->prefix = strdup(line);
	if (it->prefix == NULL)
		return -1;
	a->issued_n++;
	mark_current(a, a->issued_n - 1);
	return 0;
}

int authority_read_issued(struct authority *a)
{
	char path[REPLACE_PATH_MAX];
	char *text, *at, *line;
	int number = 0, rc = 0;

	if (authority_path(a, "issued", "", path) != 0)
		return -1;
	text = replace_read(path);
	if (text == NULL) {
		if (errno == ENOENT)
			return 0;
		log_error("%s", path);
		return -1;
	}
	at = text;
	while (rc == 0 && (line = strsep(&at, "\n")) != NULL) {
		number++;
		if (line[0] != '#' && line[0] != '\0')
			rc = parse_line(a, line);
	}
	if (rc != 0)
		log_errorx("%s:%d: not understood: mend the line or take it out", path, number);
	free(text);
	return rc;
}

int authority_record(
    struct authority *a, X509 *cert, const char *name, const char *role, const char *prefix)
{
	struct issued *it = add(a);

	if (it == NULL)
		return -1;
	it->prefix = strdup(prefix);
	if (it->prefix == NULL || authority_spki(cert, it->spki) != 0) {
		log_errorx("no memory");
		free(it->prefix);
		return -1;
	}
	strlcpy(it->name, name, sizeof(it->name));
	strlcpy(it->role, role, sizeof(it->role));
	it->not_before = authority_time(X509_get0_notBefore(cert));
	it->not_after = authority_time(X509_get0_notAfter(cert));
	a->issued_n++;
	mark_current(a, a->issued_n - 1);
	return 0;
}

int authority_save(struct authority *a)
{
	const struct replace_mode mode = { 0644, (uid_t)-1, (gid_t)-1 };
	char path[REPLACE_PATH_MAX], from[TIME_TEXT], until[TIME_TEXT];
	int64_t now = time(NULL);
	char *text = NULL;
	size_t size;
	FILE *out;
	int rc;

	if (authority_path(a, "issued", "", path) != 0)
		return -1;
	out = open_memstream(&text, &size);
	if (out == NULL)
		return -1;
	fputs(ISSUED_HEAD, out);
	for (size_t i = 0; i < a->issued_n; i++) {
		const struct issued *it = &a->issued[i];

		if (it->current || it->not_after > now)
			fprintf(out, "%s %s %s %s %s %s\n", it->name, it->role, it->spki,
			    time_text(it->not_before, from), time_text(it->not_after, until),
			    it->prefix);
	}
	rc = fclose(out) == 0 ? replace_file(path, text, &mode) : -1;
	free(text);
	return rc;
}

int authority_forget(struct authority *a, const char *name)
{
	char *prefix;

	for (size_t i = 0; i < a->issued_n; i++) {
		if (strcmp(a->issued[i].name, name) != 0)
			continue;
		prefix = strdup(FORGOTTEN);
		if (prefix == NULL) {
			log_errorx("no memory");
			return -1;
		}
		free(a->issued[i].prefix);
		a->issued[i].prefix = prefix;
		a->issued[i].current = false;
	}
	return authority_save(a);
}

/* ---- the deny file */

static bool denied_in(const char *text, const char *spki)
{
	const char *line = text;

	for (; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
		line += strspn(line, "\n \t");
		if (strncasecmp(line, spki, AUTHORITY_SPKI_TEXT - 1) == 0)
			return true;
	}
	return false;
}

bool authority_denied(const struct authority *a, const char *spki)
{
	char path[REPLACE_PATH_MAX];
	char *text;
	bool denied;

	if (authority_path(a, "deny", "", path) != 0)
		return false;
	text = replace_read(path);
	denied = text != NULL && denied_in(text, spki);
	free(text);
	return denied;
}

static int deny_in(const char *path, const char *spki, const char *comment, bool make)
{
	const struct replace_mode mode = { 0644, (uid_t)-1, (gid_t)-1 };
	char *text = replace_read(path), *more = NULL;
	int rc;

	if (text == NULL && (errno != ENOENT || !make)) {
		if (errno == ENOENT)
			return 1;
		log_error("%s", path);
		return -1;
	}
	if (text != NULL && denied_in(text, spki)) {
		free(text);
		return 1;
	}
	rc = asprintf(&more, "%s%s# %s\n%s\n", text != NULL ? text : AUTHORITY_DENY_HEAD,
	    text != NULL && text[0] != '\0' && text[strlen(text) - 1] != '\n' ? "\n" : "", comment,
	    spki);
	rc = rc >= 0 ? replace_file(path, more, &mode) : -1;
	free(more);
	free(text);
	return rc;
}

int authority_deny(struct authority *a, const char *spki, const char *comment)
{
	char path[REPLACE_PATH_MAX];
	char *slash;
	int rc;

	if (authority_path(a, "deny", "", path) != 0)
		return -1;
	rc = deny_in(path, spki, comment, true);
	/* The folders of machines, as init lays them out, have one each. */
	for (size_t i = 0; rc >= 0 && i < a->issued_n; i++) {
		if (!a->issued[i].current || authority_path(a, a->issued[i].prefix, "", path) != 0)
			continue;
		slash = strrchr(path, '/');
		if (slash == NULL || slash - path + sizeof("/deny") > sizeof(path))
			continue;
		memcpy(slash, "/deny", sizeof("/deny"));
		if (deny_in(path, spki, comment, false) == -1)
			rc = -1;
	}
	return rc;
}
