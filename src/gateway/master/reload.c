/*
 * reload.c: a new configuration, whole or not at all: it is parsed and checked, its sockets are opened
 * and its keys read beside what is in force; only then do new workers take over, one at a time. What
 * goes wrong before is said with file and line, and changes nothing.
 */
#include <stdio.h>

#include "base/log.h"
#include "gateway/master/master_private.h"
#include "gateway/report.h"
#include "gateway/roles.h"
#include "proc/notify.h"

#include "base/poison.h"

enum {
	RELOAD_INTERVAL_MS = 1000,
	RELOAD_NAMES_MS =
	    5000, /* then those that answer late are told to the workers when they do */
	RELOAD_TRIES = 5, /* with a key service that ends while it reads */
};

static void resolve(struct master *);

static void again_cb(struct deadline *deadline)
{
	struct master *m = CONTAINER_OF(deadline, struct master, reload.again);

	if (!m->reload.pending)
		return;
	m->reload.pending = false;
	reload_ask(m);
}

static void again_later(struct master *m)
{
	m->reload.pending = true;
	if (!deadline_is_set(&m->reload.again))
		deadline_set(m->loop, &m->reload.again, RELOAD_INTERVAL_MS, again_cb);
}

static void over(struct master *m)
{
	deadline_clear(m->loop, &m->reload.patience);
	/* Of the set that is not in force: what it alone had. */
	if (m->reload.sockets != NULL)
		sockets_unlink(m->reload.sockets, m->sockets);
	plan_free(m->reload.plan);
	sockets_free(m->reload.sockets);
	m->reload.plan = NULL;
	m->reload.sockets = NULL;
	notify_send("READY=1");
	deadline_set(m->loop, &m->reload.again, RELOAD_INTERVAL_MS, again_cb);
}

static void refuse(struct master *m, const struct conf_errors *errors, const char *why)
{
	if (errors != NULL)
		master_log_errors(errors);
	log_errorx("reload refused%s%s: the former configuration stays in force",
	    why != NULL ? ": " : "", why != NULL ? why : "");
	m->reload.tries = 0;
	report_master(m->counters, REPORT_REFUSED, 1);
	counter_add(
	    counters_cell_of(m->counters, "sslgw_reloads_refused_total", ROLES_CELL_MASTER), 1);
	over(m);
}

/* The former plan holds, for the services and the monitor too. */
static void go_back(struct master *m)
{
	embedded_go_back(m->embedded, m->plan);
	(void)watcher_use(m->watcher, m->plan); /* it has been said, and it is started again */
}

void reload_rolled(struct master *m, int failed)
{
	struct plan *former = m->plan;
	struct sockets *former_sockets = m->sockets;

	if (m->reload.plan == NULL)
		return;
	if (failed) {
		/* Those that were replaced already keep the new one until they end: the key service has the keys of both. */
		workers_go_back(m->workers);
		go_back(m);
		refuse(m, NULL, "a worker did not start with the new configuration");
		return;
	}
	m->plan = m->reload.plan;
	m->sockets = m->reload.sockets;
	m->reload.plan = former;
	m->reload.sockets = former_sockets;
	m->reload.tries = 0;
	report_master(m->counters, REPORT_REFUSED, 0);
	report_master(m->counters, REPORT_GENERATION, ++m->generation);
	report_master(m->counters, REPORT_WORKERS, m->plan->workers);
	counter_add(counters_cell_of(m->counters, "sslgw_reloads_total", ROLES_CELL_MASTER), 1);
	master_admin_changed(m, former);
	embedded_forget(m->embedded);
	log_info("reload done: %u workers with the new configuration", m->plan->workers);
	over(m);
}

static void fed(
    void *arg, const char *error, const struct plan_key *keys, size_t n, const char *pem)
{
	struct master *m = arg;
	struct conf_errors *errors = conf_errors_new();

	if (error != NULL && ++m->reload.tries < RELOAD_TRIES) {
		log_warnx("reload: %s: tried again", error);
		conf_errors_free(errors);
		over(m);
		again_later(m);
		return;
	}
	if (error != NULL || errors == NULL) {
		refuse(m, NULL, error);
		conf_errors_free(errors);
		return;
	}
	plan_match(m->reload.plan, keys, n, errors);
	if (conf_errors_n(errors) > 0 || (pem != NULL && master_selfsigned(m, pem) != 0)) {
		embedded_discard(m->embedded);
		refuse(m, errors, NULL);
		conf_errors_free(errors);
		return;
	}
	conf_errors_free(errors);
	embedded_commit(m->embedded, m->reload.plan);
	resolve(m);
}

static void names_late(struct deadline *deadline)
{
	reload_named(CONTAINER_OF(deadline, struct master, reload.patience));
}

/* A worker that starts with names that nobody has looked up would have no servers: the new monitor comes first. */
static void resolve(struct master *m)
{
	m->reload.naming = true;
	deadline_set(m->loop, &m->reload.patience, RELOAD_NAMES_MS, names_late);
	if (watcher_use(m->watcher, m->reload.plan) != 0)
		reload_named(m); /* said in the log; it is started again */
}

void reload_named(struct master *m)
{
	if (!m->reload.naming || m->phase != MASTER_SERVING)
		return;
	m->reload.naming = false;
	deadline_clear(m->loop, &m->reload.patience);
	if (workers_use(m->workers, m->reload.plan, m->reload.sockets, m->selfsigned_fd) != 0) {
		go_back(m);
		refuse(m, NULL, "out of memory");
		return;
	}
	workers_roll(m->workers);
}

/* Sessions and connections would be torn from under the workers that drain. */
static bool moves_service(
    const struct gateway_conf *from, const struct gateway_conf *to, struct conf_errors *errors)
{
	const struct conf_strings *moved = NULL;

	if ((from->key_service.servers.n > 0) != (to->key_service.servers.n > 0))
		moved = &to->key_service.servers;
	else if ((from->session_cache.servers.n > 0) != (to->session_cache.servers.n > 0))
		moved = &to->session_cache.servers;
	if (moved != NULL)
		conf_reject(errors, moved,
		    "from a service on this machine to servers elsewhere, or back, takes a "
		    "restart, not a reload");
	return moved != NULL;
}

void reload_ask(struct master *m)
{
	struct conf_errors *errors;

	/* During the start the file may have been read already: once more, then. */
	if (m->phase < MASTER_SERVING)
		m->reload.pending = true;
	if (m->phase != MASTER_SERVING)
		return;
	/* Storms are joined into one a second. */
	if (m->reload.plan != NULL || deadline_is_set(&m->reload.again) ||
	    workers_rolling(m->workers)) {
		m->reload.pending = true;
		return;
	}
	if (embedded_is_reading(m->embedded)) {
		log_info("reload waits until the key service has read the present keys again");
		again_later(m);
		return;
	}
	notify_send("RELOADING=1");
	errors = conf_errors_new();
	m->reload.plan = errors != NULL ? master_plan(m->launch, errors) : NULL;
	if (m->reload.plan != NULL && m->reload.plan->gateway.uid != m->plan->gateway.uid)
		conf_reject(errors, &m->reload.plan->conf->user,
		    "another user takes a restart, not a reload");
	else if (m->reload.plan != NULL &&
		 !moves_service(m->plan->conf, m->reload.plan->conf, errors))
		m->reload.sockets = sockets_open(
		    m->reload.plan->conf, m->reload.plan->workers, m->sockets, errors);
	if (m->reload.sockets == NULL)
		refuse(m, errors, NULL);
	else
		embedded_feed(m->embedded, m->reload.plan, fed, m);
	conf_errors_free(errors);
}

void reload_serving(struct master *m)
{
	if (m->reload.pending)
		again_later(m);
}
