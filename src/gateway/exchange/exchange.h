/*
 * exchange.h: one request and its answer. Knows no protocol, no socket and no SSL: the client's
 * side is a front, what answers an origin. Called by fronts only.
 */
#ifndef GATEWAY_EXCHANGE_EXCHANGE_H
#define GATEWAY_EXCHANGE_EXCHANGE_H

#include "base/bytes.h"
#include "base/reason.h"
#include "gateway/client.h"
#include "gateway/front/front.h"
#include "http/head.h"

struct worker;
struct exchange;
struct exchanges;

struct exchanges *exchanges_new(struct worker *); /* the worker's: free list, retry budget */
void exchanges_free(struct exchanges *);
void exchanges_give_back(struct exchanges *); /* the memory of those that are over */

/* Scratch for fronts, valid until they return to the loop or call into another room. */
struct head *exchanges_head(struct exchanges *); /* to read a request's head into */
const struct head_limits *exchanges_head_limits(const struct exchanges *);
struct writer exchanges_writer(
    struct exchanges *); /* to write an answer's head with; HEAD_BYTES_MAX and some */

/* head is copied. NULL: no memory. Callbacks to the front may come from within any later call, not from
 * within begin. */
struct exchange *exchange_begin(
    struct worker *, struct front *, const struct client *, const struct head *);
/* A request that the front itself refuses (malformed): answered with a page, logged, no origin asked. */
struct exchange *exchange_refuse(struct worker *, struct front *, const struct client *,
    const struct head *, /* may be NULL */
    const struct verdict *);
enum flow exchange_body(struct exchange *, struct bytes);
void exchange_end(struct exchange *); /* request complete; a tunnel's half-close */
void exchange_drained(struct exchange *); /* after front body() said STOP */
/* No more of the request comes that could be read: what is asked is given up, and this is the answer, or the end of
 * one that has begun. No body() and no end() follows. */
void exchange_spoilt(struct exchange *, uint16_t status, enum reason);
void exchange_lost(
    struct exchange *, enum reason); /* client gone or its bytes bad; the last call on it */
bool exchange_wants_body(const struct exchange
	*); /* somebody would read it: worth a 100 Continue, unless a server is to say so */
bool exchange_request_unread(
    const struct exchange *); /* the answer is complete but the request's body is not */

#endif
