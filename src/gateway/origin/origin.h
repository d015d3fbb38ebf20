/*
 * origin.h: what answers an exchange: origin_http1 (a back-end), origin_answer (an answer of our own:
 * redirect, error page). An implementation embeds struct origin as its first member.
 */
#ifndef GATEWAY_ORIGIN_ORIGIN_H
#define GATEWAY_ORIGIN_ORIGIN_H

#include "base/bytes.h"
#include "base/reason.h"
#include "http/head.h"

struct origin;

struct origin_request {
	struct bytes head; /* built anew; borrowed until return; kept by exchange for retries */
	bool head_request; /* the method is HEAD: the answer has no body */
	bool body_follows; /* body() and then end() come; else neither */
	bool chunked; /* the body is to be framed so */
	struct bytes
	    upgrade_to; /* the protocol that the head asks for, in memory that stays; empty: none */
};

struct origin_ops {
	const char *name;
	void (*start)(struct origin *, const struct origin_request *);
	enum flow (*body)(struct origin *, struct bytes);
	void (*end)(struct origin *); /* request complete; a tunnel: no more bytes this way */
	void (*resume)(struct origin *); /* after events->body said STOP */
	void (*cancel)(
	    struct origin *, enum reason); /* no event follows; the connection is not reused */
};

struct origin_events { /* how an origin speaks; exchange implements them; never inside start */
	/* Interim (1xx) or final; borrowed until return. A 101 that was asked for is final, and a tunnel's begin:
	 * body() and end() carry its bytes both ways, unframed. */
	void (*head)(void *arg, const struct head *);
	enum flow (*body)(void *arg, struct bytes);
	void (*half)(void *arg); /* a tunnel: no more bytes come; they may still go the other way */
	/* Complete; the origin is gone after this call. odd: what is worth a word all the same, or REASON_NONE. */
	void (*end)(void *arg, enum reason odd);
	void (*drained)(void *arg); /* after ops->body said STOP */
	void (*failed)(void *arg, enum reason, bool answer_begun,
	    uint64_t sent); /* the origin is gone after this call */
};

struct origin {
	const struct origin_ops *ops;
	const struct origin_events *events;
	void *arg;
};

#endif
