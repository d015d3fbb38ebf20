/*
 * front_http1.h: a client connection that speaks HTTP/1.x, as its three files share it: front_http1.c
 * (life, states, deadlines), front_http1_request.c (what the client sends) and front_http1_answer.c
 * (what it gets). One exchange at a time: the next head is read when the former answer is complete.
 */
#ifndef GATEWAY_FRONT_FRONT_HTTP1_H
#define GATEWAY_FRONT_FRONT_HTTP1_H

#include "gateway/exchange/exchange.h"
#include "gateway/front/conn.h"
#include "gateway/front/front.h"
#include "gateway/worker.h"
#include "http/chunk.h"
#include "http/head.h"

enum {
	FRONT_SLICE_BYTES =
	    16 *
	    1024, /* of a body, offered at once: no more than an exchange can hold for another try */
	FRONT_LINGER_MS = 2000, /* what still comes after the last answer is read and dropped, */
	FRONT_LINGER_LATE_MS = 500, /* the same for a client that was too slow */
	/* since closing with unread bytes would reset the answer away; a refused upload may be large */
	FRONT_LINGER_BYTES = 16 * 1024 * 1024,
	FRONT_AT_ONCE_BYTES = 10 * 1460, /* that leave without a word of the client's (RFC 6928) */
	FRONT_FLUSH_MS = 250, /* between two looks whether the last answer has left */
	FRONT_DRAIN_IDLE_MS = 5000, /* of an idle connection, when this process is to end */
};

/* Reading; all but OVER have a deadline, or wait for an answer, which has those of its origin. */
#define FRONT_STATES(X)                                                                            \
	X(FRONT_IDLE, "idle") /* nothing of a request is there */                                  \
	X(FRONT_HEAD, "head")                                                                      \
	X(FRONT_BODY, "body")                                                                      \
	X(FRONT_WHOLE, "whole") /* the request is complete, the answer is not */                   \
	X(FRONT_TUNNEL, "tunnel") /* another protocol; its deadline is the origin's */             \
	X(FRONT_LINGER, "linger") /* the last answer is written */                                 \
	X(FRONT_OVER, "over")

enum front_state {
#define X(id, name) id,
	FRONT_STATES(X)
#undef X
	    FRONT_STATE_N
};

/* How the answer's body is framed. TUNNEL: not at all, and its end is the stream's. */
enum front_framing { FRAMING_NONE, FRAMING_PLAIN, FRAMING_CHUNKED, FRAMING_TUNNEL };

struct front_http1 {
	struct front_conn half; /* first: as conn sees it */
	struct front front; /* as an exchange sees it */
	struct conn *conn;
	struct worker *worker;
	struct stream *stream;
	struct exchange *exchange; /* NULL: none */
	enum front_state state;
	enum front_framing framing;
	uint8_t minor; /* of the request */
	bool keep_alive; /* the client and we let the connection live on after this answer */
	bool last; /* the client said that this is its last request */
	bool chunked; /* the request's body is */
	bool head_given; /* the answer's final head was written */
	bool broken; /* the answer cannot be completed */
	bool stopped; /* reading is paused: the exchange said STOP, or it is not its turn */
	bool full; /* the stream said STOP */
	bool draining;
	bool forgiven; /* an empty line before the next head */
	bool flushing; /* in LINGER: output had to wait */
	bool late; /* a deadline passed: nobody is waited for much longer */
	struct head_scan scan;
	struct deadline reading, writing;
	uint64_t left; /* of the request's body, by length; in LINGER, to be dropped */
	struct chunk chunk;
	uint64_t body_got,
	    body_ms; /* of a request's body: bytes, and how long we waited for them */
	uint64_t body_since; /* ms: waits since then */
	uint64_t sent_armed; /* stream_sent() when the write deadline was set */
	uint64_t sent_since; /* ms: in LINGER, the client has taken nothing since then */
	struct later gone;
};

void front_state_set(struct front_http1 *, enum front_state);
void front_linger(struct front_http1 *); /* the last answer is complete */
void front_stop(struct front_http1 *); /* reads no more */
void front_go_on(struct front_http1 *); /* reads again */

/* front_http1_request.c: takes what there is; a page for what is no request, and the connection closes. */
void front_read(struct front_http1 *);
void front_refuse(struct front_http1 *, uint16_t status, enum reason);

/* front_http1_answer.c */
extern const struct front_ops front_http1_ops;
void front_continue(struct front_http1 *); /* 100 Continue */
void front_write_drained(struct front_http1 *);

#endif
