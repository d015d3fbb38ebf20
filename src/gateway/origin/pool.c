/*
 * pool.c: see pool.h. Takes an idle upstream of the server that balance.c names, or opens one. Where all
 * connections are in use, those who ask stand in line, and nobody passes them.
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
static struct pool_waiter *first_ready(const struct pool *, uint64_t now_ms);
static void wake(struct later *);

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
		loop_later_cancel(&pools->at[i].wake);
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

void pools_health(struct pools *pools, size_t pool, size_t at, bool up)
{
	struct pool *p = &pools->at[pool];
	uint64_t now = loop_now_ms(pools->worker->loop);

	/* One that is named twice is one. */
	for (size_t i = 0; i < p->servers_n; i++)
		if (strcmp(p->servers[i].text, p->servers[at].text) == 0)
			server_health(&p->servers[i], up, now);
}

/* A server has a row from its first trouble on: most have none for ever, and rows are few. */
void pools_publish(struct pools *pools, struct counters *counters)
{
	uint64_t now = loop_now_ms(pools->worker->loop);
	char row[REPORT_SERVER_ROW_SIZE];

	for (size_t i = 0; i < pools->n; i++) {
		for (size_t k = 0; k < pools->at[i].servers_n; k++) {
			struct server *server = &pools->at[i].servers[k];
			enum report_server state = server_state(server, now);

			if (state == REPORT_SERVER_WELL && !server->shown)
				continue;
			server->shown = true;
			report_server_row(row, pools->at[i].conf->name, server->text);
			counter_set(counters_cell(counters, row), (uint64_t)state);
		}
	}
}

struct upstream *pool_take(struct pool *pool, const struct pool_wish *wish, enum reason *reason)
{
	struct loop *loop = pool->pools->worker->loop;
	struct upstream *up = NULL;
	struct server *server;
	bool busy;

	/* What is free is for those in line; what none of them may have, is not. */
	if (pool->waiters_n > 0 && !pool->waking && first_ready(pool, loop_now_ms(loop)) != NULL) {
		loop_later(loop, &pool->wake, wake);
		*reason = REASON_POOL_BUSY;
		return NULL;
	}
	server = balance_choose(pool, wish, loop_now_ms(loop), &busy);
	if (server == NULL) {
		*reason = busy ? REASON_POOL_BUSY : REASON_NO_SERVER;
		return NULL;
	}
	server_chosen(server, loop_now_ms(loop));
	if (wish->want != POOL_NEW)
		up = upstream_take(server, wish->want == POOL_FRESH ? POOL_FRESH_MS : UINT64_MAX);
	if (up == NULL)
		up = upstream_open(server);
	if (up == NULL)
		*reason = REASON_MEMORY;
	return up;
}

/* FNV-1a. Clients can choose their hash; what they get by that is one of the servers. */
uint64_t pool_client(const char *address)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *address != '\0'; address++)
		h = (h ^ (uint8_t)*address) * 0x100000001b3ULL;
	return h;
}

/* ---- the line */

static struct pool_line *line_of(struct pool *pool, const struct pool_wish *wish)
{
	return wish->tried != 0 ? &pool->again : &pool->waiters;
}

/*
 * Who is next. Where the first of those who may have any server finds none, none of them does; of those
 * who try again there are few.
 */
static struct pool_waiter *first_ready(const struct pool *pool, uint64_t now_ms)
{
	struct pool_waiter *waiter;
	uint64_t blocked = 0; /* what one who found nothing had tried: others find no more */

	TAILQ_FOREACH (waiter, &pool->again, entry) {
		if (blocked != 0 && waiter->wish.server == 0 && waiter->wish.tried == blocked)
			continue;
		if (balance_ready(pool, &waiter->wish, now_ms))
			return waiter;
		blocked = waiter->wish.tried;
	}
	waiter = TAILQ_FIRST(&pool->waiters);
	return waiter != NULL && balance_ready(pool, &waiter->wish, now_ms) ? waiter : NULL;
}

static void waiter_leave(struct pool_waiter *waiter)
{
	struct pool *pool = waiter->pool;

	TAILQ_REMOVE(line_of(pool, &waiter->wish), waiter, entry);
	pool->waiters_n--;
	deadline_clear(pool->pools->worker->loop, &waiter->deadline);
	waiter->pool = NULL;
}

static void waiter_passed(struct deadline *deadline)
{
	struct pool_waiter *waiter = CONTAINER_OF(deadline, struct pool_waiter, deadline);

	waiter_leave(waiter);
	waiter->ready(waiter, REASON_QUEUE_TIMEOUT);
}

int pool_wait(struct pool *pool, struct pool_waiter *waiter, const struct pool_wish *wish,
    void (*ready)(struct pool_waiter *, enum reason))
{
	uint64_t now = loop_now_ms(pool->pools->worker->loop);

	if (pool->waiters_n >= pool->waiters_max)
		return -1;
	if (waiter->until_ms == 0)
		waiter->until_ms = now + pool->conf->queue_timeout;
	waiter->pool = pool;
	waiter->ready = ready;
	waiter->wish = *wish;
	/* Who was first and found nothing stays first. */
	if (pool->waking)
		TAILQ_INSERT_HEAD(line_of(pool, wish), waiter, entry);
	else
		TAILQ_INSERT_TAIL(line_of(pool, wish), waiter, entry);
	pool->waiters_n++;
	deadline_set(pool->pools->worker->loop, &waiter->deadline,
	    waiter->until_ms > now ? waiter->until_ms - now : 0, waiter_passed);
	return 0;
}

void pool_wait_cancel(struct pool_waiter *waiter)
{
	if (waiter->pool != NULL)
		waiter_leave(waiter);
}

/* As long as there are connections for them. */
static void wake(struct later *later)
{
	struct pool *pool = CONTAINER_OF(later, struct pool, wake);
	struct loop *loop = pool->pools->worker->loop;
	struct pool_waiter *waiter;
	size_t before = SIZE_MAX;

	while (
	    pool->waiters_n < before && (waiter = first_ready(pool, loop_now_ms(loop))) != NULL) {
		before = pool->waiters_n;
		waiter_leave(waiter);
		pool->waking = true;
		waiter->ready(waiter, REASON_NONE);
		pool->waking = false;
	}
}

void server_freed(struct server *server)
{
	struct pool *pool = server->pool;

	if (pool->waiters_n > 0)
		loop_later(pool->pools->worker->loop, &pool->wake, wake);
}

size_t pool_servers_n(const struct pool *pool)
{
	return pool->servers_n;
}

const struct pool_conf *pool_conf(const struct pool *pool)
{
	return pool->conf;
}

/* A worker's share of what is configured for all; at least one. */
static size_t share(const struct pools *pools, int64_t of_all)
{
	size_t workers = gateway_conf_workers(pools->worker->conf);

	return ((size_t)of_all + workers - 1) / workers;
}

static int pool_init(struct pool *pool, struct pools *pools, const struct pool_conf *conf)
{
	pool->pools = pools;
	pool->conf = conf;
	pool->busy_max = conf->max_connections > 0 ? share(pools, conf->max_connections) : SIZE_MAX;
	pool->waiters_max = share(pools, conf->queue);
	TAILQ_INIT(&pool->waiters);
	TAILQ_INIT(&pool->again);
	sticky_key(pool);
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
	balance_init(pool);
	return 0;
}
