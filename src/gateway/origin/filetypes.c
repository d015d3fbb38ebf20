/*
 * filetypes.c: see filetypes.h. One sorted array over one text: of each line the type, then its ends,
 * all cut by NULs.
 */
#include "config.h"

#include "gateway/origin/filetypes.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "http/octet.h"

#include "base/poison.h"

struct filetype {
	const char *end; /* lower case, without dot */
	const char *type;
	size_t order; /* the first counts */
};

struct filetypes {
	char *text;
	struct filetype *at; /* by end */
	size_t n, cap;
};

/* What pages are made of, for machines without the file, or with an old one. */
static const char ours[] = "text/html html htm\n"
			   "text/css css\n"
			   "text/javascript js mjs\n"
			   "text/plain txt text log\n"
			   "text/csv csv\n"
			   "text/markdown md\n"
			   "text/vtt vtt\n"
			   "application/json json map\n"
			   "application/manifest+json webmanifest\n"
			   "application/xml xml xsl\n"
			   "application/pdf pdf\n"
			   "application/wasm wasm\n"
			   "application/zip zip\n"
			   "application/gzip gz\n"
			   "font/woff woff\n"
			   "font/woff2 woff2\n"
			   "font/ttf ttf\n"
			   "font/otf otf\n"
			   "image/avif avif\n"
			   "image/gif gif\n"
			   "image/jpeg jpg jpeg\n"
			   "image/png png\n"
			   "image/svg+xml svg\n"
			   "image/vnd.microsoft.icon ico\n"
			   "image/webp webp\n"
			   "audio/mpeg mp3\n"
			   "audio/ogg ogg oga\n"
			   "video/mp4 mp4 m4v\n"
			   "video/webm webm\n";

static int lines_add(struct filetypes *, char *text);
static int line_add(struct filetypes *, char *line);
static bool type_good(const char *);
static int by_end(const void *, const void *);
static char *file_read(const char *file, size_t *len);

struct filetypes *filetypes_of(struct bytes text)
{
	struct filetypes *types = calloc(1, sizeof(*types));
	size_t kept = 0;

	if (types == NULL)
		return NULL;
	types->text = calloc(1, text.len + 1 + sizeof(ours));
	if (types->text == NULL)
		goto fail;
	for (size_t i = 0; i < text.len; i++)
		types->text[i] = text.at[i] == '\0' ? ' ' : (char)text.at[i];
	memcpy(types->text + text.len + 1, ours, sizeof(ours));
	if (lines_add(types, types->text) == -1 ||
	    lines_add(types, types->text + text.len + 1) == -1)
		goto fail;
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): ours are there */
	qsort(types->at, types->n, sizeof(*types->at), by_end);
	for (size_t i = 0; i < types->n; i++)
		if (kept == 0 || strcmp(types->at[kept - 1].end, types->at[i].end) != 0)
			types->at[kept++] = types->at[i];
	types->n = kept;
	return types;
fail:
	filetypes_free(types);
	return NULL;
}

struct filetypes *filetypes_new(const char *file)
{
	size_t len = 0;
	char *text = file_read(file, &len);
	struct filetypes *types = filetypes_of(bytes_of(text, len));

	free(text);
	return types;
}

void filetypes_free(struct filetypes *types)
{
	if (types == NULL)
		return;
	free(types->text);
	free(types->at);
	free(types);
}

const char *filetypes_find(const struct filetypes *types, const char *name)
{
	const char *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
	char low[FILETYPES_END_MAX + 1];
	size_t len;

	if (dot == NULL || (slash != NULL && dot < slash) ||
	    (len = strlen(dot + 1)) > FILETYPES_END_MAX)
		return FILETYPES_OTHER;
	for (size_t i = 0; i <= len; i++) {
		char c = dot[1 + i];

		low[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	for (size_t from = 0, to = types->n; from < to;) {
		size_t middle = from + (to - from) / 2;
		int order = strcmp(low, types->at[middle].end);

		if (order == 0)
			return types->at[middle].type;
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return FILETYPES_OTHER;
}

static int lines_add(struct filetypes *types, char *text)
{
	char *line;

	while ((line = strsep(&text, "\n")) != NULL) {
		char *remark = strchr(line, '#');

		if (remark != NULL)
			*remark = '\0';
		if (line_add(types, line) == -1)
			return -1;
	}
	return 0;
}

static int line_add(struct filetypes *types, char *line)
{
	const char *type = NULL;
	char *word;

	while ((word = strsep(&line, " \t\r")) != NULL) {
		if (word[0] == '\0')
			continue;
		if (type == NULL) {
			type = word;
			if (!type_good(type))
				return 0;
			continue;
		}
		if (strlen(word) > FILETYPES_END_MAX)
			continue;
		if (types->n == types->cap) {
			size_t cap = types->cap > 0 ? 2 * types->cap : 256;
			struct filetype *grown = reallocarray(types->at, cap, sizeof(*grown));

			if (grown == NULL)
				return -1;
			types->at = grown;
			types->cap = cap;
		}
		for (char *c = word; *c != '\0'; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
		types->at[types->n] = (struct filetype){ word, type, types->n };
		types->n++;
	}
	return 0;
}

/* What may stand in a Content-Type: two tokens and a slash. */
static bool type_good(const char *type)
{
	size_t len = strlen(type);
	size_t first = octet_run((const uint8_t *)type, len, OCTET_TOKEN), second;

	if (first == 0 || first == len || type[first] != '/' || len > FILETYPES_TYPE_MAX)
		return false;
	second = octet_run((const uint8_t *)type + first + 1, len - first - 1, OCTET_TOKEN);
	return second > 0 && first + 1 + second == len;
}

static int by_end(const void *a, const void *b)
{
	const struct filetype *x = a, *y = b;
	int order = strcmp(x->end, y->end);

	return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

/* NULL: none. */
static char *file_read(const char *file, size_t *len)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = fd >= 0 ? malloc(FILETYPES_FILE_MAX) : NULL;
	ssize_t n;

	while (text != NULL && *len < FILETYPES_FILE_MAX &&
	       (n = read(fd, text + *len, FILETYPES_FILE_MAX - *len)) > 0)
		*len += (size_t)n;
	if (fd >= 0)
		close(fd);
	return text;
}
