/*
 * sessioncache.h: sealed sessions in the session-cache service, over RESP. A service that is down
 * or slow is an answer, not an error: SESSIONCACHE_DOWN, at the latest after SESSIONCACHE_MS. A
 * callback comes once, never inside the call.
 */
#ifndef GATEWAY_CLUSTER_SESSIONCACHE_H
#define GATEWAY_CLUSTER_SESSIONCACHE_H

#include "base/bytes.h"
#include "crypto/seal.h"
#include "net/endpoint.h"
#include "net/loop.h"

enum { SESSIONCACHE_MS = 20, SESSIONCACHE_TOKEN_LEN = 32 };

enum sessioncache_result { SESSIONCACHE_OK, SESSIONCACHE_MISS, SESSIONCACHE_DOWN };

struct sessioncache;
struct sessioncache_ask;

/* GET: OK with the value (borrowed) or MISS. PUT: OK: it is stored. In the callback of a GET, false says that
 * the value was no sealed session of ours: the server is blamed. */
typedef bool (*sessioncache_cb)(void *arg, enum sessioncache_result, struct bytes value);

/* One endpoint; owner: the uid that must listen on it (Unix sockets), (uid_t)-1: any. NULL: no memory. */
struct sessioncache *sessioncache_new(struct loop *, const struct endpoint *, uid_t owner,
    const uint8_t token[static SESSIONCACHE_TOKEN_LEN]);
void sessioncache_free(struct sessioncache *); /* asks in flight end as DOWN before it returns */

/* NULL: down; nothing will follow. */
struct sessioncache_ask *sessioncache_get(
    struct sessioncache *, const uint8_t name[static SEAL_NAME_LEN], sessioncache_cb, void *arg);
struct sessioncache_ask *sessioncache_put(struct sessioncache *,
    const uint8_t name[static SEAL_NAME_LEN], struct bytes sealed, uint32_t ttl_s, sessioncache_cb,
    void *arg); /* copies */
void sessioncache_cancel(
    struct sessioncache_ask *); /* the callback will not come; a PUT may still arrive */

#endif
