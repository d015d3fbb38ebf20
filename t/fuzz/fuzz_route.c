/*
 * fuzz_route.c: any bytes as a request's target, at a site with routes of every kind and one that is
 * strict, one that lets all pass. Invariants: the path that is sent is the path that was matched;
 * every reading of it that the policy cares about lies on the same route; what goes before the path
 * and what is taken off it leave one that begins with '/' and does not climb; redirects stay one line.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/exchange/route.h"
#include "gateway/worker.h"
#include "http/octet.h"
#include "http/path.h"
#include "http/target.h"
#include "http/write.h"

#include "base/poison.h"

#define S(text) ((char *)(uintptr_t)(text))

enum { REQUEST_MAX = 4096, ROUTES = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pool *pool_by_name(void *arg, const char *name)
{
	(void)arg;
	return (struct pool *)(uintptr_t)name;
}

#define R(path_, ...)                                                                              \
	{                                                                                          \
		.path = S(path_), .pool = S(path_), __VA_ARGS__                                    \
	}

struct bed {
	char *names[3][1];
	struct route_conf routes[3][ROUTES];
	struct site_conf sites[3];
	struct listener_conf listener;
	struct gateway_conf conf;
	struct sites *made;
};

static void bed_init(struct bed *b)
{
	static const char *const names[] = { "safe.test", "refuse.test", "pass.test" };
	const struct route_conf routes[ROUTES] = { R("/", .plain = true),
		R("/asp/", .stream = true),
		R("/app/", .strip_prefix = S("/app/"), .add_prefix = S("/v2/")),
		R("/strip", .strip_prefix = S("/strip")), R("/add", .add_prefix = S("/under")),
		R("/asp/exact", .exact = true) };

	*b = (struct bed){ .listener = { .address = S("0.0.0.0:8443"), .mode = LISTENER_TLS } };
	for (size_t i = 0; i < 3; i++) {
		int policy = (int)i; /* enum path_policy, one less */

		memcpy(b->routes[i], routes, sizeof routes);
		b->names[i][0] = S(names[i]);
		b->sites[i].names.at = b->names[i];
		b->sites[i].names.n = 1;
		b->sites[i].routes.at = b->routes[i];
		b->sites[i].routes.n = ROUTES;
		b->sites[i].paths = (struct paths_conf){ policy, policy, policy, policy };
	}
	b->conf.sites.at = b->sites;
	b->conf.sites.n = 3;
	b->conf.listeners.at = &b->listener;
	b->conf.listeners.n = 1;
	b->made = sites_new(&b->conf, pool_by_name, NULL);
	assert(b->made != NULL);
}

static struct bytes resolved(struct bytes path, unsigned habits, uint8_t *buf)
{
	return bytes_of(buf, path_resolve(path, habits, buf));
}

/* The longest prefix by segments, the exact one before all; escapes decoded but for %2F. */
static const char *model(const struct site *site, struct bytes path)
{
	static uint8_t plain[REQUEST_MAX];
	const char *best = NULL;
	size_t n = 0;

	for (size_t i = 0; i < path.len;) {
		int escape = octet_escape(path.at + i, path.len - i);

		plain[n++] = escape >= 0 && escape != '/' ? (uint8_t)escape : path.at[i];
		i += escape >= 0 && escape != '/' ? 3 : 1;
	}
	for (size_t r = 0; r < site->conf->routes.n; r++) {
		const struct route_conf *conf = &site->conf->routes.at[r];
		size_t len = strlen(conf->path);

		if (n < len || memcmp(plain, conf->path, len) != 0)
			continue;
		if (conf->exact) {
			if (n == len)
				return conf->path;
		} else if ((conf->path[len - 1] == '/' || n == len || plain[len] == '/') &&
			   (best == NULL || strlen(best) < len)) {
			best = conf->path;
		}
	}
	return best;
}

/* As the server gets it: under what the route adds, in each reading that the policy cares about. */
static void sent(const struct route *route, unsigned cared_for)
{
	static uint8_t whole[2 * REQUEST_MAX], reading[2 * REQUEST_MAX];
	struct writer w = writer_of(whole, sizeof whole);
	const char *added = route->to->conf->add_prefix;
	struct bytes path;
	size_t off;

	writer_bytes(&w, route_prefix(route->to, route->path, &off));
	assert(off <= route->path.len);
	writer_bytes(&w, bytes_sub(route->path, off, route->path.len));
	assert(w.ok);
	path = bytes_of(whole, writer_len(&w));
	assert(path.len > 0 && path.at[0] == '/');
	assert(bytes_equal(resolved(path, 0, reading), path));
	for (unsigned h = 0; h <= PATH_HABITS; h++) {
		struct bytes read = resolved(path, h & cared_for, reading);

		assert(read.len > 0);
		assert(added == NULL || target_under(read, added, false));
	}
}

static void chosen(const struct route *route, const struct head *head)
{
	static uint8_t reading[REQUEST_MAX + 1];
	unsigned cared_for = PATH_HABITS & ~route->to->passes;

	assert(route->to == site_route(route->site, route->path));
	assert(strcmp(route->to->conf->path, model(route->site, route->path)) == 0);
	for (unsigned h = 0; h <= PATH_HABITS; h++) {
		struct bytes read = resolved(head->path, h & cared_for, reading);

		assert(read.len > 0 && site_route(route->site, read) == route->to);
	}
	if (route->to->refuses != 0)
		assert(path_habits(head->path) == 0);
	sent(route, cared_for);
}

static void at_site(struct bed *b, const char *name, enum listener_mode mode, struct head *head)
{
	static struct route_scratch scratch;
	static uint8_t reading[REQUEST_MAX + 1], location[3 * REQUEST_MAX];
	const struct worker worker = { .conf = &b->conf, .sites = b->made };
	struct client client = { .listener_mode = (int)mode, .verify = "NONE" };
	struct route route;
	struct bytes to;

	head->host = bytes_str(name);
	route_choose(&route, &worker, &client, "192.0.2.1", head, &scratch);
	assert(route.site != NULL && strcmp(route.site->conf->names.at[0], name) == 0);
	if (head->path.at[0] == '/')
		assert(mode == LISTENER_REDIRECT ||
		       bytes_equal(route.path, resolved(head->path, 0, reading)));
	if (route.status == 0 && head->path.at[0] == '/')
		chosen(&route, head);
	to = route_location(&worker, head, location, sizeof location);
	assert(to.len > 0 && octet_run(to.at, to.len, OCTET_TARGET) == to.len);
	assert(memcmp(to.at, "https://", 8) == 0);
	assert(bytes_equal_str(bytes_sub(to, 8, strlen(name)), name));
	assert(to.at[8 + strlen(name)] == ':');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct head_limits limits = { HEAD_BYTES_MAX, HEAD_BYTES_MAX, 8 };
	static struct bed bed;
	static struct head head;
	static uint8_t request[REQUEST_MAX];
	struct writer w = writer_of(request, sizeof request);
	struct head_scan scan = { 0 };
	struct verdict verdict;
	size_t used;

	if (bed.made == NULL)
		bed_init(&bed);
	writer_str(&w, "GET ");
	writer_put(&w, data, size);
	writer_str(&w, " HTTP/1.1\r\nHost: safe.test\r\n\r\n");
	if (!w.ok || head_request(bytes_of(request, writer_len(&w)), &limits, &scan, &head, &used,
			 &verdict) != PARSE_OK)
		return 0;
	for (size_t i = 0; i < 3; i++) {
		at_site(&bed, bed.names[i][0], LISTENER_PLAIN, &head);
		at_site(&bed, bed.names[i][0], LISTENER_REDIRECT, &head);
	}
	return 0;
}
