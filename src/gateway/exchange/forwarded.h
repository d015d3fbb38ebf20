/*
 * forwarded.h: what a trusted proxy's request says of the proxy's own client, in the fields that
 * trusted_header names: X-Forwarded-For, -Proto, -Host and -Port, or Forwarded (RFC 7239); and
 * X-Request-ID. The others it may have let through from anybody: they say nothing. Nor does a request
 * of anybody else. A field that the request's Connection lists counts all the same: a client cannot
 * have its proxy's word removed.
 */
#ifndef GATEWAY_EXCHANGE_FORWARDED_H
#define GATEWAY_EXCHANGE_FORWARDED_H

#include "base/bytes.h"
#include "gateway/client.h"
#include "gateway/trusted.h"
#include "http/head.h"

enum { FORWARDED_ID_MAX = 128 };

struct forwarded {
	const struct head *head; /* NULL: nothing is said */
	enum trusted_header by; /* which fields have the hops */
	bool broken; /* Forwarded breaks its grammar: nothing of it counts */
	struct bytes proto; /* "http" or "https"; this and the next: empty, not said */
	struct bytes host; /* an authority */
	struct bytes port; /* digits */
	struct bytes id; /* of the request; letters, digits and . _ - : + / = */
	char real[CLIENT_PEER_TEXT_MAX]; /* the nearest address that is no trusted proxy's; "" */
	size_t real_hop; /* whose that is, from 0 */
};

/* Slices of the head. */
void forwarded_read(struct forwarded *, const struct trusted *, enum trusted_header,
    const struct client *, const struct head *);
/* The port that the client asked: as it is said; or that of what is said, if anything is; or own. */
unsigned forwarded_port(const struct forwarded *, struct bytes authority, bool tls, unsigned own);
/* The whole field: the hops that came, in one list, and the connection's own address behind them. */
void forwarded_write_for(struct writer *, const struct forwarded *, struct bytes peer);
/* The hops that came, as elements of Forwarded, each with a comma behind it. */
void forwarded_write_hops(struct writer *, const struct forwarded *);
size_t forwarded_bound(const struct forwarded *); /* of both, without the own */

#endif
