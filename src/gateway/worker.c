/*
 * worker.c: a worker process: makes its rooms, gives up its rights, then serves what the master hands
 * it: listening sockets, addresses of back-ends, and the word to drain.
 */
#include "gateway/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/log.h"
#include "crypto/ticketsecret.h"
#include "gateway/cluster/keyclient.h"
#include "gateway/cluster/secrets.h"
#include "gateway/exchange/accesslog.h"
#include "gateway/exchange/exchange.h"
#include "gateway/front/conn.h"
#include "gateway/origin/folder.h"
#include "gateway/origin/pool.h"
#include "gateway/giveback.h"
#include "gateway/publish.h"
#include "gateway/keycheck.h"
#include "gateway/healthword.h"
#include "gateway/resolved.h"
#include "gateway/roles.h"
#include "gateway/services.h"
#include "gateway/sites.h"
#include "gateway/tls/handshake.h"
#include "gateway/trusted.h"
#include "net/listener.h"
#include "proc/channel.h"
#include "proc/privileges.h"
#include "proc/signals.h"

#include "base/poison.h"

enum {
	WORKER_BEAT_MS = 1000,
	WORKER_FULL_MS = 50, /* with no room for connections, looked at again so often */
	WORKER_SECRETS_MS =
	    2000, /* serves without tickets if the key service is silent for longer */
};

struct served {
	LIST_ENTRY(served) link;
	struct worker_process *process;
	struct listener *listener;
	unsigned slot; /* own, or a neighbour's that has no worker now */
	int mode;
};

struct worker_process {
	struct worker worker;
	struct roles_given role;
	struct services *services;
	struct keycheck *keycheck; /* NULL: the master has seen to it, or another worker does */
	struct channel *channel;
	struct signals *signals;
	struct deadline beat, full, patience, drain;
	uint64_t giveback; /* giveback_look()'s */
	LIST_HEAD(, served) served;
	bool ready, paused;
	struct resolved resolved; /* what was last heard */
};

/* ---- listening */

static void pause_all(struct worker_process *p, bool pause)
{
	struct served *s;

	p->paused = pause;
	LIST_FOREACH (s, &p->served, link) {
		if (pause)
			listener_pause(s->listener);
		else
			listener_resume(s->listener);
	}
}

static void look_for_room(struct deadline *deadline)
{
	struct worker_process *p = CONTAINER_OF(deadline, struct worker_process, full);

	if (conns_full(&p->worker))
		deadline_set(p->worker.loop, &p->full, WORKER_FULL_MS, look_for_room);
	else
		pause_all(p, false);
}

static void accepted(void *arg, struct listener *listener, int fd, const struct endpoint *peer)
{
	struct served *s = arg;
	struct worker_process *p = s->process;

	conn_accept(&p->worker, s->mode, fd, peer, listener_local(listener));
	if (conns_full(&p->worker) && !deadline_is_set(&p->full)) {
		pause_all(p, true);
		deadline_set(p->worker.loop, &p->full, WORKER_FULL_MS, look_for_room);
	}
}

/* No descriptors left in spite of the limit: the longest idle connection gives its own. */
static void accept_failed(void *arg, int err)
{
	const struct served *s = arg;
	struct worker_process *p = s->process;

	if ((err == EMFILE || err == ENFILE) && conns_close_idlest(&p->worker))
		return;
	errno = err;
	log_warn("cannot accept connections now");
}

static void serve(struct worker_process *p, unsigned slot, int mode, int fd)
{
	struct served *s = calloc(1, sizeof *s);

	if (s != NULL)
		s->listener = listener_new(p->worker.loop, fd, accepted, accept_failed, s);
	if (s == NULL || s->listener == NULL) {
		log_warnx("cannot serve a listening socket: out of memory");
		free(s);
		close(fd);
		return;
	}
	s->process = p;
	s->slot = slot;
	s->mode = mode;
	LIST_INSERT_HEAD(&p->served, s, link);
	if (p->paused)
		listener_pause(s->listener);
}

/* Called in turns of their own, never from within accepted(). */
static void unserve(struct worker_process *p, unsigned slot, bool all)
{
	struct served *s, *next;

	for (s = LIST_FIRST(&p->served); s != NULL; s = next) {
		next = LIST_NEXT(s, link);
		if (!all && s->slot != slot)
			continue;
		listener_free(s->listener);
		LIST_REMOVE(s, link);
		free(s);
	}
}

/* ---- draining */

static void tell_master(struct worker_process *p, const char *what)
{
	if (p->channel != NULL)
		channel_send(p->channel, NULL, 0, "%s", what);
}

static void drained(void *arg)
{
	struct worker_process *p = arg;

	tell_master(p, "drained");
	loop_stop(p->worker.loop);
}

static void drained_late(struct deadline *deadline)
{
	struct worker_process *p = CONTAINER_OF(deadline, struct worker_process, drain);

	log_warnx("%zu connections outlived timeouts.drain and are closed", conns_open(&p->worker));
	drained(p);
}

static void drain(struct worker_process *p)
{
	if (p->worker.draining)
		return;
	p->worker.draining = true;
	services_drain(p->services);
	setproctitle("-sslgw: worker %u (draining)", p->role.slot);
	unserve(p, 0, true);
	deadline_set(p->worker.loop, &p->drain, p->worker.conf->timeouts.drain, drained_late);
	conns_drain(&p->worker, drained, p);
}

/* ---- the master's words */

static void resolved(struct worker_process *p, char *text)
{
	struct resolved *r = &p->resolved;

	if (resolved_parse(text, r) != 0)
		return;
	pools_resolved(p->worker.pools, r->host, r->endpoints, r->n);
	services_resolved(p->services, r->host, r->endpoints, r->n);
}

/* Of another configuration's servers nothing is known here. */
static void health(struct worker_process *p, const char *text)
{
	struct healthword word;

	if (healthword_parse(text, p->worker.conf, &word) == 0)
		pools_health(p->worker.pools, word.pool, word.server, word.up);
}

static void on_message(void *arg, char *text, int *fds, int fds_n)
{
	struct worker_process *p = arg;
	unsigned slot;
	int mode;

	if (fds_n == 1 && !p->worker.draining && sscanf(text, "listen %u %d", &slot, &mode) == 2) {
		serve(p, slot, mode, fds[0]);
		return;
	}
	if (strcmp(text, "reopen") == 0 && p->worker.log != NULL) {
		accesslog_reopen(p->worker.log, fds_n == 1 ? fds[0] : -1);
		return;
	}
	for (int i = 0; i < fds_n; i++)
		close(fds[i]);
	if (sscanf(text, "unlisten %u", &slot) == 1)
		unserve(p, slot, false);
	else if (strncmp(text, "resolved ", 9) == 0)
		resolved(p, text + 9);
	else if (strncmp(text, "health ", 7) == 0)
		health(p, text + 7);
	else if (strcmp(text, "drain") == 0)
		drain(p);
	else if (strcmp(text, "stop") == 0)
		loop_stop(p->worker.loop);
}

/* Without a master nobody would replace or stop this process. */
static void on_closed(void *arg)
{
	struct worker_process *p = arg;

	channel_free(p->channel);
	p->channel = NULL;
	loop_stop(p->worker.loop);
}

static const struct channel_events channel_events = { on_message, on_closed };

static void on_signal(void *arg, int signo)
{
	struct worker_process *p = arg;

	/* Ctrl-C reaches all processes of a terminal; the master says what follows from it. One that is
	 * told to end by itself says so: its sockets are to be served by another. */
	if (signo == SIGTERM && !p->worker.draining) {
		tell_master(p, "leaving");
		drain(p);
	}
}

/* ---- start */

static void beat(struct deadline *deadline)
{
	struct worker_process *p = CONTAINER_OF(deadline, struct worker_process, beat);

	counter_set(p->worker.beat, loop_now_ms(p->worker.loop));
	publish(&p->worker, p->role.counters);
	giveback_look(&p->worker, &p->giveback);
	deadline_set(p->worker.loop, &p->beat, WORKER_BEAT_MS, beat);
}

static void ready(struct worker_process *p)
{
	if (p->ready)
		return;
	p->ready = true;
	publish(&p->worker, p->role.counters);
	deadline_clear(p->worker.loop, &p->patience);
	tell_master(p, "ready");
}

static void secrets_came(void *arg)
{
	ready(arg);
}

static void secrets_late(struct deadline *deadline)
{
	struct worker_process *p = CONTAINER_OF(deadline, struct worker_process, patience);

	log_warnx("the key service gave no session keys yet: no tickets until it does");
	ready(p);
}

static void load_counters(struct worker *w, struct counters *counters)
{
	char name[COUNTERS_NAME_MAX];

#define X(field, row) w->counters.field = counters_cell(counters, row);
	WORKER_COUNTERS(X)
#undef X
	for (int r = 0; r < REASON_N; r++) {
		snprintf(name, sizeof name, "sslgw_ended_total_%s", reason_name((enum reason)r));
		w->counters.reasons[r] = counters_cell(counters, name);
	}
}

static struct pool *pool_of(void *arg, const char *name)
{
	return pools_find(arg, name);
}

static void take_services(struct worker_process *p)
{
	uint8_t token[KEYCLIENT_TOKEN_LEN];
	char error[512];
	int fd = inherited_take(&p->role.inherited, "token");

	if (fd < 0 || inherited_read_secret(fd, token, sizeof token) != 0)
		fatalx(EXIT_RUNTIME, "the family token is missing");
	p->services = services_new(&p->worker, &p->role, token, error, sizeof error);
	explicit_bzero(token, sizeof token);
	if (p->services == NULL)
		fatalx(EXIT_CONFIG, "%s", error);
	if (p->role.slot == 0 && p->role.conf->key_service.servers.n > 0)
		p->keycheck = keycheck_new(
		    p->worker.loop, p->worker.keys, p->role.conf, NULL, NULL);
}

/* What ticket keys are made of where no key service of ours makes them. */
static void own_secrets(struct worker_process *p, struct ticketsecrets *own)
{
	const char *file = p->role.conf->key_service.ticket_secret_file;
	int fd = inherited_take(&p->role.inherited, "tickets");
	char error[512];

	if (file != NULL) {
		if (ticketsecrets_load(file, own, error, sizeof error) != 0)
			fatalx(EXIT_CONFIG, "ticket_secret_file: %s", error);
		if (p->role.slot == 0)
			log_info("ticket keys are made of %s (%zu secrets)", file, own->n);
		return;
	}
	if (fd < 0 || inherited_read_secret(fd, own->at[0], TICKETSECRET_LEN) != 0)
		fatalx(EXIT_RUNTIME, "the secret of tickets is missing");
	own->n = 1;
	if (p->role.slot == 0)
		log_warnx(
		    "the key servers are foreign and make no ticket keys, and there is no "
		    "ticket_secret_file: sessions resume at this gateway only, until it ends");
}

static void take_secrets(struct worker_process *p)
{
	struct worker *w = &p->worker;
	bool foreign = w->conf->key_service.protocol == KEYS_KEYLESS;
	struct ticketsecrets own = { .n = 0 };

	if (foreign)
		own_secrets(p, &own);
	w->secrets = secrets_new(w->loop, w->keys, w->conf, foreign ? &own : NULL);
	ticketsecrets_clear(&own);
}

/* The self-signed chain of the quick form has no path: the one site's certificate file is a descriptor. */
static void take_selfsigned(struct worker_process *p)
{
	struct site_conf *site = &p->role.conf->sites.at[0];
	int fd = inherited_take(&p->role.inherited, "selfsigned");
	char path[64];

	if (!p->role.conf->selfsigned)
		return;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	site->certificates.at = calloc(1, sizeof *site->certificates.at);
	if (fd < 0 || site->certificates.at == NULL ||
	    (site->certificates.at[0] = strdup(path)) == NULL)
		fatalx(EXIT_RUNTIME, "the self-signed certificate is missing");
	site->certificates.n = 1;
}

/* The order is that of who needs whom. What it cannot do without ends the process: the master says so. */
static void make_rooms(struct worker_process *p)
{
	struct worker *w = &p->worker;

	w->conf = p->role.conf;
	w->slot = p->role.slot;
	take_selfsigned(p);
	w->loop = loop_new();
	if (w->loop == NULL)
		fatal(EXIT_RUNTIME, "no event loop");
	load_counters(w, p->role.counters);
	w->beat = counters_cell(p->role.counters, ROLES_BEAT);
	w->pools = pools_new(w);
	w->sites = w->pools != NULL ? sites_new(w->conf, pool_of, w->pools) : NULL;
	w->folders = folders_new(w);
	take_services(p);
	if (w->sites == NULL || w->folders == NULL)
		fatalx(EXIT_RUNTIME, "out of memory at start");
	take_secrets(p);
	w->tls = w->secrets != NULL ? sitectxs_new(w) : NULL;
	if (w->tls == NULL)
		fatalx(EXIT_CONFIG, "the sites' TLS settings cannot be used");
	w->exchanges = exchanges_new(w);
	w->conns = conns_new(w);
	if (w->conf->limits.response_buffers > 0)
		stream_limit_output(w->loop, w->conf->limits.response_buffers);
	w->log = accesslog_new(w);
	w->trusted = trusted_new(&w->conf->trusted_proxies);
	if (w->exchanges == NULL || w->conns == NULL || w->trusted == NULL)
		fatalx(EXIT_RUNTIME, "out of memory at start");
}

static void unmake_rooms(struct worker_process *p)
{
	struct worker *w = &p->worker;

	conns_free(w->conns);
	exchanges_free(w->exchanges);
	accesslog_free(w->log);
	trusted_free(w->trusted);
	sitectxs_free(w->tls);
	secrets_free(w->secrets);
	keycheck_free(p->keycheck);
	services_free(p->services);
	folders_free(w->folders);
	sites_free(w->sites);
	pools_free(w->pools);
}

int worker_main(int argc, char **argv)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, 0 };
	struct worker_process *p = calloc(1, sizeof *p);
	char tag[32];
	int rc;

	if (p == NULL)
		fatal(EXIT_RUNTIME, "out of memory");
	role_load(&p->role, argc, argv);
	snprintf(tag, sizeof tag, "sslgw[worker %u]", p->role.slot);
	log_init(tag);
	setproctitle("-sslgw: worker %u", p->role.slot);
	make_rooms(p);
	if (privileges_drop(p->role.uid, p->role.gid) != 0)
		fatal(EXIT_RUNTIME, "cannot give up rights");
	p->signals = signals_new(p->worker.loop, signals, on_signal, p);
	p->channel = channel_new(p->worker.loop, p->role.channel, &channel_events, p);
	if (p->signals == NULL || p->channel == NULL)
		fatalx(EXIT_RUNTIME, "out of memory at start");
	beat(&p->beat);
	deadline_set(p->worker.loop, &p->patience, WORKER_SECRETS_MS, secrets_late);
	secrets_on_ready(p->worker.secrets, secrets_came, p);
	rc = loop_run(p->worker.loop);
	unserve(p, 0, true);
	unmake_rooms(p);
	channel_free(p->channel);
	signals_free(p->signals);
	loop_free(p->worker.loop);
	counters_detach(p->role.counters);
	gateway_conf_free(p->role.conf);
	free(p);
	return rc == 0 ? 0 : EXIT_RUNTIME;
}
