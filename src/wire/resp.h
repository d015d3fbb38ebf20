/*
 * resp.h: the codec of RESP2, the protocol of Redis, as far as a cache needs it. Pure: slices point
 * into the input, nothing is allocated, and a length that is announced reserves nothing. The same
 * functions serve a buffer that grows byte by byte: MORE until a whole message lies there.
 *
 *   command  = "*" count CRLF count*( "$" length CRLF bytes CRLF )     the array form
 *            | word *( blanks word ) [CR] LF                           the inline form, for hands
 *   reply    = "+" text CRLF | "-" text CRLF | ":" integer CRLF
 *            | "$" length CRLF bytes CRLF | "$-1" CRLF                 (nil)
 *
 * Numbers are decimal, at most 19 digits, without sign but for integers and the nil; leading zeros
 * are refused. Array counts lie in 0..args_max; a count of 0 and an empty line are a command of no
 * words, which gets no answer (as in Redis). Inline words may be quoted whole, with ' or ", without
 * escapes. Arrays in replies are not of this subset: BAD.
 * An HTTP request sent here (POST, Host:, a line that ends in HTTP/x) is RESP_FAULT_HTTP: whoever
 * tricks a browser into talking to the cache gets a close and no answer.
 */
#ifndef WIRE_RESP_H
#define WIRE_RESP_H

#include "base/bytes.h"

enum {
	RESP_ARGS_MAX = 64,
	RESP_BULK_MAX = 64 * 1024, /* bytes of one bulk string */
	RESP_INLINE_MAX = 4096, /* bytes of an inline command, line end included */
	RESP_LINE_MAX = 4096, /* bytes of a simple or error reply, CRLF included */
	RESP_COMMAND_MAX = 96 * 1024, /* bytes of one command, framing included */
	RESP_REPLY_MAX = RESP_BULK_MAX + 32,
	RESP_NUMBER_MAX = 24, /* bytes of "$<length>CRLF" and ":<integer>CRLF" at the most */
};

/* Why a message is BAD, and what Redis answers to it. */
#define RESP_FAULT_LIST(X)                                                                         \
	X(RESP_FAULT_NONE, "")                                                                     \
	X(RESP_FAULT_COUNT, "ERR Protocol error: invalid multibulk length")                        \
	X(RESP_FAULT_COUNT_LINE, "ERR Protocol error: too big mbulk count string")                 \
	X(RESP_FAULT_DOLLAR, "ERR Protocol error: expected '$', got ")                             \
	X(RESP_FAULT_LENGTH, "ERR Protocol error: invalid bulk length")                            \
	X(RESP_FAULT_LENGTH_LINE, "ERR Protocol error: too big bulk count string")                 \
	X(RESP_FAULT_CRLF, "ERR Protocol error: expected CRLF")                                    \
	X(RESP_FAULT_SIZE, "ERR Protocol error: too big request")                                  \
	X(RESP_FAULT_STRANGER, "ERR Protocol error: unauthenticated bulk length")                  \
	X(RESP_FAULT_INLINE_SIZE, "ERR Protocol error: too big inline request")                    \
	X(RESP_FAULT_QUOTES, "ERR Protocol error: unbalanced quotes in request")                   \
	X(RESP_FAULT_CONTROL, "ERR Protocol error: control character in inline request")           \
	X(RESP_FAULT_TYPE, "ERR Protocol error: unexpected reply type")                            \
	X(RESP_FAULT_HTTP, "")

enum resp_fault {
#define X(id, text) id,
	RESP_FAULT_LIST(X)
#undef X
	    RESP_FAULT_N
};

const char *resp_fault_text(enum resp_fault);
/* The error reply to it; got is resp_command.got. Nothing for a fault that gets no answer. */
void resp_write_fault(struct writer *, enum resp_fault, uint8_t got);

struct resp_limits {
	uint32_t args_max; /* at most RESP_ARGS_MAX */
	uint32_t bulk_max; /* bytes */
	uint32_t inline_max; /* bytes */
	uint32_t command_max; /* bytes of the whole */
};

/* RESP_ARGS_MAX, RESP_BULK_MAX, RESP_INLINE_MAX, RESP_COMMAND_MAX. */
struct resp_limits resp_limits_default(void);

struct resp_command {
	uint32_t argc;
	uint8_t got; /* RESP_FAULT_DOLLAR: the byte in place of the '$' */
	struct bytes argv[RESP_ARGS_MAX]; /* slices of the input */
};

/* OK: *used bytes are one command. BAD: *fault says why. */
enum parse resp_command(struct bytes in, const struct resp_limits *, struct resp_command *,
    size_t *used, enum resp_fault *fault) __attribute__((warn_unused_result));

enum resp_type { RESP_SIMPLE, RESP_ERROR, RESP_INTEGER, RESP_BULK, RESP_NIL };

struct resp_reply {
	enum resp_type type;
	int64_t integer; /* RESP_INTEGER */
	struct bytes text; /* RESP_SIMPLE, RESP_ERROR, RESP_BULK: a slice of the input */
};

enum parse resp_reply(struct bytes in, uint32_t bulk_max, struct resp_reply *, size_t *used,
    enum resp_fault *fault) __attribute__((warn_unused_result));
enum parse resp_reply_next(struct bytes in, size_t *len, uint32_t *id);

/* Builders; a writer that is full stays full (writer.ok). */
void resp_write_array(struct writer *, uint32_t n); /* followed by n bulk strings */
void resp_write_bulk(struct writer *, struct bytes);
void resp_write_bulk_str(struct writer *, const char *);
void resp_write_bulk_int(struct writer *, uint64_t); /* the number as a bulk string */
void resp_write_bulk_head(
    struct writer *, size_t len); /* "$len CRLF"; bytes and CRLF follow by other means */
void resp_write_simple(struct writer *, const char *); /* no CR, LF */
void resp_write_error(struct writer *, const char *); /* "ERR what"; CR and LF become blanks */
void resp_write_integer(struct writer *, int64_t);
void resp_write_nil(struct writer *);

#endif
