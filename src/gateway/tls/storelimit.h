/*
 * storelimit.h: how many sessions the clients of one network may have stored: an IPv4 /24, an IPv6 /56,
 * since each has as many addresses of those as he likes. Nobody can fill the session cache with sessions
 * that nobody comes back for. Of fixed size: where too many networks share a place, the one that has
 * taken the least lately is forgotten.
 */
#ifndef GATEWAY_TLS_STORELIMIT_H
#define GATEWAY_TLS_STORELIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "net/endpoint.h"

enum {
	STORELIMIT_NETWORKS = 8192, /* remembered, at most */
	STORELIMIT_BURST_S = 60, /* so many seconds' worth may come at once */
	STORELIMIT_TELL_MS = 60 * 1000, /* from one line of the log to the next */
};

struct storelimit;

struct storelimit *storelimit_new(
    uint64_t rate); /* sessions a second, at least 1. NULL: no memory */
void storelimit_free(struct storelimit *);
/* true: one more may be stored. A client without an address (a Unix socket) always may. */
bool storelimit_take(struct storelimit *, const struct endpoint *client, uint64_t now_ms);

#endif
