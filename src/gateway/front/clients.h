/*
 * clients.h: what one address may take of a worker: connections at once, and new ones a second. An IPv6
 * client is its /64, since each has as many addresses of it as he likes. Whoever is a trusted proxy, or
 * comes by a Unix socket, is not counted: there are many clients behind it.
 */
#ifndef GATEWAY_FRONT_CLIENTS_H
#define GATEWAY_FRONT_CLIENTS_H

#include "base/reason.h"
#include "net/endpoint.h"

enum {
	CLIENTS_QUIET_MS =
	    2000, /* so long after its last connection one is remembered: the rate's bucket
				  * is full again */
	CLIENTS_QUIET_MAX = 65536, /* of those, at most */
};

struct clients;
struct clients_one; /* an address */

struct clients *clients_new(uint64_t connections, uint64_t rate); /* 0: no limit. NULL: no memory */
void clients_free(struct clients *);
/* REASON_NONE: it may; *one, NULL where nothing is counted, is given back by clients_leave(). */
enum reason clients_enter(
    struct clients *, const struct endpoint *, uint64_t now_ms, struct clients_one **one);
void clients_leave(struct clients *, struct clients_one *, uint64_t now_ms); /* NULL is fine */
size_t clients_known(const struct clients *);

#endif
