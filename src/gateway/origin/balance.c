/*
 * balance.c: which server of a pool is next: round robin. A server that failed is spared for a
 * while, but never when that would leave none: a back-end that may be down is better than no answer.
 */
#include "config.h"

#include "gateway/origin/server.h"

#include "base/poison.h"

static bool usable(const struct server *server, uint64_t tried)
{
	return server->addresses_n > 0 &&
	       (server->index >= POOL_TRIED_MAX || (tried >> server->index & 1) == 0);
}

struct server *balance_choose(struct pool *pool, uint64_t tried, uint64_t now_ms)
{
	struct server *spared = NULL;

	for (size_t i = 0; i < pool->servers_n; i++) {
		struct server *server = &pool->servers[(pool->turn + i) % pool->servers_n];

		if (!usable(server, tried))
			continue;
		if (server->spared_until > now_ms) {
			if (spared == NULL || server->spared_until < spared->spared_until)
				spared = server;
			continue;
		}
		pool->turn = (server->index + 1) % pool->servers_n;
		return server;
	}
	return spared;
}
