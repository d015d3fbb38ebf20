/*
 * route.h: where a request goes: its site by the name that it asks for, then the route by its path; or
 * a status of our own. The path is matched in the form that is sent (http/path).
 */
#ifndef GATEWAY_EXCHANGE_ROUTE_H
#define GATEWAY_EXCHANGE_ROUTE_H

#include "gateway/client.h"
#include "gateway/sites.h"
#include "http/head.h"

struct worker;
struct headers_facts;

struct route {
	const struct site *site; /* never NULL */
	const struct site_route *to; /* with status 0, and where the path chose one; else NULL */
	struct bytes path; /* as it is matched and sent; of the head, or in the scratch */
	uint16_t status; /* 0: as the route says; 3xx: redirect to route_location(); else a page */
	enum reason reason;
};

/* Where paths are written; valid as long as route.path is used. */
struct route_scratch {
	uint8_t path[HEAD_BYTES_MAX + 1], reading[HEAD_BYTES_MAX + 1];
};

/* peer: the client's address as text, as a trusted proxy has it. */
void route_choose(struct route *, const struct worker *, const struct client *, const char *peer,
    const struct head *, struct route_scratch *);
/* Where a route's redirect leads, written into buf; empty if it does not fit. */
struct bytes route_redirect_to(
    const struct site_route *, const struct headers_facts *, uint8_t *buf, size_t size);
uint16_t route_redirect_status(const struct head *); /* 301, or 308 */
/* What goes before the path, and how many bytes of it go, on the way to the server. */
struct bytes route_prefix(const struct site_route *, struct bytes path, size_t *stripped);
/* The same target under https, written into buf; empty if it does not fit. */
struct bytes route_location(const struct worker *, const struct head *, uint8_t *buf, size_t size);

#endif
