/*
 * keysvc_conf.c: the table of options, and the checks across them. Called by main.
 */
#include "keysvc/keysvc_conf.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/generation.h"
#include "keysvc/lanes.h"
#include "keysvc/policy.h"
#include "proc/privileges.h"

#include "base/poison.h"

#define AT(field) offsetof(struct keysvc_conf, field)

static const struct conf_option options[] = {
	{ "listen", CONF_STRINGS, NULL, NULL, "addresses: unix:/path", 0, 0, AT(listen), 0, 0 },
	{ "keys", CONF_PATHS, NULL, NULL, "private keys: PEM files, or folders of them", 0, 0,
	    AT(keys), 0, 0 },
	{ "user", CONF_STRING, NULL, NULL, "run as this user (name or number)", 0, 0, AT(user), 0,
	    0 },
	{ "group", CONF_STRING, NULL, NULL, "and this group; default: the user's", 0, 0, AT(group),
	    0, 0 },
	{ "caller_users", CONF_STRINGS, NULL, NULL,
	    "users that may ask; default: the same user, and root", 0, 0, AT(caller_users), 0, 0 },
	{ "allow", CONF_FLAGS, "tls-sign|epoch-keys|keys", "tls-sign|epoch-keys|keys",
	    "what callers may ask for", 0, 0, AT(allow), 0, 0 },
	{ "tls12", CONF_ENUM, "sentinel|any|off", "sentinel",
	    "TLS 1.2 signatures: where TLS 1.3 was possible (sentinel), any, off", 0, 0, AT(tls12),
	    0, 0 },
	{ "tls12_any", CONF_STRINGS, NULL, NULL,
	    "key files that sign any TLS 1.2: sites without TLS 1.3", 0, 0, AT(tls12_any), 0, 0 },
	{ "cluster_secret_file", CONF_PATH, NULL, NULL,
	    "where ticket secrets outlive a restart; default: memory only", 0, 0,
	    AT(cluster_secret_file), 0, 0 },
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
	{ "deadline", CONF_DURATION, NULL, "300ms", "a signature that waited so long is refused", 1,
	    60e3, AT(deadline), 0, 0 },
	{ "connections", CONF_INTEGER, NULL, "1024", "connections at most", 1, 65536,
	    AT(connections), 0, 0 },
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

static void check_standalone(const struct keysvc_conf *conf, struct conf_errors *errors)
{
	if (conf->listen.n == 0)
		conf_reject(
		    errors, &conf->listen, "nothing to listen on: add listen = [ \"unix:/path\" ]");
	for (size_t i = 0; i < conf->listen.n; i++) {
		if (strncmp(conf->listen.at[i], "unix:/", 6) != 0)
			conf_reject(errors, &conf->listen,
			    "\"%s\": only Unix sockets can be listened on: write unix:/path",
			    conf->listen.at[i]);
	}
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
