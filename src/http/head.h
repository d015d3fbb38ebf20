/*
 * head.h: the framing firewall: from the bytes of a head to fields, with every rule of RFC 9110 and
 * 9112 that decides where a message ends checked, so that no two readers can disagree about it.
 *
 *	guard   each line, byte by byte, against the grammar; finds the end
 *	parse   lines to fields (http-parser)
 *	head    the rules over the fields: Host, framing, target, what may follow
 *
 * Pure, and nothing is allocated: all slices point into the input (path may point to a constant) and
 * live as long as it does. A struct head is 5 KiB: keep it in scratch memory, not on a stack.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "base/bytes.h"
#include "http/field.h"
#include "http/verdict.h"

#define HEAD_FIELDS_MAX 128
#define HEAD_CONNECTION_MAX 16 /* names in Connection lists besides the well-known tokens */
#define HEAD_BYTES_MAX (64 * 1024) /* head_limits.head_max may not be above it */

struct field {
	struct bytes name; /* a token, never empty */
	struct bytes
	    value; /* without white space at its ends; may be empty; no controls but HTAB */
};

enum body { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_TO_CLOSE };

struct head {
	struct bytes method, target; /* request: as sent */
	struct bytes authority; /* request: Host, or the absolute form's; at is NULL if neither */
	struct bytes host; /* its host, without port and final dot; [..] for IPv6; any case */
	uint16_t port; /* its port; 0: none given */
	struct bytes path,
	    query; /* path is never empty ("*" for OPTIONS *); query.at NULL: no '?' */
	struct bytes phrase; /* response: its reason phrase, may be empty */
	uint16_t status; /* response */
	uint8_t major, minor; /* 1.0 or 1.1 */
	enum body body;
	uint64_t
	    length; /* BODY_LENGTH: > 0. Else, of a response without a body: as announced, or 0 */
	unsigned has_length : 1; /* a Content-Length was there (a HEAD's or 304's too) */
	unsigned keep_alive : 1; /* the sender lets the connection live on after this message */
	unsigned connection_close : 1; /* "close" was said */
	unsigned expect_100 : 1; /* 1.1 request with a body that waits for 100 Continue */
	unsigned upgrade : 1; /* 1.1 request without a body that asks; a 101 that fits it */
	unsigned target_flags : 8; /* bits of enum target_oddity */
	struct bytes upgrade_to; /* the one protocol asked for or switched to; never h2c */
	uint8_t connection_n;
	struct bytes
	    connection[HEAD_CONNECTION_MAX]; /* names to remove; no close, keep-alive, upgrade */
	uint8_t fields_n;
	uint8_t ids
	    [HEAD_FIELDS_MAX]; /* enum field_id of each: only FIELD_OTHER may be passed on as is */
	struct field fields[HEAD_FIELDS_MAX];
};

struct head_limits {
	size_t head_max; /* bytes, with the empty line; at most HEAD_BYTES_MAX */
	size_t line_max; /* bytes of one line, with CRLF */
	unsigned fields_max; /* at most HEAD_FIELDS_MAX */
};

/*
 * How far a head that arrives in pieces has been read: no byte is looked at twice. All zero before the
 * first piece; the caller keeps the bytes and offers them again, with more. Zero again after PARSE_OK.
 * Offsets only, so the bytes may move between calls.
 */
struct head_scan {
	size_t at; /* scanned up to here */
	size_t line; /* start of the line that is not complete */
	size_t first; /* start of the first line; 2 after an empty line */
	uint32_t first_len, method_len, target_len;
	unsigned lines; /* complete ones, the first one included */
	uint16_t status;
	uint8_t major, minor;
};

/*
 * OK: *used bytes are the head, the rest is the body or what follows. MORE: call again with more.
 * BAD: the verdict says what to answer; nothing of the connection's bytes can be trusted any more.
 */
enum parse head_request(struct bytes, const struct head_limits *, struct head_scan *, struct head *,
    size_t *used, struct verdict *) __attribute__((warn_unused_result));

/* The request's method decides whether a body follows, its upgrade whether a 101 is welcome. */
enum parse head_response(struct bytes, const struct head *request, const struct head_limits *,
    struct head_scan *, struct head *, size_t *used, struct verdict *)
    __attribute__((warn_unused_result));

/* For heads that come from elsewhere: empty, then field by field (copies nothing; false: full). */
void head_init(struct head *);
bool head_add(struct head *, struct bytes name, struct bytes value)
    __attribute__((warn_unused_result));

/* The first field of that name, in its exact spelling (case aside), or NULL. */
const struct field *head_field(const struct head *, const char *name);
/* Does the Connection list name it (in any spelling), so that it may not be passed on? */
bool head_lists(const struct head *, struct bytes name);

#endif
