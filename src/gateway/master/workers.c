/*
 * workers.c: see workers.h. A process is STARTING until it says "ready", then READY with its slot's
 * sockets, then DRAINING. Each slot has at most one of the first two beside each other.
 */
#include "gateway/master/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/master/memfile.h"
#include "gateway/master/workers_private.h"
#include "gateway/report.h"

#include "base/poison.h"

enum {
	WORKERS_BACKOFF_MIN_MS = 100,
	WORKERS_BACKOFF_MAX_MS = 10000,
	WORKERS_LIVED_MS = 10000, /* longer: the next start comes at once */
	WORKERS_NEIGHBOUR_MS = 100, /* a slot without a worker for so long goes to a neighbour */
	/* Looks, one a second, without a new beat: then it is ended and replaced. Looks and not time, so
	 * that after a stop of the whole family (Ctrl-Z, a paused machine) nobody is late. */
	WORKERS_SILENT_LOOKS = 5,
	WORKERS_START_LOOKS = 30, /* a large configuration is read before the first beat */
	WORKERS_GENERATIONS_MAX = 2, /* that drain; older ones are stopped */
};

static void report(const struct process *p)
{
	static const enum report_state states[] = { [PROCESS_STARTING] = REPORT_STARTING,
		[PROCESS_READY] = REPORT_READY,
		[PROCESS_DRAINING] = REPORT_DRAINING };

	report_worker(
	    p->workers->params.counters, p->cell, p->slot, p->pid, p->generation, states[p->state]);
}

static void roll_on(struct workers *w);
static void roll_over(struct workers *w, int failed);
static void replace(struct workers *w, const struct process *p);
/* ---- the life of a process */

/* Generations that have a draining process and are newer than this one. */
static unsigned newer_generations(const struct workers *w, unsigned generation)
{
	unsigned n = 0, seen = generation;
	struct process *p;

	/* Processes lie in the order of their starts, and so of their generations. */
	TAILQ_FOREACH (p, &w->processes, link)
		if (p->state == PROCESS_DRAINING && p->generation > seen) {
			seen = p->generation;
			n++;
		}
	return n;
}

static void drain_process(struct workers *w, struct process *p)
{
	p->state = PROCESS_DRAINING;
	report(p);
	slots_left(w, p);
	if (p->channel != NULL)
		channel_send(p->channel, NULL, 0, "drain");
	TAILQ_FOREACH (p, &w->processes, link)
		if (p->state == PROCESS_DRAINING && p->channel != NULL &&
		    newer_generations(w, p->generation) >= WORKERS_GENERATIONS_MAX)
			channel_send(p->channel, NULL, 0, "stop");
}

static void is_ready(struct process *p)
{
	struct workers *w = p->workers;
	struct slot *s = &w->slots[p->slot];
	struct process *old = s->current;

	if (p->state != PROCESS_STARTING)
		return;
	if (s->next == p)
		s->next = NULL;
	if (w->draining || p->slot >= w->slots_n) { /* there are to be fewer by now */
		drain_process(w, p);
		return;
	}
	p->state = PROCESS_READY;
	report(p);
	slots_taken(w, p);
	s->current = p;
	if (old != NULL)
		drain_process(w, old);
	roll_on(w);
}

/* Somebody told the process itself to end, and it does: in order, and not for good. */
static void is_leaving(struct process *p)
{
	struct workers *w = p->workers;
	struct slot *s = &w->slots[p->slot];

	if (p->state != PROCESS_READY || w->draining)
		return;
	log_info("worker %u (process %d) was told to end: another takes its place", p->slot,
	    (int)p->pid);
	if (s->current == p)
		s->current = NULL;
	p->state = PROCESS_DRAINING;
	report(p);
	slots_left(w, p);
	replace(w, p);
}

static void on_message(void *arg, char *text, int *fds, int fds_n)
{
	struct process *p = arg;

	for (int i = 0; i < fds_n; i++)
		close(fds[i]);
	if (strcmp(text, "ready") == 0)
		is_ready(p);
	else if (strcmp(text, "leaving") == 0)
		is_leaving(p);
}

static void on_closed(void *arg)
{
	struct process *p = arg;

	channel_free(p->channel);
	p->channel = NULL;
}

static const struct channel_events process_events = { on_message, on_closed };

static bool cell_is_taken(const struct workers *w, unsigned cell)
{
	const struct process *p;

	TAILQ_FOREACH (p, &w->processes, link)
		if (p->cell == cell)
			return true;
	return false;
}

/* A process's own, for as long as it lives: one that drains still counts in its cell. */
static unsigned free_cell(const struct workers *w, unsigned slot)
{
	for (unsigned i = 0; i < ROLES_CELL_MONITOR; i++) {
		unsigned cell = (2 * slot + i) % ROLES_CELL_MONITOR;

		if (!cell_is_taken(w, cell))
			return cell;
	}
	return 2 * slot; /* more processes than cells: its counts are mixed with another's */
}

static struct process *process_new(struct workers *w, unsigned slot, int channel_fd)
{
	struct process *p = calloc(1, sizeof *p);

	if (p == NULL) {
		close(channel_fd);
		return NULL;
	}
	p->workers = w;
	p->slot = slot;
	p->cell = free_cell(w, slot);
	p->generation = w->now.generation;
	p->started_ms = loop_now_ms(w->params.loop);
	p->channel = channel_new(w->params.loop, channel_fd, &process_events, p);
	if (p->channel == NULL) {
		free(p);
		return NULL;
	}
	p->beat = p->started_ms;
	counter_set(counters_cell_of(w->params.counters, ROLES_BEAT, p->cell), p->beat);
	TAILQ_INSERT_TAIL(&w->processes, p, link);
	return p;
}

static void process_free(struct process *p)
{
	TAILQ_REMOVE(&p->workers->processes, p, link);
	channel_free(p->channel);
	free(p);
}

static struct process *spawn(struct workers *w, unsigned slot)
{
	struct process *p = NULL;
	int pair[2];
	pid_t pid;

	if (channel_pair(pair) != 0) {
		log_error("cannot start worker %u", slot);
		return NULL;
	}
	p = process_new(w, slot, pair[0]);
	if (p == NULL) {
		close(pair[1]);
		return NULL;
	}
	pid = roles_spawn("worker", &(struct roles_spawn){ .slot = slot,
					.cell = p->cell,
					.uid = w->now.plan->gateway.uid,
					.gid = w->now.plan->gateway.gid,
					.keys = &w->params.keys,
					.cache = &w->params.cache,
					.config = w->now.config_fd,
					.counters = w->params.counters_fd,
					.token = w->params.token_fd,
					.tickets = w->params.tickets_fd,
					.channel = pair[1],
					.selfsigned = w->selfsigned_fd });
	close(pair[1]);
	if (pid < 0) {
		log_error("cannot start worker %u", slot);
		process_free(p);
		return NULL;
	}
	p->pid = pid;
	report(p);
	w->slots[slot].next = p;
	names_tell(&w->names, p->channel); /* of key servers, too: it is not ready without those */
	downs_tell(&w->downs, p->channel);
	return p;
}

static void restart_cb(struct deadline *deadline)
{
	struct slot *s = CONTAINER_OF(deadline, struct slot, restart);
	struct workers *w = s->workers;
	unsigned slot = (unsigned)(s - w->slots);

	if (w->draining || slot >= w->slots_n || s->next != NULL || s->current != NULL)
		return;
	if (spawn(w, slot) == NULL)
		deadline_set(w->params.loop, &s->restart, WORKERS_BACKOFF_MAX_MS, restart_cb);
}

static void replace(struct workers *w, const struct process *p)
{
	struct slot *s = &w->slots[p->slot];

	slots_orphan(w, p->slot, WORKERS_NEIGHBOUR_MS);
	if (w->draining || p->slot >= w->slots_n)
		return;
	if (loop_now_ms(w->params.loop) - p->started_ms > WORKERS_LIVED_MS)
		s->backoff_ms = 0;
	deadline_set(w->params.loop, &s->restart, s->backoff_ms, restart_cb);
	s->backoff_ms = s->backoff_ms == 0 ? WORKERS_BACKOFF_MIN_MS : s->backoff_ms * 2;
	if (s->backoff_ms > WORKERS_BACKOFF_MAX_MS)
		s->backoff_ms = WORKERS_BACKOFF_MAX_MS;
}

static void zero_gauge(void *arg, const char *name, uint64_t sum)
{
	const struct process *p = arg;
	size_t len = strlen(name);

	(void)sum;
	if (strncmp(name, REPORT_KEPT, strlen(REPORT_KEPT)) == 0)
		return;
	if (strchr(name, '.') != NULL || /* what it told of itself: gateway/report.h */
	    (len > 5 && strcmp(name + len - 5, "_open") == 0) ||
	    (len > 7 && strcmp(name + len - 7, "_paused") == 0))
		counter_set(counters_cell_of(p->workers->params.counters, name, p->cell), 0);
}

static void say_end(const struct process *p, int status)
{
	if (WIFSIGNALED(status))
		log_warnx("worker %u (process %d) was ended by signal %d%s", p->slot, (int)p->pid,
		    WTERMSIG(status), p->silent ? " since it did not beat any more" : "");
	else
		log_warnx("worker %u (process %d) ended with status %d", p->slot, (int)p->pid,
		    WEXITSTATUS(status));
}

static void process_ended(struct workers *w, struct process *p, int status)
{
	struct slot *s = &w->slots[p->slot];
	bool ours = s->current == p || s->next == p, starting = s->next == p;

	counters_each(w->params.counters, zero_gauge, p);
	if (s->current == p)
		s->current = NULL;
	if (starting)
		s->next = NULL;
	slots_left(w, p);
	if (!ours || w->draining) {
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			say_end(p, status);
		return;
	}
	say_end(p, status);
	if (starting && w->rolling)
		roll_over(w, WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status)
									   : EXIT_RUNTIME);
	if (s->current == NULL)
		replace(w, p);
}

bool workers_ended(struct workers *w, pid_t pid, int status)
{
	struct process *p;

	TAILQ_FOREACH (p, &w->processes, link)
		if (p->pid == pid)
			break;
	if (p == NULL)
		return false;
	process_ended(w, p, status);
	process_free(p);
	if (w->draining && TAILQ_EMPTY(&w->processes))
		w->params.drained(w->params.arg);
	return true;
}

/* ---- rolling over to a new plan */

/* Slots that there are no more: their sockets stay, a neighbour serves them. */
static void drop_surplus(struct workers *w)
{
	for (unsigned i = w->slots_n; i < ROLES_WORKERS_MAX; i++) {
		struct slot *s = &w->slots[i];
		struct process *p = s->current;

		deadline_clear(w->params.loop, &s->restart);
		s->current = NULL;
		if (p != NULL)
			drain_process(w, p);
		if (i < sockets_slots(w->now.sockets))
			slots_orphan(w, i, 0);
	}
}

static void forget(struct in_force *what)
{
	if (what->config_fd >= 0)
		close(what->config_fd);
	*what = (struct in_force){ .config_fd = -1 };
}

static void roll_over(struct workers *w, int failed)
{
	w->rolling = false;
	if (failed == 0) {
		forget(&w->before);
		drop_surplus(w);
	}
	w->params.rolled(w->params.arg, failed);
}

static void roll_on(struct workers *w)
{
	if (!w->rolling || w->draining)
		return;
	for (unsigned i = 0; i < w->slots_n; i++)
		if (w->slots[i].next != NULL)
			return;
	for (unsigned i = 0; i < w->slots_n; i++) {
		struct slot *s = &w->slots[i];

		if (s->current != NULL && s->current->generation == w->now.generation)
			continue;
		if (spawn(w, i) != NULL) {
			deadline_clear(w->params.loop, &s->restart);
			return;
		}
		roll_over(w, EXIT_RUNTIME);
		return;
	}
	roll_over(w, 0);
}

int workers_use(
    struct workers *w, const struct plan *plan, const struct sockets *sockets, int selfsigned_fd)
{
	size_t len;
	const char *text = conf_text_at(plan->text, &len);
	int fd = memfile_of("sslgw config", text, len);

	if (fd < 0)
		return -1;
	forget(&w->before);
	w->before = w->now;
	w->now = (struct in_force){ plan, sockets, fd, ++w->generations };
	w->selfsigned_fd = selfsigned_fd;
	w->slots_n = plan->workers;
	return 0;
}

void workers_go_back(struct workers *w)
{
	forget(&w->now);
	w->now = w->before;
	w->now.generation = ++w->generations;
	w->before = (struct in_force){ .config_fd = -1 };
	w->slots_n = w->now.plan->workers;
	drop_surplus(w);
	/* Those that the roll was about to start, or that ended meanwhile. */
	for (unsigned i = 0; i < w->slots_n; i++)
		if (w->slots[i].current == NULL && w->slots[i].next == NULL &&
		    !deadline_is_set(&w->slots[i].restart))
			deadline_set(w->params.loop, &w->slots[i].restart, WORKERS_BACKOFF_MIN_MS,
			    restart_cb);
}

void workers_selfsigned(struct workers *w, int fd)
{
	w->selfsigned_fd = fd;
}

void workers_start(struct workers *w)
{
	w->rolling = true;
	for (unsigned i = 0; i < w->slots_n && w->rolling; i++)
		if (spawn(w, i) == NULL)
			roll_over(w, EXIT_RUNTIME);
}

void workers_roll(struct workers *w)
{
	w->rolling = true;
	roll_on(w);
}

bool workers_rolling(const struct workers *w)
{
	return w->rolling;
}

/* ---- all of them */

static void tell_all(struct workers *w, const char *what)
{
	struct process *p;

	TAILQ_FOREACH (p, &w->processes, link)
		if (p->channel != NULL)
			channel_send(p->channel, NULL, 0, "%s", what);
}

void workers_resolved(struct workers *w, const char *text)
{
	struct process *p;

	names_keep(&w->names, text);
	TAILQ_FOREACH (p, &w->processes, link)
		if (p->channel != NULL)
			channel_send(p->channel, NULL, 0, "resolved %s", text);
}

void workers_health(struct workers *w, const char *text)
{
	struct process *p;

	downs_keep(&w->downs, text);
	TAILQ_FOREACH (p, &w->processes, link)
		if (p->channel != NULL)
			channel_send(p->channel, NULL, 0, "health %s", text);
}

/* Opened here: workers have given up the right to, where the folder is not theirs. */
void workers_reopen(struct workers *w)
{
	const char *path = w->now.plan != NULL ? w->now.plan->conf->access_log.file : NULL;
	bool to_syslog = path != NULL && strncmp(path, "syslog:", 7) == 0;
	bool own = path != NULL && strcmp(path, "stderr") != 0 && !to_syslog;
	struct process *p;
	struct stat st;
	int how = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, fd = -1;

	/* A FIFO without a reader can only be opened both ways. */
	how |= own && stat(path, &st) == 0 && S_ISFIFO(st.st_mode) ? O_RDWR : O_WRONLY;
	if (own)
		fd = open(path, how, 0640);

	if (own && fd < 0)
		log_error("cannot open the access log %s again; the old file goes on", path);
	if (to_syslog)
		tell_all(w, "reopen");
	TAILQ_FOREACH (p, &w->processes, link)
		if (fd >= 0 && p->channel != NULL)
			channel_send(p->channel, &fd, 1, "reopen");
	if (fd >= 0)
		close(fd);
}

void workers_drain(struct workers *w)
{
	w->draining = true;
	w->rolling = false;
	tell_all(w, "drain");
	if (TAILQ_EMPTY(&w->processes))
		w->params.drained(w->params.arg);
}

void workers_stop(struct workers *w)
{
	w->draining = true;
	tell_all(w, "stop");
}

void workers_kill(struct workers *w)
{
	struct process *p;

	TAILQ_FOREACH (p, &w->processes, link)
		kill(p->pid, SIGKILL);
}

bool workers_gone(const struct workers *w)
{
	return TAILQ_EMPTY(&w->processes);
}

void workers_watch(struct workers *w)
{
	struct process *p;

	TAILQ_FOREACH (p, &w->processes, link) {
		unsigned most = p->state == PROCESS_STARTING ? WORKERS_START_LOOKS
							     : WORKERS_SILENT_LOOKS;
		uint64_t beat = counter_get(
		    counters_cell_of(w->params.counters, ROLES_BEAT, p->cell));

		p->missed = beat == p->beat ? p->missed + 1 : 0;
		p->beat = beat;
		if (p->missed < most || p->silent)
			continue;
		p->silent = true;
		log_errorx("worker %u (process %d) has not beaten for %u s: ended and replaced",
		    p->slot, (int)p->pid, most);
		kill(p->pid, SIGKILL);
	}
}

struct workers *workers_new(const struct workers_params *params)
{
	struct workers *w = calloc(1, sizeof *w);

	if (w == NULL)
		return NULL;
	w->params = *params;
	w->now.config_fd = w->before.config_fd = w->selfsigned_fd = -1;
	TAILQ_INIT(&w->processes);
	for (unsigned i = 0; i < ROLES_WORKERS_MAX; i++)
		w->slots[i].workers = w;
	return w;
}

void workers_free(struct workers *w)
{
	struct process *p;

	if (w == NULL)
		return;
	while ((p = TAILQ_FIRST(&w->processes)) != NULL)
		process_free(p);
	for (unsigned i = 0; i < ROLES_WORKERS_MAX; i++) {
		deadline_clear(w->params.loop, &w->slots[i].restart);
		deadline_clear(w->params.loop, &w->slots[i].orphaned);
	}
	names_clear(&w->names);
	downs_clear(&w->downs);
	forget(&w->now);
	forget(&w->before);
	free(w);
}
