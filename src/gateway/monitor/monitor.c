/*
 * monitor.c: see monitor.h. A name is asked for again when its TTL is over, within bounds; after a
 * failure sooner and then less and less often, and what was last good stays good.
 */
#include "gateway/monitor/monitor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/log.h"
#include "gateway/monitor/health.h"
#include "gateway/monitor/resolve.h"
#include "gateway/monitor/status.h"
#include "gateway/remote.h"
#include "proc/channel.h"
#include "proc/signals.h"

#include "base/poison.h"

enum {
	MONITOR_BEAT_MS = 1000,
	MONITOR_READY_MS = 3000,
	MONITOR_TTL_MIN_S = 5,
	MONITOR_TTL_MAX_S = 3600,
	MONITOR_RETRY_MIN_MS = 1000,
	MONITOR_RETRY_MAX_MS = 30000,
	MONITOR_LINE_MAX = 1400,
};

struct name {
	struct monitor *monitor;
	char *host;
	char line[MONITOR_LINE_MAX]; /* last said */
	uint64_t retry_ms; /* 0: the last answer was good */
	bool answered; /* well or badly */
	struct deadline again;
};

struct monitor {
	struct loop *loop;
	struct channel *channel;
	struct resolver *resolver;
	struct health *health;
	const struct gateway_conf *conf;
	struct name *names;
	size_t n;
	struct deadline beat, patience;
	_Atomic uint64_t *beat_cell;
	bool ready;
	char told[MONITOR_LINE_MAX]; /* scratch */
};

static void say_ready(struct monitor *m)
{
	if (m->ready || m->channel == NULL)
		return;
	m->ready = true;
	deadline_clear(m->loop, &m->patience);
	channel_send(m->channel, NULL, 0, "ready");
}

static void patience_cb(struct deadline *deadline)
{
	say_ready(CONTAINER_OF(deadline, struct monitor, patience));
}

static void ask_cb(struct deadline *deadline);

static void said(struct name *name)
{
	struct monitor *m = name->monitor;

	name->answered = true;
	if (m->ready)
		return;
	for (size_t i = 0; i < m->n; i++)
		if (!m->names[i].answered)
			return;
	say_ready(m);
}

static void failed(struct name *name, const char *why)
{
	if (name->retry_ms == 0)
		log_warnx("cannot resolve %s: %s%s", name->host, why,
		    name->line[0] != '\0' ? ": its last addresses stay in use" : "");
	name->retry_ms = name->retry_ms == 0 ? MONITOR_RETRY_MIN_MS : name->retry_ms * 2;
	if (name->retry_ms > MONITOR_RETRY_MAX_MS)
		name->retry_ms = MONITOR_RETRY_MAX_MS;
	deadline_set(name->monitor->loop, &name->again, name->retry_ms, ask_cb);
}

/* Only a change of the addresses is news: their order and the TTL are not. */
static int by_bytes(const void *a, const void *b)
{
	const struct endpoint *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return memcmp(&x->addr, &y->addr, x->len);
}

static void took(struct name *name, const struct resolved *answer)
{
	struct monitor *m = name->monitor;
	struct resolved *sorted = malloc(sizeof *sorted);
	char line[MONITOR_LINE_MAX];
	uint64_t ttl = answer->ttl;

	if (ttl < MONITOR_TTL_MIN_S)
		ttl = MONITOR_TTL_MIN_S;
	if (ttl > MONITOR_TTL_MAX_S)
		ttl = MONITOR_TTL_MAX_S;
	if (name->retry_ms > 0)
		log_info("%s resolves again", name->host);
	name->retry_ms = 0;
	health_resolved(m->health, name->host, answer->endpoints, answer->n);
	deadline_set(m->loop, &name->again, ttl * 1000, ask_cb);
	if (sorted == NULL)
		return;
	*sorted = *answer;
	sorted->ttl = 0;
	qsort(sorted->endpoints, sorted->n, sizeof sorted->endpoints[0], by_bytes);
	if (resolved_print(sorted, line, sizeof line) == 0 && strcmp(line, name->line) != 0 &&
	    m->channel != NULL) {
		sorted->ttl = (unsigned)ttl;
		/* What the channel did not take is news still. */
		if (resolved_print(sorted, m->told, sizeof m->told) == 0 &&
		    channel_send(m->channel, NULL, 0, "resolved %s", m->told) == 0)
			strlcpy(name->line, line, sizeof name->line);
	}
	free(sorted);
}

static void answer_cb(void *arg, const struct resolved *answer, const char *why)
{
	struct name *name = arg;

	if (answer == NULL)
		failed(name, why);
	else
		took(name, answer);
	said(name);
}

static void ask_cb(struct deadline *deadline)
{
	struct name *name = CONTAINER_OF(deadline, struct name, again);

	if (resolver_ask(name->monitor->resolver, name->host, answer_cb, name) != 0)
		failed(name, "out of memory");
}

/* ---- which servers are well */

static int health_changed(void *arg, const struct healthword *word)
{
	struct monitor *m = arg;

	if (m->channel == NULL || healthword_print(m->conf, word, m->told, sizeof m->told) != 0)
		return -1;
	return channel_send(m->channel, NULL, 0, "health %s", m->told);
}

/* ---- which names there are */

static bool known(const struct monitor *m, const char *host)
{
	for (size_t i = 0; i < m->n; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): all have one */
		if (strcasecmp(m->names[i].host, host) == 0)
			return true;
	return false;
}

static void add_host(struct monitor *m, const char *host)
{
	if (known(m, host))
		return;
	m->names[m->n].host = strdup(host);
	m->names[m->n].monitor = m;
	if (m->names[m->n].host != NULL)
		m->n++;
}

static void add_name(struct monitor *m, const char *address)
{
	char host[RESOLVED_HOST_MAX];
	struct endpoint numeric;
	uint16_t port;

	if (endpoint_parse(&numeric, address) == 0 ||
	    endpoint_split(address, host, sizeof host, &port) != 0)
		return;
	add_host(m, host);
}

static void add_servers(struct monitor *m, const struct conf_strings *servers)
{
	struct remote r;

	for (size_t i = 0; i < servers->n; i++) {
		if (remote_parse(servers->at[i], true, &r) == NULL && r.at.len == 0)
			add_host(m, r.host);
	}
}

static int find_names(struct monitor *m, const struct gateway_conf *conf)
{
	size_t servers = conf->key_service.servers.n + conf->session_cache.servers.n;

	for (size_t i = 0; i < conf->pools.n; i++)
		servers += conf->pools.at[i].servers.n;
	m->names = calloc(servers + 1, sizeof *m->names);
	if (m->names == NULL)
		return -1;
	for (size_t i = 0; i < conf->pools.n; i++)
		for (size_t k = 0; k < conf->pools.at[i].servers.n; k++)
			add_name(m, conf->pools.at[i].servers.at[k].address);
	add_servers(m, &conf->key_service.servers);
	add_servers(m, &conf->session_cache.servers);
	return 0;
}

/* ---- the process */

static void beat_cb(struct deadline *deadline)
{
	struct monitor *m = CONTAINER_OF(deadline, struct monitor, beat);

	counter_set(m->beat_cell, loop_now_ms(m->loop));
	deadline_set(m->loop, &m->beat, MONITOR_BEAT_MS, beat_cb);
}

static void on_message(void *arg, char *text, int *fds, int fds_n)
{
	struct monitor *m = arg;

	for (int i = 0; i < fds_n; i++)
		close(fds[i]);
	if (strcmp(text, "stop") == 0 || strcmp(text, "drain") == 0)
		loop_stop(m->loop);
}

static void on_closed(void *arg)
{
	struct monitor *m = arg;

	channel_free(m->channel);
	m->channel = NULL;
	loop_stop(m->loop);
}

static const struct channel_events channel_events = { on_message, on_closed };

/* The master says when to end. */
static void on_signal(void *arg, int signo)
{
	(void)arg;
	(void)signo;
}

/* An operator's word for the master. */
static bool pass_on(void *arg, const char *command)
{
	const struct monitor *m = arg;

	return m->channel != NULL && channel_send(m->channel, NULL, 0, "%s", command) == 0;
}

int monitor_run(struct loop *loop, const struct gateway_conf *conf, int channel_fd,
    _Atomic uint64_t *beat, struct status *status)
{
	static const int list[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, 0 };
	struct monitor *m = calloc(1, sizeof *m);
	struct health_params health = {
		.loop = loop, .conf = conf, .changed = health_changed, .arg = m
	};
	struct signals *signals;
	int rc;

	if (m == NULL)
		fatalx(EXIT_RUNTIME, "out of memory at start");
	m->loop = loop;
	m->conf = conf;
	m->beat_cell = beat;
	signals = signals_new(loop, list, on_signal, m);
	m->channel = channel_new(loop, channel_fd, &channel_events, m);
	m->resolver = resolver_new(loop, NULL);
	m->health = health_new(&health);
	if (signals == NULL || m->channel == NULL || m->resolver == NULL || m->health == NULL ||
	    find_names(m, conf) != 0)
		fatalx(EXIT_RUNTIME, "out of memory at start");
	if (status != NULL)
		status_begin(status, m->health, pass_on, m);
	if (beat != NULL)
		beat_cb(&m->beat);
	deadline_set(loop, &m->patience, MONITOR_READY_MS, patience_cb);
	for (size_t i = 0; i < m->n; i++)
		deadline_set(loop, &m->names[i].again, 0, ask_cb);
	if (m->n == 0)
		say_ready(m);
	rc = loop_run(loop);
	if (status != NULL)
		status_begin(status, NULL, NULL, NULL);
	deadline_clear(loop, &m->beat);
	deadline_clear(loop, &m->patience);
	for (size_t i = 0; i < m->n; i++) {
		deadline_clear(loop, &m->names[i].again);
		free(m->names[i].host);
	}
	resolver_free(m->resolver);
	health_free(m->health);
	free(m->names);
	channel_free(m->channel);
	signals_free(signals);
	free(m);
	return rc == 0 ? 0 : EXIT_RUNTIME;
}
