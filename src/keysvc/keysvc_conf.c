/*
 * keysvc_conf.c: the table of options, and the checks across them. Called by main.
 */
#include "keysvc/keysvc_conf.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/generation.h"
#include "keysvc/epochs.h"
#include "keysvc/lanes.h"
#include "keysvc/policy.h"
#include "net/endpoint.h"
#include "net/network.h"
#include "proc/privileges.h"

#include "base/poison.h"

#define AT(field) offsetof(struct keysvc_conf, field)
#define AT_ADMIN(field) AT(admin.field)
#define CALLER(field) offsetof(struct caller_conf, field)

static const struct conf_option options[] = {
	{ "listen", CONF_STRINGS, NULL, NULL,
	    "where gateways ask: \"*:2407\" (mutual TLS), \"unix:/path\"", 0, 0, AT(listen), 0, 0 },
	{ "identity", CONF_PATH, NULL, NULL,
	    "certificate chain of this service, role sslgw:keysvc; for TLS", 0, 0, AT(identity), 0,
	    0 },
	{ "identity_key", CONF_PATH, NULL, NULL, "its private key, PEM", 0, 0, AT(identity_key), 0,
	    0 },
	{ "ca_file", CONF_PATH, NULL, NULL,
	    "certificates of the CA that signs the cluster's programs", 0, 0, AT(ca_file), 0, 0 },
	{ "deny_file", CONF_PATH, NULL, NULL,
	    "stolen identities: a line each, the SHA-256 of its public key; looked at every 2 s", 0,
	    0, AT(deny_file), 0, 0 },
	{ "keys", CONF_PATHS, NULL, NULL, "private keys: PEM files, or folders of them", 0, 0,
	    AT(keys), 0, 0 },
	{ "user", CONF_STRING, NULL, NULL, "run as this user (name or number)", 0, 0, AT(user), 0,
	    0 },
	{ "group", CONF_STRING, NULL, NULL, "and this group; default: the user's", 0, 0, AT(group),
	    0, 0 },
	{ "caller_users", CONF_STRINGS, NULL, NULL,
	    "users that may ask on Unix sockets; default: the same user, and root", 0, 0,
	    AT(caller_users), 0, 0 },
	{ "allow", CONF_FLAGS, GRANT_NAMES, "tls-sign|epoch-keys|keys|chains",
	    "what callers on Unix sockets may ask for", 0, 0, AT(allow), 0, 0 },
	{ "callers[]", CONF_LIST, NULL, NULL,
	    "who may ask by TLS; of several that fit, the first: callers = ( { name = \"gw*\"; "
	    "networks = [ \"10.0.0.0/8\" ]; keys = [ \"shop.example.com\" ]; groups = [ "
	    "\"default\" "
	    "]; } );",
	    0, RULES_MAX, AT(callers), sizeof(struct caller_conf), 0 },
	{ "callers[].name", CONF_STRING, NULL, NULL,
	    "the first DNS name in the caller's certificate; * stands for any text", 0, 0,
	    CALLER(name), 0, 1 },
	{ "callers[].role", CONF_ENUM, "gateway|keysvc|operator|none", "gateway",
	    "the certificate's role (URI sslgw:gateway); none: a foreign client of the same CA", 0,
	    0, CALLER(role), 0, 0 },
	{ "callers[].networks", CONF_STRINGS, NULL, NULL,
	    "where it may ask from: \"10.0.0.0/8\", \"fd00::/8\"; left out: anywhere", 0, 0,
	    CALLER(networks), 0, 0 },
	{ "callers[].keys", CONF_STRINGS, NULL, NULL,
	    "which keys: key files (* stands for any text), host names of the certificate beside "
	    "the "
	    "key, or SKIs in hex",
	    0, 0, CALLER(keys), 0, 0 },
	{ "callers[].groups", CONF_STRINGS, NULL, NULL,
	    "groups of sites whose epoch keys it may have", 0, 0, CALLER(groups), 0, 0 },
	{ "callers[].allow", CONF_FLAGS, GRANT_NAMES, "tls-sign|epoch-keys|keys|chains",
	    "what it may ask for; digest-sign signs anything, for foreign Keyless clients", 0, 0,
	    CALLER(allow), 0, 0 },
	{ "callers[].rate", CONF_RATE, NULL, "5000/s",
	    "private-key operations that it gets, from this server", 1, 1e9, CALLER(rate), 0, 0 },
	{ "callers[].unsafe_raw_rsa", CONF_STRINGS, NULL, NULL,
	    "keys with which it may do raw RSA (opcode 01), named as in keys: it can then sign and "
	    "decrypt anything",
	    0, 0, CALLER(unsafe_raw_rsa), 0, 0 },
	{ "tls12", CONF_ENUM, "sentinel|any|off", "sentinel",
	    "TLS 1.2 signatures: where TLS 1.3 was possible (sentinel), any, off", 0, 0, AT(tls12),
	    0, 0 },
	{ "tls12_any", CONF_STRINGS, NULL, NULL,
	    "key files, or their names without the folder, that sign any TLS 1.2: sites without "
	    "TLS 1.3",
	    0, 0, AT(tls12_any), 0, 0 },
	{ "cluster_secret_file", CONF_PATH, NULL, NULL,
	    "where ticket secrets outlive a restart; default: memory only", 0, 0,
	    AT(cluster_secret_file), 0, 0 },
	{ "peers", CONF_STRINGS, NULL, NULL,
	    "the other key services, which share these secrets: \"10.0.1.2:2407\"", 0, 0, AT(peers),
	    0, 0 },
	{ "epoch_period", CONF_DURATION, NULL, "1h", "ticket keys change so often; divides a day",
	    600e3, 3600e3, AT(epoch_period), 0, 0 },
	{ "generation_lifetime", CONF_DURATION, NULL, "7d",
	    "the secret behind them is made anew so often", 86400e3, 365 * 86400e3,
	    AT(generation_lifetime), 0, 0 },
	{ "threads", CONF_INTEGER, NULL, "1", "threads that sign; 0: one a CPU", 0,
	    LANES_THREADS_MAX, AT(threads), 0, 0 },
	{ "slow_threads", CONF_INTEGER, NULL, "1", "threads for RSA keys above 3072 bits", 1,
	    LANES_THREADS_MAX, AT(slow_threads), 0, 0 },
	{ "queue", CONF_INTEGER, NULL, "1024", "signatures that may wait for a thread", 1, 65536,
	    AT(queue), 0, 0 },
	{ "deadline", CONF_DURATION, NULL, "250ms",
	    "a signature that would take so long is refused", 1, 60e3, AT(deadline), 0, 0 },
	{ "connections", CONF_INTEGER, NULL, "1024", "connections at most", 1, 65536,
	    AT(connections), 0, 0 },
	ADMINCONF_OPTIONS(AT_ADMIN),
};
enum { OPTIONS_N = sizeof(options) / sizeof(options[0]) };

const struct conf_option *keysvc_conf_options(size_t *n)
{
	*n = OPTIONS_N;
	return options;
}

static void check_users(const struct keysvc_conf *conf, struct conf_errors *errors)
{
	uid_t uid;
	gid_t gid;

	if (conf->user != NULL && privileges_user(conf->user, &uid, &gid) == -1)
		conf_reject(errors, &conf->user,
		    "user \"%s\" does not exist: add it, or name another", conf->user);
	if (conf->group != NULL && privileges_group(conf->group, &gid) == -1)
		conf_reject(errors, &conf->group,
		    "group \"%s\" does not exist: add it, or name another", conf->group);
	if (conf->caller_users.n > POLICY_UIDS_MAX)
		conf_reject(errors, &conf->caller_users, "more than %d users", POLICY_UIDS_MAX);
	for (size_t i = 0; i < conf->caller_users.n; i++) {
		if (privileges_user(conf->caller_users.at[i], &uid, NULL) == -1)
			conf_reject(errors, &conf->caller_users,
			    "user \"%s\" does not exist: add it, or leave it out",
			    conf->caller_users.at[i]);
	}
}

static bool is_unix(const char *address)
{
	return strncmp(address, "unix:", 5) == 0;
}

static void check_identity(const struct keysvc_conf *conf, struct conf_errors *errors)
{
	if (conf->identity == NULL)
		conf_reject(errors, &conf->identity,
		    "TCP is served by mutual TLS only: add identity = \"ks1.pem\"; (sslgwctl pki "
		    "makes one)");
	if (conf->identity_key == NULL)
		conf_reject(errors, &conf->identity_key,
		    "TCP is served by mutual TLS only: add identity_key = \"ks1.key\";");
	if (conf->ca_file == NULL)
		conf_reject(errors, &conf->ca_file,
		    "TCP is served by mutual TLS only: add ca_file = \"cluster-ca.pem\";");
	if (conf->callers_n == 0 && conf->peers.n == 0)
		conf_reject(errors, &conf->callers,
		    "nobody may ask by TLS: add callers = ( { name = \"gw*\"; networks = [ "
		    "\"10.0.0.0/8\" ]; keys = [ \"shop.example.com\" ]; groups = [ \"default\" ]; "
		    "} "
		    ");");
}

static void check_caller(const struct caller_conf *caller, struct conf_errors *errors)
{
	struct network network;

	for (size_t i = 0; i < caller->networks.n; i++) {
		if (network_parse(&network, caller->networks.at[i]) == -1)
			conf_reject(errors, &caller->networks,
			    "\"%s\" is no network: write \"10.0.0.0/8\", \"10.0.0.7\" or "
			    "\"fd00::/8\"; bits behind the prefix are 0",
			    caller->networks.at[i]);
	}
	if ((caller->allow & GRANTS_OF_KEYS) != 0 && caller->keys.n == 0)
		conf_reject(errors, &caller->keys,
		    "caller \"%s\" has no keys: add keys = [ \"shop.example.com\" ]", caller->name);
	if ((caller->allow & GRANT_EPOCH_KEYS) != 0 && caller->groups.n == 0)
		conf_reject(errors, &caller->groups,
		    "caller \"%s\" has no groups: add groups = [ \"default\" ], or leave "
		    "epoch-keys "
		    "out of allow",
		    caller->name);
}

static void check_peers(const struct keysvc_conf *conf, struct conf_errors *errors)
{
	struct endpoint at;
	bool tcp = false;

	if (conf->peers.n > EPOCHS_PEERS_MAX)
		conf_reject(errors, &conf->peers, "more than %d peers", EPOCHS_PEERS_MAX);
	for (size_t i = 0; i < conf->peers.n; i++) {
		tcp = tcp || !is_unix(conf->peers.at[i]);
		if (endpoint_parse(&at, conf->peers.at[i]) == -1)
			conf_reject(errors, &conf->peers,
			    "\"%s\" is no address: write \"10.0.1.2:2407\"", conf->peers.at[i]);
	}
	if (tcp && (conf->identity == NULL || conf->identity_key == NULL || conf->ca_file == NULL))
		conf_reject(errors, &conf->peers,
		    "peers are asked by mutual TLS: add identity, identity_key and ca_file");
}

static void check_standalone(const struct keysvc_conf *conf, struct conf_errors *errors)
{
	struct endpoint at;
	bool tcp = false;

	if (conf->listen.n == 0)
		conf_reject(errors, &conf->listen,
		    "nothing to listen on: add listen = [ \"*:2407\" ] or [ \"unix:/path\" ]");
	for (size_t i = 0; i < conf->listen.n; i++) {
		const char *address = conf->listen.at[i];

		tcp = tcp || !is_unix(address);
		if (endpoint_parse(&at, address) == -1 ||
		    (is_unix(address) && address[strlen("unix:")] != '/'))
			conf_reject(errors, &conf->listen,
			    "\"%s\" is no address: write \"*:2407\", \"10.0.1.1:2407\" or "
			    "\"unix:/path\"",
			    address);
	}
	if (tcp)
		check_identity(conf, errors);
	check_peers(conf, errors);
	for (size_t i = 0; i < conf->callers_n; i++)
		check_caller(&conf->callers[i], errors);
	if (conf->keys.n == 0)
		conf_reject(
		    errors, &conf->keys, "no private keys: add keys = [ \"/etc/sslgw/private/\" ]");
}

struct keysvc_conf *keysvc_conf_new(
    const struct conf_text *text, bool embedded, struct conf_errors *errors)
{
	struct keysvc_conf *conf = calloc(1, sizeof(*conf));

	if (conf == NULL)
		return NULL;
	if (conf_parse(text, options, OPTIONS_N, conf, errors) == 0) {
		if (!generation_period_valid(conf->epoch_period / 1000) ||
		    conf->epoch_period % 1000 != 0)
			conf_reject(errors, &conf->epoch_period,
			    "does not divide a day: use 10m, 15m, 20m, 30m or 1h");
		check_users(conf, errors);
		if (!embedded)
			check_standalone(conf, errors);
		adminconf_check(&conf->admin, errors);
		if (conf_errors_n(errors) == 0)
			return conf;
	}
	keysvc_conf_free(conf);
	return NULL;
}

void keysvc_conf_free(struct keysvc_conf *conf)
{
	if (conf == NULL)
		return;
	conf_free(options, OPTIONS_N, conf);
	free(conf);
}
