/*
 * sites.h: which site a name belongs to, and which pool a path of it. Knows neither OpenSSL nor
 * sockets. Exact names before wildcards; a wildcard stands for one label; the first site is the default.
 */
#ifndef GATEWAY_SITES_H
#define GATEWAY_SITES_H

#include "base/bytes.h"
#include "gateway/gateway_conf.h"

struct worker;
struct pool;

struct fieldset;
struct access;
struct template;

struct site_route {
	const struct route_conf *conf;
	struct bytes path; /* of the config: a NUL follows */
	const struct site_route *above; /* the longest other one that this one's path begins with */
	struct pool *pool; /* NULL: conf->files, a redirect, or an answer of our own */
	bool any_case; /* the site's ignore_case */
	unsigned refuses,
	    passes; /* enum path_habit: by policy; with all others each reading counts */
	struct fieldset *request, *answer; /* the site's rules included; NULL: none */
	struct access *access; /* NULL: all may; the site's is asked, too */
	struct template *redirect; /* NULL: none */
};

struct site {
	const struct site_conf *conf;
	unsigned index; /* in conf->sites; the SSL_CTX of the site has the same */
	struct site_route *routes; /* by path; of the same path the exact one is last */
	size_t routes_n;
	struct fieldset *answer; /* of answers that come from no route */
	struct access *access;
};

struct sites *sites_new(
    const struct gateway_conf *, struct pool *(*pool_by_name)(void *arg, const char *), void *arg);
void sites_free(struct sites *);
/* name: any case, without port; a trailing dot is ignored. NULL: no site has it. */
const struct site *sites_find(const struct sites *, struct bytes name);
const struct site *sites_default(const struct sites *);
const struct site *sites_at(const struct sites *, unsigned index);
/* A connection made for one may carry requests for the other: same certificates, same proof asked of clients. */
bool sites_share_connections(const struct site *, const struct site *);
const struct site_route *site_route(
    const struct site *, struct bytes path); /* exact, or longest prefix at a segment; NULL */

#endif
