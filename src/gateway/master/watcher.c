/*
 * watcher.c: see watcher.h.
 */
#include "gateway/master/watcher.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/healthword.h"
#include "gateway/master/memfile.h"
#include "gateway/resolved.h"
#include "gateway/roles.h"
#include "proc/channel.h"

#include "base/poison.h"

/* WATCHER_SILENT_LOOKS: looks, one a second, without a new beat. */
enum { WATCHER_BACKOFF_MS = 1000, WATCHER_SILENT_LOOKS = 10 };

struct watcher {
	struct watcher_params params;
	const struct plan *plan;
	pid_t pid; /* 0: not running */
	struct channel *channel;
	struct deadline restart;
	uint64_t beat; /* the last that was seen, and for how many looks since */
	unsigned missed;
	bool stopping, replacing;
	struct resolved parsed; /* what was last heard */
};

static int spawn(struct watcher *w);

/* One that is being replaced may still speak of servers that are none any more. */
static void health(struct watcher *w, const char *line)
{
	struct healthword word;

	if (w->params.health == NULL)
		return;
	if (healthword_parse(line, w->plan->conf, &word) == 0)
		w->params.health(w->params.arg, line);
	else if (!w->replacing)
		log_warnx("the monitor said what makes no sense about a server");
}

static void on_message(void *arg, char *text, int *fds, int fds_n)
{
	struct watcher *w = arg;
	char *copy;

	for (int i = 0; i < fds_n; i++)
		close(fds[i]);
	if (strcmp(text, "ready") == 0) {
		if (!w->replacing) /* else it speaks of former names */
			w->params.ready(w->params.arg);
		return;
	}
	/* These three words and no others. A monitor that was taken over can so stop the gateway, as it can send
	 * the clients elsewhere by what it says of names: it is trusted with both, and with no right or key. */
	if (strcmp(text, "reload") == 0 || strcmp(text, "drain") == 0 ||
	    strcmp(text, "reopen") == 0) {
		if (w->params.asked != NULL)
			w->params.asked(w->params.arg, text);
		return;
	}
	if (strncmp(text, "health ", 7) == 0) {
		health(w, text + 7);
		return;
	}
	if (strncmp(text, "resolved ", 9) != 0 || (copy = strdup(text + 9)) == NULL)
		return;
	if (resolved_parse(copy, &w->parsed) == 0)
		w->params.resolved(w->params.arg, text + 9);
	else
		log_warnx("the monitor said what makes no sense about a name");
	free(copy);
}

static void on_closed(void *arg)
{
	struct watcher *w = arg;

	channel_free(w->channel);
	w->channel = NULL;
}

static const struct channel_events watcher_events = { on_message, on_closed };

static void restart_cb(struct deadline *deadline)
{
	struct watcher *w = CONTAINER_OF(deadline, struct watcher, restart);

	if (!w->stopping && w->pid == 0 && spawn(w) != 0)
		deadline_set(w->params.loop, &w->restart, WATCHER_BACKOFF_MS, restart_cb);
}

static int spawn(struct watcher *w)
{
	size_t len;
	const char *text = conf_text_at(w->plan->text, &len);
	int pair[2], config = memfile_of("sslgw config", text, len);
	pid_t pid = -1;

	if (config < 0 || channel_pair(pair) != 0) {
		log_error("cannot start the monitor");
		if (config >= 0)
			close(config);
		return -1;
	}
	channel_free(w->channel);
	w->channel = channel_new(w->params.loop, pair[0], &watcher_events, w);
	if (w->channel != NULL)
		pid = roles_spawn("monitor", &(struct roles_spawn){ .cell = ROLES_CELL_MONITOR,
						 .uid = w->plan->gateway.uid,
						 .gid = w->plan->gateway.gid,
						 .keys = &w->params.keys,
						 .cache = &w->params.cache,
						 .config = config,
						 .counters = w->params.counters_fd,
						 .token = -1,
						 .tickets = -1,
						 .channel = pair[1],
						 .selfsigned = -1,
						 .admin = w->params.admin });
	close(pair[1]);
	close(config);
	if (pid < 0) {
		log_error("cannot start the monitor");
		return -1;
	}
	w->pid = pid;
	w->missed = 0;
	return 0;
}

struct watcher *watcher_new(const struct watcher_params *params)
{
	struct watcher *w = calloc(1, sizeof *w);

	if (w != NULL)
		w->params = *params;
	return w;
}

int watcher_use(struct watcher *w, const struct plan *plan)
{
	w->plan = plan;
	if (w->pid == 0)
		return spawn(w);
	watcher_replace(w);
	return 0;
}

void watcher_replace(struct watcher *w)
{
	w->replacing = w->pid != 0;
	if (w->channel != NULL)
		channel_send(w->channel, NULL, 0, "stop");
}

bool watcher_ended(struct watcher *w, pid_t pid, int status)
{
	if (pid != w->pid)
		return false;
	w->pid = 0;
	if (w->stopping)
		return true;
	if (!w->replacing)
		log_warnx("the monitor (process %d) ended (%s %d); starting it again", (int)pid,
		    WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	deadline_set(
	    w->params.loop, &w->restart, w->replacing ? 0 : WATCHER_BACKOFF_MS, restart_cb);
	w->replacing = false;
	return true;
}

void watcher_watch(struct watcher *w)
{
	uint64_t beat = counter_get(
	    counters_cell_of(w->params.counters, ROLES_BEAT, ROLES_CELL_MONITOR));

	w->missed = beat == w->beat ? w->missed + 1 : 0;
	w->beat = beat;
	if (w->pid == 0 || w->missed < WATCHER_SILENT_LOOKS)
		return;
	log_errorx("the monitor (process %d) has not beaten for %d s: ended and replaced",
	    (int)w->pid, WATCHER_SILENT_LOOKS);
	w->missed = 0;
	kill(w->pid, SIGKILL);
}

void watcher_stop(struct watcher *w)
{
	w->stopping = true;
	deadline_clear(w->params.loop, &w->restart);
	if (w->channel != NULL)
		channel_send(w->channel, NULL, 0, "stop");
}

void watcher_kill(struct watcher *w)
{
	if (w->pid > 0)
		kill(w->pid, SIGKILL);
}

bool watcher_gone(const struct watcher *w)
{
	return w->pid == 0;
}

void watcher_free(struct watcher *w)
{
	if (w == NULL)
		return;
	deadline_clear(w->params.loop, &w->restart);
	channel_free(w->channel);
	free(w);
}
