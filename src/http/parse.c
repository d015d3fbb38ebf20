/*
 * parse.c: the only file that knows http-parser. Debian's build is the lenient one and takes many
 * malformed heads, so it sees only what guard.c has passed, in one piece, and its reading is compared
 * with the guard's: same method, target, status, number of fields, and end.
 */
#include "http/parse.h"

#include <http_parser.h>
#include <stdio.h>
#include <string.h>

#include "http/octet.h"

#include "base/poison.h"

/* Below the library's own limit, which is global to the process and so is left alone. */
_Static_assert(
    HEAD_BYTES_MAX < HTTP_MAX_HEADER_SIZE, "http-parser would refuse a head that we allow");

struct reading {
	struct head *head;
	struct bytes url;
	bool complete;
};

static int http_on_url(http_parser *parser, const char *at, size_t len)
{
	struct reading *r = parser->data;

	r->url = bytes_of(at, len);
	return 0;
}

static int http_on_header_field(http_parser *parser, const char *at, size_t len)
{
	struct reading *r = parser->data;

	return head_add(r->head, bytes_of(at, len), bytes_of(at + len, 0)) ? 0 : -1;
}

static int http_on_header_value(http_parser *parser, const char *at, size_t len)
{
	struct head *head = ((struct reading *)parser->data)->head;

	if (head->fields_n == 0)
		return -1;
	head->fields[head->fields_n - 1].value = octet_trim(bytes_of(at, len));
	return 0;
}

/* 2: neither a body nor another message; the parser stops behind the head's last LF. */
static int http_on_headers_complete(http_parser *parser)
{
	((struct reading *)parser->data)->complete = true;
	return 2;
}

static const http_parser_settings settings = {
	.on_url = http_on_url,
	.on_header_field = http_on_header_field,
	.on_header_value = http_on_header_value,
	.on_headers_complete = http_on_headers_complete,
};

static enum reason parser_reason(const http_parser *parser)
{
	switch (HTTP_PARSER_ERRNO(parser)) {
	case HPE_INVALID_METHOD:
		return REASON_METHOD_UNKNOWN;
	case HPE_INVALID_URL:
	case HPE_INVALID_HOST:
	case HPE_INVALID_PORT:
	case HPE_INVALID_PATH:
	case HPE_INVALID_QUERY_STRING:
	case HPE_INVALID_FRAGMENT:
		return REASON_TARGET;
	case HPE_INVALID_CONTENT_LENGTH:
		return REASON_CONTENT_LENGTH;
	case HPE_UNEXPECTED_CONTENT_LENGTH: /* a second one, or one beside a Transfer-Encoding */
		return parser->uses_transfer_encoding ? REASON_FRAMING : REASON_CONTENT_LENGTH;
	default:
		return REASON_INTERNAL;
	}
}

/* What the guard has read of the first line, as slices. */
static void first_line(
    enum message message, struct bytes in, const struct head_scan *scan, struct head *head)
{
	struct bytes line = bytes_sub(in, scan->first, scan->first_len);

	head->major = scan->major;
	head->minor = scan->minor;
	if (message == MESSAGE_RESPONSE) {
		head->status = scan->status;
		head->phrase = octet_trim(bytes_sub(line, sizeof "HTTP/1.1 200" - 1, SIZE_MAX));
		return;
	}
	head->method = bytes_sub(line, 0, scan->method_len);
	head->target = bytes_sub(line, scan->method_len + 1, scan->target_len);
}

static bool readings_agree(enum message message, const http_parser *parser, const struct reading *r,
    const struct head_scan *scan)
{
	if (!r->complete || r->head->fields_n + 1U != scan->lines)
		return false;
	if (parser->http_major != scan->major || parser->http_minor != scan->minor)
		return false;
	if (message == MESSAGE_RESPONSE)
		return parser->status_code == scan->status;
	return r->url.at == r->head->target.at && r->url.len == r->head->target.len &&
	       bytes_equal_str(r->head->method, http_method_str((enum http_method)parser->method));
}

enum parse parse_head(enum message message, struct bytes in, const struct head_scan *scan,
    struct head *head, struct verdict *verdict)
{
	struct reading r = { .head = head };
	struct bytes text = bytes_sub(in, scan->first, scan->at - scan->first);
	http_parser parser;
	size_t read;

	first_line(message, in, scan, head);
	http_parser_init(&parser, message == MESSAGE_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE);
	parser.data = &r;
	/* Refusing both lengths together is head.c's, which sees all of the fields. */
	parser.allow_chunked_length = 1;
	read = http_parser_execute(&parser, &settings, (const char *)text.at, text.len);
	if (HTTP_PARSER_ERRNO(&parser) != HPE_OK)
		return verdict_refuse(verdict, message, parser_reason(&parser), scan->first + read);
	if (read != text.len || !readings_agree(message, &parser, &r, scan))
		return verdict_refuse(verdict, message, REASON_INTERNAL, scan->first + read);
	return PARSE_OK;
}

const char *parse_library(char *buf, size_t size)
{
	unsigned long v = http_parser_version();

	snprintf(buf, size, "http-parser %lu.%lu.%lu", v >> 16 & 255, v >> 8 & 255, v & 255);
	return buf;
}
