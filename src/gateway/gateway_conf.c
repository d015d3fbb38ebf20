/*
 * gateway_conf.c: the option table of gateway.conf, and the checks that need more than one option.
 * The table is in the order of the man page. The master calls this for what it reads; each role
 * again for the same text.
 */
#include "config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpus.h"
#include "gateway/conf_check.h"
#include "gateway/conf_clients.h"
#include "gateway/conf_files.h"
#include "gateway/conf_pools.h"
#include "gateway/conf_routes.h"
#include "gateway/gateway_conf.h"

#include "base/poison.h"

#define MS_HOUR 3600e3
#define MS_DAY 86400e3
#define TOP(field) .at = offsetof(struct gateway_conf, field)
#define LISTENER(field) .at = offsetof(struct listener_conf, field)
#define SITE(field) .at = offsetof(struct site_conf, field)
#define ROUTE(field) .at = offsetof(struct route_conf, field)
#define ROUTE_AT(field) offsetof(struct route_conf, field)
#define POOL(field) .at = offsetof(struct pool_conf, field)
#define SERVER(field) .at = offsetof(struct server_conf, field)
#define ADMIN(field) offsetof(struct gateway_conf, admin.field)
#define IDENTITY(group)                                                                            \
	{ .path = #group ".identity",                                                              \
		.type = CONF_PATH,                                                                 \
		TOP(group.identity.file),                                                          \
		.help =                                                                            \
		    "this gateway's certificate for mutual TLS with the servers, and its chain" }, \
	    { .path = #group ".identity_key",                                                      \
		    .type = CONF_PATH,                                                             \
		    TOP(group.identity.key),                                                       \
		    .help = "its private key; read before rights are given up" },                  \
	    { .path = #group ".ca_file",                                                           \
		    .type = CONF_PATH,                                                             \
		    TOP(group.identity.ca_file),                                                   \
		    .help = "CA certificates that sign the servers" },                             \
	{                                                                                          \
		.path = #group ".deny_file", .type = CONF_PATH, TOP(group.identity.deny_file),     \
		.help = "servers that are not trusted any more: a SHA-256 of a public key a line"  \
	}

static const struct conf_option options[] = {
	{ .path = "listeners[]",
	    .type = CONF_LIST,
	    .required = 1,
	    .min = 1,
	    .max = 64,
	    .size = sizeof(struct listener_conf),
	    TOP(listeners),
	    .help = "where clients connect: listeners = ( { address = \"*:443\"; } );" },
	{ .path = "listeners[].address",
	    .type = CONF_STRING,
	    .required = 1,
	    LISTENER(address),
	    .help =
		"\"*:443\", \"127.0.0.1:8443\", \"[::]:443\" or \"unix:/path\"; port 0 picks one" },
	{ .path = "listeners[].mode",
	    .type = CONF_ENUM,
	    .values = "tls|redirect|plain",
	    .def = "tls",
	    LISTENER(mode),
	    .help = "tls, plain HTTP, or a redirect of plain HTTP to https" },
	{ .path = "listeners[].proxy_protocol",
	    .type = CONF_BOOL,
	    .def = "false",
	    LISTENER(proxy_protocol),
	    .help = "connections begin with a PROXY header (version 1 or 2) that says who the "
		    "client is; they are taken from trusted_proxies only" },
	{ .path = "trusted_proxies",
	    .type = CONF_STRINGS,
	    TOP(trusted_proxies),
	    .help = "networks (\"10.0.0.0/8\") whose PROXY header, trusted_header and "
		    "X-Request-ID are believed; \"unix:\" for who may open our sockets" },
	{ .path = "trusted_header",
	    .type = CONF_ENUM,
	    .values = "x-forwarded|forwarded",
	    .def = "x-forwarded",
	    TOP(trusted_header),
	    .help =
		"where trusted_proxies say who their client is: X-Forwarded-For, -Proto, -Host, "
		"-Port, or Forwarded (RFC 7239); the other is not believed" },

	{ .path = "sites[]",
	    .type = CONF_LIST,
	    .required = 1,
	    .min = 1,
	    .max = 65536,
	    .size = sizeof(struct site_conf),
	    TOP(sites),
	    .help = "what is served, the first to clients that name none: sites = ( { names = [ "
		    "\"www.example.com\" ]; } );" },
	{ .path = "sites[].name",
	    .type = CONF_STRING,
	    SITE(name),
	    .help = "its name in logs and session tickets, the same on all gateways; the first of "
		    "names if left out" },
	{ .path = "sites[].names",
	    .type = CONF_STRINGS,
	    SITE(names),
	    .help = "host names: \"www.example.com\", \"*.example.com\"" },
	{ .path = "sites[].certificates",
	    .type = CONF_PATHS,
	    SITE(certificates),
	    .help = "files of certificate chains, the site's own first, without keys; one of each "
		    "key type" },
	{ .path = "sites[].tls_profile",
	    .type = CONF_ENUM,
	    .values = "modern|intermediate|legacy",
	    .def = "intermediate",
	    SITE(tls_profile),
	    .help = "modern is TLS 1.3 only; legacy lets clients of the last decade in" },
	{ .path = "sites[].min_version",
	    .type = CONF_ENUM,
	    .values = "default|1.2|1.3",
	    .def = "default",
	    SITE(min_version),
	    .help = "oldest TLS version, instead of the profile's" },
	{ .path = "sites[].max_version",
	    .type = CONF_ENUM,
	    .values = "default|1.2|1.3",
	    .def = "default",
	    SITE(max_version),
	    .help = "newest TLS version, instead of the profile's" },
	{ .path = "sites[].ciphers",
	    .type = CONF_STRING,
	    SITE(ciphers),
	    .help = "TLS 1.2 cipher list by OpenSSL's names, instead of the profile's" },
	{ .path = "sites[].ciphersuites",
	    .type = CONF_STRING,
	    SITE(ciphersuites),
	    .help = "TLS 1.3 cipher suites, instead of the profile's" },
	{ .path = "sites[].groups",
	    .type = CONF_STRINGS,
	    SITE(groups),
	    .help =
		"key exchange groups in order (\"X25519\", \"P-256\"), instead of the profile's" },
	{ .path = "sites[].prefer_client_ciphers",
	    .type = CONF_BOOL,
	    .def = "false",
	    SITE(prefer_client_ciphers),
	    .help = "follow the client's order of ciphers, not the site's" },
	{ .path = "sites[].tls12_tickets",
	    .type = CONF_ENUM,
	    .values = "default|on|off",
	    .def = "default",
	    SITE(tls12_tickets),
	    .help = "session tickets in TLS 1.2; the default is on, but off in modern" },
	{ .path = "sites[].group",
	    .type = CONF_STRING,
	    .def = "default",
	    SITE(group),
	    .help = "which epoch keys its tickets are made with" },
	{ .path = "sites[].session_lifetime",
	    .type = CONF_DURATION,
	    .def = "24h",
	    .min = 1000,
	    .max = 7 * MS_DAY,
	    SITE(session_lifetime),
	    .help = "how long a session can be resumed; TLS 1.3 allows 7d" },
	{ .path = "sites[].resumption",
	    .type = CONF_ENUM,
	    .values = "tickets|stateful|stateful_once|off",
	    .def = "tickets",
	    SITE(resumption),
	    .help =
		"sessions in tickets that the client keeps, in the session cache, there and each "
		"resumed once in the whole cluster, or not at all" },
	{ .path = "sites[].client_certificate", .type = CONF_GROUP, .help = "client certificates" },
	{ .path = "sites[].client_certificate.verify",
	    .type = CONF_ENUM,
	    .values = "none|optional|require|optional_no_ca",
	    .def = "none",
	    SITE(client_certificate.verify),
	    .help = "whether a client is asked for a certificate; optional_no_ca takes any and "
		    "tells the back-end" },
	{ .path = "sites[].client_certificate.depth",
	    .type = CONF_INTEGER,
	    .def = "3",
	    .min = 0,
	    .max = 16,
	    SITE(client_certificate.depth),
	    .help = "certificates between the client's and the CA's, at most" },
	{ .path = "sites[].client_certificate.ca_file",
	    .type = CONF_PATH,
	    SITE(client_certificate.ca_file),
	    .help = "CA certificates that sign clients" },
	{ .path = "sites[].client_certificate.crl_file",
	    .type = CONF_PATH,
	    SITE(client_certificate.crl_file),
	    .help = "revoked client certificates" },
	{ .path = "sites[].headers",
	    .type = CONF_FLAGS,
	    .values = "forwarded|mod_ssl|rfc7239|rfc9440|iis|xfcc|via",
	    .def = "forwarded|mod_ssl",
	    SITE(headers),
	    .help =
		"what the back-end is told: forwarded (X-Forwarded-*), mod_ssl (X-SSL-*), rfc7239 "
		"(Forwarded), rfc9440 (Client-Cert, Client-Cert-Chain), iis (X-ARR-*), xfcc "
		"(X-Forwarded-Client-Cert), via (Via; many servers compress no answer then)" },
	{ .path = "sites[].ignore_case",
	    .type = CONF_BOOL,
	    SITE(ignore_case),
	    .help = "routes are found without regard to case, for servers that have none in paths "
		    "(IIS)" },
	CONF_ROUTES_SITE_OPTIONS,
	{ .path = "sites[].routes[]",
	    .type = CONF_LIST,
	    .max = 65536,
	    .size = sizeof(struct route_conf),
	    SITE(routes),
	    .help = "what answers which paths: a pool, or the files of a folder" },
	{ .path = "sites[].routes[].path",
	    .type = CONF_STRING,
	    .def = "/",
	    ROUTE(path),
	    .help =
		"a prefix of the path, of which the longest that fits counts; \"=/x\" is /x alone, "
		"and goes before prefixes" },
	{ .path = "sites[].routes[].pool",
	    .type = CONF_STRING,
	    ROUTE(pool),
	    .help = "the name of a pool: pool = \"apache\";" },
	CONF_FILES_OPTIONS(ROUTE_AT),
	CONF_POOLS_STREAM,
	CONF_ROUTES_OPTIONS,

	{ .path = "pools[]",
	    .type = CONF_LIST,
	    .max = 65536,
	    .size = sizeof(struct pool_conf),
	    TOP(pools),
	    .help = "servers that answer: pools = ( { name = \"apache\"; servers = ( { address = "
		    "\"10.0.0.11:80\"; } ); } );" },
	{ .path = "pools[].name",
	    .type = CONF_STRING,
	    .required = 1,
	    POOL(name),
	    .help = "what routes call it: name = \"apache\";" },
	{ .path = "pools[].servers[]",
	    .type = CONF_LIST,
	    .required = 1,
	    .min = 1,
	    .max = 4096,
	    .size = sizeof(struct server_conf),
	    POOL(servers),
	    .help = "its servers: servers = ( { address = \"10.0.0.11:80\"; } );" },
	{ .path = "pools[].servers[].address",
	    .type = CONF_STRING,
	    .required = 1,
	    SERVER(address),
	    .help = "host and port, or unix:/path, plain HTTP: address = \"10.0.0.11:80\";" },
	{ .path = "pools[].servers[].weight",
	    .type = CONF_INTEGER,
	    .def = "1",
	    .min = 0,
	    .max = 256,
	    SERVER(weight),
	    .help = "its share of the requests; 0: none, but where no other is left" },
	{ .path = "pools[].servers[].backup",
	    .type = CONF_BOOL,
	    .def = "false",
	    SERVER(backup),
	    .help = "gets requests only where all others fail" },
	{ .path = "pools[].balance",
	    .type = CONF_ENUM,
	    .values = "round_robin|least_connections|client_hash",
	    .def = "round_robin",
	    POOL(balance),
	    .help = "which server is next; client_hash: by the client's address" },
	{ .path = "pools[].max_connections",
	    .type = CONF_INTEGER,
	    .def = "0",
	    .max = 65536,
	    POOL(max_connections),
	    .help = "in use to each server, all workers together; 0: no limit" },
	{ .path = "pools[].queue",
	    .type = CONF_INTEGER,
	    .def = "1024",
	    .max = 65536,
	    POOL(queue),
	    .help = "requests that may wait for one of max_connections; more get 503" },
	{ .path = "pools[].queue_timeout",
	    .type = CONF_DURATION,
	    .def = "5s",
	    .min = 1,
	    .max = MS_HOUR,
	    POOL(queue_timeout),
	    .help = "so long they wait; then they get 503" },
	{ .path = "pools[].proxy_protocol",
	    .type = CONF_ENUM,
	    .values = "off|v1|v2",
	    .def = "off",
	    POOL(proxy_protocol),
	    .help = "servers are told the client's address by a PROXY header; a connection then "
		    "serves one request" },
	{ .path = "pools[].connect_timeout",
	    .type = CONF_DURATION,
	    .def = "2s",
	    .min = 1,
	    .max = MS_HOUR,
	    POOL(connect_timeout),
	    .help = "for a connection to a server" },
	{ .path = "pools[].answer_timeout",
	    .type = CONF_DURATION,
	    .def = "60s",
	    .min = 1,
	    .max = MS_DAY,
	    POOL(answer_timeout),
	    .help = "until a server's answer begins" },
	{ .path = "pools[].idle_timeout",
	    .type = CONF_DURATION,
	    .def = "4s",
	    .max = MS_DAY,
	    POOL(idle_timeout),
	    .help = "an idle connection is kept so long; shorter than the servers do" },
	{ .path = "pools[].idle_connections",
	    .type = CONF_INTEGER,
	    .def = "512",
	    .min = 0,
	    .max = 16384,
	    POOL(idle_connections),
	    .help = "so many are kept to a server, a worker" },
	CONF_POOLS_OPTIONS,

	{ .path = "private_keys",
	    .type = CONF_PATHS,
	    TOP(private_keys),
	    .help = "key files, and folders of them, for the key service on this machine" },
	{ .path = "key_service",
	    .type = CONF_GROUP,
	    .help = "key servers elsewhere, instead of private_keys" },
	{ .path = "key_service.servers",
	    .type = CONF_STRINGS,
	    TOP(key_service.servers),
	    .help = "\"10.0.1.1:2407\" or \"unix:/path\" of each; another takes over from one that "
		    "is out" },
	{ .path = "key_service.protocol",
	    .type = CONF_ENUM,
	    .values = "sslgw|keyless",
	    .def = "sslgw",
	    TOP(key_service.protocol),
	    .help =
		"keyless: the servers are not sslgw's but speak the Keyless protocol; they sign "
		"digests and make no ticket keys" },
	{ .path = "key_service.server_names",
	    .type = CONF_STRINGS,
	    TOP(key_service.server_names),
	    .help = "names in the certificates of keyless servers, any of which will do, if these "
		    "are not the servers' hosts" },
	{ .path = "key_service.ticket_secret_file",
	    .type = CONF_PATH,
	    TOP(key_service.ticket_secret_file),
	    .help =
		"with keyless: what ticket keys are made of, the same file on all gateways; a "
		"secret of 64 hex digits a line; left out: random ones, of this gateway alone" },
	IDENTITY(key_service),
	{ .path = "session_cache",
	    .type = CONF_GROUP,
	    .help = "the session cache; without servers, one on this machine" },
	{ .path = "session_cache.servers",
	    .type = CONF_STRINGS,
	    TOP(session_cache.servers),
	    .help = "\"10.0.1.1:6380\", \"unix:/path\", or a Redis' or Valkey's "
		    "\"redis://10.0.1.1:6379/0\", \"rediss://user@cache.example:6379/0\"" },
	{ .path = "session_cache.copies",
	    .type = CONF_INTEGER,
	    .def = "2",
	    .min = 1,
	    .max = 4,
	    TOP(session_cache.copies),
	    .help = "servers that keep each session, of those that there are" },
	{ .path = "session_cache.stores_per_client",
	    .type = CONF_RATE,
	    .def = "0",
	    .max = 1e6,
	    TOP(session_cache.stores_per_client),
	    .help = "\"600/min\": sessions that are stored for the clients of a /24 (IPv6: of a "
		    "/56), in each worker; a minute's worth at once; 0: no limit" },
	{ .path = "session_cache.password_file",
	    .type = CONF_PATH,
	    TOP(session_cache.password_file),
	    .help = "the servers' password, on a line" },
	{ .path = "session_cache.server_name",
	    .type = CONF_STRING,
	    TOP(session_cache.server_name),
	    .help =
		"the name in the certificates of rediss:// servers, if it is not the URL's host" },
	IDENTITY(session_cache),
	{ .path = "session_cache.max_memory",
	    .type = CONF_SIZE,
	    .def = "64M",
	    .min = 1 << 20,
	    .max = 6.87e10, /* 64 GiB: what the cache can index */
	    TOP(session_cache.max_memory),
	    .help = "memory for the sessions of the one on this machine" },
	CONF_CLIENTS_OPTIONS,
	ADMINCONF_OPTIONS(ADMIN),
	{ .path = "workers",
	    .type = CONF_INTEGER,
	    .def = "0",
	    .max = GATEWAY_WORKERS_MAX,
	    TOP(workers),
	    .help = "worker processes; 0: one a CPU" },
	{ .path = "user", .type = CONF_STRING, TOP(user), .help = "who runs workers and monitor" },
	{ .path = "key_user",
	    .type = CONF_STRING,
	    TOP(key_user),
	    .help = "who runs the key service on this machine" },
	{ .path = "cache_user",
	    .type = CONF_STRING,
	    TOP(cache_user),
	    .help = "who runs the session cache on this machine" },
	{ .path = "services_dir",
	    .type = CONF_PATH,
	    TOP(services_dir),
	    .help = "where sslgw-keysvc and sslgw-cachesvc lie, if not beside sslgw" },
	{ .path = "runtime_dir", .type = CONF_PATH, TOP(runtime_dir), .help = "for sockets" },
	{ .path = "state_dir",
	    .type = CONF_PATH,
	    TOP(state_dir),
	    .help = "for what outlives a restart" },
	{ .path = "pid_file",
	    .type = CONF_PATH,
	    TOP(pid_file),
	    .help = "for the master's process id" },
};

enum { OPTIONS_N = sizeof(options) / sizeof(options[0]) };

static int sites_name(struct gateway_conf *);
static void routes_exact(struct site_conf *);

struct gateway_conf *gateway_conf_new(const struct conf_text *text, struct conf_errors *errors)
{
	struct gateway_conf *conf = calloc(1, sizeof(*conf));
	size_t before = conf_errors_n(errors);
	const char *where;

	if (conf == NULL)
		return NULL;
	/* The checks go on after errors: what is wrong is told at once. */
	(void)!conf_parse(text, options, OPTIONS_N, conf, errors);
	where = conf_where(&conf->sites);
	conf->selfsigned = where != NULL && strcmp(where, CONF_COMMAND_LINE) == 0 &&
			   conf->sites.n == 1 && conf->sites.at[0].certificates.n == 0;
	if (sites_name(conf) == -1)
		conf_reject(errors, conf, "out of memory");
	conf_check(conf, errors);
	if (conf_errors_n(errors) == before)
		return conf;
	gateway_conf_free(conf);
	return NULL;
}

void gateway_conf_free(struct gateway_conf *conf)
{
	if (conf == NULL)
		return;
	conf_free(options, OPTIONS_N, conf);
	free(conf);
}

const struct conf_option *gateway_conf_options(size_t *n)
{
	*n = OPTIONS_N;
	return options;
}

void conf_write_string(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', f);
		if (*s == '$' && s[1] == '{')
			fputc('$', f); /* a shell has replaced what it should */
		fputc(*s, f);
	}
	fputc('"', f);
}

char *gateway_conf_quick(const char *listen, const char *backend, const char *cert, const char *key)
{
	char *text = NULL, *folder = realpath(".", NULL);
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL) {
		free(folder);
		return NULL;
	}
	/* A mark of line 0: messages name the command line, and relative paths begin here. */
	fprintf(f, "#@ \"%s\" 0 ", CONF_COMMAND_LINE);
	conf_write_string(f, folder != NULL ? folder : "");
	fputs("\nlisteners = ( { address = ", f);
	conf_write_string(f, listen);
	fputs("; } );\nsites = ( { name = \"default\"; routes = ( { path = \"/\"; pool = "
	      "\"default\"; } );",
	    f);
	if (cert != NULL) {
		fputs(" certificates = [ ", f);
		conf_write_string(f, cert);
		fputs(" ];", f);
	}
	fputs(" } );\npools = ( { name = \"default\"; servers = ( { address = ", f);
	conf_write_string(f, backend);
	fputs("; } ); } );\n", f);
	if (key != NULL) {
		fputs("private_keys = [ ", f);
		conf_write_string(f, key);
		fputs(" ];\n", f);
	}
	free(folder);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* Host names are compared in lower case from here on; a site without a name takes its first. */
static int sites_name(struct gateway_conf *conf)
{
	for (size_t i = 0; i < conf->sites.n; i++) {
		struct site_conf *site = &conf->sites.at[i];

		routes_exact(site);
		for (size_t j = 0; j < site->names.n; j++) {
			for (char *c = site->names.at[j]; *c != '\0'; c++) {
				if (*c >= 'A' && *c <= 'Z')
					*c = (char)(*c - 'A' + 'a');
			}
		}
		if (site->name == NULL && site->names.n != 0) {
			site->name = strdup(site->names.at[0]);
			if (site->name == NULL)
				return -1;
		}
	}
	return 0;
}

/* "=/x" is "/x" with exact. */
static void routes_exact(struct site_conf *site)
{
	for (size_t i = 0; i < site->routes.n; i++) {
		struct route_conf *route = &site->routes.at[i];

		if (route->path == NULL || route->path[0] != '=')
			continue;
		route->exact = true;
		memmove(route->path, route->path + 1, strlen(route->path));
	}
}

unsigned gateway_conf_workers(const struct gateway_conf *conf)
{
	unsigned n = conf->workers != 0 ? (unsigned)conf->workers : cpus_usable();

	return n > GATEWAY_WORKERS_MAX ? GATEWAY_WORKERS_MAX : n;
}
