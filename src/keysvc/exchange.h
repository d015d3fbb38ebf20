/*
 * exchange.h: asks the other key services for their generations (`sslgw/generations`), all of them in a
 * round. One connection a peer; who it is, is its certificate's to say (net/tlsctx.h), and for Unix
 * sockets nobody's.
 */
#ifndef KEYSVC_EXCHANGE_H
#define KEYSVC_EXCHANGE_H

#include "base/bytes.h"
#include "net/endpoint.h"
#include "net/loop.h"

enum { EXCHANGE_MS = 2000 }; /* a peer that has not answered by then has failed */

struct exchange;
struct tlsctx;

struct exchange_params {
	const struct endpoint *peers; /* copied */
	size_t n;
	struct tlsctx *tls; /* for all but Unix sockets; borrowed */
	/* A peer's number and its answer (borrowed). false: it makes no sense; the peer has failed. */
	bool (*answered)(void *arg, size_t peer, struct bytes payload);
	/* Every peer has answered or failed. May free the exchange, or ask again. */
	void (*done)(void *arg);
	void *arg;
};

struct exchange *exchange_new(struct loop *, const struct exchange_params *); /* NULL: no memory */
void exchange_free(struct exchange *); /* nothing is called any more. NULL is allowed */
/* Begins a round; false: one is under way. Calls nothing before it returns. */
bool exchange_ask(struct exchange *);

#endif
