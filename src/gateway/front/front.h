/*
 * front.h: the client's side as an exchange sees it: front_http1, and front_http2 beside it, one a
 * stream. A front makes exchanges (exchange_begin) and is called back through this table; it embeds
 * struct front as its first member.
 */
#ifndef GATEWAY_FRONT_FRONT_H
#define GATEWAY_FRONT_FRONT_H

#include "base/bytes.h"
#include "base/reason.h"
#include "http/head.h"

struct front;
struct exchange;

/* An answer's head as exchange gives it to a front: status, and fields that are already cleaned. */
struct answer {
	uint16_t status;
	struct bytes phrase; /* as the back-end wrote it; may be empty */
	const struct field
	    *fields; /* borrowed; no hop-by-hop fields, no Content-Length, no Transfer-Encoding */
	size_t fields_n;
	/* TUNNEL: a 101; what follows, both ways, is bytes of another protocol. */
	enum { ANSWER_NO_BODY, ANSWER_LENGTH, ANSWER_UNKNOWN_LENGTH, ANSWER_TUNNEL } body;
	struct bytes upgrade_to; /* with ANSWER_TUNNEL */
	uint64_t
	    length; /* with ANSWER_LENGTH; with NO_BODY of a HEAD or 304: what to announce, if has_length */
	bool has_length;
	bool close; /* the client's connection must end after this answer */
};

struct front_ops {
	const char *name;
	void (*head)(struct front *,
	    const struct answer *); /* final, or 1xx any number of times before it */
	enum flow (*body)(struct front *, struct bytes); /* takes all */
	void (*end)(
	    struct front *); /* complete, framing included; a tunnel: no more bytes this way */
	void (*abort)(
	    struct front *, enum reason); /* cannot be completed: h1 closes, h2 resets the stream */
	void (*resume)(struct front *); /* after exchange_body said STOP */
	void (*done)(struct front *,
	    struct exchange *); /* both ways over, logged; the exchange is freed after the turn */
};

struct front {
	const struct front_ops *ops;
};

#endif
