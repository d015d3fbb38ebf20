/*
 * live.c: -t --live: is everything reached that a gateway of this configuration would ask? Each key
 * server, each cache server, each back-end for itself, all at once, for LIVE_MS.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "gateway/cluster/keyclient.h"
#include "gateway/cluster/sessioncache.h"
#include "gateway/keycheck.h"
#include "gateway/master/master_private.h"
#include "gateway/remote.h"
#include "gateway/services.h"
#include "net/stream.h"

#include "base/poison.h"

enum { LIVE_MS = 3000, LIVE_AGAIN_MS = 50, LIVE_PROBES_MAX = 4096, LIVE_TEXT_MAX = 400 };

/* One server of one kind. */
struct probe {
	TAILQ_ENTRY(probe) link;
	struct live *live;
	const char *what; /* "key server" */
	char text[LIVE_TEXT_MAX]; /* as the configuration names it, and its address */
	struct keyclient *keys;
	struct keycheck *check;
	struct sessioncache *cache;
	struct stream *stream;
	struct deadline again;
	bool answered, wrong;
};

struct live {
	const struct gateway_conf *conf;
	struct loop *loop;
	struct tlsctx *keys_tls, *cache_tls;
	char hosts[SERVICES_HOSTS_MAX]; /* scratch */
	char user[SESSIONCACHE_USER_MAX], password[SESSIONCACHE_PASSWORD_MAX];
	TAILQ_HEAD(, probe) probes;
	size_t open, n, wrong;
	struct deadline patience;
};

static void over(struct probe *p, bool wrong)
{
	if (p->answered)
		return;
	p->answered = true;
	p->wrong = wrong;
	if (!wrong)
		fprintf(stderr, "%s %s: good\n", p->what, p->text);
	if (--p->live->open == 0)
		loop_stop(p->live->loop);
}

/* ---- one of each kind */

static void keys_checked(void *arg, unsigned wrong)
{
	over(arg, wrong > 0); /* what is wrong was said */
}

static void probe_keys(struct probe *p, const struct endpoint *at)
{
	struct live *live = p->live;

	p->keys = keyclient_new(
	    live->loop, &(struct keyclient_params){ .servers = at,
			    .n = 1,
			    .owner = (uid_t)-1,
			    .tls = live->keys_tls,
			    .foreign = live->conf->key_service.protocol == KEYS_KEYLESS });
	if (p->keys != NULL)
		p->check = keycheck_new(live->loop, p->keys, live->conf, keys_checked, p);
}

static void ask_cache(struct deadline *);

static bool cache_said(void *arg, enum sessioncache_result result, struct bytes value)
{
	struct probe *p = arg;

	(void)value;
	if (result == SESSIONCACHE_DOWN) /* while it connects, too */
		deadline_set(p->live->loop, &p->again, LIVE_AGAIN_MS, ask_cache);
	else
		over(p, false);
	return true;
}

static void ask_cache(struct deadline *d)
{
	struct probe *p = CONTAINER_OF(d, struct probe, again);
	uint8_t name[SEAL_NAME_LEN];

	arc4random_buf(name, sizeof name);
	if (sessioncache_get(p->cache, name, cache_said, p) == NULL)
		deadline_set(p->live->loop, &p->again, LIVE_AGAIN_MS, ask_cache);
}

static void probe_cache(struct probe *p, const struct endpoint *at)
{
	struct live *live = p->live;

	p->cache = sessioncache_new(
	    live->loop, &(struct sessioncache_params){ .servers = at,
			    .n = 1,
			    .copies = 1,
			    .owner = (uid_t)-1,
			    .tls = live->cache_tls,
			    .user = live->user[0] != '\0' ? live->user : NULL,
			    .password = live->password[0] != '\0' ? live->password : NULL });
	if (p->cache != NULL)
		deadline_set(live->loop, &p->again, 0, ask_cache);
}

static void backend_opened(void *arg)
{
	over(arg, false);
}

static void backend_nothing(void *arg)
{
	(void)arg;
}

static void backend_closed(void *arg, enum reason reason)
{
	struct probe *p = arg;

	stream_close(p->stream);
	p->stream = NULL;
	if (!p->answered)
		log_errorx("back-end %s: %s", p->text, reason_text(reason));
	over(p, true);
}

static void probe_backend(struct probe *p, const struct endpoint *at)
{
	static const struct stream_events events = { .opened = backend_opened,
		.input = backend_nothing,
		.drained = backend_nothing,
		.closed = backend_closed };

	p->stream = stream_connect(p->live->loop, at, NULL, &events, p);
}

/* ---- all */

static void add(struct live *live, const char *what, const char *text, const struct endpoint *at,
    void (*probe)(struct probe *, const struct endpoint *))
{
	struct probe *p = live->n < LIVE_PROBES_MAX ? calloc(1, sizeof *p) : NULL;
	char address[ENDPOINT_TEXT_MAX];

	if (p == NULL)
		return;
	p->live = live;
	p->what = what;
	endpoint_text(at, address, sizeof address);
	if (strcmp(text, address) == 0)
		strlcpy(p->text, text, sizeof p->text);
	else
		snprintf(p->text, sizeof p->text, "%s (%s)", text, address);
	TAILQ_INSERT_TAIL(&live->probes, p, link);
	live->n++;
	live->open++;
	probe(p, at);
}

/* A name is looked up as this machine does it; each of its addresses is a server. */
static void add_name(struct live *live, const char *what, const char *text, const char *host,
    uint16_t port, void (*probe)(struct probe *, const struct endpoint *))
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found, *a;
	struct endpoint at = { 0 };
	char number[8];
	int rc;

	snprintf(number, sizeof number, "%u", port);
	rc = getaddrinfo(host, number, &hints, &found);
	if (rc != 0) {
		log_errorx("%s %s: cannot resolve %s: %s", what, text, host, gai_strerror(rc));
		live->wrong++;
		return;
	}
	for (a = found; a != NULL; a = a->ai_next) {
		at.len = a->ai_addrlen;
		memcpy(&at.addr, a->ai_addr, a->ai_addrlen);
		add(live, what, text, &at, probe);
	}
	freeaddrinfo(found);
}

static void add_servers(struct live *live, const char *what, const struct conf_strings *servers,
    void (*probe)(struct probe *, const struct endpoint *))
{
	struct remote r;

	for (size_t i = 0; i < servers->n; i++) {
		if (remote_parse(servers->at[i], true, &r) != NULL)
			continue;
		if (r.at.len != 0)
			add(live, what, servers->at[i], &r.at, probe);
		else
			add_name(live, what, servers->at[i], r.host, r.port, probe);
	}
}

static void add_backends(struct live *live)
{
	const struct gateway_conf *conf = live->conf;
	char host[REMOTE_HOST_MAX];
	struct endpoint at;
	uint16_t port;

	for (size_t i = 0; i < conf->pools.n; i++) {
		for (size_t k = 0; k < conf->pools.at[i].servers.n; k++) {
			const char *text = conf->pools.at[i].servers.at[k].address;

			if (endpoint_parse(&at, text) == 0)
				add(live, "back-end", text, &at, probe_backend);
			else if (endpoint_split(text, host, sizeof host, &port) == 0)
				add_name(live, "back-end", text, host, port, probe_backend);
		}
	}
}

static void late(struct deadline *d)
{
	struct live *live = CONTAINER_OF(d, struct live, patience);

	loop_stop(live->loop);
}

static int make_tls(struct live *live)
{
	const char *file = live->conf->session_cache.password_file;
	struct tlsctx_params tls;
	char why[512] = "", host[REMOTE_HOST_MAX];

	if (services_keys_tls(live->conf, &tls, live->hosts) &&
	    (live->keys_tls = tlsctx_new(&tls, why, sizeof why)) == NULL)
		goto fail;
	if (services_cache_tls(live->conf, &tls, host) &&
	    (live->cache_tls = tlsctx_new(&tls, why, sizeof why)) == NULL)
		goto fail;
	services_user(&live->conf->session_cache.servers, live->user, sizeof live->user);
	if (file == NULL ||
	    services_password(file, live->password, sizeof live->password, why, sizeof why) == 0)
		return 0;
fail:
	log_errorx("%s", why);
	return -1;
}

static void end(struct live *live)
{
	struct probe *p;

	while ((p = TAILQ_FIRST(&live->probes)) != NULL) {
		if (!p->answered)
			log_errorx("%s %s: no answer within %d ms", p->what, p->text, LIVE_MS);
		live->wrong += !p->answered || p->wrong;
		p->answered = true; /* the end is no news to it */
		keycheck_free(p->check);
		keyclient_free(p->keys);
		sessioncache_free(p->cache);
		if (p->stream != NULL)
			stream_close(p->stream);
		deadline_clear(live->loop, &p->again);
		TAILQ_REMOVE(&live->probes, p, link);
		free(p);
	}
	deadline_clear(live->loop, &live->patience);
	tlsctx_free(live->keys_tls);
	tlsctx_free(live->cache_tls);
	explicit_bzero(live->password, sizeof live->password);
}

int master_live(struct loop *loop, const struct gateway_conf *conf)
{
	struct live *live = calloc(1, sizeof *live);
	int status;

	if (live == NULL)
		return EXIT_RUNTIME;
	live->conf = conf;
	live->loop = loop;
	TAILQ_INIT(&live->probes);
	if (make_tls(live) != 0) {
		live->wrong++;
	} else {
		add_servers(live, "key server", &conf->key_service.servers, probe_keys);
		add_servers(live, "cache server", &conf->session_cache.servers, probe_cache);
		add_backends(live);
	}
	deadline_set(loop, &live->patience, LIVE_MS, late);
	if (live->open > 0)
		loop_run(loop);
	end(live);
	status = live->wrong > 0 ? EXIT_RUNTIME : 0;
	free(live);
	return status;
}
