/*
 * denylist.c: see denylist.h. A list is taken whole or not at all: half a list would let in whom the
 * lost half names.
 */
#include "net/denylist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hex.h"

#include "base/poison.h"

void denylist_init(struct denylist *list)
{
	*list = (struct denylist){ 0 };
}

void denylist_clear(struct denylist *list)
{
	free(list->at);
	denylist_init(list);
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, DENYLIST_SPKI_LEN);
}

bool denylist_has(const struct denylist *list, const uint8_t spki[static DENYLIST_SPKI_LEN])
{
	return list->n > 0 &&
	       bsearch(spki, list->at, list->n, sizeof(list->at[0]), compare) != NULL;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* 1: spki is set, 0: nothing on this line, -1: malformed. */
static int parse_line(struct bytes line, uint8_t spki[static DENYLIST_SPKI_LEN])
{
	while (line.len > 0 && is_blank(line.at[0]))
		line = bytes_sub(line, 1, line.len);
	if (line.len == 0 || line.at[0] == '#')
		return 0;
	if (line.len < 2 * DENYLIST_SPKI_LEN)
		return -1;
	if (hex_read(spki, DENYLIST_SPKI_LEN, (const char *)line.at) == -1)
		return -1;
	if (line.len > 2 * DENYLIST_SPKI_LEN && !is_blank(line.at[2 * DENYLIST_SPKI_LEN]) &&
	    line.at[2 * DENYLIST_SPKI_LEN] != '#')
		return -1;
	return 1;
}

static int parse(
    struct denylist *list, struct bytes text, const char *path, char *error, size_t error_size)
{
	/* No entry is shorter than its digits. */
	list->at = calloc(text.len / (2 * DENYLIST_SPKI_LEN) + 1, sizeof(list->at[0]));
	if (list->at == NULL) {
		snprintf(error, error_size, "%s: no memory", path);
		return -1;
	}
	for (size_t line = 1; text.len > 0; line++) {
		const uint8_t *end = memchr(text.at, '\n', text.len);
		size_t len = end != NULL ? (size_t)(end - text.at) : text.len;
		int r = parse_line(bytes_sub(text, 0, len), list->at[list->n]);

		if (r < 0) {
			snprintf(error, error_size,
			    "%s:%zu: not the SHA-256 of an SPKI: write 64 hex digits, or '#' "
			    "before "
			    "a comment",
			    path, line);
			return -1;
		}
		list->n += (size_t)r;
		text = bytes_sub(text, len + (end != NULL), text.len);
	}
	qsort(list->at, list->n, sizeof(list->at[0]), compare);
	return 0;
}

static void remember(struct denylist *list, const struct stat *st)
{
	list->dev = st->st_dev;
	list->ino = st->st_ino;
	list->size = st->st_size;
	list->mtime = st->st_mtim;
	list->ctime = st->st_ctim;
}

/* All of fd; NULL: error is set. */
static uint8_t *read_all(
    int fd, const struct stat *st, size_t *len, const char *path, char *error, size_t error_size)
{
	uint8_t *text;
	ssize_t n;

	*len = 0;
	if (!S_ISREG(st->st_mode) || st->st_size > DENYLIST_FILE_MAX) {
		snprintf(error, error_size, "%s: not a file of at most %d MiB", path,
		    DENYLIST_FILE_MAX >> 20);
		return NULL;
	}
	text = malloc((size_t)st->st_size + 1);
	while (text != NULL && *len < (size_t)st->st_size) {
		n = read(fd, text + *len, (size_t)st->st_size - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		*len += (size_t)n;
	}
	if (text == NULL || *len < (size_t)st->st_size) {
		snprintf(error, error_size, "%s: cannot be read: %s", path,
		    text == NULL ? "no memory" : "it changes meanwhile");
		free(text);
		return NULL;
	}
	return text;
}

int denylist_load(struct denylist *list, const char *path, char *error, size_t error_size)
{
	struct denylist read = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint8_t *text = NULL;
	struct stat st;
	size_t len;

	if (fd < 0 || fstat(fd, &st) != 0) {
		snprintf(error, error_size, "%s: cannot be read: %s%s", path, strerror(errno),
		    errno == ENOENT ? ": nobody denied is an empty file" : "");
		goto fail;
	}
	remember(&read, &st);
	text = read_all(fd, &st, &len, path, error, error_size);
	if (text == NULL || parse(&read, bytes_of(text, len), path, error, error_size) != 0)
		goto fail;
	free(text);
	close(fd);
	free(list->at);
	*list = read;
	return 0;
fail:
	free(read.at);
	free(text);
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool denylist_is_stale(const struct denylist *list, const char *path)
{
	struct stat st;

	return stat(path, &st) != 0 || st.st_dev != list->dev || st.st_ino != list->ino ||
	       st.st_size != list->size || !same_time(st.st_mtim, list->mtime) ||
	       !same_time(st.st_ctim, list->ctime);
}
