/*
 * balance.c: which server of a pool is next: in turn by weight, the least busy, or by the client's
 * address. A server that failed is spared for a while, but never when that would leave none: a
 * back-end that may be down is better than no answer.
 */
#include "config.h"

#include <math.h>

#include "gateway/origin/server.h"

#include "base/poison.h"

/* Who may be chosen: those that are well, and among them backups only where no other is; with room. */
struct candidates {
	const struct pool *pool;
	uint64_t tried, now_ms;
	bool backups;
};

static bool known(const struct server *server, uint64_t tried)
{
	return server->addresses_n > 0 &&
	       (server->index >= POOL_TRIED_MAX || (tried >> server->index & 1) == 0);
}

static bool well(const struct candidates *among, const struct server *server)
{
	return known(server, among->tried) && server_well(server, among->now_ms) &&
	       server->weight > 0 && server->backup == among->backups;
}

static bool eligible(const struct candidates *among, const struct server *server)
{
	return well(among, server) && server->busy_n < among->pool->busy_max;
}

void balance_init(struct pool *pool)
{
	for (size_t i = 0; i < pool->servers_n; i++) {
		int64_t share = (int64_t)pool->servers[i].weight * SERVER_SHARE;

		if (share > pool->whole)
			pool->whole = share;
	}
	/* Those of small weight do not all come at once. */
	for (size_t i = 0; i < pool->servers_n; i++)
		pool->servers[i].current = pool->whole * (int64_t)i / (int64_t)pool->servers_n;
}

/*
 * Each that is passed grows by its share; who has come to the largest weight's is next, and pays it. Where
 * weights are equal that is the first one that may be chosen, so a pool of hundreds costs no more than one
 * of two. Where nobody comes to it in a turn round the pool (the heaviest are away), it is who has most, and
 * pays what all have grown by: the shares stay right, and nobody runs up a debt.
 */
static struct server *in_turn(struct pool *pool, const struct candidates *among)
{
	struct server *best = NULL;
	int64_t total = 0, price = pool->whole;
	size_t at = pool->turn;

	for (size_t i = 0; i < pool->servers_n; i++) {
		struct server *server = &pool->servers[at];
		int64_t share;

		at = at + 1 < pool->servers_n ? at + 1 : 0;
		if (!eligible(among, server))
			continue;
		share = server_share(server, among->now_ms);
		server->current += share;
		total += share;
		if (best == NULL || server->current > best->current)
			best = server;
		if (server->current >= pool->whole) {
			best = server;
			break;
		}
	}
	if (best == NULL)
		return NULL;
	if (best->current < pool->whole)
		price = total;
	best->current -= price;
	pool->turn = (best->index + 1) % pool->servers_n;
	return best;
}

/*
 * By the connections in use that it would have, for its share; begins at another one each time, so equal
 * ones take turns.
 */
static struct server *least_busy(struct pool *pool, const struct candidates *among)
{
	struct server *best = NULL;
	int64_t best_share = 0;

	for (size_t i = 0; i < pool->servers_n; i++) {
		struct server *server = &pool->servers[(pool->turn + i) % pool->servers_n];

		int64_t share;

		if (!eligible(among, server))
			continue;
		share = server_share(server, among->now_ms);
		if (best == NULL || ((int64_t)server->busy_n + 1) * best_share <
					((int64_t)best->busy_n + 1) * share) {
			best = server;
			best_share = share;
		}
	}
	if (best != NULL)
		pool->turn = (best->index + 1) % pool->servers_n;
	return best;
}

/* Uniform in (0, 1) for each pair of client and server (the finalizer of MurmurHash3). */
static double draw(uint64_t client, uint64_t server)
{
	uint64_t h = client ^ server;

	h = (h ^ h >> 33) * 0xff51afd7ed558ccdULL;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53ULL;
	h ^= h >> 33;
	return ((double)(h >> 11) + 0.5) / (double)(UINT64_C(1) << 53);
}

/* Weighted rendezvous: a server that comes or goes moves its own share of the clients, no other. */
static struct server *by_client(struct pool *pool, const struct candidates *among, uint64_t client)
{
	struct server *best = NULL;
	double most = 0;

	for (size_t i = 0; i < pool->servers_n; i++) {
		struct server *server = &pool->servers[i];
		double score;

		if (!eligible(among, server))
			continue;
		score = -(double)server_share(server, among->now_ms) /
			log(draw(client, server->id));
		if (best == NULL || score > most) {
			best = server;
			most = score;
		}
	}
	return best;
}

static struct server *by_rule(struct pool *pool, const struct candidates *among, uint64_t client)
{
	switch ((enum balance)pool->conf->balance) {
	case BALANCE_LEAST_CONNECTIONS:
		return least_busy(pool, among);
	case BALANCE_CLIENT_HASH:
		return by_client(pool, among, client);
	case BALANCE_ROUND_ROBIN:
		break;
	}
	return in_turn(pool, among);
}

static bool any_well(const struct candidates *among)
{
	for (size_t i = 0; i < among->pool->servers_n; i++)
		if (well(among, &among->pool->servers[i]))
			return true;
	return false;
}

/* One that is not down, if there is such a one; of those, the one that has been spared for longest. */
static struct server *spared(const struct pool *pool, uint64_t tried)
{
	struct server *best = NULL;

	for (size_t i = 0; i < pool->servers_n; i++) {
		struct server *server = &pool->servers[i];

		if (known(server, tried) &&
		    (best == NULL || server->down < best->down ||
			(server->down == best->down && server->spared_until < best->spared_until)))
			best = server;
	}
	return best;
}

/* Whatever its weight: one that gets no new clients keeps those that it has. */
static struct server *wished(const struct pool *pool, const struct pool_wish *wish, uint64_t now_ms)
{
	struct server *server;

	if (wish->server == 0 || wish->server > pool->servers_n)
		return NULL;
	server = &pool->servers[wish->server - 1];
	return known(server, wish->tried) && server_well(server, now_ms) &&
		       server->busy_n < pool->busy_max
		   ? server
		   : NULL;
}

struct server *balance_choose(
    struct pool *pool, const struct pool_wish *wish, uint64_t now_ms, bool *busy)
{
	struct candidates among = { .pool = pool, .tried = wish->tried, .now_ms = now_ms };
	struct server *server = wished(pool, wish, now_ms);

	*busy = false;
	if (server != NULL)
		return server;
	for (int i = 0; i < 2; i++, among.backups = true) {
		server = by_rule(pool, &among, wish->client);
		*busy = server == NULL && any_well(&among);
		if (server != NULL || *busy)
			return server;
	}
	server = spared(pool, wish->tried);
	if (server != NULL && server->busy_n >= pool->busy_max) {
		*busy = true;
		return NULL;
	}
	return server;
}

bool balance_ready(const struct pool *pool, const struct pool_wish *wish, uint64_t now_ms)
{
	struct candidates among = { .pool = pool, .tried = wish->tried, .now_ms = now_ms };
	const struct server *server;

	if (wished(pool, wish, now_ms) != NULL)
		return true;
	for (int i = 0; i < 2; i++, among.backups = true) {
		if (!any_well(&among))
			continue;
		for (size_t k = 0; k < pool->servers_n; k++)
			if (eligible(&among, &pool->servers[k]))
				return true;
		return false;
	}
	server = spared(pool, wish->tried);
	return server == NULL || server->busy_n < pool->busy_max;
}
