/*
 * origin_http1.h: a back-end that speaks HTTP/1.x, over one upstream. It lies in its upstream and
 * lives through many exchanges, one at a time. Private to gateway/origin.
 */
#ifndef GATEWAY_ORIGIN_ORIGIN_HTTP1_H
#define GATEWAY_ORIGIN_ORIGIN_HTTP1_H

#include "gateway/origin/origin.h"
#include "http/chunk.h"
#include "http/head.h"

enum {
	ORIGIN_INTERIM_MAX = 16, /* 1xx answers to one request */
	ORIGIN_FLUSH_MS =
	    50, /* a tunnel that is over both ways: how often it is seen whether all has left */
};

#define ORIGIN_HTTP1_STATES(X)                                                                     \
	X(ORIGIN_FREE, "free")                                                                     \
	X(ORIGIN_HEAD, "head") /* asked; no complete head of a final answer yet */                 \
	X(ORIGIN_LENGTH, "length")                                                                 \
	X(ORIGIN_CHUNKED, "chunked")                                                               \
	X(ORIGIN_TO_CLOSE, "to_close")                                                             \
	X(ORIGIN_TUNNEL, "tunnel") /* after a 101 that was asked for */

enum origin_http1_state {
#define X(id, name) id,
	ORIGIN_HTTP1_STATES(X)
#undef X
	    ORIGIN_HTTP1_STATE_N
};

struct origin_http1 {
	struct origin origin; /* first */
	enum origin_http1_state state;
	struct head_scan scan;
	uint64_t left; /* of the answer's body, with ORIGIN_LENGTH */
	uint64_t sent_before; /* stream_sent() when this request began */
	uint64_t sent_armed; /* stream_sent() when the deadline was set */
	uint8_t interims;
	bool head_request; /* HEAD: no body follows the answer's head */
	bool chunked; /* the request's body is */
	bool asked; /* the request is complete */
	bool keep; /* the answer's head lets the connection be used again */
	bool full; /* the stream said STOP */
	bool stopped; /* our body() said STOP: events->drained is owed */
	bool paused; /* events->body said STOP: resume() will come */
	bool ended; /* a tunnel: the back-end sends no more */
	struct bytes upgrade_to; /* the protocol asked for; empty: none */
	struct chunk chunk;
	uint64_t moved_ms; /* a tunnel that is over both ways: when some of its rest last left */
};

void origin_http1_init(struct origin_http1 *);

/* What its upstream's stream has to say. */
void origin_http1_opened(struct origin_http1 *);
void origin_http1_input(struct origin_http1 *);
void origin_http1_drained(struct origin_http1 *);
void origin_http1_closed(struct origin_http1 *, enum reason);

#endif
