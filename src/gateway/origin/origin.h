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
};

struct origin_ops {
	const char *name;
	void (*start)(struct origin *, const struct origin_request *);
	enum flow (*body)(struct origin *, struct bytes);
	void (*end)(struct origin *); /* request complete */
	void (*resume)(struct origin *); /* after events->body said STOP */
	void (*cancel)(
	    struct origin *, enum reason); /* no event follows; the connection is not reused */
};

struct origin_events { /* how an origin speaks; exchange implements them; never inside start */
	void (*head)(
	    void *arg, const struct head *); /* interim (1xx) or final; borrowed until return */
	enum flow (*body)(void *arg, struct bytes);
	void (*end)(void *arg); /* complete; the origin is gone after this call */
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
