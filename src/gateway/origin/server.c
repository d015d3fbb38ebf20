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

void server_failed(struct server *server, bool to_connect, uint64_t now_ms)
{
	server->failures++;
	if (to_connect || server->failures >= SERVER_FAILURES_MAX) {
		server->spared_until = now_ms + SERVER_SPARE_MS;
		server->failures = 0;
	}
}

void server_worked(struct server *server, bool reused)
{
	server->failures = 0;
	server->spared_until = 0;
	if (reused)
		server->stale = 0;
}

void server_stale(struct server *server, uint64_t now_ms)
{
	if (++server->stale >= SERVER_STALE_MAX)
		server->new_until = now_ms + SERVER_NEW_MS;
}
