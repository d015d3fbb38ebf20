/*
 * sites.c: see sites.h. All names lie in one open-addressed table, exact ones whole and wildcards
 * under what follows the "*"; so a look-up is at most two probes: the name, then the name without
 * its first label. Made at start, const afterwards.
 */
#include "config.h"

#include "gateway/sites.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "gateway/exchange/access.h"
#include "gateway/exchange/fieldset.h"
#include "http/path.h"
#include "http/target.h"

#include "base/poison.h"

enum { NAME_MAX_BYTES = 255 };

struct entry {
	char *name; /* lower case, no trailing dot; NULL: free. Wildcards begin with '.' */
	size_t len;
	const struct site *site;
};

struct sites {
	struct hash_key key;
	struct site *at;
	size_t n;
	struct entry *table;
	size_t mask; /* slots - 1; at most half of them are taken */
};

static void site_clear(struct site *);
static int names_add(struct sites *, const struct site *);
static int routes_add(struct site *, struct pool *(*)(void *, const char *), void *);
static struct entry *slot(const struct sites *, struct bytes name);
static size_t lowered(char *to, struct bytes name);

struct sites *sites_new(const struct gateway_conf *conf,
    struct pool *(*pool_by_name)(void *arg, const char *), void *arg)
{
	struct sites *sites = calloc(1, sizeof(*sites));
	size_t names = 0, slots = 8;

	if (sites == NULL)
		return NULL;
	sites->key = hash_key_random();
	for (size_t i = 0; i < conf->sites.n; i++)
		names += conf->sites.at[i].names.n;
	while (slots < 2 * names)
		slots *= 2;
	sites->mask = slots - 1;
	sites->table = calloc(slots, sizeof(*sites->table));
	sites->at = calloc(conf->sites.n, sizeof(*sites->at));
	if (sites->table == NULL || (sites->at == NULL && conf->sites.n > 0))
		goto fail;
	for (; sites->n < conf->sites.n; sites->n++) {
		struct site *site = &sites->at[sites->n];

		site->conf = &conf->sites.at[sites->n];
		site->index = (unsigned)sites->n;
		if (names_add(sites, site) == -1 || routes_add(site, pool_by_name, arg) == -1) {
			sites->n++;
			goto fail;
		}
	}
	return sites;
fail:
	sites_free(sites);
	return NULL;
}

void sites_free(struct sites *sites)
{
	if (sites == NULL)
		return;
	for (size_t i = 0; sites->table != NULL && i <= sites->mask; i++)
		free(sites->table[i].name);
	for (size_t i = 0; i < sites->n; i++)
		site_clear(&sites->at[i]);
	free(sites->table);
	free(sites->at);
	free(sites);
}

static void site_clear(struct site *site)
{
	for (size_t i = 0; i < site->routes_n; i++) {
		fieldset_free(site->routes[i].request);
		fieldset_free(site->routes[i].answer);
		access_free(site->routes[i].access);
		template_free(site->routes[i].redirect);
	}
	fieldset_free(site->answer);
	access_free(site->access);
	free(site->routes);
}

const struct site *sites_find(const struct sites *sites, struct bytes name)
{
	char low[NAME_MAX_BYTES];
	const struct entry *e;
	size_t len = lowered(low, name);
	const char *dot;

	if (len == 0 || low[0] == '.')
		return NULL;
	e = slot(sites, bytes_of(low, len));
	if (e->site != NULL)
		return e->site;
	dot = memchr(low, '.', len);
	if (dot == NULL)
		return NULL;
	return slot(sites, bytes_of(dot, len - (size_t)(dot - low)))->site;
}

const struct site *sites_default(const struct sites *sites)
{
	return sites->n > 0 ? &sites->at[0] : NULL;
}

const struct site *sites_at(const struct sites *sites, unsigned index)
{
	return index < sites->n ? &sites->at[index] : NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool sites_share_connections(const struct site *a, const struct site *b)
{
	const struct site_conf *x = a->conf, *y = b->conf;

	if (a == b)
		return true;
	if (x->client_certificate.verify != y->client_certificate.verify ||
	    x->client_certificate.depth != y->client_certificate.depth ||
	    !same_text(x->client_certificate.ca_file, y->client_certificate.ca_file) ||
	    !same_text(x->client_certificate.crl_file, y->client_certificate.crl_file) ||
	    x->certificates.n != y->certificates.n)
		return false;
	for (size_t i = 0; i < x->certificates.n; i++)
		if (!same_text(x->certificates.at[i], y->certificates.at[i]))
			return false;
	return true;
}

/*
 * The routes that a path begins with lie on the way up from the last one that is not after it: whatever
 * stands between a prefix and the path has that prefix, too. The first on that way that holds the path is
 * the longest. "*" (of OPTIONS) is about the whole server: it goes where "/" goes.
 */
const struct site_route *site_route(const struct site *site, struct bytes path)
{
	size_t low = 0, high = site->routes_n;
	bool any_case = site->conf->ignore_case;

	if (path.len == 1 && path.at[0] == '*')
		path = bytes_str("/");
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (target_order(path, site->routes[middle].conf->path, any_case) >= 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (const struct site_route *r = low > 0 ? &site->routes[low - 1] : NULL; r != NULL;
	     r = r->above) {
		const char *wanted = (const char *)r->path.at;

		if (r->conf->exact ? target_is(path, wanted, any_case)
				   : target_under(path, wanted, any_case))
			return r;
	}
	return NULL;
}

/* "*.example.com" is kept as ".example.com". Of two sites with one name the first has it. */
static int names_add(struct sites *sites, const struct site *site)
{
	for (size_t i = 0; i < site->conf->names.n; i++) {
		struct bytes name = bytes_str(site->conf->names.at[i]);
		char low[NAME_MAX_BYTES];
		struct entry *e;
		size_t len;

		if (name.len > 2 && memcmp(name.at, "*.", 2) == 0)
			name = bytes_sub(name, 1, name.len);
		len = lowered(low, name);
		if (len == 0)
			continue;
		e = slot(sites, bytes_of(low, len));
		if (e->name != NULL)
			continue;
		e->name = bytes_dup_str(bytes_of(low, len));
		if (e->name == NULL)
			return -1;
		e->len = len;
		e->site = site;
	}
	return 0;
}

static int by_path(const void *a, const void *b)
{
	const struct site_route *x = a, *y = b;
	int order = x->any_case ? strcasecmp(x->conf->path, y->conf->path)
				: strcmp(x->conf->path, y->conf->path);

	return order != 0 ? order : (int)x->conf->exact - (int)y->conf->exact;
}

static bool begins_with(const struct site_route *r, const struct site_route *up)
{
	return (r->any_case ? strncasecmp : strncmp)(r->conf->path, up->conf->path, up->path.len) ==
	       0;
}

static void routes_order(struct site *site)
{
	qsort(site->routes, site->routes_n, sizeof(*site->routes), by_path);
	for (size_t i = 1; i < site->routes_n; i++) {
		const struct site_route *up = &site->routes[i - 1];

		while (up != NULL && !begins_with(&site->routes[i], up))
			up = up->above;
		site->routes[i].above = up;
	}
}

/* A site's policy counts from SAFE on; a route's may leave it to the site. */
static void policy_add(struct site_route *r, int of_site, int of_route, unsigned habit)
{
	int policy = of_route != PATH_OF_SITE ? of_route : of_site + PATH_SAFE;

	r->refuses |= policy == PATH_REFUSE ? habit : 0;
	r->passes |= policy == PATH_PASS ? habit : 0;
}

static int route_add(const struct site *site, struct site_route *r, const struct route_conf *conf)
{
	const struct paths_conf *all = &site->conf->paths, *own = &conf->paths;
	bool no_request, no_answer, no_access;

	r->conf = conf;
	r->any_case = site->conf->ignore_case;
	r->path = bytes_str(conf->path);
	policy_add(r, all->encoded_slash, own->encoded_slash, PATH_SLASH);
	policy_add(r, all->backslash, own->backslash, PATH_BACKSLASH);
	policy_add(r, all->parameters, own->parameters, PATH_PARAMETERS);
	policy_add(r, all->double_slash, own->double_slash, PATH_MERGED);
	r->request = fieldset_new(site->conf, conf, FACTS_REQUEST, &no_request);
	r->answer = fieldset_new(site->conf, conf, FACTS_ANSWER, &no_answer);
	r->access = access_new(&conf->require, &no_access);
	if (conf->redirect != NULL && (r->redirect = template_new(conf->redirect)) == NULL)
		return -1;
	return (r->request != NULL || no_request) && (r->answer != NULL || no_answer) &&
		       (r->access != NULL || no_access)
		   ? 0
		   : -1;
}

static int routes_add(
    struct site *site, struct pool *(*pool_by_name)(void *, const char *), void *arg)
{
	size_t n = site->conf->routes.n;
	bool no_answer, no_access;

	site->routes = calloc(n > 0 ? n : 1, sizeof(*site->routes));
	if (site->routes == NULL)
		return -1;
	site->answer = fieldset_new(site->conf, NULL, FACTS_ANSWER, &no_answer);
	site->access = access_new(&site->conf->require, &no_access);
	if ((site->answer == NULL && !no_answer) || (site->access == NULL && !no_access))
		return -1;
	for (size_t i = 0; i < n; i++) {
		const struct route_conf *conf = &site->conf->routes.at[i];
		struct site_route *r = &site->routes[i];

		site->routes_n++;
		if (route_add(site, r, conf) == -1)
			return -1;
		if (conf->pool == NULL)
			continue;
		r->pool = pool_by_name(arg, conf->pool);
		if (r->pool == NULL)
			return -1;
	}
	routes_order(site);
	return 0;
}

/* Where the name is, or the free slot where it would be. */
static struct entry *slot(const struct sites *sites, struct bytes name)
{
	for (size_t i = hash_bytes(&sites->key, name);; i++) {
		struct entry *e = &sites->table[i & sites->mask];

		if (e->name == NULL ||
		    (e->len == name.len && memcmp(e->name, name.at, name.len) == 0))
			return e;
	}
}

/* 0: too long or empty. */
static size_t lowered(char *to, struct bytes name)
{
	if (name.len > 0 && name.at[name.len - 1] == '.')
		name.len--;
	if (name.len > NAME_MAX_BYTES)
		return 0;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.at[i];

		to[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	return name.len;
}
