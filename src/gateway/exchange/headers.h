/*
 * headers.h: the request as a back-end gets it, built anew: request line, the client's fields that
 * may pass, then those that only the gateway writes. A client can neither forge these, in any
 * spelling, nor have them deleted by naming them in Connection: its own are gone before ours are added.
 */
#ifndef GATEWAY_EXCHANGE_HEADERS_H
#define GATEWAY_EXCHANGE_HEADERS_H

#include "base/bytes.h"
#include "gateway/client.h"
#include "gateway/exchange/facts.h"
#include "gateway/exchange/forwarded.h"
#include "gateway/sites.h"
#include "http/head.h"

enum { HEADERS_ID_LEN = 32 };

struct headers_facts {
	const struct head *head;
	const struct client *client;
	const struct site *site; /* its profiles; its name where the client sent no Host */
	struct bytes peer; /* the address of the connection's other end as text */
	struct bytes real; /* the client's: the same, or as trusted proxies say */
	struct bytes id; /* of the request; HEADERS_ID_LEN hex digits, or as a trusted proxy says */
	const struct forwarded *said; /* by a trusted proxy; may be NULL */
	const struct site_route *route; /* its rules; NULL: there are none */
	struct bytes path; /* as the route was found by it; at NULL: the head's */
	bool expect; /* a server is to say whether the body may come */
	int64_t hops; /* that an OPTIONS may still take; -1: it does not say */
};

/* Where in the written request these stand, for the access log. */
struct headers_marks {
	struct bytes target, host, referer, agent;
	struct bytes upgrade_to; /* empty: no other protocol is asked for */
};

/* Of Max-Forwards, for hops: only OPTIONS counts them (RFC 9110, section 7.6.2; TRACE is refused). */
int64_t headers_hops(const struct head *);
/* False: it does not fit into the writer; headers_bound() always does. */
bool headers_write(struct writer *, const struct headers_facts *, struct headers_marks *);
/* As a template reads them. */
struct facts headers_texts(const struct headers_facts *);
size_t headers_bound(const struct headers_facts *);

#endif
