/*
 * route.h: where a request goes: its site by the name that it asks for, then the pool by its path; or
 * a status of our own.
 */
#ifndef GATEWAY_EXCHANGE_ROUTE_H
#define GATEWAY_EXCHANGE_ROUTE_H

#include "gateway/client.h"
#include "gateway/sites.h"
#include "http/head.h"

struct worker;

struct route {
	const struct site *site; /* never NULL */
	struct pool *pool; /* with status 0; NULL: files */
	const struct route_conf *conf; /* with status 0 */
	uint16_t status; /* 0: ask the pool; 3xx: redirect to route_location(); else a page */
	enum reason reason;
};

void route_choose(
    struct route *, const struct worker *, const struct client *, const struct head *);
/* The same target under https, written into buf; empty if it does not fit. */
struct bytes route_location(const struct worker *, const struct head *, uint8_t *buf, size_t size);

#endif
