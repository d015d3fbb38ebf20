/*
 * hostile.c: see hostile.h. A malformed corpus ends the test program: it is ours.
 */
#include "hostile.h"

#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

struct reader {
	struct hostile_case c;
	bool open; /* a case has begun */
	size_t count;
	void (*each)(const struct hostile_case *);
};

static uint8_t escape(const struct hostile_case *c, const char **at)
{
	char hex[3] = { 0 };
	char *end;
	unsigned long value;

	switch (*(*at)++) {
	case 'r':
		return '\r';
	case 'n':
		return '\n';
	case 't':
		return '\t';
	case '\\':
		return '\\';
	case 'x':
		memcpy(hex, *at, strnlen(*at, 2));
		value = strtoul(hex, &end, 16);
		if (end != hex + 2)
			break;
		*at += 2;
		return (uint8_t)value;
	default:
		break;
	}
	errx(1, "%s, case of line %d: bad escape", c->file, c->line);
}

static void text_add(struct hostile_case *c, const char *line, unsigned long times)
{
	while (times-- > 0) {
		for (const char *at = line; *at != '\0';) {
			uint8_t byte = (uint8_t)*at++;

			if (byte == '\\')
				byte = escape(c, &at);
			if (c->len == HOSTILE_BYTES_MAX)
				errx(1, "%s, case of line %d: too long", c->file, c->line);
			c->text[c->len++] = byte;
		}
	}
}

static void case_end(struct reader *r)
{
	if (!r->open)
		return;
	if (r->c.expect[0] == '\0')
		errx(1, "%s, case of line %d: expects nothing", r->c.file, r->c.line);
	r->each(&r->c);
	r->count++;
	r->open = false;
}

static void case_begin(struct reader *r, const char *name, int line)
{
	case_end(r);
	r->open = true;
	r->c.line = line;
	r->c.len = 0;
	r->c.expect[0] = r->c.to_method[0] = r->c.to_upgrade[0] = '\0';
	snprintf(r->c.name, sizeof r->c.name, "%s", name);
}

static void line_take(struct reader *r, const char *line, int number)
{
	struct hostile_case *c = &r->c;

	if (strncmp(line, "# case: ", 8) == 0) {
		case_begin(r, line + 8, number);
	} else if (strncmp(line, "# expect: ", 10) == 0) {
		if (c->expect[0] != '\0')
			errx(1, "%s:%d: expects two things", c->file, number);
		snprintf(c->expect, sizeof c->expect, "%s", line + 10);
	} else if (strncmp(line, "# to: ", 6) == 0) {
		sscanf(line + 6, "%31s %31s", c->to_method, c->to_upgrade);
	} else if (line[0] == '*') {
		char *text;
		unsigned long times = strtoul(line + 1, &text, 10);

		if (*text != ' ')
			errx(1, "%s:%d: not a repetition", c->file, number);
		text_add(c, text + 1, times);
	} else if (line[0] != '#') {
		text_add(c, line, 1);
	}
}

static void file_read(struct reader *r, const char *folder, const char *name)
{
	char path[1024], *line = NULL;
	size_t size = 0;
	ssize_t len;
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	if ((f = fopen(path, "re")) == NULL)
		err(1, "%s", path);
	r->c.file = name;
	r->c.request = strstr(name, ".req") != NULL;
	for (int number = 1; (len = getline(&line, &size, f)) >= 0; number++) {
		line[strcspn(line, "\n")] = '\0';
		line_take(r, line, number);
	}
	case_end(r);
	free(line);
	fclose(f);
}

static int is_corpus(const struct dirent *entry)
{
	const char *end = strrchr(entry->d_name, '.');

	return end != NULL && (strcmp(end, ".req") == 0 || strcmp(end, ".resp") == 0);
}

size_t hostile_read(const char *folder, void (*each)(const struct hostile_case *))
{
	struct reader r = { .each = each };
	struct dirent **entries;
	int n = scandir(folder, &entries, is_corpus, alphasort);

	if (n < 0)
		err(1, "%s", folder);
	if ((r.c.text = malloc(HOSTILE_BYTES_MAX)) == NULL)
		err(1, NULL);
	for (int i = 0; i < n; i++) {
		file_read(&r, folder, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	free(r.c.text);
	return r.count;
}
