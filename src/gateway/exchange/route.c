/*
 * route.c: see route.h. On TLS the connection was made for one site, by SNI; a request for another is
 * served only where that other one has the same certificates and asks the same proof of its clients
 * (RFC 9110, section 15.5.20).
 */
#include "config.h"

#include "gateway/exchange/route.h"

#include "gateway/worker.h"
#include "http/target.h"
#include "http/write.h"

#include "base/poison.h"

static void route_to_site(struct route *, const struct site *, const struct head *);
static void route_redirect(struct route *, const struct head *);

void route_choose(struct route *route, const struct worker *worker, const struct client *client,
    const struct head *head)
{
	const struct site *named = NULL;

	*route = (struct route){ .site = client->site };
	if (head->host.len > 0) {
		/* Nearly always the name that the handshake named. */
		if (client->site != NULL && bytes_equal_str(head->host, client->sni))
			named = client->site;
		else
			named = sites_find(worker->sites, head->host);
	}
	switch ((enum listener_mode)client->listener_mode) {
	case LISTENER_REDIRECT:
		route->site = named != NULL ? named : sites_default(worker->sites);
		if (named == NULL) {
			route->status = 404;
			route->reason = REASON_NO_ROUTE;
			return;
		}
		route_redirect(route, head);
		return;
	case LISTENER_PLAIN:
		route_to_site(route, named != NULL ? named : sites_default(worker->sites), head);
		return;
	case LISTENER_TLS:
		break;
	}
	if (named != NULL && !sites_share_connections(named, client->site)) {
		route->status = 421;
		route->reason = REASON_MISDIRECTED;
		return;
	}
	route_to_site(route, named != NULL ? named : client->site, head);
}

struct bytes route_location(
    const struct worker *worker, const struct head *head, uint8_t *buf, size_t size)
{
	struct writer w = writer_of(buf, size);
	uint16_t port = 443;
	char lower[TARGET_HOST_MAX + 3]; /* with the brackets of IPv6, and a NUL */
	struct bytes host;

	/* The port that TLS is served on, unless it is 443 or one that was picked. */
	for (size_t i = 0; i < worker->conf->listeners.n; i++) {
		struct endpoint at;

		if (worker->conf->listeners.at[i].mode != LISTENER_TLS ||
		    endpoint_parse(&at, worker->conf->listeners.at[i].address) != 0)
			continue;
		port = endpoint_port(&at);
		if (port == 443 || port == 0)
			break;
	}
	writer_str(&w, "https://");
	host = bytes_of(lower, target_host_lower(head->host, lower, sizeof(lower)));
	writer_bytes(&w, host);
	if (port != 443 && port != 0) {
		writer_u8(&w, ':');
		write_number(&w, port);
	}
	if (head->path.at[0] == '/')
		writer_bytes(&w, head->path);
	else
		writer_u8(&w, '/');
	if (head->query.at != NULL) {
		writer_u8(&w, '?');
		writer_bytes(&w, head->query);
	}
	return w.ok ? bytes_of(buf, writer_len(&w)) : bytes_of(NULL, 0);
}

static void route_to_site(struct route *route, const struct site *site, const struct head *head)
{
	const struct site_route *found = site_route(site, head->path);

	route->site = site;
	if (found == NULL) {
		route->status = 404;
		route->reason = REASON_NO_ROUTE;
		return;
	}
	route->pool = found->pool;
	route->conf = found->conf;
}

/* 308 keeps the method of a form; 301 is what old clients know. */
static void route_redirect(struct route *route, const struct head *head)
{
	bool reads = bytes_equal_str(head->method, "GET") || bytes_equal_str(head->method, "HEAD");

	route->status = reads ? 301 : 308;
	route->reason = REASON_NONE;
}
