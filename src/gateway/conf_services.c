/*
 * conf_services.c: the checks of key_service and session_cache in gateway.conf: addresses, and what
 * mutual TLS, or a Redis, needs besides.
 */
#include <string.h>
#include <strings.h>

#include "net/peers.h"

#include "gateway/conf_check.h"
#include "gateway/remote.h"

#include "base/poison.h"

/* What the servers of one service have in common. */
struct common {
	unsigned kinds; /* bits: 1 << enum remote_kind */
	bool hosts_differ, users_differ, numeric;
	struct remote first; /* that is no Unix socket */
};

static void take(struct common *all, const struct remote *r)
{
	if (r->kind != REMOTE_UNIX && (all->kinds & ~(1U << REMOTE_UNIX)) == 0)
		all->first = *r;
	all->kinds |= 1U << r->kind;
	if (r->kind == REMOTE_UNIX)
		return;
	all->hosts_differ |= strcasecmp(all->first.host, r->host) != 0;
	all->users_differ |= strcmp(all->first.user, r->user) != 0;
	all->numeric |= r->at.len != 0;
}

static struct common check_servers(
    const struct conf_strings *servers, bool redis, struct conf_errors *errors)
{
	struct common all = { 0 };

	for (size_t i = 0; i < servers->n; i++) {
		struct remote r;
		const char *wrong = remote_parse(servers->at[i], redis, &r);

		if (wrong != NULL) {
			conf_reject(errors, servers, "servers: \"%s\": %s", servers->at[i], wrong);
			continue;
		}
		for (size_t k = 0; k < i; k++) {
			if (strcasecmp(servers->at[k], servers->at[i]) == 0)
				conf_reject(errors, servers,
				    "servers: \"%s\" is given twice: leave one out",
				    servers->at[i]);
		}
		take(&all, &r);
	}
	if (servers->n > PEERS_MAX)
		conf_reject(errors, servers, "servers: %zu are too many: at most %d are used",
		    servers->n, PEERS_MAX);
	return all;
}

/* field: where it is told. */
static void check_identity(const struct identity_conf *id, const struct common *all,
    const void *field, const char *group, struct conf_errors *errors)
{
	bool mutual = (all->kinds & 1U << REMOTE_TLS) != 0;
	bool tls = mutual || (all->kinds & 1U << REMOTE_REDISS) != 0;

	if (mutual && id->file == NULL)
		conf_reject(errors, field,
		    "%s: servers and gateway want to know each other: add identity = \"gw1.pem\"; "
		    "identity_key = \"gw1.key\"; ca_file = \"cluster-ca.pem\"; as sslgwctl pki "
		    "makes them",
		    group);
	else if (tls && id->ca_file == NULL)
		conf_reject(errors, field,
		    "%s: the servers' certificates need a CA to verify them: add ca_file = "
		    "\"cluster-ca.pem\";",
		    group);
	if (id->key != NULL && id->file == NULL)
		conf_reject(errors, &id->key, "identity_key needs identity beside it");
}

static bool any_identity(const struct identity_conf *id)
{
	return id->file != NULL || id->key != NULL || id->ca_file != NULL || id->deny_file != NULL;
}

/* Foreign servers are known by names, not by roles. */
static void check_foreign(
    const struct gateway_conf *conf, const struct common *all, struct conf_errors *errors)
{
	const struct conf_strings *names = &conf->key_service.server_names;

	if (conf->key_service.protocol != KEYS_KEYLESS) {
		if (names->n > 0)
			conf_reject(errors, names,
			    "key_service: server_names are for protocol = \"keyless\"; servers of "
			    "sslgw are known by their role");
		if (conf->key_service.ticket_secret_file != NULL)
			conf_reject(errors, &conf->key_service.ticket_secret_file,
			    "key_service: ticket_secret_file is for protocol = \"keyless\"; "
			    "servers "
			    "of sslgw make the ticket keys");
		return;
	}
	for (size_t i = 0; i < names->n; i++) {
		if (names->at[i][0] == '\0' || strlen(names->at[i]) >= REMOTE_HOST_MAX ||
		    strpbrk(names->at[i], " \t*/:") != NULL)
			conf_reject(errors, names,
			    "key_service: server_names: \"%s\" is no name: write "
			    "\"keys.example.com\"",
			    names->at[i]);
	}
	if (all->numeric && names->n == 0)
		conf_reject(errors, &conf->key_service.servers,
		    "key_service: the names in the servers' certificates cannot be told from "
		    "numeric addresses: add server_names = [ \"keys.example.com\" ];");
}

static void check_keys(const struct gateway_conf *conf, struct conf_errors *errors)
{
	const struct conf_strings *servers = &conf->key_service.servers;
	const struct identity_conf *id = &conf->key_service.identity;
	struct common all = check_servers(servers, false, errors);

	if (servers->n == 0) {
		if (any_identity(id) || conf->key_service.protocol != KEYS_SSLGW ||
		    conf->key_service.server_names.n > 0 ||
		    conf->key_service.ticket_secret_file != NULL)
			conf_reject(errors, &conf->key_service,
			    "key_service without servers: add servers = [ \"10.0.1.1:2407\" ];, or "
			    "leave key_service out");
		return;
	}
	if (conf->private_keys.n > 0)
		conf_reject(errors, &conf->private_keys,
		    "private_keys and key_service.servers do not go together: the keys belong to "
		    "the key servers; leave one out");
	check_identity(id, &all, servers, "key_service", errors);
	check_foreign(conf, &all, errors);
}

static void check_redis(
    const struct gateway_conf *conf, const struct common *all, struct conf_errors *errors)
{
	const struct conf_strings *servers = &conf->session_cache.servers;
	unsigned tcp = all->kinds & ~(1U << REMOTE_UNIX);

	if ((tcp & (tcp - 1)) != 0)
		conf_reject(errors, servers,
		    "servers must all be of one kind: host:port, redis:// or rediss://");
	if (all->users_differ)
		conf_reject(errors, servers, "servers must all have the same user");
	if (all->first.user[0] != '\0' && conf->session_cache.password_file == NULL)
		conf_reject(errors, servers,
		    "user \"%s\" needs a password: add password_file = \"cache.password\";",
		    all->first.user);
	if (tcp != 1U << REMOTE_REDISS) {
		if (conf->session_cache.server_name != NULL)
			conf_reject(errors, &conf->session_cache.server_name,
			    "server_name is for rediss:// servers");
		return;
	}
	if (conf->session_cache.server_name == NULL && (all->hosts_differ || all->numeric))
		conf_reject(errors, servers,
		    "the name in the servers' certificates cannot be told from their addresses: "
		    "add server_name = \"cache.example\";");
}

static void check_cache(const struct gateway_conf *conf, struct conf_errors *errors)
{
	const struct conf_strings *servers = &conf->session_cache.servers;
	const struct identity_conf *id = &conf->session_cache.identity;
	struct common all = check_servers(servers, true, errors);

	if (servers->n == 0) {
		if (any_identity(id) || conf->session_cache.password_file != NULL ||
		    conf->session_cache.server_name != NULL)
			conf_reject(errors, &conf->session_cache.servers,
			    "session_cache without servers: add servers = [ \"10.0.1.1:6380\" ];, "
			    "or leave all but max_memory out");
		return;
	}
	check_redis(conf, &all, errors);
	check_identity(id, &all, servers, "session_cache", errors);
}

void conf_check_services(const struct gateway_conf *conf, struct conf_errors *errors)
{
	check_keys(conf, errors);
	check_cache(conf, errors);
}
