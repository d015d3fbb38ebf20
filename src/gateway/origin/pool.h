/*
 * pool.h: the servers of one name and their idle upstreams. Round robin over servers that have an
 * address; those that failed last are tried again after a short while (passive).
 */
#ifndef GATEWAY_ORIGIN_POOL_H
#define GATEWAY_ORIGIN_POOL_H

#include "base/reason.h"
#include "gateway/origin/origin.h"
#include "net/endpoint.h"

struct worker;
struct pool;
struct pools;
struct server;
struct upstream;

/* Which connections will do: any that is idle; one that has been idle for less than POOL_FRESH_MS
 * (what may not be sent twice should not meet a back-end that is just closing); only a new one. */
enum pool_want { POOL_ANY, POOL_FRESH, POOL_NEW };

enum { POOL_ADDRESSES_MAX = 16, POOL_FRESH_MS = 1000, POOL_TRIED_MAX = 64 };

struct pools *pools_new(struct worker *); /* from conf->pools; numeric addresses are set at once */
void pools_free(struct pools *);
struct pool *pools_find(struct pools *, const char *name);
/* The monitor's word: addresses of a host name, for each server that has that host; n is never 0. */
void pools_resolved(struct pools *, const char *host, const struct endpoint *,
    size_t n); /* ports are set by the server */
/* A server and an open or opening connection to it. tried: servers not to be taken (bit = index, up
 * to POOL_TRIED_MAX). NULL: *reason says why. The taker starts its origin in the same turn; from then on the
 * connection goes back to its server, or away, by itself: after events->end, ->failed or ops->cancel. */
struct upstream *pool_take(struct pool *, uint64_t tried, enum pool_want, enum reason *);
unsigned upstream_server_index(const struct upstream *);
const char *upstream_server_text(const struct upstream *); /* "10.0.0.11:80" */
bool upstream_reused(const struct upstream *); /* it came out of the idle ones */
struct origin *upstream_origin(
    struct upstream *, const struct origin_events *, void *arg); /* origin_http1 on it */
size_t pool_servers_n(const struct pool *);
const struct pool_conf *pool_conf(const struct pool *);

#endif
