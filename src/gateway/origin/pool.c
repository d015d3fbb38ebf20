/*
 * pool.c: see pool.h. Takes an idle upstream of the server whose turn it is, or opens one.
 */
#include "config.h"

#include "gateway/origin/pool.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "gateway/origin/limits.h"
#include "gateway/origin/server.h"
#include "gateway/origin/upstream.h"
#include "gateway/worker.h"

#include "base/poison.h"

static int pool_init(struct pool *, struct pools *, const struct pool_conf *);

struct pools *pools_new(struct worker *worker)
{
	const struct gateway_conf *conf = worker->conf;
	struct pools *pools = calloc(1, sizeof(*pools));

	if (pools == NULL)
		return NULL;
	pools->worker = worker;
	pools->limits = limits_of(conf);
	pools->answer = calloc(1, sizeof(*pools->answer));
	pools->at = calloc(conf->pools.n > 0 ? conf->pools.n : 1, sizeof(*pools->at));
	pools->asked = calloc(1, sizeof(*pools->asked));
	if (pools->answer == NULL || pools->asked == NULL || pools->at == NULL)
		goto fail;
	pools->asked->method = bytes_str("GET");
	pools->asked->upgrade = 1;
	for (; pools->n < conf->pools.n; pools->n++)
		if (pool_init(&pools->at[pools->n], pools, &conf->pools.at[pools->n]) == -1)
			goto fail;
	return pools;
fail:
	pools_free(pools);
	return NULL;
}

void pools_free(struct pools *pools)
{
	if (pools == NULL)
		return;
	for (size_t i = 0; i < pools->n; i++) {
		for (size_t k = 0; k < pools->at[i].servers_n; k++)
			server_clear(&pools->at[i].servers[k]);
		free(pools->at[i].servers);
	}
	free(pools->at);
	free(pools->asked);
	free(pools->answer);
	free(pools);
}

struct pool *pools_find(struct pools *pools, const char *name)
{
	for (size_t i = 0; i < pools->n; i++)
		if (strcmp(pools->at[i].conf->name, name) == 0)
			return &pools->at[i];
	return NULL;
}

void pools_resolved(struct pools *pools, const char *host, const struct endpoint *at, size_t n)
{
	for (size_t i = 0; i < pools->n; i++) {
		for (size_t k = 0; k < pools->at[i].servers_n; k++) {
			struct server *server = &pools->at[i].servers[k];

			if (server->host[0] != '\0' && strcasecmp(server->host, host) == 0)
				server_resolved(server, at, n);
		}
	}
}

struct upstream *pool_take(
    struct pool *pool, uint64_t tried, enum pool_want want, enum reason *reason)
{
	struct loop *loop = pool->pools->worker->loop;
	struct server *server = balance_choose(pool, tried, loop_now_ms(loop));
	struct upstream *up = NULL;

	if (server == NULL) {
		*reason = REASON_NO_SERVER;
		return NULL;
	}
	if (want != POOL_NEW)
		up = upstream_take(server, want == POOL_FRESH ? POOL_FRESH_MS : UINT64_MAX);
	if (up == NULL)
		up = upstream_open(server);
	if (up == NULL)
		*reason = REASON_MEMORY;
	return up;
}

size_t pool_servers_n(const struct pool *pool)
{
	return pool->servers_n;
}

const struct pool_conf *pool_conf(const struct pool *pool)
{
	return pool->conf;
}

static int pool_init(struct pool *pool, struct pools *pools, const struct pool_conf *conf)
{
	pool->pools = pools;
	pool->conf = conf;
	pool->servers = calloc(conf->servers.n > 0 ? conf->servers.n : 1, sizeof(*pool->servers));
	if (pool->servers == NULL)
		return -1;
	for (; pool->servers_n < conf->servers.n; pool->servers_n++) {
		size_t i = pool->servers_n;

		if (server_init(&pool->servers[i], pool, (unsigned)i, &conf->servers.at[i]) == -1) {
			log_errorx("pool \"%s\": %s is no address: write host:port", conf->name,
			    conf->servers.at[i].address);
			free(pool->servers);
			return -1;
		}
	}
	return 0;
}
