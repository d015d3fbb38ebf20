/*
 * cachesvc_conf.c: the table of options, and the checks across them. Called by main.
 */
#include "cachesvc/cachesvc_conf.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cachesvc/store.h"
#include "net/endpoint.h"
#include "proc/privileges.h"

#include "base/poison.h"

#define AT(field) offsetof(struct cachesvc_conf, field)
#define AT_ADMIN(field) AT(admin.field)

static const struct conf_option options[] = {
	{ "listen", CONF_STRINGS, NULL, NULL,
	    "where gateways ask: \"*:6380\" (mutual TLS, where there is an identity), "
	    "\"unix:/path\"",
	    0, 0, AT(listen), 0, 0 },
	{ "identity", CONF_PATH, NULL, NULL,
	    "certificate chain of this service, role sslgw:cachesvc; for TLS", 0, 0, AT(identity),
	    0, 0 },
	{ "identity_key", CONF_PATH, NULL, NULL, "its private key, PEM", 0, 0, AT(identity_key), 0,
	    0 },
	{ "ca_file", CONF_PATH, NULL, NULL,
	    "certificates of the CA that signs the cluster's programs; gateways and operators are "
	    "served",
	    0, 0, AT(ca_file), 0, 0 },
	{ "deny_file", CONF_PATH, NULL, NULL,
	    "stolen identities: a line each, the SHA-256 of its public key; looked at every 2 s", 0,
	    0, AT(deny_file), 0, 0 },
	{ "listen_plain", CONF_STRINGS, NULL, NULL,
	    "addresses without TLS beside an identity: \"127.0.0.1:6379\", for Apache and Redis's "
	    "tools",
	    0, 0, AT(listen_plain), 0, 0 },
	{ "allow_plain_network", CONF_BOOL, NULL, "false",
	    "lets addresses without TLS be others than loopback's: all that passes can be read, "
	    "and "
	    "without password_file anybody can read and write sessions",
	    0, 0, AT(allow_plain_network), 0, 0 },
	{ "max_memory", CONF_SIZE, NULL, "64M", "memory for all sessions, with their index",
	    (double)STORE_MEMORY_MIN, (double)STORE_MEMORY_MAX, AT(max_memory), 0, 0 },
	{ "user", CONF_STRING, NULL, NULL, "run as this user (name or number)", 0, 0, AT(user), 0,
	    0 },
	{ "group", CONF_STRING, NULL, NULL, "and this group; default: the user's", 0, 0, AT(group),
	    0, 0 },
	{ "caller_users", CONF_STRINGS, NULL, NULL,
	    "users that may call on Unix sockets; default: the same user, and root", 0, 0,
	    AT(caller_users), 0, 0 },
	{ "password_file", CONF_PATH, NULL, NULL,
	    "a file whose first line AUTH must name, but for TLS; default: no AUTH", 0, 0,
	    AT(password_file), 0, 0 },
	{ "connections", CONF_INTEGER, NULL, "1024", "connections at most", 1, 65536,
	    AT(connections), 0, 0 },
	{ "idle_timeout", CONF_DURATION, NULL, "0s",
	    "a connection that is idle for so long is closed; 0: never", 0, 86400e3,
	    AT(idle_timeout), 0, 0 },
	ADMINCONF_OPTIONS(AT_ADMIN),
};
enum { OPTIONS_N = sizeof(options) / sizeof(options[0]) };

const struct conf_option *cachesvc_conf_options(size_t *n)
{
	*n = OPTIONS_N;
	return options;
}

static void check_users(const struct cachesvc_conf *conf, struct conf_errors *errors)
{
	uid_t uid;
	gid_t gid;

	if (conf->user != NULL && privileges_user(conf->user, &uid, &gid) != 0)
		conf_reject(errors, &conf->user,
		    "user \"%s\" does not exist: add it, or name another", conf->user);
	if (conf->group != NULL && privileges_group(conf->group, &gid) != 0)
		conf_reject(errors, &conf->group,
		    "group \"%s\" does not exist: add it, or name another", conf->group);
	if (conf->caller_users.n > CACHESVC_CALLERS_MAX)
		conf_reject(
		    errors, &conf->caller_users, "more than %d users", CACHESVC_CALLERS_MAX);
	for (size_t i = 0; i < conf->caller_users.n; i++)
		if (privileges_user(conf->caller_users.at[i], &uid, NULL) != 0)
			conf_reject(errors, &conf->caller_users,
			    "user \"%s\" does not exist: add it, or leave it out",
			    conf->caller_users.at[i]);
}

bool cachesvc_conf_is_loopback(const struct endpoint *e)
{
	const struct sockaddr_in *in = (const void *)&e->addr;
	const struct sockaddr_in6 *in6 = (const void *)&e->addr;

	if (e->addr.ss_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	return e->addr.ss_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

bool cachesvc_conf_is_tls(const struct cachesvc_conf *conf, const char *listen)
{
	return conf->identity != NULL && strncmp(listen, "unix:", strlen("unix:")) != 0;
}

static void check_plain(const struct cachesvc_conf *conf, const struct conf_strings *list,
    const char *address, const struct endpoint *e, struct conf_errors *errors)
{
	if (!cachesvc_conf_is_loopback(e) && !conf->allow_plain_network)
		conf_reject(errors, list,
		    "\"%s\" is open to the network without TLS: give this service an identity "
		    "(sslgwctl pki makes one), or write 127.0.0.1:%u or unix:/path, or say "
		    "allow_plain_network = true",
		    address, endpoint_port(e));
}

static void check_addresses(
    const struct cachesvc_conf *conf, const struct conf_strings *list, struct conf_errors *errors)
{
	struct endpoint e;

	for (size_t i = 0; i < list->n; i++) {
		if (endpoint_parse(&e, list->at[i]) != 0)
			conf_reject(errors, list,
			    "\"%s\" is no address: write *:6380, 127.0.0.1:6380 or unix:/path",
			    list->at[i]);
		else if (list == &conf->listen_plain && e.addr.ss_family == AF_UNIX)
			conf_reject(errors, list, "\"%s\" belongs into listen", list->at[i]);
		else if (list == &conf->listen_plain || !cachesvc_conf_is_tls(conf, list->at[i]))
			check_plain(conf, list, list->at[i], &e, errors);
	}
}

static void check_listen(const struct cachesvc_conf *conf, struct conf_errors *errors)
{
	if (conf->listen.n + conf->listen_plain.n == 0 && conf_errors_n(errors) == 0)
		conf_reject(errors, &conf->listen,
		    "nothing to listen on: add listen = [ \"unix:/run/sslgw/cache\" ]");
	if (conf->listen.n + conf->listen_plain.n > CACHESVC_LISTEN_MAX)
		conf_reject(errors, &conf->listen, "more than %d addresses", CACHESVC_LISTEN_MAX);
	check_addresses(conf, &conf->listen, errors);
	check_addresses(conf, &conf->listen_plain, errors);
}

/* TLS is mutual: all three, or none. */
static void check_identity(const struct cachesvc_conf *conf, struct conf_errors *errors)
{
	if (conf->identity == NULL && conf->identity_key == NULL && conf->ca_file == NULL) {
		if (conf->deny_file != NULL)
			conf_reject(errors, &conf->deny_file,
			    "deny_file is for TLS: add identity, identity_key and ca_file");
		return;
	}
	if (conf->identity == NULL)
		conf_reject(errors, &conf->identity,
		    "TLS needs an identity: add identity = \"cs1.pem\"; (sslgwctl pki makes one)");
	if (conf->identity_key == NULL)
		conf_reject(errors, &conf->identity_key,
		    "TLS needs the identity's key: add identity_key = \"cs1.key\";");
	if (conf->ca_file == NULL)
		conf_reject(errors, &conf->ca_file,
		    "TLS needs to know who signs gateways: add ca_file = \"cluster-ca.pem\";");
}

struct cachesvc_conf *cachesvc_conf_new(
    const struct conf_text *text, bool embedded, struct conf_errors *errors)
{
	struct cachesvc_conf *conf = calloc(1, sizeof(*conf));

	if (conf == NULL)
		return NULL;
	/* Checked also where it is wrong: all errors are told at once. */
	if (conf_parse(text, options, OPTIONS_N, conf, errors) == 0 || conf_errors_n(errors) > 0) {
		check_users(conf, errors);
		check_identity(conf, errors);
		if (!embedded)
			check_listen(conf, errors);
	}
	adminconf_check(&conf->admin, errors);
	if (conf_errors_n(errors) == 0)
		return conf;
	cachesvc_conf_free(conf);
	return NULL;
}

void cachesvc_conf_free(struct cachesvc_conf *conf)
{
	if (conf == NULL)
		return;
	conf_free(options, OPTIONS_N, conf);
	free(conf);
}
