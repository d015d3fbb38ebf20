/*
 * rewrite.h: fields of an answer that speak of where things are, put from the server's terms into the
 * client's, as Apache's ProxyPassReverse does: Location, Content-Location; Domain and Path of cookies.
 * Only what names the server itself, or the host that was asked for, under the path that it is asked
 * under, is touched; all else is none of our business and stays as it is.
 */
#ifndef GATEWAY_EXCHANGE_REWRITE_H
#define GATEWAY_EXCHANGE_REWRITE_H

#include "base/bytes.h"
#include "gateway/sites.h"
#include "http/head.h"

struct rewrite_terms {
	const struct route_conf *route;
	struct bytes server; /* as configured: "10.0.0.11:8080" */
	struct bytes
	    host; /* the authority that the client asked for, and that the server was told */
	bool tls; /* how the client asks */
};

/* May put another value into the field, written by w; if there is no room, it stays as it is. */
void rewrite_field(const struct rewrite_terms *, struct field *, struct writer *w);

#endif
