/*
 * resp.c: RESP2, see resp.h for the bytes. Every message is read from its first byte each time, so
 * there is no state between two calls; a count of 64 and lines of 4 KiB bound that work.
 */
#include "wire/resp.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

enum {
	/* "*" or "$", 19 digits and a CR: a number line without its CR within this is none. */
	RESP_NUMBER_LINE_MAX = 22,
	RESP_DIGITS_MAX = 19,
};

static const char *const fault_text[RESP_FAULT_N] = {
#define X(id, text) [id] = text,
	RESP_FAULT_LIST(X)
#undef X
};

const char *resp_fault_text(enum resp_fault f)
{
	return f < RESP_FAULT_N ? fault_text[f] : "";
}

struct resp_limits resp_limits_default(void)
{
	return (
	    struct resp_limits){ RESP_ARGS_MAX, RESP_BULK_MAX, RESP_INLINE_MAX, RESP_COMMAND_MAX };
}

static enum parse bad(enum resp_fault *fault, enum resp_fault why)
{
	*fault = why;
	return PARSE_BAD;
}

/* Digits only, no leading zero, at most INT64_MAX. */
static bool decimal(struct bytes b, int64_t *out)
{
	uint64_t v = 0;

	if (b.len == 0 || b.len > RESP_DIGITS_MAX || (b.len > 1 && b.at[0] == '0'))
		return false;
	for (size_t i = 0; i < b.len; i++) {
		if (b.at[i] < '0' || b.at[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(b.at[i] - '0'); /* 19 digits fit 64 bits */
	}
	if (v > INT64_MAX)
		return false;
	*out = (int64_t)v;
	return true;
}

/* The line from `from` up to CRLF, at most max bytes with its CRLF. OK: *line without CRLF, *next
 * is the byte after it. */
static enum parse line_next(struct bytes in, size_t from, size_t max, struct bytes *line,
    size_t *next, enum resp_fault *fault, enum resp_fault too_long)
{
	struct bytes rest = bytes_sub(in, from, max);
	const uint8_t *cr = rest.len > 0 ? memchr(rest.at, '\r', rest.len) : NULL;
	size_t len;

	if (cr == NULL)
		return rest.len >= max ? bad(fault, too_long) : PARSE_MORE;
	len = (size_t)(cr - rest.at);
	if (len + 1 >= rest.len)
		return rest.len >= max ? bad(fault, too_long) : PARSE_MORE;
	if (rest.at[len + 1] != '\n')
		return bad(fault, RESP_FAULT_CRLF);
	*line = bytes_sub(rest, 0, len);
	*next = from + len + 2;
	return PARSE_OK;
}

/* The line as it nearly always is: all there, and right. What else it may be is told apart by
 * number_next(). A command has such a line for each of its words. */
static bool number_is_plain(struct bytes in, size_t from, int64_t *out, size_t *next)
{
	const uint8_t *at = in.at + from, *end = in.at + in.len, *p = at;
	int64_t v = 0;

	while (p < end && p - at < RESP_DIGITS_MAX - 1 && *p >= '0' && *p <= '9')
		v = v * 10 + (*p++ - '0'); /* 18 digits fit 63 bits */
	if (end - p < 2 || p[0] != '\r' || p[1] != '\n' || p == at || (*at == '0' && p - at > 1))
		return false;
	*out = v;
	*next = (size_t)(p + 2 - in.at);
	return true;
}

/* "<mark><number>CRLF" at from. A byte that can belong to no number is refused at once. */
static enum parse number_next(struct bytes in, size_t from, int64_t *out, size_t *next,
    enum resp_fault *fault, enum resp_fault invalid, enum resp_fault too_long)
{
	struct bytes line;
	enum parse r;

	if (number_is_plain(in, from + 1, out, next))
		return PARSE_OK;
	r = line_next(in, from + 1, RESP_NUMBER_LINE_MAX, &line, next, fault, too_long);
	if (r == PARSE_OK && !decimal(line, out))
		return bad(fault, invalid);
	return r;
}

/* "$<length>CRLF<bytes>CRLF" at from. */
static enum parse bulk_next(struct bytes in, size_t from, uint32_t max, struct bytes *out,
    size_t *next, enum resp_fault *fault)
{
	int64_t len;
	size_t at;
	enum parse r;

	r = number_next(in, from, &len, &at, fault, RESP_FAULT_LENGTH, RESP_FAULT_LENGTH_LINE);
	if (r != PARSE_OK)
		return r;
	if (len > (int64_t)max)
		return bad(fault, RESP_FAULT_LENGTH);
	if (in.len - at > (size_t)len && in.at[at + (size_t)len] != '\r')
		return bad(fault, RESP_FAULT_CRLF);
	if (in.len - at < (size_t)len + 2)
		return PARSE_MORE;
	if (in.at[at + (size_t)len + 1] != '\n')
		return bad(fault, RESP_FAULT_CRLF);
	*out = bytes_sub(in, at, (size_t)len);
	*next = at + (size_t)len + 2;
	return PARSE_OK;
}

static enum parse command_array(struct bytes in, const struct resp_limits *limits,
    struct resp_command *cmd, size_t *used, enum resp_fault *fault)
{
	int64_t count;
	size_t at;
	enum parse r;

	r = number_next(in, 0, &count, &at, fault, RESP_FAULT_COUNT, RESP_FAULT_COUNT_LINE);
	if (r != PARSE_OK)
		return r;
	if (count > (int64_t)limits->args_max || count > RESP_ARGS_MAX)
		return bad(fault, RESP_FAULT_COUNT);
	for (uint32_t i = 0; i < (uint32_t)count; i++) {
		if (at >= in.len)
			r = PARSE_MORE;
		else if (in.at[at] != '$') {
			cmd->got = in.at[at];
			return bad(fault, RESP_FAULT_DOLLAR);
		} else
			r = bulk_next(in, at, limits->bulk_max, &cmd->argv[i], &at, fault);
		if (r == PARSE_MORE && in.len >= limits->command_max)
			return bad(fault, RESP_FAULT_SIZE);
		if (r != PARSE_OK)
			return r;
	}
	if (at > limits->command_max)
		return bad(fault, RESP_FAULT_SIZE);
	cmd->argc = (uint32_t)count;
	*used = at;
	return PARSE_OK;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* One word of an inline command at *at; quoted whole or bare. */
static enum parse inline_word(
    struct bytes line, size_t *at, struct bytes *word, enum resp_fault *fault)
{
	uint8_t quote = line.at[*at];
	size_t from = *at, end;

	if (quote == '"' || quote == '\'') {
		for (end = ++from; end < line.len && line.at[end] != quote; end++)
			if (line.at[end] == '\\')
				return bad(fault, RESP_FAULT_QUOTES);
		if (end == line.len || (end + 1 < line.len && !is_blank(line.at[end + 1])))
			return bad(fault, RESP_FAULT_QUOTES);
		*at = end + 1;
	} else {
		for (end = from; end < line.len && !is_blank(line.at[end]); end++)
			if (line.at[end] == '"' || line.at[end] == '\'')
				return bad(fault, RESP_FAULT_QUOTES);
		*at = end;
	}
	*word = bytes_sub(line, from, end - from);
	return PARSE_OK;
}

static bool inline_is_http(const struct resp_command *cmd)
{
	struct bytes first, last;

	if (cmd->argc == 0)
		return false;
	first = cmd->argv[0];
	last = bytes_sub(cmd->argv[cmd->argc - 1], 0, 5);
	return bytes_case_equal_str(first, "POST") || bytes_case_equal_str(first, "Host:") ||
	       bytes_case_equal_str(last, "HTTP/");
}

static enum parse inline_words(struct bytes line, const struct resp_limits *limits,
    struct resp_command *cmd, enum resp_fault *fault)
{
	size_t at = 0;

	cmd->argc = 0;
	for (size_t i = 0; i < line.len; i++)
		if ((line.at[i] < ' ' && line.at[i] != '\t') || line.at[i] == 0x7f)
			return bad(fault, RESP_FAULT_CONTROL);
	for (;;) {
		while (at < line.len && is_blank(line.at[at]))
			at++;
		if (at == line.len)
			break;
		if (cmd->argc >= limits->args_max || cmd->argc >= RESP_ARGS_MAX)
			return bad(fault, RESP_FAULT_COUNT);
		if (inline_word(line, &at, &cmd->argv[cmd->argc], fault) != PARSE_OK)
			return PARSE_BAD;
		cmd->argc++;
	}
	return inline_is_http(cmd) ? bad(fault, RESP_FAULT_HTTP) : PARSE_OK;
}

static enum parse command_inline(struct bytes in, const struct resp_limits *limits,
    struct resp_command *cmd, size_t *used, enum resp_fault *fault)
{
	struct bytes head = bytes_sub(in, 0, limits->inline_max);
	const uint8_t *lf = memchr(head.at, '\n', head.len);
	struct bytes line;

	/* A TLS hello or other binary is no line that will end one day. */
	if (head.at[0] < ' ' && head.at[0] != '\t' && head.at[0] != '\r' && head.at[0] != '\n')
		return bad(fault, RESP_FAULT_CONTROL);
	if (lf == NULL)
		return head.len >= limits->inline_max ? bad(fault, RESP_FAULT_INLINE_SIZE)
						      : PARSE_MORE;
	line = bytes_sub(head, 0, (size_t)(lf - head.at));
	*used = line.len + 1;
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	return inline_words(line, limits, cmd, fault);
}

enum parse resp_command(struct bytes in, const struct resp_limits *limits, struct resp_command *cmd,
    size_t *used, enum resp_fault *fault)
{
	*fault = RESP_FAULT_NONE;
	if (in.len == 0)
		return PARSE_MORE;
	if (in.at[0] == '*')
		return command_array(in, limits, cmd, used, fault);
	return command_inline(in, limits, cmd, used, fault);
}

static enum parse reply_integer(
    struct bytes in, struct resp_reply *reply, size_t *used, enum resp_fault *fault)
{
	struct bytes line;
	bool minus;
	enum parse r;

	r = line_next(in, 1, RESP_NUMBER_LINE_MAX, &line, used, fault, RESP_FAULT_LENGTH_LINE);
	if (r != PARSE_OK)
		return r;
	minus = line.len > 0 && line.at[0] == '-';
	if (!decimal(bytes_sub(line, minus, line.len), &reply->integer))
		return bad(fault, RESP_FAULT_LENGTH);
	if (minus)
		reply->integer = -reply->integer;
	reply->type = RESP_INTEGER;
	return PARSE_OK;
}

static enum parse reply_bulk(struct bytes in, uint32_t bulk_max, struct resp_reply *reply,
    size_t *used, enum resp_fault *fault)
{
	static const char nil[] = "$-1\r\n";
	size_t same = in.len < sizeof(nil) - 1 ? in.len : sizeof(nil) - 1;

	if (in.len >= 2 && memcmp(in.at, nil, same) == 0) {
		if (same < sizeof(nil) - 1)
			return PARSE_MORE;
		reply->type = RESP_NIL;
		reply->text = bytes_of(NULL, 0);
		*used = same;
		return PARSE_OK;
	}
	reply->type = RESP_BULK;
	return bulk_next(in, 0, bulk_max, &reply->text, used, fault);
}

enum parse resp_reply(struct bytes in, uint32_t bulk_max, struct resp_reply *reply, size_t *used,
    enum resp_fault *fault)
{
	*fault = RESP_FAULT_NONE;
	if (in.len == 0)
		return PARSE_MORE;
	switch (in.at[0]) {
	case '+':
	case '-':
		reply->type = in.at[0] == '+' ? RESP_SIMPLE : RESP_ERROR;
		return line_next(
		    in, 1, RESP_LINE_MAX - 1, &reply->text, used, fault, RESP_FAULT_INLINE_SIZE);
	case ':':
		return reply_integer(in, reply, used, fault);
	case '$':
		return reply_bulk(in, bulk_max, reply, used, fault);
	default:
		return bad(fault, RESP_FAULT_TYPE);
	}
}

enum parse resp_reply_next(struct bytes in, size_t *len, uint32_t *id)
{
	struct resp_reply reply;
	enum resp_fault fault;

	*id = 0;
	return resp_reply(in, RESP_BULK_MAX, &reply, len, &fault);
}

/* "<mark><number>CRLF" by hand: this runs for each answer, and snprintf costs more than the store. */
static void write_number(struct writer *w, char mark, uint64_t v, bool minus)
{
	uint8_t buf[RESP_NUMBER_MAX];
	size_t at = sizeof(buf);

	buf[--at] = '\n';
	buf[--at] = '\r';
	do {
		buf[--at] = (uint8_t)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	if (minus)
		buf[--at] = '-';
	buf[--at] = (uint8_t)mark;
	writer_put(w, buf + at, sizeof(buf) - at);
}

void resp_write_array(struct writer *w, uint32_t n)
{
	write_number(w, '*', n, false);
}

void resp_write_bulk_head(struct writer *w, size_t len)
{
	write_number(w, '$', len, false);
}

void resp_write_bulk(struct writer *w, struct bytes b)
{
	resp_write_bulk_head(w, b.len);
	writer_bytes(w, b);
	writer_str(w, "\r\n");
}

void resp_write_bulk_str(struct writer *w, const char *s)
{
	resp_write_bulk(w, bytes_str(s));
}

void resp_write_bulk_int(struct writer *w, uint64_t v)
{
	char buf[24];
	int n = snprintf(buf, sizeof(buf), "%llu", (unsigned long long)v);

	resp_write_bulk(w, bytes_of(buf, (size_t)n));
}

void resp_write_simple(struct writer *w, const char *s)
{
	writer_str(w, "+");
	writer_str(w, s);
	writer_str(w, "\r\n");
}

void resp_write_error(struct writer *w, const char *s)
{
	writer_str(w, "-");
	for (; *s != '\0'; s++)
		writer_u8(w, *s == '\r' || *s == '\n' ? ' ' : (uint8_t)*s);
	writer_str(w, "\r\n");
}

void resp_write_fault(struct writer *w, enum resp_fault fault, uint8_t got)
{
	const char *text = resp_fault_text(fault);

	if (*text == '\0')
		return;
	writer_str(w, "-");
	writer_str(w, text);
	if (fault == RESP_FAULT_DOLLAR) {
		writer_str(w, "'");
		writer_u8(w, got > ' ' && got < 0x7f ? got : (uint8_t)'?');
		writer_str(w, "'");
	}
	writer_str(w, "\r\n");
}

void resp_write_integer(struct writer *w, int64_t v)
{
	write_number(w, ':', v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
}

void resp_write_nil(struct writer *w)
{
	writer_str(w, "$-1\r\n");
}
