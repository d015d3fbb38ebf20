/*
 * sessioncache.h: sealed sessions in the session-cache servers, over RESP (our own, Redis, Valkey).
 * Each name ranks the servers in an order of its own; an entry lies at the first few of them
 * (copies). A lookup asks the first, and the next one when that says no, is out, or is silent for
 * longer than usual; a copy that was missing is written back. Servers that are down or slow are an
 * answer, not an error: SESSIONCACHE_DOWN, at the latest after SESSIONCACHE_MS. A callback comes
 * once, never inside the call.
 */
#ifndef GATEWAY_CLUSTER_SESSIONCACHE_H
#define GATEWAY_CLUSTER_SESSIONCACHE_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "crypto/seal.h"
#include "net/endpoint.h"
#include "net/loop.h"

enum {
	/* Less than a full handshake costs a busy machine, and more than such a one lets a healthy
	 * server wait; the hedge is what keeps a slow server from being felt. */
	SESSIONCACHE_MS = 100,
	SESSIONCACHE_HEDGE_MIN_MS =
	    2, /* until the next server is asked too, at least and at most */
	SESSIONCACHE_HEDGE_MAX_MS = 10,
	SESSIONCACHE_COPIES_MAX = 4,
	SESSIONCACHE_REPAIR_PERMILLE = 250, /* budget: one repair for so many of 1000 look-ups, */
	SESSIONCACHE_REPAIR_BURST = 64, /* and so many saved up */
	SESSIONCACHE_USER_MAX = 64,
	SESSIONCACHE_PASSWORD_MAX = 256,
};

enum sessioncache_result { SESSIONCACHE_OK, SESSIONCACHE_MISS, SESSIONCACHE_DOWN };

struct sessioncache;
struct sessioncache_ask;
struct tlsctx;

struct sessioncache_params {
	const struct endpoint *servers; /* copied; n may be 0 until sessioncache_servers() */
	size_t n;
	unsigned
	    copies; /* of an entry, 1 to SESSIONCACHE_COPIES_MAX; fewer where there are fewer servers */
	struct tlsctx *tls; /* for all but Unix sockets; NULL: plain. Borrowed */
	uid_t owner; /* Unix sockets: the uid that must listen on them, (uid_t)-1: any */
	const char *user, *password; /* for AUTH; NULL: none. Copied */
	/* Count the lookups that brought an entry, and the copies that were written back; NULL: nobody does. */
	_Atomic uint64_t *found, *repairs;
	bool claims; /* some will be made: the servers are asked what run they are in */
};

/* GET: OK with the value (borrowed) or MISS. PUT: OK: a server has it. CLAIM: OK: it is ours; MISS: it was
 * granted before; DOWN: nobody knows. In the callback of a GET, false says that
 * the value was no sealed session of ours: the server is blamed. */
typedef bool (*sessioncache_cb)(void *arg, enum sessioncache_result, struct bytes value);

struct sessioncache *sessioncache_new(
    struct loop *, const struct sessioncache_params *); /* NULL: no memory */
void sessioncache_free(struct sessioncache *); /* asks in flight end as DOWN before it returns */
/* Another set (names were resolved); asks in flight go on. 0, -1: no memory. */
int sessioncache_servers(struct sessioncache *, const struct endpoint *, size_t n);
/* The deny list has changed: connections to servers on it close. */
const struct peers *sessioncache_peers(const struct sessioncache *); /* to be looked at */
void sessioncache_recheck(struct sessioncache *);

/* NULL: down; nothing will follow. */
struct sessioncache_ask *sessioncache_get(
    struct sessioncache *, const uint8_t name[static SEAL_NAME_LEN], sessioncache_cb, void *arg);
struct sessioncache_ask *sessioncache_put(struct sessioncache *,
    const uint8_t name[static SEAL_NAME_LEN], struct bytes sealed, uint32_t ttl_s, sessioncache_cb,
    void *arg); /* copies */
/* Within the callback of a GET with OK: gives the entry to the servers that said they have it not, as those do
 * that were started anew. Within a budget, so that they are not flooded. */
void sessioncache_repair(const struct sessioncache_ask *, struct bytes sealed, uint32_t ttl_s);
/* Which server in which run would hold a claim on that name: a hash, the same on all gateways; 0: none can now.
 * It is sealed into an entry, and if it is the same when that comes back, nothing that happened in between
 * has undone a claim. */
uint64_t sessioncache_holder(const struct sessioncache *, const uint8_t name[static SEAL_NAME_LEN]);
/* Within the callback of a GET with OK, if its holder is the entry's: claims it for so long, within what is left
 * of the GET's time. Asked of one server, once. NULL: it cannot be; nothing will follow. */
struct sessioncache_ask *sessioncache_claim(
    const struct sessioncache_ask *, uint64_t ttl_ms, sessioncache_cb, void *arg);
void sessioncache_cancel(
    struct sessioncache_ask *); /* the callback will not come; a PUT may still arrive */

#endif
