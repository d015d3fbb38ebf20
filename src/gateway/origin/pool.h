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

enum upstream_fate { UPSTREAM_REUSE, UPSTREAM_CLOSE, UPSTREAM_FAILED };

enum { POOL_ADDRESSES_MAX = 16 };

struct pools *pools_new(struct worker *);           /* from conf->pools; numeric addresses are set at once */
void pools_free(struct pools *);
struct pool *pools_find(struct pools *, const char *name);
/* The monitor's word: addresses of a host name, for each server that has that host; n is never 0. */
void pools_resolved(struct pools *, const char *host, const struct endpoint *, size_t n); /* ports are set by the server */
/* A server and an open or opening connection to it, idle ones first (fresh: none that was idle for over 1 s; always
 * a new one where fresh_only). tried: servers not to be taken (bit = index). NULL: *reason says why. */
struct upstream *pool_take(struct pool *, uint64_t tried, bool fresh_only, enum reason *);
struct server *upstream_server(const struct upstream *);
unsigned upstream_server_index(const struct upstream *);
const char *upstream_server_text(const struct upstream *); /* "10.0.0.11:80" */
bool upstream_reused(const struct upstream *);      /* it came out of the idle ones */
struct origin *upstream_origin(struct upstream *, const struct origin_events *, void *arg); /* origin_http1 on it */
void upstream_release(struct upstream *, enum upstream_fate);
const struct pool_conf *pool_conf(const struct pool *);

#endif
