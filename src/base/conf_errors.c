/*
 * conf_errors.c: the messages about one configuration, gathered so that all of them are said at
 * once. Bounded: a file of nothing but mistakes gets the first hundred.
 */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_impl.h"

#include "base/poison.h"

enum { ERRORS_MAX = 100, EXCERPT_MAX_BYTES = 160 };

struct conf_errors {
	char *at[ERRORS_MAX];
	size_t n;
	size_t more; /* beyond ERRORS_MAX, or no memory for their text */
};

static void add(struct conf_errors *, const struct conf_place *, const char *excerpt,
    const char *fmt, va_list) __attribute__((format(printf, 4, 0)));
static void excerpt_write(const struct conf_lex *, char *buf, size_t size);

struct conf_errors *conf_errors_new(void)
{
	return calloc(1, sizeof(struct conf_errors));
}

void conf_errors_free(struct conf_errors *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < e->n; i++)
		free(e->at[i]);
	free(e);
}

size_t conf_errors_n(const struct conf_errors *e)
{
	/* What got no text is one more that says so: nothing wrong passes as right. */
	return e->n + (e->more != 0);
}

const char *conf_errors_at(const struct conf_errors *e, size_t i)
{
	return i < e->n ? e->at[i] : "more errors follow: mend these first";
}

void conf_errors_print(const struct conf_errors *e, FILE *f)
{
	for (size_t i = 0; i < conf_errors_n(e); i++)
		fprintf(f, "%s\n", conf_errors_at(e, i));
}

void conf_errors_add(struct conf_errors *e, const struct conf_place *place, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(e, place, "", fmt, ap);
	va_end(ap);
}

void conf_errors_add_at(struct conf_errors *e, const struct conf_text *text,
    const struct conf_lex *lex, const char *fmt, ...)
{
	struct conf_place place = conf_text_place(text, lex->start_line);
	char excerpt[2 * EXCERPT_MAX_BYTES + 16];
	va_list ap;

	excerpt_write(lex, excerpt, sizeof(excerpt));
	va_start(ap, fmt);
	add(e, &place, excerpt, fmt, ap);
	va_end(ap);
}

static void add(struct conf_errors *e, const struct conf_place *place, const char *excerpt,
    const char *fmt, va_list ap)
{
	char *what = NULL, *whole = NULL;
	int n;

	if (e->n == ERRORS_MAX || vasprintf(&what, fmt, ap) == -1) {
		e->more++;
		return;
	}
	if (place->line != 0)
		n = asprintf(&whole, "%s:%u: %s%s", place->file, place->line, what, excerpt);
	else
		n = asprintf(&whole, "%s: %s%s", place->file, what, excerpt);
	free(what);
	if (n == -1)
		e->more++;
	else
		e->at[e->n++] = whole;
}

/* The token's line, or what lies around the token in a long one, and a caret under its beginning. */
static void excerpt_write(const struct conf_lex *lex, char *buf, size_t size)
{
	const char *from = lex->start, *to = lex->start;
	size_t len = 0;

	while (from > lex->text && from[-1] != '\n' && lex->start - from < EXCERPT_MAX_BYTES / 2)
		from--;
	while (to < lex->end && *to != '\n' && *to != '\r' && to - from < EXCERPT_MAX_BYTES)
		to++;
	len += (size_t)snprintf(buf, size, "\n    ");
	for (const char *c = from; c < to; c++)
		buf[len++] = (unsigned char)*c < 0x20 && *c != '\t' ? '?' : *c;
	buf[len++] = '\n';
	memcpy(buf + len, "    ", 4);
	len += 4;
	for (const char *c = from; c < lex->start; c++) {
		/* A tab stays one, a byte inside a UTF-8 character takes no column. */
		if (((unsigned char)*c & 0xc0) != 0x80)
			buf[len++] = *c == '\t' ? '\t' : ' ';
	}
	buf[len++] = '^';
	buf[len] = '\0';
}
