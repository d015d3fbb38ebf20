/*
 * server.c: see server.h. Idle upstreams are kept by upstream.c.
 */
#include "config.h"

#include "gateway/origin/server.h"

#include <netinet/in.h>
#include <string.h>

#include "gateway/origin/upstream.h"

#include "base/poison.h"

int server_init(
    struct server *server, struct pool *pool, unsigned index, const struct server_conf *conf)
{
	struct endpoint numeric;

	memset(server, 0, sizeof(*server));
	server->pool = pool;
	server->index = index;
	server->text = conf->address;
	server->weight = (unsigned)conf->weight;
	server->backup = conf->backup;
	server->id = pool_client(conf->address);
	server->sticky = sticky_of(pool, conf->address);
	if (endpoint_parse(&numeric, conf->address) == 0) {
		server->addresses[0] = numeric;
		server->addresses_n = 1;
		server->port = endpoint_port(&numeric);
		return 0;
	}
	return endpoint_split(conf->address, server->host, sizeof(server->host), &server->port);
}

void server_clear(struct server *server)
{
	while (server->newest != NULL)
		upstream_release(server->newest, UPSTREAM_CLOSE);
	while (server->busy != NULL)
		upstream_release(server->busy, UPSTREAM_CLOSE);
}

void server_resolved(struct server *server, const struct endpoint *at, size_t n)
{
	if (n > POOL_ADDRESSES_MAX)
		n = POOL_ADDRESSES_MAX;
	server->addresses_n = 0;
	for (size_t i = 0; i < n; i++) {
		struct endpoint *e = &server->addresses[server->addresses_n];

		*e = at[i];
		if (e->addr.ss_family == AF_INET)
			((struct sockaddr_in *)(void *)&e->addr)->sin_port = htons(server->port);
		else if (e->addr.ss_family == AF_INET6)
			((struct sockaddr_in6 *)(void *)&e->addr)->sin6_port = htons(server->port);
		else
			continue;
		server->addresses_n++;
	}
	server->addresses_next = 0;
}

const struct endpoint *server_address(struct server *server)
{
	if (server->addresses_n == 0)
		return NULL;
	return &server->addresses[server->addresses_next++ % server->addresses_n];
}

static uint64_t spare_ms(const struct server *server)
{
	uint64_t most = server->pool->conf->fail_timeout, ms = SERVER_SPARE_MS;

	for (unsigned i = 1; i < server->spares && ms < most; i++)
		ms *= 2;
	return ms < most ? ms : most;
}

/*
 * Many requests may fail at once, and each lengthens the sparing; but only the first, and then each trial
 * that fails, doubles it.
 */
void server_failed(struct server *server, bool to_connect, uint64_t now_ms)
{
	int64_t max = server->pool->conf->max_fails;

	if (max == 0)
		return;
	server->failures++;
	if (!to_connect && server->failures < max && server->spares == 0)
		return;
	server->unreachable = to_connect;
	if (server->trial || server->spared_until <= now_ms)
		server->spares++;
	server->trial = false;
	server->failures = 0;
	server->spared_until = now_ms + spare_ms(server);
}

void server_worked(struct server *server, bool reused, uint64_t now_ms)
{
	server->failures = 0;
	if (server->spares > 0) {
		server->spares = 0;
		server->trial = false;
		server->spared_until = 0;
		server->back_at = now_ms;
		server_freed(server);
	}
	if (reused)
		server->stale = 0;
}

/* After a time of sparing one request finds out for all others. */
void server_chosen(struct server *server, uint64_t now_ms)
{
	if (server->spares == 0 || server->spared_until > now_ms)
		return;
	server->trial = true;
	server->spared_until = now_ms + spare_ms(server);
}

/* Whatever was kept open to one that is down would only fail; whatever failed before it came back is past. */
void server_health(struct server *server, bool up, uint64_t now_ms)
{
	if (server->down != up)
		return;
	server->down = !up;
	if (!up) {
		while (server->newest != NULL)
			upstream_release(server->newest, UPSTREAM_CLOSE);
		return;
	}
	server->failures = server->spares = 0;
	server->trial = false;
	server->spared_until = 0;
	server->back_at = now_ms;
	server_freed(server);
}

bool server_well(const struct server *server, uint64_t now_ms)
{
	return !server->down && server->spared_until <= now_ms;
}

enum report_server server_state(const struct server *server, uint64_t now_ms)
{
	if (server->spared_until > now_ms)
		return server->unreachable ? REPORT_SERVER_UNREACHABLE : REPORT_SERVER_FAILING;
	return server_share(server, now_ms) < (int64_t)server->weight * SERVER_SHARE
		   ? REPORT_SERVER_SLOW
		   : REPORT_SERVER_WELL;
}

int64_t server_share(const struct server *server, uint64_t now_ms)
{
	int64_t whole = (int64_t)server->weight * SERVER_SHARE, part;
	uint64_t slow = server->pool->conf->slow_start;

	if (slow == 0 || server->back_at == 0 || now_ms - server->back_at >= slow)
		return whole;
	part = whole * (int64_t)(now_ms - server->back_at) / (int64_t)slow;
	return part > 0 ? part : 1;
}

void server_stale(struct server *server, uint64_t now_ms)
{
	if (++server->stale >= SERVER_STALE_MAX)
		server->new_until = now_ms + SERVER_NEW_MS;
}
