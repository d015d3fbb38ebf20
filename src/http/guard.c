/*
 * guard.c: line by line; a line is checked once, when its LF has come. A limit is passed at the first
 * byte beyond it, whether or not the line's end is there already, so pieces make no difference.
 */
#include "http/guard.h"

#include <assert.h>
#include <string.h>

#include "http/octet.h"

#include "base/poison.h"

#define VERSION_LEN 8 /* HTTP/1.1 */
#define STATUS_LEN 3

struct guard {
	enum message message;
	struct bytes in;
	const struct head_limits *limits;
	struct head_scan *scan;
	struct verdict *verdict;
};

static enum parse refuse(struct guard *g, enum reason reason, const uint8_t *bad)
{
	return verdict_refuse(g->verdict, g->message, reason, (size_t)(bad - g->in.at));
}

/* A CR inside a line says more than "bad octet" to who reads the log. */
static enum parse refuse_octet(
    struct guard *g, enum reason reason, const uint8_t *bad, const uint8_t *end)
{
	return refuse(g, bad < end && *bad == '\r' ? REASON_LINE_END : reason, bad);
}

/* HTTP/d.d at the end of a request line or the start of a status line. */
static bool version_read(const uint8_t *at, struct head_scan *scan)
{
	if (memcmp(at, "HTTP/", 5) != 0 || at[6] != '.')
		return false;
	if ((octet_class[at[5]] & octet_class[at[7]] & OCTET_DIGIT) == 0)
		return false;
	scan->major = (uint8_t)(at[5] - '0');
	scan->minor = (uint8_t)(at[7] - '0');
	return true;
}

static bool version_known(const struct head_scan *scan)
{
	return scan->major == 1 && scan->minor <= 1;
}

/* METHOD SP target SP HTTP/d.d; the byte after the line is its CR, so at[len] may be looked at. */
static enum parse request_line(struct guard *g, const uint8_t *at, size_t len)
{
	struct head_scan *scan = g->scan;
	size_t method = octet_run(at, len, OCTET_TOKEN);
	size_t target;
	const uint8_t *next = at + method, *end = at + len;

	if (method == 0 || *next != ' ')
		return refuse_octet(g, REASON_REQUEST_LINE, next, end);
	next++;
	target = octet_run(next, len - method - 1, OCTET_TARGET);
	next += target;
	if (target == 0 || *next != ' ') {
		/* A line that ends here has no version; a further SP is a line of four words. */
		bool ends = next == end || *next == ' ';
		return refuse_octet(g, ends ? REASON_REQUEST_LINE : REASON_TARGET, next, end);
	}
	next++;
	if ((size_t)(end - next) != VERSION_LEN || !version_read(next, scan))
		return refuse(g, REASON_REQUEST_LINE, next);
	if (!version_known(scan))
		return refuse(g, REASON_VERSION, next);
	scan->method_len = (uint32_t)method;
	scan->target_len = (uint32_t)target;
	return PARSE_OK;
}

/* HTTP/1.d SP 3DIGIT [SP phrase]: servers that leave out an empty phrase leave out its SP too. */
static enum parse status_line(struct guard *g, const uint8_t *at, size_t len)
{
	const uint8_t *code = at + VERSION_LEN + 1, *phrase = code + STATUS_LEN;
	size_t phrase_len, run;

	if (len < VERSION_LEN + 1 + STATUS_LEN || !version_read(at, g->scan) ||
	    !version_known(g->scan) || at[VERSION_LEN] != ' ')
		return refuse(g, REASON_REQUEST_LINE, at);
	if (octet_run(code, STATUS_LEN, OCTET_DIGIT) != STATUS_LEN || *code < '1' || *code > '5')
		return refuse(g, REASON_REQUEST_LINE, code);
	phrase_len = len - VERSION_LEN - 1 - STATUS_LEN;
	if (phrase_len > 0 && *phrase != ' ')
		return refuse(g, REASON_REQUEST_LINE, phrase);
	run = octet_text_run(phrase, phrase_len);
	if (run != phrase_len)
		return refuse(g, REASON_REQUEST_LINE, phrase + run);
	g->scan->status = (uint16_t)((code[0] - '0') * 100 + (code[1] - '0') * 10 + code[2] - '0');
	return PARSE_OK;
}

static enum parse field_line(struct guard *g, const uint8_t *at, size_t len)
{
	size_t name = octet_run(at, len, OCTET_TOKEN), run;

	if (g->scan->lines > g->limits->fields_max)
		return refuse(g, REASON_FIELDS, at);
	if (at[0] == ' ' || at[0] == '\t')
		return refuse(g, REASON_FOLD, at);
	if (name == 0 || at[name] != ':')
		return refuse_octet(g, REASON_FIELD_NAME, at + name, at + len);
	run = octet_text_run(at + name + 1, len - name - 1);
	if (run != len - name - 1)
		return refuse_octet(g, REASON_FIELD_VALUE, at + name + 1 + run, at + len);
	return PARSE_OK;
}

static enum parse line_check(struct guard *g, const uint8_t *at, size_t len)
{
	enum parse result;

	if (g->scan->lines > 0) {
		result = field_line(g, at, len);
	} else {
		g->scan->first = g->scan->line;
		g->scan->first_len = (uint32_t)len;
		result = g->message == MESSAGE_REQUEST ? request_line(g, at, len)
						       : status_line(g, at, len);
	}
	g->scan->lines++;
	return result;
}

/* Has what is here of this line, which reaches to `end`, passed a limit? */
static enum parse limits_check(struct guard *g, size_t end)
{
	size_t line_stop = g->scan->line + g->limits->line_max;
	size_t head_stop = g->limits->head_max;
	enum reason reason = REASON_HEAD_SIZE;

	if (end <= line_stop && end <= head_stop)
		return PARSE_OK;
	if (line_stop > head_stop)
		return refuse(g, reason, g->in.at + head_stop);
	if (g->scan->lines == 0 && g->message == MESSAGE_REQUEST)
		reason = REASON_TARGET_SIZE;
	return refuse(g, reason, g->in.at + line_stop);
}

/* Who speaks another protocol is told at once: no line need ever end in it. */
static bool begins_as_answer(const uint8_t *line, size_t len)
{
	return memcmp(line, "HTTP/", len < 5 ? len : 5) == 0;
}

enum parse guard_head(enum message message, struct bytes in, const struct head_limits *limits,
    struct head_scan *scan, struct verdict *verdict)
{
	struct guard g = { message, in, limits, scan, verdict };

	assert(limits->head_max <= HEAD_BYTES_MAX && limits->fields_max <= HEAD_FIELDS_MAX);
	while (scan->at < in.len) {
		const uint8_t *lf = memchr(in.at + scan->at, '\n', in.len - scan->at);
		const uint8_t *line = in.at + scan->line;
		size_t end = lf != NULL ? (size_t)(lf - in.at) + 1 : in.len;
		size_t len = end - scan->line;

		if (scan->lines == 0 && message == MESSAGE_RESPONSE && !begins_as_answer(line, len))
			return refuse(&g, REASON_REQUEST_LINE, line);
		if (limits_check(&g, end) != PARSE_OK)
			return PARSE_BAD;
		scan->at = end;
		if (lf == NULL)
			return PARSE_MORE;
		if (len < 2 || lf[-1] != '\r')
			return refuse(&g, REASON_LINE_END, lf);
		if (len > 2) {
			if (line_check(&g, line, len - 2) != PARSE_OK)
				return PARSE_BAD;
		} else if (scan->lines > 0) {
			return PARSE_OK;
		} else if (message == MESSAGE_RESPONSE || scan->line > 0) {
			/* One empty line before a request is forgiven (RFC 9112 section 2.2). */
			return refuse(&g, REASON_REQUEST_LINE, line);
		}
		scan->line = end;
	}
	return PARSE_MORE;
}
