/*
 * workers.c: see workers.h. A process is STARTING until it says "ready", then READY with its slot's
 * sockets, then DRAINING. Each slot has at most one of the first two beside each other.
 */
#include "gateway/master/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/master/memfile.h"
#include "gateway/master/names.h"
#include "gateway/roles.h"
#include "proc/channel.h"
#include "proc/child.h"

#include "base/poison.h"

enum {
	WORKERS_BACKOFF_MIN_MS = 100,
	WORKERS_BACKOFF_MAX_MS = 10000,
	WORKERS_LIVED_MS = 10000, /* longer: the next start comes at once */
	WORKERS_NEIGHBOUR_MS = 100, /* a slot without a worker for so long goes to a neighbour */
	WORKERS_SILENT_MS = 5000, /* without a beat: ended and replaced */
	WORKERS_GENERATIONS_MAX = 2, /* that drain; older ones are stopped */
};

enum process_state { PROCESS_STARTING, PROCESS_READY, PROCESS_DRAINING };

struct process {
	TAILQ_ENTRY(process) link;
	struct workers *workers;
	pid_t pid;
	struct channel *channel; /* NULL: closed */
	unsigned slot, cell, generation;
	enum process_state state;
	uint64_t started_ms;
	bool silent; /* was sent SIGKILL */
};

struct slot {
	struct process *current, *next;
	unsigned backoff_ms;
	unsigned neighbour; /* who serves it now; == its own number: nobody else */
	struct deadline restart, orphaned;
	struct workers *workers;
};

struct workers {
	struct workers_params params;
	const struct plan *plan;
	const struct sockets *sockets;
	int config_fd, selfsigned_fd;
	unsigned generation, slots_n;
	struct slot slots[ROLES_WORKERS_MAX];
	TAILQ_HEAD(, process) processes;
	struct names names;
	bool rolling, draining;
};

static void roll_on(struct workers *w);
static struct process *spawn(struct workers *w, unsigned slot);

/* ---- sockets to workers */

static void give_slot(struct workers *w, struct process *to, unsigned slot)
{
	if (to->channel == NULL || slot >= sockets_slots(w->sockets))
		return;
	for (size_t i = 0; i < sockets_listeners(w->sockets); i++) {
		int fd = sockets_fd(w->sockets, i, slot);

		if (channel_send(to->channel, &fd, 1, "listen %u %zu", slot, i) != 0)
			log_warnx("worker %u takes no messages", to->slot);
	}
}

static void take_back(struct workers *w, unsigned slot)
{
	struct slot *s = &w->slots[slot];
	struct process *p = s->neighbour != slot ? w->slots[s->neighbour].current : NULL;

	if (p != NULL && p->channel != NULL)
		channel_send(p->channel, NULL, 0, "unlisten %u", slot);
	s->neighbour = slot;
}

/* Nobody serves this slot's sockets for a while: the next ready worker does so besides its own. */
static void orphaned_cb(struct deadline *deadline)
{
	struct slot *s = CONTAINER_OF(deadline, struct slot, orphaned);
	struct workers *w = s->workers;
	unsigned slot = (unsigned)(s - w->slots);

	if (s->current != NULL || w->draining)
		return;
	for (unsigned i = 1; i < ROLES_WORKERS_MAX; i++) {
		unsigned other = (slot + i) % ROLES_WORKERS_MAX;
		struct process *p = w->slots[other].current;

		if (p == NULL || p->state != PROCESS_READY)
			continue;
		s->neighbour = other;
		give_slot(w, p, slot);
		return;
	}
	deadline_set(w->params.loop, &s->orphaned, WORKERS_NEIGHBOUR_MS, orphaned_cb);
}

/* Slots whose number of workers shrank, and those that this one served for a neighbour, find another. */
static void leave_orphans(struct workers *w, unsigned gone)
{
	for (unsigned i = 0; i < ROLES_WORKERS_MAX; i++) {
		struct slot *s = &w->slots[i];

		if (i != gone && s->current == NULL && s->neighbour == gone && w->sockets != NULL &&
		    i < sockets_slots(w->sockets)) {
			s->neighbour = i;
			deadline_set(w->params.loop, &s->orphaned, 0, orphaned_cb);
		}
	}
}

/* ---- the life of a process */

static void drain_process(struct workers *w, struct process *p)
{
	unsigned newest = w->generation;

	p->state = PROCESS_DRAINING;
	if (p->channel != NULL)
		channel_send(p->channel, NULL, 0, "drain");
	TAILQ_FOREACH (p, &w->processes, link)
		if (p->state == PROCESS_DRAINING &&
		    newest - p->generation > WORKERS_GENERATIONS_MAX && p->channel != NULL)
			channel_send(p->channel, NULL, 0, "stop");
}

static void is_ready(struct process *p)
{
	struct workers *w = p->workers;
	struct slot *s = &w->slots[p->slot];
	struct process *old = s->current;

	if (p->state != PROCESS_STARTING)
		return;
	if (w->draining) {
		drain_process(w, p);
		return;
	}
	p->state = PROCESS_READY;
	names_tell(&w->names, p->channel);
	give_slot(w, p, p->slot);
	take_back(w, p->slot);
	deadline_clear(w->params.loop, &s->orphaned);
	s->current = p;
	s->next = NULL;
	if (old != NULL)
		drain_process(w, old);
	roll_on(w);
}

static void on_message(void *arg, char *text, int *fds, int fds_n)
{
	struct process *p = arg;

	for (int i = 0; i < fds_n; i++)
		close(fds[i]);
	if (strcmp(text, "ready") == 0)
		is_ready(p);
}

static void on_closed(void *arg)
{
	struct process *p = arg;

	channel_free(p->channel);
	p->channel = NULL;
}

static const struct channel_events process_events = { on_message, on_closed };

/* Two cells a slot, taken in turn: the old worker still counts in its own while it drains. */
static unsigned free_cell(struct workers *w, unsigned slot)
{
	unsigned cell = 2 * slot;
	struct process *p;

	TAILQ_FOREACH (p, &w->processes, link)
		if (p->cell == cell)
			return cell + 1;
	return cell;
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
	p->generation = w->generation;
	p->started_ms = loop_now_ms(w->params.loop);
	p->channel = channel_new(w->params.loop, channel_fd, &process_events, p);
	if (p->channel == NULL) {
		free(p);
		return NULL;
	}
	counter_set(counters_cell_of(w->params.counters, ROLES_BEAT, p->cell), p->started_ms);
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
					.uid = w->plan->gateway.uid,
					.gid = w->plan->gateway.gid,
					.keys = &w->params.keys,
					.cache = &w->params.cache,
					.config = w->config_fd,
					.counters = w->params.counters_fd,
					.token = w->params.token_fd,
					.channel = pair[1],
					.selfsigned = w->selfsigned_fd });
	close(pair[1]);
	if (pid < 0) {
		log_error("cannot start worker %u", slot);
		process_free(p);
		return NULL;
	}
	p->pid = pid;
	w->slots[slot].next = p;
	return p;
}

static void restart_cb(struct deadline *deadline)
{
	struct slot *s = CONTAINER_OF(deadline, struct slot, restart);
	struct workers *w = s->workers;

	if (w->draining || s->next != NULL || s->current != NULL)
		return;
	if (spawn(w, (unsigned)(s - w->slots)) == NULL)
		deadline_set(w->params.loop, &s->restart, WORKERS_BACKOFF_MAX_MS, restart_cb);
}

static void replace(struct workers *w, const struct process *p)
{
	struct slot *s = &w->slots[p->slot];

	if (loop_now_ms(w->params.loop) - p->started_ms > WORKERS_LIVED_MS)
		s->backoff_ms = 0;
	deadline_set(w->params.loop, &s->restart, s->backoff_ms, restart_cb);
	s->backoff_ms = s->backoff_ms == 0 ? WORKERS_BACKOFF_MIN_MS : s->backoff_ms * 2;
	if (s->backoff_ms > WORKERS_BACKOFF_MAX_MS)
		s->backoff_ms = WORKERS_BACKOFF_MAX_MS;
	deadline_set(w->params.loop, &s->orphaned, WORKERS_NEIGHBOUR_MS, orphaned_cb);
}

static void zero_gauge(void *arg, const char *name, uint64_t sum)
{
	const struct process *p = arg;
	size_t len = strlen(name);

	(void)sum;
	if ((len > 5 && strcmp(name + len - 5, "_open") == 0) ||
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

	counters_each(w->params.counters, zero_gauge, p);
	if (p->state == PROCESS_DRAINING || w->draining) {
		if (s->current == p)
			s->current = NULL;
		if (s->next == p)
			s->next = NULL;
		return;
	}
	say_end(p, status);
	if (s->next == p) {
		s->next = NULL;
		if (w->rolling) {
			w->rolling = false;
			w->params.rolled(w->params.arg,
			    WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status)
									  : EXIT_RUNTIME);
			return;
		}
		replace(w, p);
	} else if (s->current == p) {
		s->current = NULL;
		leave_orphans(w, p->slot);
		replace(w, p);
	}
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

static void roll_on(struct workers *w)
{
	if (!w->rolling || w->draining)
		return;
	for (unsigned i = 0; i < w->slots_n; i++)
		if (w->slots[i].next != NULL)
			return;
	for (unsigned i = 0; i < w->slots_n; i++) {
		struct process *p = w->slots[i].current;

		if (p != NULL && p->generation == w->generation)
			continue;
		deadline_clear(w->params.loop, &w->slots[i].restart);
		if (spawn(w, i) != NULL)
			return;
		w->rolling = false;
		w->params.rolled(w->params.arg, EXIT_RUNTIME);
		return;
	}
	w->rolling = false;
	for (unsigned i = w->slots_n; i < ROLES_WORKERS_MAX; i++) {
		struct slot *s = &w->slots[i];

		if (s->current != NULL)
			drain_process(w, s->current);
		s->current = NULL;
		if (i < sockets_slots(w->sockets))
			deadline_set(w->params.loop, &s->orphaned, 0, orphaned_cb);
	}
	w->params.rolled(w->params.arg, 0);
}

int workers_use(
    struct workers *w, const struct plan *plan, const struct sockets *sockets, int selfsigned_fd)
{
	size_t len;
	const char *text = conf_text_at(plan->text, &len);
	int fd = memfile_of("sslgw config", text, len);

	if (fd < 0)
		return -1;
	if (w->config_fd >= 0)
		close(w->config_fd);
	w->config_fd = fd;
	w->selfsigned_fd = selfsigned_fd;
	w->plan = plan;
	w->sockets = sockets;
	w->slots_n = plan->workers;
	w->generation++;
	return 0;
}

void workers_selfsigned(struct workers *w, int fd)
{
	w->selfsigned_fd = fd;
}

void workers_start(struct workers *w)
{
	w->rolling = true;
	for (unsigned i = 0; i < w->slots_n && w->rolling; i++)
		if (spawn(w, i) == NULL) {
			w->rolling = false;
			w->params.rolled(w->params.arg, EXIT_RUNTIME);
		}
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
		if (p->channel != NULL && p->state != PROCESS_STARTING)
			channel_send(p->channel, NULL, 0, "resolved %s", text);
}

/* Opened here: workers have given up the right to, where the folder is not theirs. */
void workers_reopen(struct workers *w)
{
	const char *path = w->plan->conf->access_log.file;
	bool own = path != NULL && strcmp(path, "stderr") != 0;
	struct process *p;
	struct stat st;
	int how = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, fd = -1;

	/* A FIFO without a reader can only be opened both ways. */
	how |= own && stat(path, &st) == 0 && S_ISFIFO(st.st_mode) ? O_RDWR : O_WRONLY;
	if (own)
		fd = open(path, how, 0640);

	if (own && fd < 0)
		log_error("cannot open the access log %s again; the old file goes on", path);
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
	uint64_t now = loop_now_ms(w->params.loop);
	struct process *p;

	TAILQ_FOREACH (p, &w->processes, link) {
		uint64_t beat = counter_get(
		    counters_cell_of(w->params.counters, ROLES_BEAT, p->cell));

		if (now < beat + WORKERS_SILENT_MS || p->silent)
			continue;
		p->silent = true;
		log_errorx("worker %u (process %d) has not beaten for %d s: ended and replaced",
		    p->slot, (int)p->pid, WORKERS_SILENT_MS / 1000);
		kill(p->pid, SIGKILL);
	}
}

struct workers *workers_new(const struct workers_params *params)
{
	struct workers *w = calloc(1, sizeof *w);

	if (w == NULL)
		return NULL;
	w->params = *params;
	w->config_fd = w->selfsigned_fd = -1;
	TAILQ_INIT(&w->processes);
	for (unsigned i = 0; i < ROLES_WORKERS_MAX; i++) {
		w->slots[i].workers = w;
		w->slots[i].neighbour = i;
	}
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
	if (w->config_fd >= 0)
		close(w->config_fd);
	free(w);
}
