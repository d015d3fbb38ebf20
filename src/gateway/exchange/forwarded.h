/*
 * forwarded.h: what a trusted proxy's request says of the proxy's own client: X-Forwarded-For,
 * -Proto and -Port, X-Request-ID. Of anybody else it says nothing. A field that the request's Connection
 * lists counts all the same: a client cannot have its proxy's word removed.
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
	struct bytes proto; /* "http" or "https"; this and the next: empty, not said */
	struct bytes port; /* digits */
	struct bytes id; /* of the request; letters, digits and . _ - : + / = */
	char real[CLIENT_PEER_TEXT_MAX]; /* the nearest address that is no trusted proxy's; "" */
};

/* Slices of the head. */
void forwarded_read(
    struct forwarded *, const struct trusted *, const struct client *, const struct head *);
/* The addresses that came, in one list, and the connection's own behind them. */
void forwarded_write_for(struct writer *, const struct forwarded *, struct bytes peer);

#endif
