/*
 * conf_check.c: the checks of gateway.conf that need no file but the text: each names the line of
 * the field that is wrong and how to mend it. What the table has refused already is not there: a
 * required string may be NULL here.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/epoch.h"
#include "net/endpoint.h"

#include "gateway/conf_check.h"
#include "gateway/conf_clients.h"

#include "base/poison.h"

/* A name and the field that gave it, to find what is given twice. */
struct named {
	const char *name;
	const void *field;
	size_t order; /* in the file */
	bool quiet; /* its double is told already */
	bool any_case;
};

enum { HOST_MAX_BYTES = 253, LABEL_MAX_BYTES = 63 };

static void check_listeners(const struct gateway_conf *, struct conf_errors *);
static void check_site(const struct gateway_conf *, const struct site_conf *, struct conf_errors *);
static void check_versions(const struct site_conf *, struct conf_errors *);
static void check_host(char *const *name, struct conf_errors *);
static void check_routes(const struct site_conf *, bool exact, struct conf_errors *);
static void check_doubles(const struct gateway_conf *, struct conf_errors *);
static void check_pools(const struct gateway_conf *, struct conf_errors *);
static void check_used_pools(const struct gateway_conf *, struct conf_errors *);
static void check_routed(const struct gateway_conf *, struct conf_errors *);
static void tell_doubles(struct named *, size_t n, const char *what, struct conf_errors *);
static int by_name(const void *, const void *);
static bool has_mode(const struct gateway_conf *, enum listener_mode);

void conf_check(const struct gateway_conf *conf, struct conf_errors *errors)
{
	check_listeners(conf, errors);
	for (size_t i = 0; i < conf->sites.n; i++)
		check_site(conf, &conf->sites.at[i], errors);
	check_doubles(conf, errors);
	check_pools(conf, errors);
	check_used_pools(conf, errors);
	conf_check_watch(conf, errors);
	conf_check_services(conf, errors);
	conf_check_clients(conf, errors);
	/* The last, and only where all else is well: often the routes are there and misspelt. */
	if (conf_errors_n(errors) == 0)
		check_routed(conf, errors);
}

static void check_listeners(const struct gateway_conf *conf, struct conf_errors *errors)
{
	struct endpoint *all = calloc(conf->listeners.n + 1, sizeof(*all));
	size_t routed = 0;

	for (size_t i = 0; i < conf->sites.n; i++)
		routed += conf->sites.at[i].routes.n;
	for (size_t i = 0; all != NULL && i < conf->listeners.n; i++) {
		const struct listener_conf *l = &conf->listeners.at[i];

		if (l->address == NULL)
			continue;
		if (endpoint_parse(&all[i], l->address) == -1) {
			conf_reject(errors, &l->address,
			    "address \"%s\" cannot be listened on: write \"*:443\", "
			    "\"127.0.0.1:443\", \"[::1]:443\" or \"unix:/path\"",
			    l->address);
			all[i].len = 0;
			continue;
		}
		for (size_t j = 0; j < i; j++) {
			/* Port 0 is another one each time. */
			if (all[j].len == 0 || !endpoint_equal(&all[i], &all[j]) ||
			    (endpoint_port(&all[i]) == 0 && strncmp(l->address, "unix:", 5) != 0))
				continue;
			conf_reject(errors, &l->address,
			    "address \"%s\" is given twice, first at %s: leave one out", l->address,
			    conf_where(&conf->listeners.at[j].address));
			break;
		}
		if (l->mode == LISTENER_PLAIN && routed == 0 && conf->sites.n != 0)
			conf_reject(errors, &l->mode,
			    "a plain listener needs a site with routes: routes = ( { path = \"/\"; "
			    "pool = \"...\"; } );");
	}
	free(all);
}

/* Every request for it would be a 404. */
static void check_routed(const struct gateway_conf *conf, struct conf_errors *errors)
{
	if (!has_mode(conf, LISTENER_TLS) && !has_mode(conf, LISTENER_PLAIN))
		return;
	for (size_t i = 0; i < conf->sites.n; i++)
		if (conf->sites.at[i].routes.n == 0)
			conf_reject(errors, &conf->sites.at[i].routes,
			    "a site without routes: add routes = ( { path = \"/\"; pool = "
			    "\"apache\"; } );");
}

static void check_site(
    const struct gateway_conf *conf, const struct site_conf *site, struct conf_errors *errors)
{
	const int verify = site->client_certificate.verify;
	const char *where = conf_where(&conf->sites);
	bool quick = where != NULL && strcmp(where, CONF_COMMAND_LINE) == 0;

	if (site->names.n == 0 && !quick)
		conf_reject(
		    errors, site, "a site without names: add names = [ \"www.example.com\" ];");
	if (site->certificates.n == 0 && !conf->selfsigned && has_mode(conf, LISTENER_TLS))
		conf_reject(errors, &site->certificates,
		    "a site without certificates: add certificates = [ \"chain.pem\" ];");
	for (size_t i = 0; i < site->names.n; i++)
		check_host(&site->names.at[i], errors);
	if (site->group == NULL || *site->group == '\0' || strlen(site->group) > EPOCH_GROUP_MAX)
		conf_reject(errors, &site->group, "group: write 1 to %d bytes", EPOCH_GROUP_MAX);
	check_versions(site, errors);
	if ((verify == CLIENTCERT_OPTIONAL || verify == CLIENTCERT_REQUIRE) &&
	    site->client_certificate.ca_file == NULL)
		conf_reject(errors, &site->client_certificate.verify,
		    "client certificates need a CA to verify them: add ca_file = \"clients.pem\";, "
		    "or write verify = \"optional_no_ca\";");
	if (site->client_certificate.crl_file != NULL && site->client_certificate.ca_file == NULL)
		conf_reject(
		    errors, &site->client_certificate.crl_file, "crl_file needs ca_file beside it");
	check_routes(site, false, errors);
	check_routes(site, true, errors);
	conf_check_routes(site, errors);
}

static void check_versions(const struct site_conf *site, struct conf_errors *errors)
{
	if (site->min_version == TLS_VERSION_1_3 && site->max_version == TLS_VERSION_1_2)
		conf_reject(errors, &site->min_version,
		    "min_version is above max_version: no client could connect");
	else if (site->tls_profile == TLS_PROFILE_MODERN &&
		 site->min_version == TLS_VERSION_DEFAULT && site->max_version == TLS_VERSION_1_2)
		conf_reject(errors, &site->max_version,
		    "max_version is below the modern profile's 1.3: no client could connect: write "
		    "tls_profile = \"intermediate\";");
}

/* The length of the label at s; 0: none that a host name may have. */
static size_t label_len(const char *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t len = strspn(s, letters);

	if (len == 0 || len > LABEL_MAX_BYTES || s[0] == '-' || s[len - 1] == '-')
		return 0;
	return s[len] == '\0' || s[len] == '.' ? len : 0;
}

static void check_host(char *const *name, struct conf_errors *errors)
{
	const char
	    *s = *name,
	    *mend = "write it as a browser's Host field has it, without port: \"www.example.com\"";
	bool wildcard = strncmp(s, "*.", 2) == 0;
	size_t labels = 0;

	for (const char *c = s; *c != '\0'; c++) {
		if ((unsigned char)*c >= 0x80)
			mend = "write it in ASCII, as its certificate has it (xn--...)";
	}
	if (wildcard)
		s += 2;
	for (size_t len; (len = label_len(s)) != 0;) {
		labels++;
		s += len;
		/* A dot at the end leaves an empty label, which is none. */
		if (*s == '.')
			s++;
		else
			break;
	}
	if (*s != '\0' || labels == 0 || s[-1] == '.' || strlen(*name) > HOST_MAX_BYTES)
		conf_reject(errors, name, "\"%s\" is no host name: %s", *name,
		    strchr(s, '*') != NULL
			? "a * stands for the whole first label only: \"*.example.com\""
			: mend);
	else if (wildcard && labels < 2)
		conf_reject(errors, name,
		    "\"%s\" is too wide: at least two labels must follow \"*.\"", *name);
}

/* An exact path and a prefix of the same text are two. */
static void check_routes(const struct site_conf *site, bool exact, struct conf_errors *errors)
{
	struct named *all = calloc(site->routes.n + 1, sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; all != NULL && i < site->routes.n; i++) {
		const struct route_conf *r = &site->routes.at[i];

		if (r->path == NULL || r->exact != exact)
			continue;
		if (r->path[0] != '/')
			conf_reject(errors, &r->path, "path \"%s\" must begin with /", r->path);
		else if (strpbrk(r->path, "?#") != NULL)
			conf_reject(errors, &r->path,
			    "path \"%s\" cannot hold ? or #: routes go by the path alone", r->path);
		all[n] = (struct named){ r->path, &r->path, n, false, site->ignore_case };
		n++;
	}
	tell_doubles(all, n, "path", errors);
	free(all);
}

/* Sites and host names that are given twice, and pools. */
static void check_doubles(const struct gateway_conf *conf, struct conf_errors *errors)
{
	size_t hosts = 0, n = 0;
	struct named *all;

	for (size_t i = 0; i < conf->sites.n; i++)
		hosts += conf->sites.at[i].names.n;
	all = calloc(hosts + conf->sites.n + conf->pools.n + 1, sizeof(*all));
	for (size_t i = 0; all != NULL && i < conf->sites.n; i++) {
		const struct site_conf *site = &conf->sites.at[i];

		for (size_t j = 0; j < site->names.n; j++, n++)
			all[n] = (struct named){ site->names.at[j], &site->names.at[j], n, false,
				true };
	}
	tell_doubles(all, n, "host name", errors);
	n = 0;
	for (size_t i = 0; all != NULL && i < conf->sites.n; i++) {
		const struct site_conf *site = &conf->sites.at[i];
		bool given = conf_where(&site->name) != NULL;

		/* A name taken from names is told there. */
		if (site->name != NULL)
			all[n] = (struct named){ site->name,
				given ? (const void *)&site->name : &site->names, n, !given,
				false },
			n++;
	}
	tell_doubles(all, n, "site name", errors);
	n = 0;
	for (size_t i = 0; all != NULL && i < conf->pools.n; i++) {
		const struct pool_conf *pool = &conf->pools.at[i];

		if (pool->name != NULL)
			all[n] = (struct named){ pool->name, &pool->name, n, false, false }, n++;
	}
	tell_doubles(all, n, "pool name", errors);
	free(all);
}

/* More of its share is what weight is for. */
static void check_servers_doubles(const struct pool_conf *pool, struct conf_errors *errors)
{
	struct named *all = calloc(pool->servers.n + 1, sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; all != NULL && i < pool->servers.n; i++) {
		char *const *address = &pool->servers.at[i].address;

		if (*address != NULL)
			all[n] = (struct named){ *address, address, n, false, false }, n++;
	}
	tell_doubles(all, n, "server", errors);
	free(all);
}

static void check_pools(const struct gateway_conf *conf, struct conf_errors *errors)
{
	for (size_t i = 0; i < conf->pools.n; i++) {
		const struct pool_conf *pool = &conf->pools.at[i];

		check_servers_doubles(pool, errors);
		for (size_t j = 0; j < pool->servers.n; j++) {
			char *const *address = &pool->servers.at[j].address;
			char host[HOST_MAX_BYTES + 3];
			uint16_t port = 0;

			struct endpoint local;

			if (*address == NULL)
				continue;
			if (strncmp(*address, "unix:", 5) == 0) {
				if (endpoint_parse(&local, *address) == -1)
					conf_reject(errors, address,
					    "address \"%s\" is no path of a socket: write "
					    "\"unix:/run/app.sock\", at most 107 bytes long",
					    *address);
				continue;
			}
			if (strstr(*address, "://") != NULL)
				conf_reject(errors, address,
				    "address \"%s\" is a URL: write host and port only: "
				    "\"10.0.0.11:80\"",
				    *address);
			else if (endpoint_split(*address, host, sizeof(host), &port) == -1 ||
				 port == 0)
				conf_reject(errors, address,
				    "address \"%s\" is no host and port: write \"10.0.0.11:80\"",
				    *address);
		}
	}
}

static int by_pool(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Every route's pool exists. */
static void check_used_pools(const struct gateway_conf *conf, struct conf_errors *errors)
{
	const char **names = calloc(conf->pools.n + 1, sizeof(*names));
	size_t n = 0;

	if (names == NULL)
		return;
	for (size_t i = 0; i < conf->pools.n; i++) {
		if (conf->pools.at[i].name != NULL)
			names[n++] = conf->pools.at[i].name;
	}
	qsort(names, n, sizeof(*names), by_pool);
	for (size_t i = 0; i < conf->sites.n; i++) {
		for (size_t j = 0; j < conf->sites.at[i].routes.n; j++) {
			const struct route_conf *r = &conf->sites.at[i].routes.at[j];

			if (r->pool != NULL &&
			    bsearch(&r->pool, names, n, sizeof(*names), by_pool) == NULL)
				conf_reject(errors, &r->pool,
				    "there is no pool \"%s\": add it to pools, or name one of them",
				    r->pool);
		}
	}
	free(names);
}

static int compare_names(const struct named *a, const struct named *b)
{
	return (a->any_case ? strcasecmp : strcmp)(a->name, b->name);
}

static void tell_doubles(struct named *all, size_t n, const char *what, struct conf_errors *errors)
{
	const struct named *first = all;

	if (all == NULL)
		return;
	qsort(all, n, sizeof(*all), by_name);
	for (size_t i = 1; i < n; i++) {
		const char *where;

		if (compare_names(&all[i], first) != 0) {
			first = &all[i];
			continue;
		}
		where = conf_where(first->field);
		if (!all[i].quiet || !first->quiet)
			conf_reject(errors, all[i].field,
			    "%s \"%s\" is given twice, first at %s: leave one out", what,
			    all[i].name, where != NULL ? where : "another place");
	}
}

static int by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = compare_names(x, y);

	return order != 0 ? order : x->order < y->order ? -1 : 1;
}

static bool has_mode(const struct gateway_conf *conf, enum listener_mode mode)
{
	for (size_t i = 0; i < conf->listeners.n; i++) {
		if (conf->listeners.at[i].mode == (int)mode)
			return true;
	}
	return false;
}
