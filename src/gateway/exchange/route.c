/*
 * route.c: see route.h. On TLS the connection was made for one site, by SNI; a request for another is
 * served only where that other one has the same certificates and asks the same proof of its clients
 * (RFC 9110, section 15.5.20).
 */
#include "config.h"

#include "gateway/exchange/route.h"

#include "gateway/exchange/access.h"
#include "gateway/exchange/headers.h"
#include "gateway/worker.h"
#include "http/path.h"
#include "http/target.h"
#include "http/write.h"

#include "base/poison.h"

static void route_to_site(struct route *, const struct site *, const struct client *,
    const char *peer, const struct head *, struct route_scratch *);
static void route_refuse(struct route *, uint16_t status, enum reason);
static bool route_is_plain(struct route *, const struct client *, const char *peer,
    const struct head *, struct route_scratch *);

void route_choose(struct route *route, const struct worker *worker, const struct client *client,
    const char *peer, const struct head *head, struct route_scratch *scratch)
{
	const struct site *named = NULL;

	*route = (struct route){ .site = client->site, .path = head->path };
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
		if (named == NULL)
			route_refuse(route, 404, REASON_NO_ROUTE);
		else if (!route_is_plain(route, client, peer, head, scratch))
			route->status = route_redirect_status(head);
		return;
	case LISTENER_PLAIN:
		route_to_site(route, named != NULL ? named : sites_default(worker->sites), client,
		    peer, head, scratch);
		return;
	case LISTENER_TLS:
		break;
	}
	if (named != NULL && !sites_share_connections(named, client->site)) {
		route_refuse(route, 421, REASON_MISDIRECTED);
		return;
	}
	route_to_site(route, named != NULL ? named : client->site, client, peer, head, scratch);
}

/* A route that is served without TLS, too. Rules for certificates hold there as well: nobody has one. */
static bool route_is_plain(struct route *route, const struct client *client, const char *peer,
    const struct head *head, struct route_scratch *scratch)
{
	struct route found = *route;

	route_to_site(&found, route->site, client, peer, head, scratch);
	if (found.to == NULL || !found.to->conf->plain)
		return false;
	*route = found;
	return true;
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

/* What is left of the path behind the route's own prefix, for a server with these habits: it must not
 * climb out of what the route adds. False: it does. */
static bool rest_stays(const struct route *route, unsigned habits, uint8_t *scratch)
{
	size_t stripped;

	(void)route_prefix(route->to, route->path, &stripped);
	if (stripped == route->path.len)
		return true;
	if (route->path.at[stripped] != '/')
		stripped--; /* the slash that the stripped prefix ends with */
	return path_resolve(bytes_sub(route->path, stripped, route->path.len), habits, scratch) > 0;
}

/* Is the path on this route for whatever server, or for all whose habits the policy cares about? */
static bool route_is_sure(const struct route *route, const struct head *head, uint8_t *scratch)
{
	unsigned habits = path_habits(head->path);
	const struct site_route *to = route->to;

	if (habits == 0)
		return true;
	/* Merging matters by itself only where there is an empty segment to see. */
	if ((habits & to->refuses & ~(unsigned)PATH_MERGED) != 0 ||
	    ((to->refuses & PATH_MERGED) != 0 && (head->target_flags & TARGET_EMPTY) != 0))
		return false;
	habits &= ~to->passes;
	for (unsigned h = habits; h != 0; h = (h - 1) & habits) {
		size_t n = path_resolve(head->path, h, scratch);

		if (n == 0 || site_route(route->site, bytes_of(scratch, n)) != to ||
		    !rest_stays(route, h, scratch))
			return false;
	}
	return true;
}

static void route_to_site(struct route *route, const struct site *site, const struct client *client,
    const char *peer, const struct head *head, struct route_scratch *scratch)
{
	route->site = site;
	if (head->target_flags & TARGET_DOTS) {
		size_t n = path_resolve(head->path, 0, scratch->path);

		/* http/head has refused what climbs. */
		route->path = bytes_of(scratch->path, n);
	}
	route->to = route->path.len > 0 ? site_route(site, route->path) : NULL;
	if (route->to == NULL)
		route_refuse(route, 404, REASON_NO_ROUTE);
	else if (!route_is_sure(route, head, scratch->reading))
		route_refuse(route, 400, REASON_PATH);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): never NULL */
	else if (!access_allows(site->access, client, peer) ||
		 !access_allows(route->to->access, client, peer))
		route_refuse(route, 403, REASON_FORBIDDEN);
}

static void route_refuse(struct route *route, uint16_t status, enum reason reason)
{
	route->status = status;
	route->reason = reason;
}

struct bytes route_prefix(const struct site_route *to, struct bytes path, size_t *stripped)
{
	const struct route_conf *conf = to->conf;
	struct bytes prefix = bytes_str(conf->add_prefix);
	bool slash;

	*stripped = 0;
	if (path.at[0] != '/')
		return bytes_of(NULL, 0); /* "*" */
	if (conf->strip_prefix != NULL)
		*stripped = target_prefix(path, conf->strip_prefix, to->any_case);
	slash = *stripped < path.len && path.at[*stripped] == '/';
	/* One slash between the two, whoever brings it. */
	if (prefix.len > 0 && prefix.at[prefix.len - 1] == '/')
		prefix.len -= slash;
	else if (!slash && prefix.len == 0)
		prefix = bytes_str("/");
	else if (!slash && *stripped > 0 && path.at[*stripped - 1] == '/')
		(*stripped)--; /* the one that the stripped prefix ends with */
	return prefix;
}

struct bytes route_redirect_to(
    const struct site_route *to, const struct headers_facts *facts, uint8_t *buf, size_t size)
{
	struct writer w = writer_of(buf, size);
	struct facts texts = headers_texts(facts);

	if (bytes_equal_str(texts.path, "*"))
		texts.path = bytes_str("/");
	template_write(to->redirect, &texts, &w);
	return w.ok ? bytes_of(buf, writer_len(&w)) : bytes_of(NULL, 0);
}

/* 308 keeps the method of a form; 301 is what old clients know. */
uint16_t route_redirect_status(const struct head *head)
{
	bool reads = bytes_equal_str(head->method, "GET") || bytes_equal_str(head->method, "HEAD");

	return reads ? 301 : 308;
}
