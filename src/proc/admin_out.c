/*
 * admin_out.c: pages as text: JSON and Prometheus's format, escaped. What does not fit is marked, and
 * the whole page is given up; no caller checks.
 */
#include <event2/buffer.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proc/admin_private.h"

#include "base/poison.h"

static void put(struct admin_out *out, const char *text, size_t len)
{
	if (out->full)
		return;
	if (evbuffer_get_length(out->to) + len > ADMIN_PAGE_MAX ||
	    evbuffer_add(out->to, text, len) != 0)
		out->full = true;
}

static void put_str(struct admin_out *out, const char *text)
{
	put(out, text, strlen(text));
}

void admin_printf(struct admin_out *out, const char *fmt, ...)
{
	va_list ap;

	if (out->full)
		return;
	va_start(ap, fmt);
	if (evbuffer_add_vprintf(out->to, fmt, ap) < 0 ||
	    evbuffer_get_length(out->to) > ADMIN_PAGE_MAX)
		out->full = true;
	va_end(ap);
}

/* ---- JSON */

/* HTML's characters as \u: the text can stand in a page as it is. Bytes above 7F are passed where they are
 * well-formed UTF-8 of up to three bytes, else as U+FFFD. */
static size_t utf8_len(const unsigned char *c)
{
	size_t n = c[0] >= 0xc2 && c[0] < 0xe0 ? 2 : c[0] >= 0xe0 && c[0] < 0xf0 ? 3 : 0;

	for (size_t i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80) /* stops at the NUL, too */
			return 0;
	if (n == 3 && ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f)))
		return 0; /* over-long; surrogates */
	return n;
}

void admin_json_string(struct admin_out *out, const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	char escape[8];
	size_t n;

	put(out, "\"", 1);
	while (*c != '\0') {
		if (*c == '"' || *c == '\\') {
			snprintf(escape, sizeof escape, "\\%c", *c);
			put_str(out, escape);
			c++;
		} else if (*c < 0x20 || *c == 0x7f || strchr("<>&'", *c) != NULL) {
			snprintf(escape, sizeof escape, "\\u%04x", *c);
			put_str(out, escape);
			c++;
		} else if (*c < 0x80) {
			put(out, (const char *)c++, 1);
		} else if ((n = utf8_len(c)) > 0) {
			put(out, (const char *)c, n);
			c += n;
		} else {
			put_str(out, "\\ufffd");
			c++;
		}
	}
	put(out, "\"", 1);
}

static void member(struct admin_out *out, const char *name)
{
	if (out->comma)
		put(out, ",", 1);
	out->comma = true;
	if (name == NULL)
		return;
	admin_json_string(out, name);
	put(out, ":", 1);
}

static void put_number(struct admin_out *out, double value)
{
	if (value == floor(value) && fabs(value) < 9.007e15)
		admin_printf(out, "%.0f", value);
	else
		admin_printf(out, "%.9g", value);
}

void admin_json_text(struct admin_out *out, const char *name, const char *text)
{
	member(out, name);
	admin_json_string(out, text != NULL ? text : "");
}

void admin_json_number(struct admin_out *out, const char *name, double value)
{
	member(out, name);
	if (isfinite(value))
		put_number(out, value);
	else
		put_str(out, "null");
}

void admin_json_bool(struct admin_out *out, const char *name, bool value)
{
	member(out, name);
	put_str(out, value ? "true" : "false");
}

void admin_json_open(struct admin_out *out, const char *name, char bracket)
{
	member(out, name);
	put(out, &bracket, 1);
	out->comma = false;
}

void admin_json_close(struct admin_out *out, char bracket)
{
	put(out, &bracket, 1);
	out->comma = true;
}

void admin_problem(struct admin_out *out, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	admin_json_text(out, NULL, text);
}

/* ---- Prometheus's text format 0.0.4 */

static void put_escaped(struct admin_out *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			put_str(out, "\\n");
		else if (*text == '\\')
			put_str(out, "\\\\");
		else
			put(out, text, 1);
	}
}

void admin_metric(struct admin_out *out, const char *name, const char *type, const char *help,
    const char *labels, double value)
{
	if (strcmp(out->metric, name) != 0) {
		strlcpy(out->metric, name, sizeof out->metric);
		admin_printf(out, "# HELP %s ", name);
		put_escaped(out, help);
		admin_printf(out, "\n# TYPE %s %s\n", name, type);
	}
	put_str(out, name);
	if (labels != NULL && *labels != '\0')
		admin_printf(out, "{%s}", labels);
	put(out, " ", 1);
	if (isnan(value))
		put_str(out, "NaN");
	else if (isinf(value))
		put_str(out, value > 0 ? "+Inf" : "-Inf");
	else
		put_number(out, value);
	put(out, "\n", 1);
}

const char *admin_label(char *buf, size_t size, const char *name, const char *value)
{
	int n = snprintf(buf, size, "%s=\"", name);
	size_t at;

	if (n < 0 || (size_t)n + 2 > size) {
		if (size > 0)
			buf[0] = '\0';
		return buf;
	}
	/* Cut, if need be, and always closed. Control characters would end the line, and one byte that is no UTF-8
	 * would cost its reader the whole page. */
	for (at = (size_t)n; *value != '\0' && at + 4 < size; value++) {
		size_t wide = utf8_len((const unsigned char *)value);

		if (wide > 0 && at + wide + 2 <= size) {
			memcpy(buf + at, value, wide);
			at += wide;
			value += wide - 1;
		} else if (*value == '"' || *value == '\\') {
			buf[at++] = '\\';
			buf[at++] = *value;
		} else if (*value == '\n') {
			buf[at++] = '\\';
			buf[at++] = 'n';
		} else {
			buf[at++] = (unsigned char)*value < 0x20 || (unsigned char)*value >= 0x80
					? '?'
					: *value;
		}
	}
	buf[at++] = '"';
	buf[at] = '\0';
	return buf;
}
