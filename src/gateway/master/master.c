/*
 * master.c: the master's start (keys, then names, then workers), its signals and its end. It waits
 * for nothing but its loop; each phase has a deadline.
 */
#include "gateway/master/master.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/ticketsecret.h"
#include "gateway/cluster/keyclient.h"
#include "gateway/master/master_private.h"
#include "gateway/master/memfile.h"
#include "gateway/report.h"
#include "proc/daemonize.h"
#include "proc/notify.h"
#include "proc/privileges.h"
#include "proc/signals.h"

#include "base/poison.h"

enum {
	MASTER_TICK_MS = 1000,
	MASTER_NAMES_MS = 5000,
	MASTER_WORKERS_MS =
	    600000, /* those that do not get on are ended long before, for want of beats */
	MASTER_ENDING_MS = 3000, /* then by SIGKILL */
	MASTER_FDS_MIN = 64,
	MASTER_FDS_FEW = 256,
};

static void begin_end(struct master *m, int status);

static const char *phase_name(enum master_phase phase)
{
	switch (phase) {
#define X(id, name)                                                                                \
	case id:                                                                                   \
		return name;
		MASTER_PHASES(X)
#undef X
	}
	return "?";
}

static void too_long(struct deadline *deadline)
{
	struct master *m = CONTAINER_OF(deadline, struct master, patience);

	log_errorx("%s took too long: giving up", phase_name(m->phase));
	begin_end(m, EXIT_RUNTIME);
}

static void enter(
    struct master *m, enum master_phase phase, uint64_t ms, void (*passed)(struct deadline *))
{
	log_debug("%s -> %s", phase_name(m->phase), phase_name(phase));
	m->phase = phase;
	if (m->counters != NULL) {
		report_master(m->counters, REPORT_PHASE, phase + 1);
		report_master(m->counters, REPORT_SERVING, phase == MASTER_SERVING);
	}
	if (ms > 0)
		deadline_set(m->loop, &m->patience, ms, passed);
	else
		deadline_clear(m->loop, &m->patience);
}

/* ---- the configuration */

void master_log_errors(const struct conf_errors *errors)
{
	for (size_t i = 0; i < conf_errors_n(errors); i++)
		log_errorx("%s", conf_errors_at(errors, i));
}

struct plan *master_plan(const struct launch *launch, struct conf_errors *errors)
{
	struct conf_text *text;
	char *quick;

	if (launch->file != NULL) {
		text = conf_text_read(launch->file, errors);
	} else {
		quick = gateway_conf_quick(
		    launch->listen, launch->backend, launch->cert, launch->key);
		text = quick != NULL ? conf_text_of("the command line", quick, strlen(quick))
				     : NULL;
		free(quick);
	}
	return text != NULL ? plan_new(text, errors) : NULL;
}

/* ---- what all processes share */

int master_runtime_dir(struct master *m, const struct plan *plan)
{
	const char *base = plan->conf->runtime_dir;

	if (base == NULL)
		base = geteuid() == 0 ? RUNDIR : getenv("XDG_RUNTIME_DIR");
	if (base != NULL && mkdir(base, 0755) == 0)
		(void)!chmod(base, 0755); /* whatever the umask says: workers pass through it */
	if (base == NULL || (mkdir(base, 0755) != 0 && errno != EEXIST) ||
	    access(base, W_OK | X_OK) != 0) {
		if (plan->conf->runtime_dir != NULL) {
			log_error("runtime_dir %s cannot be used", base);
			return -1;
		}
		base = "/tmp";
	}
	if ((size_t)snprintf(m->runtime_dir, sizeof m->runtime_dir, "%s/sslgw-XXXXXX", base) >=
	    sizeof m->runtime_dir) {
		log_errorx("runtime_dir %s is too long", base);
		m->runtime_dir[0] = '\0';
		return -1;
	}
	if (mkdtemp(m->runtime_dir) == NULL) {
		log_error("cannot make a folder in %s", base);
		m->runtime_dir[0] = '\0';
		return -1;
	}
	return 0;
}

int master_selfsigned(struct master *m, const char *pem)
{
	int fd = memfile_of("self-signed certificate", pem, strlen(pem));

	if (fd < 0) {
		log_error("cannot keep the self-signed certificate");
		return -1;
	}
	if (m->selfsigned_fd >= 0)
		close(m->selfsigned_fd);
	m->selfsigned_fd = fd;
	workers_selfsigned(m->workers, fd);
	return 0;
}

static bool is_present_pair(const struct master *m, const char *pem)
{
	size_t len = strlen(pem);
	char *kept = malloc(len + 1);
	bool same = kept != NULL && m->selfsigned_fd >= 0 &&
		    pread(m->selfsigned_fd, kept, len + 1, 0) == (ssize_t)len &&
		    memcmp(kept, pem, len) == 0;

	free(kept);
	return same;
}

static int raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warn("cannot raise the limit of descriptors to %llu",
		    (unsigned long long)limit.rlim_max);
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < MASTER_FDS_MIN) {
		log_errorx("%llu descriptors are too few to serve anybody: raise the limit (ulimit "
			   "-n, LimitNOFILE=) to "
			   "at least %d",
		    (unsigned long long)limit.rlim_cur, MASTER_FDS_FEW);
		return -1;
	}
	if (limit.rlim_cur <= MASTER_FDS_FEW)
		log_warnx("%llu descriptors allow about %llu clients a worker: raise the limit "
			  "(ulimit -n, LimitNOFILE=)",
		    (unsigned long long)limit.rlim_cur,
		    (unsigned long long)(limit.rlim_cur - MASTER_FDS_MIN) / 2);
	return 0;
}

/* For the children, who get it when they are executed. A handshake makes and frees many pieces of a few sizes, and
 * glibc has seven of each at hand unless it is told otherwise. Whoever has set it knows better. */
static void tune_malloc(void)
{
	setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=100", 0);
}

static void say_users(const struct plan *plan)
{
	if (geteuid() != 0)
		log_info("not root: all processes run as user %u", (unsigned)geteuid());
	else if (plan->conf->user == NULL || plan->conf->key_user == NULL ||
		 plan->conf->cache_user == NULL)
		log_info("users: workers %u, key service %u, session cache %u",
		    (unsigned)plan->gateway.uid, (unsigned)plan->key.uid,
		    (unsigned)plan->cache.uid);
}

/* ---- start, phase by phase */

static void rolled(void *arg, int failed)
{
	struct master *m = arg;

	if (m->phase == MASTER_SERVING) {
		reload_rolled(m, failed);
		return;
	}
	if (m->phase != MASTER_WORKERS)
		return;
	if (failed) {
		log_errorx("a worker could not start: see above");
		begin_end(m, failed);
		return;
	}
	enter(m, MASTER_SERVING, 0, NULL);
	fputs("ready:", stderr);
	sockets_print(m->sockets, stderr);
	master_admin_print(m, stderr);
	fputc('\n', stderr);
	notify_send("READY=1\nSTATUS=serving with %u workers", m->plan->workers);
	if (m->pidfile != NULL)
		pidfile_write(m->pidfile);
	if (m->daemon >= 0)
		daemonize_ready(m->daemon);
	m->daemon = -1;
	reload_serving(m);
}

static void start_workers(struct master *m)
{
	if (m->phase != MASTER_NAMES)
		return;
	enter(m, MASTER_WORKERS, MASTER_WORKERS_MS, too_long);
	if (workers_use(m->workers, m->plan, m->sockets, m->selfsigned_fd) != 0)
		begin_end(m, EXIT_RUNTIME);
	else
		workers_start(m->workers);
}

static void names_ready(void *arg)
{
	start_workers(arg);
	reload_named(arg);
}

static void names_late(struct deadline *deadline)
{
	start_workers(CONTAINER_OF(deadline, struct master, patience));
}

static void resolved(void *arg, const char *line)
{
	struct master *m = arg;

	workers_resolved(m->workers, line);
}

static void health(void *arg, const char *line)
{
	struct master *m = arg;

	workers_health(m->workers, line);
}

static void renewed(void *arg, const char *pem)
{
	struct master *m = arg;

	if (!is_present_pair(m, pem) && master_selfsigned(m, pem) == 0)
		reload_ask(m);
}

static void fed(
    void *arg, const char *error, const struct plan_key *keys, size_t n, const char *pem)
{
	struct master *m = arg;
	struct conf_errors *errors;

	if (m->phase != MASTER_KEYS)
		return;
	if (error != NULL) {
		log_errorx("%s", error);
		begin_end(m, EXIT_RUNTIME);
		return;
	}
	errors = conf_errors_new();
	if (errors != NULL)
		plan_match(m->plan, keys, n, errors);
	if (errors == NULL || conf_errors_n(errors) > 0 ||
	    (pem != NULL && master_selfsigned(m, pem) != 0)) {
		if (errors != NULL)
			conf_errors_print(errors, stderr);
		conf_errors_free(errors);
		begin_end(m, EXIT_CONFIG);
		return;
	}
	conf_errors_free(errors);
	if (pem != NULL)
		log_info("no certificate was named: using a self-signed one, which browsers will "
			 "not trust");
	embedded_commit(m->embedded, m->plan);
	enter(m, MASTER_NAMES, MASTER_NAMES_MS, names_late);
	if (watcher_use(m->watcher, m->plan) != 0)
		begin_end(m, EXIT_RUNTIME);
}

/* ---- end */

static bool all_gone(const struct master *m)
{
	return workers_gone(m->workers) && watcher_gone(m->watcher) && embedded_gone(m->embedded);
}

static void end_now(struct deadline *deadline)
{
	struct master *m = CONTAINER_OF(deadline, struct master, patience);

	log_warnx("some processes did not end by themselves: ending them");
	workers_kill(m->workers);
	watcher_kill(m->watcher);
	embedded_kill(m->embedded);
	deadline_set(m->loop, &m->patience, MASTER_ENDING_MS, end_now);
}

/* Workers first: they need the services for as long as they drain. */
static void begin_end(struct master *m, int status)
{
	if (m->phase == MASTER_ENDING)
		return;
	m->status = status;
	enter(m, MASTER_ENDING, MASTER_ENDING_MS, end_now);
	workers_stop(m->workers);
	watcher_stop(m->watcher);
	embedded_stop(m->embedded);
	if (all_gone(m))
		loop_stop(m->loop);
}

static void drained(void *arg)
{
	struct master *m = arg;

	if (m->phase == MASTER_DRAINING)
		begin_end(m, 0);
}

void master_stop(struct master *m)
{
	if (m->phase != MASTER_SERVING) { /* not serving yet, or asked a second time */
		begin_end(m, 0);
		return;
	}
	notify_send("STOPPING=1");
	log_info("stopping: open requests are finished first; once more to stop now");
	enter(m, MASTER_DRAINING, 0, NULL);
	workers_drain(m->workers);
}

static void reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (!workers_ended(m->workers, pid, status) &&
		    !watcher_ended(m->watcher, pid, status))
			embedded_ended(m->embedded, pid, status);
	}
	if (m->phase == MASTER_ENDING && all_gone(m))
		loop_stop(m->loop);
}

static void on_signal(void *arg, int signo)
{
	struct master *m = arg;

	switch (signo) {
	case SIGCHLD:
		reap(m);
		break;
	case SIGHUP:
		reload_ask(m);
		break;
	case SIGUSR1:
		workers_reopen(m->workers);
		embedded_reopen(m->embedded);
		break;
	case SIGUSR2:
		log_warnx("USR2: a new program takes a restart; HUP reloads the configuration");
		break;
	default:
		master_stop(m);
		break;
	}
}

static void tick(struct deadline *deadline)
{
	struct master *m = CONTAINER_OF(deadline, struct master, tick);

	workers_watch(m->workers);
	watcher_watch(m->watcher);
	embedded_watch(m->embedded);
	master_admin_watch(m);
	deadline_set(m->loop, &m->tick, MASTER_TICK_MS, tick);
}

/* ---- the whole */

/* 0, or the exit status. */
static int take_resources(struct master *m)
{
	struct conf_errors *errors = conf_errors_new();
	int other;

	m->plan = errors != NULL ? master_plan(m->launch, errors) : NULL;
	if (errors != NULL)
		conf_errors_print(errors, stderr);
	conf_errors_free(errors);
	if (m->plan == NULL)
		return EXIT_CONFIG;
	if (raise_fd_limit() != 0)
		return EXIT_RUNTIME;
	if (m->plan->conf->pid_file != NULL) {
		m->pidfile = pidfile_take(m->plan->conf->pid_file, &other);
		if (m->pidfile == NULL && other > 0)
			log_errorx("%s: sslgw runs already, as process %d", m->plan->conf->pid_file,
			    other);
		else if (m->pidfile == NULL)
			log_error("%s: cannot write the pid file", m->plan->conf->pid_file);
		if (m->pidfile == NULL)
			return EXIT_RUNTIME;
	}
	errors = conf_errors_new();
	if (errors != NULL) {
		m->sockets = sockets_open(m->plan->conf, m->plan->workers, NULL, errors);
		conf_errors_print(errors, stderr);
	}
	conf_errors_free(errors);
	if (m->sockets == NULL)
		return EXIT_RUNTIME;
	if (master_admin_open(m) != 0)
		return EXIT_RUNTIME;
	say_users(m->plan);
	return 0;
}

static int make_parts(struct master *m)
{
	static const int signals[] = { SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGQUIT,
		0 };
	struct workers_params workers = {
		.loop = m->loop, .rolled = rolled, .drained = drained, .arg = m
	};
	struct watcher_params watcher = { .loop = m->loop,
		.ready = names_ready,
		.resolved = resolved,
		.health = health,
		.asked = master_asked,
		.admin = &m->admin,
		.arg = m };

	m->counters = counters_create(&m->counters_fd);
	if (m->counters != NULL) {
		m->generation = 1;
		report_master(m->counters, REPORT_STARTED, (uint64_t)time(NULL));
		report_master(m->counters, REPORT_PID, (uint64_t)getpid());
		report_master(
		    m->counters, REPORT_INSTANCE, (uint64_t)arc4random() << 32 | arc4random() | 1);
		report_master(m->counters, REPORT_GENERATION, m->generation);
		report_master(m->counters, REPORT_WORKERS, m->plan->workers);
	}
	m->token_fd = memfile_secret("sslgw token", KEYCLIENT_TOKEN_LEN);
	m->tickets_fd = memfile_secret("sslgw tickets", TICKETSECRET_LEN);
	if (m->counters == NULL || m->token_fd < 0 || m->tickets_fd < 0) {
		log_error("cannot share memory");
		return EXIT_RUNTIME;
	}
	if (master_runtime_dir(m, m->plan) != 0)
		return EXIT_RUNTIME;
	m->embedded = embedded_new(m->loop, m->plan, m->runtime_dir, m->token_fd);
	if (m->embedded == NULL)
		return EXIT_RUNTIME;
	embedded_on_renewed(m->embedded, renewed, m);
	embedded_admin(m->embedded, m->key_admin.local);
	workers.counters = watcher.counters = m->counters;
	workers.counters_fd = watcher.counters_fd = m->counters_fd;
	workers.token_fd = m->token_fd;
	workers.tickets_fd = m->tickets_fd;
	workers.keys = watcher.keys = *embedded_keys(m->embedded);
	workers.cache = watcher.cache = *embedded_cache(m->embedded);
	m->workers = workers_new(&workers);
	m->watcher = watcher_new(&watcher);
	m->signals = signals_new(m->loop, signals, on_signal, m);
	return m->workers != NULL && m->watcher != NULL && m->signals != NULL ? 0 : EXIT_RUNTIME;
}

static void clear(struct master *m)
{
	sigset_t every;

	/* It ends already: one more signal must not leave files behind, nor change the exit status. */
	sigfillset(&every);
	sigprocmask(SIG_SETMASK, &every, NULL);
	watcher_free(m->watcher);
	workers_free(m->workers);
	embedded_free(m->embedded);
	signals_free(m->signals);
	if (m->runtime_dir[0] != '\0')
		rmdir(m->runtime_dir);
	if (m->sockets != NULL)
		sockets_unlink(m->sockets, NULL);
	if (m->reload.sockets != NULL)
		sockets_unlink(m->reload.sockets, NULL);
	adminconf_close(&m->admin, true);
	adminconf_close(&m->key_admin, true);
	sockets_free(m->sockets);
	sockets_free(m->reload.sockets);
	plan_free(m->reload.plan);
	if (m->pidfile != NULL)
		pidfile_remove(m->pidfile);
	deadline_clear(m->loop, &m->patience);
	deadline_clear(m->loop, &m->tick);
	deadline_clear(m->loop, &m->reload.again);
	deadline_clear(m->loop, &m->reload.patience);
	loop_free(m->loop);
	plan_free(m->plan);
	counters_detach(m->counters);
}

/* From the start on they are for later, and not the end: the loop hears of them once it runs. */
static void hold_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(how, &set, NULL);
}

int master_run(const struct launch *launch)
{
	struct master *m = calloc(1, sizeof *m);
	int status;

	if (m == NULL)
		fatal(EXIT_RUNTIME, "out of memory");
	m->launch = launch;
	m->selfsigned_fd = m->counters_fd = m->token_fd = m->tickets_fd = -1;
	m->admin = m->key_admin = (struct adminconf_sockets){ .tcp = -1, .local = -1 };
	m->daemon = launch->daemon ? daemonize() : -1;
	if (launch->daemon && m->daemon < 0)
		fatal(EXIT_RUNTIME, "cannot go into the background");
	tune_malloc();
	hold_signals(SIG_BLOCK);
	m->loop = loop_new();
	if (m->loop == NULL)
		fatal(EXIT_RUNTIME, "no event loop");
	setproctitle("-sslgw: master");
	status = take_resources(m);
	if (status == 0)
		status = make_parts(m);
	hold_signals(SIG_UNBLOCK);
	if (status == 0) {
		enter(m, MASTER_KEYS, 0, NULL); /* embedded_feed() has a deadline */
		tick(&m->tick);
		if (embedded_start(m->embedded, m->plan, false) != 0)
			begin_end(m, EXIT_RUNTIME);
		else
			embedded_feed(m->embedded, m->plan, fed, m);
		loop_run(m->loop);
		status = m->status;
	}
	clear(m);
	free(m);
	return status;
}
