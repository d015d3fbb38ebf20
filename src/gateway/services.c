/*
 * services.c: see services.h. A service has one tlsctx and one list of servers; a change of the deny
 * list or of a name's addresses goes to its client.
 */
#include "gateway/services.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "gateway/cluster/signcount.h"
#include "gateway/cluster/keyclient.h"
#include "gateway/cluster/sessioncache.h"
#include "gateway/remote.h"
#include "gateway/roles.h"
#include "gateway/worker.h"

#include "base/poison.h"

enum { SERVICES_EXPIRY_S = 6 * 3600 };

struct services {
	struct worker *worker;
	struct tlsctx *keys_tls, *cache_tls; /* NULL: Unix sockets only */
	struct remotes *keys, *cache; /* NULL: embedded */
	struct signcount *signcount; /* NULL: key servers of ours elsewhere are none */
	struct endpoint list[PEERS_MAX]; /* scratch */
	char hosts[SERVICES_HOSTS_MAX]; /* scratch */
};

/* ---- what TLS is made of */

static void of_identity(struct tlsctx_params *p, const struct identity_conf *id)
{
	*p = (struct tlsctx_params){
		.identity_file = id->file,
		.key_file = id->key != NULL ? id->key : id->file,
		.ca_file = id->ca_file,
		.deny_file = id->deny_file,
	};
}

/* The names of foreign servers, with a space between two. */
static void keys_hosts(const struct gateway_conf *conf, char *hosts, size_t size)
{
	const struct conf_strings *names = &conf->key_service.server_names,
				  *servers = &conf->key_service.servers;
	struct remote r;

	hosts[0] = '\0';
	for (size_t i = 0; i < (names->n > 0 ? names : servers)->n; i++) {
		const char *name = names->n > 0 ? names->at[i] : r.host;

		if (names->n == 0 &&
		    (remote_parse(servers->at[i], false, &r) != NULL || r.kind == REMOTE_UNIX))
			continue;
		if (hosts[0] != '\0')
			strlcat(hosts, " ", size);
		strlcat(hosts, name, size);
	}
}

bool services_keys_tls(
    const struct gateway_conf *conf, struct tlsctx_params *p, char hosts[static SERVICES_HOSTS_MAX])
{
	of_identity(p, &conf->key_service.identity);
	p->roles = ROLE_KEYSVC;
	if (conf->key_service.protocol == KEYS_KEYLESS) {
		keys_hosts(conf, hosts, SERVICES_HOSTS_MAX);
		p->host = hosts;
	}
	return conf->key_service.servers.n > 0 && p->ca_file != NULL;
}

bool services_cache_tls(
    const struct gateway_conf *conf, struct tlsctx_params *p, char host[static REMOTE_HOST_MAX])
{
	const struct conf_strings *servers = &conf->session_cache.servers;
	struct remote r = { .kind = REMOTE_UNIX };

	of_identity(p, &conf->session_cache.identity);
	p->roles = ROLE_CACHESVC;
	for (size_t i = 0; i < servers->n && r.kind == REMOTE_UNIX; i++)
		(void)remote_parse(servers->at[i], true, &r);
	if (r.kind == REMOTE_UNIX || r.kind == REMOTE_REDIS || p->ca_file == NULL)
		return false;
	if (r.kind == REMOTE_REDISS && conf->session_cache.server_name != NULL) {
		p->host = conf->session_cache.server_name;
	} else if (r.kind == REMOTE_REDISS) { /* all bear the same: see conf_services.c */
		strlcpy(host, r.host, REMOTE_HOST_MAX);
		p->host = host;
	}
	return true;
}

int services_password(const char *file, char *buf, size_t buf_size, char *error, size_t size)
{
	FILE *f = fopen(file, "re");
	bool line = f != NULL && fgets(buf, (int)buf_size, f) != NULL;

	if (!line) {
		snprintf(error, size, "%s: %s", file,
		    f == NULL ? strerror(errno)
			      : "it is empty: put the password on its first line");
		if (f != NULL)
			fclose(f);
		return -1;
	}
	fclose(f);
	buf[strcspn(buf, "\r\n")] = '\0';
	if (buf[0] != '\0' && strlen(buf) < buf_size - 1)
		return 0;
	snprintf(error, size, "%s: its first line is empty or too long for a password", file);
	return -1;
}

/* ---- making */

static void say_expiry(
    const char *service, const struct identity_conf *id, const struct tlsctx *tls)
{
	int64_t left = tlsctx_not_after(tls) - time(NULL);

	if (id->file == NULL || left > SERVICES_EXPIRY_S)
		return;
	log_warnx("%s: the identity %s %s: renew it (sslgwctl pki), then reload", service, id->file,
	    left > 0 ? "expires within hours" : "has expired");
}

static void keys_denied(void *arg)
{
	struct services *s = arg;

	keyclient_recheck(s->worker->keys);
}

static void cache_denied(void *arg)
{
	struct services *s = arg;

	sessioncache_recheck(s->worker->sessions);
}

static int make_keys(struct services *s, const struct roles_given *role, const uint8_t *token,
    char *error, size_t size)
{
	const struct gateway_conf *conf = s->worker->conf;
	struct keyclient_params params = {
		.servers = &role->keys, .n = 1, .owner = role->owner, .token = token
	};
	struct tlsctx_params tls;

	params.foreign = conf->key_service.protocol == KEYS_KEYLESS;
	arc4random_buf(&params.worker, sizeof params.worker);
	if (conf->key_service.servers.n > 0) {
		s->keys = remotes_new(&conf->key_service.servers);
		if (s->keys == NULL)
			return -1;
		params.n = remotes_list(s->keys, s->list, PEERS_MAX);
		params.servers = s->list;
		params.owner = (uid_t)-1;
		params.token = NULL;
		params.counters = params.foreign ? NULL : role->counters;
	}
	if (services_keys_tls(conf, &tls, s->hosts)) {
		s->keys_tls = tlsctx_new(&tls, error, size);
		if (s->keys_tls == NULL)
			return -1;
		say_expiry("key service", &conf->key_service.identity, s->keys_tls);
	}
	params.tls = s->keys_tls;
	s->worker->keys = keyclient_new(s->worker->loop, &params);
	if (s->worker->keys == NULL)
		return -1;
	if (params.counters != NULL && (s->signcount = signcount_new(s->worker->loop,
					    s->worker->keys, params.counters)) == NULL)
		return -1;
	if (s->keys_tls != NULL)
		tlsctx_watch(s->keys_tls, s->worker->loop, keys_denied, s);
	return 0;
}

void services_user(const struct conf_strings *servers, char *user, size_t size)
{
	struct remote r;

	user[0] = '\0';
	for (size_t i = 0; i < servers->n && user[0] == '\0'; i++) {
		if (remote_parse(servers->at[i], true, &r) == NULL)
			strlcpy(user, r.user, size);
	}
}

static bool is_any_used_once(const struct gateway_conf *conf)
{
	for (size_t i = 0; i < conf->sites.n; i++)
		if (conf->sites.at[i].resumption == RESUME_STATEFUL_ONCE)
			return true;
	return false;
}

static int make_cache(struct services *s, const struct roles_given *role, const uint8_t *token,
    char *error, size_t size)
{
	const struct gateway_conf *conf = s->worker->conf;
	char password[SESSIONCACHE_PASSWORD_MAX], user[SESSIONCACHE_USER_MAX] = "",
						  host[REMOTE_HOST_MAX];
	struct sessioncache_params params = { .servers = &role->cache,
		.n = 1,
		.copies = (unsigned)conf->session_cache.copies,
		.owner = role->owner,
		.password = password,
		.found = s->worker->counters.cache_found,
		.repairs = s->worker->counters.cache_repairs,
		.claims = is_any_used_once(conf) };
	struct tlsctx_params tls;

	hex_write(password, token, KEYCLIENT_TOKEN_LEN);
	if (conf->session_cache.servers.n > 0) {
		s->cache = remotes_new(&conf->session_cache.servers);
		if (s->cache == NULL)
			return -1;
		params.n = remotes_list(s->cache, s->list, PEERS_MAX);
		params.servers = s->list;
		params.owner = (uid_t)-1;
		services_user(&conf->session_cache.servers, user, sizeof user);
		if (conf->session_cache.password_file == NULL)
			params.password = NULL;
		else if (services_password(conf->session_cache.password_file, password,
			     sizeof password, error, size) != 0)
			return -1;
		params.user = user[0] != '\0' ? user : NULL;
	}
	if (services_cache_tls(conf, &tls, host)) {
		s->cache_tls = tlsctx_new(&tls, error, size);
		if (s->cache_tls == NULL)
			return -1;
		say_expiry("session cache", &conf->session_cache.identity, s->cache_tls);
	}
	params.tls = s->cache_tls;
	s->worker->sessions = sessioncache_new(s->worker->loop, &params);
	explicit_bzero(password, sizeof password);
	if (s->worker->sessions == NULL)
		return -1;
	if (s->cache_tls != NULL)
		tlsctx_watch(s->cache_tls, s->worker->loop, cache_denied, s);
	return 0;
}

struct services *services_new(struct worker *worker, const struct roles_given *role,
    const uint8_t *token, char *error, size_t size)
{
	struct services *s = calloc(1, sizeof *s);

	snprintf(error, size, "out of memory at start");
	if (s == NULL)
		return NULL;
	s->worker = worker;
	if (make_keys(s, role, token, error, size) == 0 &&
	    make_cache(s, role, token, error, size) == 0)
		return s;
	services_free(s);
	return NULL;
}

void services_free(struct services *s)
{
	if (s == NULL)
		return;
	sessioncache_free(s->worker->sessions);
	signcount_free(s->signcount);
	keyclient_free(s->worker->keys);
	s->worker->sessions = NULL;
	s->worker->keys = NULL;
	tlsctx_free(s->cache_tls);
	tlsctx_free(s->keys_tls);
	remotes_free(s->cache);
	remotes_free(s->keys);
	free(s);
}

void services_drain(struct services *s)
{
	if (s->signcount != NULL)
		signcount_drain(s->signcount);
}

/* ---- names */

void services_resolved(struct services *s, const char *host, const struct endpoint *found, size_t n)
{
	if (s->signcount != NULL)
		signcount_tell(s->signcount); /* one may go */
	if (s->keys != NULL && remotes_resolved(s->keys, host, found, n) &&
	    keyclient_servers(
		s->worker->keys, s->list, remotes_list(s->keys, s->list, PEERS_MAX)) != 0)
		log_warnx("key service: out of memory: %s keeps its former addresses", host);
	if (s->cache != NULL && remotes_resolved(s->cache, host, found, n) &&
	    sessioncache_servers(
		s->worker->sessions, s->list, remotes_list(s->cache, s->list, PEERS_MAX)) != 0)
		log_warnx("session cache: out of memory: %s keeps its former addresses", host);
}
