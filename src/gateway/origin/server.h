/*
 * server.h: one member of a pool, as pool.c, balance.c and upstream.c share it: its addresses, its
 * idle upstreams (newest first, so that those that are not needed grow old), and whether it is well:
 * the monitor's checks say so from outside (down), and its failures in use (spared).
 */
#ifndef GATEWAY_ORIGIN_SERVER_H
#define GATEWAY_ORIGIN_SERVER_H

#include "base/hash.h"
#include "gateway/gateway_conf.h"
#include "gateway/origin/pool.h"
#include "gateway/report.h"

enum {
	SERVER_SPARE_MS = 1000, /* at first; twice as long each time, up to fail_timeout */
	SERVER_SHARE = 256, /* of a weight of 1: what balance.c counts in */
	SERVER_STALE_MAX = 2, /* kept connections that were gone, in a row: from then on */
	SERVER_NEW_MS = 2000, /* only new ones for so long, since retries have a budget */
	SERVER_HOST_MAX = 256,
};

struct server {
	struct pool *pool;
	const char *text; /* "10.0.0.11:80", as configured */
	unsigned index; /* in its pool */
	unsigned weight;
	bool backup;
	int64_t current; /* round robin: grows by its share when passed, and pays when chosen */
	uint64_t id; /* of its text, the same everywhere: client_hash */
	uint16_t port;
	char host[SERVER_HOST_MAX]; /* name or address; "" for unix:/path */
	struct endpoint addresses[POOL_ADDRESSES_MAX];
	size_t addresses_n, addresses_next;
	struct upstream *newest; /* of the idle ones */
	size_t idle_n;
	struct upstream *busy; /* first of those in use, for the end of the process */
	size_t busy_n;
	bool down; /* says the monitor */
	unsigned failures; /* in a row */
	bool unreachable; /* the last failure: it could not be connected to */
	bool shown; /* it has a row in the table of counters */
	unsigned spares; /* times it was spared and has not worked since */
	bool trial; /* it was spared, and one request tries whether it works */
	uint64_t spared_until; /* ms; with trial: others wait for its outcome so long */
	uint64_t back_at; /* ms; when it came back; 0: it was never away */
	uint64_t sticky; /* what the cookie bears */
	unsigned stale; /* kept connections that were gone, in a row */
	uint64_t new_until; /* ms: no kept ones are used */
};

struct pool {
	struct pools *pools;
	const struct pool_conf *conf;
	struct server *servers;
	size_t servers_n;
	size_t turn; /* balance.c: who is next to be looked at */
	int64_t whole; /* balance.c: the largest weight, in SERVER_SHAREs */
	size_t busy_max; /* to each server, this worker's share; SIZE_MAX: no limit */
	TAILQ_HEAD(pool_line, pool_waiter) waiters;
	struct pool_line again; /* those of them that have tried servers, which they may not have */
	size_t waiters_n, waiters_max; /* of both */
	bool waking; /* who takes now is the first in line */
	struct later wake;
	struct hash_key sticky_key;
};

struct pools {
	struct worker *worker;
	struct pool *at;
	size_t n;
	struct head *answer; /* scratch: the answer's head that is being read */
	struct head *asked; /* scratch: a request that asks for another protocol */
	struct head_limits limits; /* of answers: the same as of requests */
};

int server_init(struct server *, struct pool *, unsigned index,
    const struct server_conf *); /* -1: bad address */
void server_clear(struct server *);
void server_resolved(struct server *, const struct endpoint *, size_t n);
const struct endpoint *server_address(struct server *); /* the next one; NULL: none is known */
void server_failed(struct server *, bool to_connect, uint64_t now_ms);
void server_worked(struct server *, bool reused, uint64_t now_ms);
void server_chosen(struct server *, uint64_t now_ms); /* it gets a request */
void server_health(struct server *, bool up, uint64_t now_ms); /* the monitor's word */
bool server_well(const struct server *, uint64_t now_ms); /* neither down nor spared */
enum report_server server_state(
    const struct server *, uint64_t now_ms); /* for the monitor's pages */
/* Its weight in SERVER_SHAREs; less for a while after it came back (slow_start). */
int64_t server_share(const struct server *, uint64_t now_ms);
void server_stale(
    struct server *, uint64_t now_ms); /* a kept connection was gone when it was used */

void server_freed(struct server *); /* one that was in use is not any more: who waits may take */

/* sticky.c */
void sticky_key(struct pool *); /* from its configuration */
uint64_t sticky_of(const struct pool *, const char *address);

void balance_init(struct pool *); /* when its servers are there */
/* balance.c: the server for a request, by the pool's rule. Backups only where no other is well, spared ones
 * only where no other is left. NULL: none; *busy: there are some, with all their connections in use. */
struct server *balance_choose(struct pool *, const struct pool_wish *, uint64_t now_ms, bool *busy);
/* It would not say *busy: there is a server for this wish now, or none to wait for. Changes nothing. */
bool balance_ready(const struct pool *, const struct pool_wish *, uint64_t now_ms);

#endif
