/*
 * gateway_conf.h: what gateway.conf says, checked. The master reads it for all roles; each role
 * parses the same text again and then treats it as const for its life.
 * Durations are ms, sizes bytes. Strings are owned by the struct.
 */
#ifndef GATEWAY_GATEWAY_CONF_H
#define GATEWAY_GATEWAY_CONF_H

#include <stdbool.h>
#include <stdio.h>

#include "base/conf.h"
#include "proc/adminconf.h"

enum listener_mode { LISTENER_TLS, LISTENER_REDIRECT, LISTENER_PLAIN };
/* A listening socket's kind: its mode, and with a bit whether PROXY headers come. */
enum { LISTENER_PROXIED = 0x10, LISTENER_MODE = 0x0f };
enum tls_profile { TLS_PROFILE_MODERN, TLS_PROFILE_INTERMEDIATE, TLS_PROFILE_LEGACY };
enum tls_version { TLS_VERSION_DEFAULT, TLS_VERSION_1_2, TLS_VERSION_1_3 }; /* "default|1.2|1.3" */
enum resumption { RESUME_TICKETS, RESUME_STATEFUL, RESUME_STATEFUL_ONCE, RESUME_OFF };
enum clientcert_verify {
	CLIENTCERT_NONE,
	CLIENTCERT_OPTIONAL,
	CLIENTCERT_REQUIRE,
	CLIENTCERT_OPTIONAL_NO_CA
};
/* In which fields trusted proxies say who their client is. Of the others nobody knows who wrote them. */
enum trusted_header { TRUSTED_X_FORWARDED, TRUSTED_FORWARDED };
enum keys_protocol { KEYS_SSLGW, KEYS_KEYLESS };
enum headers_profile {
	HEADERS_FORWARDED = 1,
	HEADERS_MOD_SSL = 2,
	HEADERS_RFC7239 = 4,
	HEADERS_RFC9440 = 8,
	HEADERS_IIS = 16,
	HEADERS_XFCC = 32,
	HEADERS_VIA = 64
}; /* bits, in the order of the option's values */
/* What becomes of a path that servers read in different ways. SAFE: it passes if each reading of it is
 * on the same route. */
enum path_policy { PATH_OF_SITE, PATH_SAFE, PATH_REFUSE, PATH_PASS };
enum rewrite { REWRITE_LOCATION = 1, REWRITE_COOKIES = 2 };

struct listener_conf {
	char *address; /* "*:443", "[::]:443", "127.0.0.1:0", "unix:/path" */
	int mode; /* enum listener_mode */
	bool proxy_protocol; /* a PROXY header comes first */
};

struct paths_conf {
	/* enum path_policy; of a site, one less */
	int encoded_slash, backslash, parameters, double_slash;
};

/* Names and templates (%{fact}), as pairs; names. */
struct fields_conf {
	struct conf_strings add, remove; /* in the request that a server gets */
	struct conf_strings answer_add, answer_remove;
};

/* Each that is not empty must be met, by one of its patterns. */
struct require_conf {
	struct conf_strings subject, issuer, san; /* of a verified certificate; * is any text */
	struct conf_strings networks;
};

/* One of pool, files, redirect and respond is there. */
struct route_conf {
	char *path; /* prefix; "/" matches all. Without the "=" that makes it exact */
	char *pool;
	char *files; /* a folder */
	char *files_index, *files_cache, *files_charset;
	bool files_symlinks; /* those that stay within the folder are followed */
	bool stream; /* bodies of requests are passed on from the first byte */
	bool exact;
	bool plain; /* on redirect listeners, too */
	char *strip_prefix, *add_prefix; /* NULL: none */
	unsigned rewrite; /* bits of enum rewrite */
	char *redirect; /* template */
	int64_t redirect_status; /* 0: 301, or 308 where the method matters */
	struct {
		int64_t status; /* 0: 200, if there is a body */
		char *body, *type;
	} respond;
	struct paths_conf paths;
	struct fields_conf fields;
	struct require_conf require;
};

struct site_conf {
	char *name; /* default: the first of names, lower case; part of the scope */
	struct conf_strings names; /* host names, "*.example.com" */
	struct conf_strings certificates; /* chain files: leaf first, no keys */
	int tls_profile; /* enum tls_profile */
	int min_version, max_version; /* enum tls_version */
	char *ciphers; /* TLS 1.2 list, OpenSSL names; NULL: the profile's */
	char *ciphersuites; /* TLS 1.3; NULL: the profile's */
	struct conf_strings groups; /* "X25519", "P-256", ...; empty: the profile's */
	bool prefer_client_ciphers;
	int tls12_tickets; /* enum: "default|on|off" (default: on, but off in modern) */
	char *group; /* which epoch keys its tickets are made with */
	bool ignore_case; /* of paths: for servers that do */
	uint64_t session_lifetime; /* ms */
	int resumption; /* enum resumption */
	struct {
		int verify; /* enum clientcert_verify */
		int64_t depth;
		char *ca_file, *crl_file;
	} client_certificate;
	unsigned headers; /* bits of enum headers_profile */
	uint64_t hsts; /* ms; 0: none */
	bool hsts_subdomains;
	struct paths_conf paths;
	struct fields_conf fields;
	struct require_conf require;
	struct {
		struct route_conf *at;
		size_t n;
	} routes;
};

enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS, BALANCE_CLIENT_HASH };

struct server_conf {
	char *address; /* "host:port", "unix:/path" */
	int64_t weight; /* its share; 0: only where no other is left */
	bool backup; /* only where no other is well */
};

struct pool_conf {
	char *name;
	struct {
		struct server_conf *at;
		size_t n;
	} servers;
	int proxy_protocol; /* to its servers: 0, or the version */
	uint64_t connect_timeout, answer_timeout, idle_timeout; /* ms */
	int64_t idle_connections; /* kept to a server, a worker */
	int balance; /* enum balance */
	int64_t max_connections; /* in use, to each server, of all workers; 0: no limit */
	int64_t queue; /* requests that may wait for one, of all workers */
	uint64_t queue_timeout; /* ms */
	int64_t max_fails; /* in a row, until a server is spared; 0: none is */
	uint64_t fail_timeout; /* ms; so long at most */
	uint64_t slow_start; /* ms; 0: a server that came back has its whole share at once */
	char *sticky_cookie; /* its name; NULL: none */
	char *sticky_secret; /* NULL: none */
	struct {
		char *path; /* NULL: a connection is opened, no more */
		char *host; /* NULL: the server's address */
		char *status; /* "200-399,404" */
		uint64_t interval, timeout; /* ms; see pool_conf_interval() */
		int64_t rise, fall; /* in a row */
	} health_check;
};

/* Mutual TLS with the servers of a service. */
struct identity_conf {
	char *file; /* chain, the own certificate first; NULL: none */
	char *key; /* NULL: in the same file */
	char *ca_file; /* who signs the servers */
	char *deny_file; /* NULL: none */
};

struct gateway_conf {
	char *user, *key_user, *cache_user; /* NULL: not named */
	int64_t workers; /* 0: one a CPU */
	struct {
		struct listener_conf *at;
		size_t n;
	} listeners;
	struct conf_strings trusted_proxies; /* networks, "unix:" */
	int trusted_header; /* enum trusted_header */
	struct {
		struct site_conf *at;
		size_t n;
	} sites;
	struct {
		struct pool_conf *at;
		size_t n;
	} pools;
	struct conf_strings private_keys; /* key files and folders, for the embedded key service */
	struct {
		struct conf_strings servers; /* empty: embedded */
		int protocol; /* enum keys_protocol */
		struct conf_strings
		    server_names; /* in certificates of KEYS_KEYLESS servers; empty: their hosts */
		char *ticket_secret_file; /* KEYS_KEYLESS; NULL: random secrets */
		struct identity_conf identity;
	} key_service;
	struct {
		uint64_t max_memory; /* bytes, embedded cache */
		struct conf_strings servers; /* empty: embedded */
		int64_t copies; /* of each session */
		uint64_t stores_per_client; /* a second, a worker; 0: no limit */
		char *password_file; /* for AUTH; NULL: none */
		char *
		    server_name; /* in the certificates of rediss:// servers; NULL: the URL's host */
		struct identity_conf identity;
	} session_cache;
	struct {
		uint64_t handshake, head, body, idle, write, tunnel, drain; /* ms */
	} timeouts;
	struct {
		int64_t connections; /* 0: from the descriptor limit */
		int64_t handshakes; /* that wait for a signature, a worker */
		uint64_t head; /* bytes */
		int64_t fields;
		uint64_t body; /* 0: none */
		uint64_t body_rate; /* bytes a second, at least; 0: any */
		int64_t connections_per_client; /* a worker; 0: no limit */
		uint64_t handshakes_per_client; /* a second, a worker; 0: no limit */
		uint64_t request_buffer; /* bytes of a body before a server is asked */
		uint64_t request_buffers; /* bytes of all that are kept, a worker; 0: no limit */
		uint64_t response_buffer; /* bytes of an answer that its client has not taken */
		uint64_t response_buffers; /* bytes of all such, a worker; 0: no limit */
	} limits;
	struct {
		char *file; /* a path, "stderr", "syslog:/dev/log"; NULL: none */
		char *format; /* "combined", "json", or text with %{variables} */
		bool connections; /* those without a request get a line, too */
	} access_log;
	struct adminconf admin;
	char *
	    services_dir; /* where sslgw-keysvc and sslgw-cachesvc lie; NULL: beside sslgw, then sbindir */
	char *runtime_dir; /* NULL: RUNDIR, or a folder made for the run */
	char *state_dir; /* the embedded key service's epoch file; NULL: STATEDIR */
	char *pid_file;
	bool
	    selfsigned; /* the command line named no certificate: the one site gets a self-signed one */
};

/* NULL: errors say why, with file, line and mend. Checks everything that needs no file but the text:
 * addresses, names and pools that exist, doubled names, ranges, versions that contradict. */
struct gateway_conf *gateway_conf_new(const struct conf_text *, struct conf_errors *);
void gateway_conf_free(struct gateway_conf *);
const struct conf_option *gateway_conf_options(
    size_t *n); /* for --help-config, the man page and -T */

/* A string of a config text, in quotes. */
void conf_write_string(FILE *, const char *);

/* What messages about the quick form name instead of a file. */
#define CONF_COMMAND_LINE "the command line"

/* The quick form: a config text in the heap for --listen, --backend and, where not NULL, --cert and --key. */
char *gateway_conf_quick(
    const char *listen, const char *backend, const char *cert, const char *key);

enum { POOL_CONF_INTERVAL_MS = 2000 };
/* From one check of a server to the next, ms; 0: they are not checked. */
uint64_t pool_conf_interval(const struct pool_conf *);
/* Whether the list holds that status: 1, 0; -1: it is no such list. */
int pool_conf_status(const char *ranges, unsigned status);

enum { GATEWAY_WORKERS_MAX = 64 };
/* workers, or one a CPU where that is 0. */
unsigned gateway_conf_workers(const struct gateway_conf *);

#endif
