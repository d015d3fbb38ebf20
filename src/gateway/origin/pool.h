/*
 * pool.h: the servers of one name, their idle upstreams, and the bounded queue of those who wait for
 * one. Servers that failed are spared for a while, those that the monitor finds down until it says otherwise.
 */
#ifndef GATEWAY_ORIGIN_POOL_H
#define GATEWAY_ORIGIN_POOL_H

#include <sys/queue.h>

#include "base/counters.h"
#include "base/reason.h"
#include "gateway/origin/origin.h"
#include "net/endpoint.h"
#include "net/loop.h"

struct worker;
struct pool;
struct pools;
struct server;
struct upstream;

/* Which connections will do: any that is idle; one that has been idle for less than POOL_FRESH_MS
 * (what may not be sent twice should not meet a back-end that is just closing); only a new one. */
enum pool_want { POOL_ANY, POOL_FRESH, POOL_NEW };

enum { POOL_ADDRESSES_MAX = 16, POOL_FRESH_MS = 1000, POOL_TRIED_MAX = 64 };
enum { POOL_STICKY_LEN = 16 };

struct pools *pools_new(struct worker *); /* from conf->pools; numeric addresses are set at once */
void pools_free(struct pools *);
struct pool *pools_find(struct pools *, const char *name);
/* The monitor's word: addresses of a host name, for each server that has that host; n is never 0. */
void pools_resolved(struct pools *, const char *host, const struct endpoint *,
    size_t n); /* ports are set by the server */
/* The monitor's word of a server that it checks, by their places in the configuration. */
void pools_health(struct pools *, size_t pool, size_t server, bool up);
/* How this worker has its servers, into its cells: gateway/report.h. Each second. */
void pools_publish(struct pools *, struct counters *);
/* What is asked of a pool. */
struct pool_wish {
	uint64_t client; /* pool_client(), for client_hash */
	uint64_t tried; /* servers not to be taken: bit = index, up to POOL_TRIED_MAX */
	unsigned server; /* 1 + index of the one to be taken while it is well; 0: any */
	enum pool_want want;
};
/* A server and an open or opening connection to it. NULL: *reason says why. The taker starts its origin in the same turn; from then on the
 * connection goes back to its server, or away, by itself: after events->end, ->failed or ops->cancel. */
struct upstream *pool_take(struct pool *, const struct pool_wish *, enum reason *);
/* What client_hash goes by: a number of the client's address, the same in all workers and gateways. */
uint64_t pool_client(const char *address);

/* sticky.c: what a cookie bears for a server, the same in all workers and gateways; and 1 + the index of the
 * server that it was made for, 0: none has it. */
void pool_sticky_id(const struct pool *, unsigned server, char id[static POOL_STICKY_LEN]);
unsigned pool_sticky_find(const struct pool *, struct bytes id);
bool pool_server_well(const struct pool *, unsigned server); /* by its index */

/* In line for a connection, after pool_take() said REASON_POOL_BUSY to this wish. ready() comes once, in a later
 * turn: with REASON_NONE it is time to take again; with REASON_QUEUE_TIMEOUT it was too long. Who has tried servers
 * already stands in a line of his own, which goes first: a free server that he may not have holds up nobody else. */
struct pool_waiter {
	TAILQ_ENTRY(pool_waiter) entry;
	struct pool *pool; /* NULL: not in line */
	struct pool_wish wish;
	struct deadline deadline;
	uint64_t until_ms; /* of all its waiting; 0 before the first */
	void (*ready)(struct pool_waiter *, enum reason);
};
int pool_wait(struct pool *, struct pool_waiter *,
    const struct pool_wish *, /* -1: the queue is full */
    void (*ready)(struct pool_waiter *, enum reason));
void pool_wait_cancel(struct pool_waiter *); /* may not be in line */
/* Whose request it will be, before its origin is started: a pool with proxy_protocol tells its servers so, and
 * lets nobody else have that connection afterwards. */
void upstream_for(
    struct upstream *, const union endpoint_brief *client, const union endpoint_brief *local);
unsigned upstream_server_index(const struct upstream *);
const char *upstream_server_text(const struct upstream *); /* "10.0.0.11:80" */
bool upstream_reused(const struct upstream *); /* it came out of the idle ones */
struct origin *upstream_origin(
    struct upstream *, const struct origin_events *, void *arg); /* origin_http1 on it */
size_t pool_servers_n(const struct pool *);
const struct pool_conf *pool_conf(const struct pool *);

#endif
