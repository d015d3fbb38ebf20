/*
 * embedded.c: see embedded.h. The listening sockets outlive the processes behind them: a worker that
 * connects while the service is being started again waits in the queue.
 */
#include "gateway/master/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/master/embedded_conf.h"
#include "gateway/master/feed.h"
#include "net/listener.h"
#include "proc/channel.h"
#include "proc/child.h"
#include "proc/privileges.h"

#include "base/poison.h"

enum {
	EMBEDDED_BACKOFF_MIN_MS = 50,
	EMBEDDED_BACKOFF_MAX_MS = 5000,
	EMBEDDED_AGAIN_MIN_MS =
	    10000, /* until keys that are missing are looked for again; doubles */
	EMBEDDED_AGAIN_MAX_MS = 300000,
	EMBEDDED_SILENT_MS = 60000, /* it takes milliseconds to read a key */
	EMBEDDED_LIVED_MS = 10000, /* longer: the next start comes at once again */
};

struct service_process {
	struct embedded *embedded;
	const char *name; /* of the program */
	const char *file; /* of its socket in the runtime folder */
	struct endpoint at;
	int listen_fd;
	pid_t pid; /* 0: not running */
	struct channel *channel;
	uint64_t started_ms;
	unsigned backoff_ms;
	struct deadline restart;
};

struct embedded {
	struct loop *loop;
	struct service_process key, cache;
	const struct plan *plan;
	const char *runtime_dir;
	int token_fd;
	int admin_fd; /* the key service's admin socket; -1: none. The master's */
	struct feed feed;
	void (*renewed)(void *arg, const char *pem);
	void *renewed_arg;
	struct deadline silent; /* no answer for too long, if a pass is going on then */
	struct deadline again; /* keys are missing */
	unsigned again_ms;
	size_t lacking; /* so many, when it was said */
	bool stopping;
	bool check; /* -t: nothing is written */
};

static int spawn(struct service_process *p);
static void feed_again(struct deadline *);

static bool wanted(const struct service_process *p, const struct plan *plan)
{
	return p == &p->embedded->key ? plan->conf->key_service.servers.n == 0
				      : plan->conf->session_cache.servers.n == 0;
}

static int conf_of(const struct service_process *p, const struct plan *plan)
{
	return p == &p->embedded->key ? embedded_conf_keys(plan, p->embedded->check)
				      : embedded_conf_cache(plan);
}

/* ---- the channel */

/* Whoever has the key service's attention does not give it back: without that no key is read any more. */
static void silent(struct deadline *deadline)
{
	struct embedded *e = CONTAINER_OF(deadline, struct embedded, silent);

	if (e->feed.plan == NULL)
		return;
	log_errorx("%s does not answer: ended", e->key.name);
	embedded_restart_key(e);
}

static void on_key_message(void *arg, char *text, int *fds, int fds_n)
{
	struct embedded *e = arg;

	for (int i = 0; i < fds_n; i++)
		close(fds[i]);
	if (strncmp(text, "failed ", 7) == 0)
		log_warnx("%s: %s", e->key.name, text + 7);
	else
		feed_message(&e->feed, text);
	if (deadline_is_set(&e->silent))
		deadline_set(e->loop, &e->silent, EMBEDDED_SILENT_MS, silent);
}

static void on_cache_message(void *arg, char *text, int *fds, int fds_n)
{
	(void)arg;
	(void)text;
	for (int i = 0; i < fds_n; i++)
		close(fds[i]);
}

static void forget_channel(struct service_process *p)
{
	channel_free(p->channel);
	p->channel = NULL;
}

static void on_key_closed(void *arg)
{
	struct embedded *e = arg;

	forget_channel(&e->key);
	feed_lost(&e->feed, "the key service ended before it had read the keys");
}

static void on_cache_closed(void *arg)
{
	struct embedded *e = arg;

	forget_channel(&e->cache);
}

static const struct channel_events key_events = { on_key_message, on_key_closed };
static const struct channel_events cache_events = { on_cache_message, on_cache_closed };

/* ---- starting and ending */

static int spawn(struct service_process *p)
{
	struct embedded *e = p->embedded;
	char path[PLAN_PATH_MAX], name[64], config[] = "/proc/self/fd/6", option[] = "-c";
	char *argv[] = { name, option, config, NULL };
	int pair[2] = { -1, -1 }, conf = -1;
	bool key = p == &e->key;

	strlcpy(name, p->name, sizeof name);
	if (plan_program(e->plan, p->name, path, sizeof path) == NULL) {
		log_errorx("%s is gone: install it again", p->name);
		return -1;
	}
	conf = conf_of(p, e->plan);
	if (conf < 0 || channel_pair(pair) != 0)
		goto fail;
	/* The config is the fourth descriptor, so 6: see argv. */
	struct child_fd fds[] = { { p->listen_fd, "service" }, { e->token_fd, "token" },
		{ pair[1], "channel" }, { conf, "config" }, { e->admin_fd, "admin-local" } };

	forget_channel(p); /* of the process before, should its end not have been read yet */
	p->channel = channel_new(e->loop, pair[0], key ? &key_events : &cache_events, e);
	pair[0] = -1;
	if (p->channel == NULL)
		goto fail;
	p->pid = child_spawn(path, argv, NULL, fds, key && e->admin_fd >= 0 ? 5 : 4);
	if (p->pid < 0) {
		p->pid = 0;
		forget_channel(p);
		goto fail;
	}
	p->started_ms = loop_now_ms(e->loop);
	close(pair[1]);
	close(conf);
	return 0;
fail:
	log_error("cannot start %s", p->name);
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
	if (conf >= 0)
		close(conf);
	return -1;
}

/* Whether a certificate that the workers present has no key among those that were read. */
static bool lacks_keys(struct embedded *e, const struct plan_key *keys, size_t n)
{
	struct conf_errors *errors = conf_errors_new();
	size_t lacking = 1;

	if (errors != NULL) {
		plan_match(e->plan, keys, n, errors);
		lacking = conf_errors_n(errors);
		for (size_t i = 0; lacking != e->lacking && i < lacking; i++)
			log_errorx("%s: looked for again; if the certificate is new, too, reload",
			    conf_errors_at(errors, i));
	}
	e->lacking = lacking;
	conf_errors_free(errors);
	return lacking > 0;
}

/* The workers run: what can be had serves most of them, and the rest is looked for again. */
static void refed(
    void *arg, const char *error, const struct plan_key *keys, size_t n, const char *pem)
{
	struct embedded *e = arg;
	bool lacking = false;

	if (error != NULL) {
		log_errorx("%s", error);
	} else {
		feed_commit(&e->feed, e->key.channel);
		lacking = lacks_keys(e, keys, n);
	}
	if (error != NULL || lacking)
		deadline_set(e->loop, &e->again, e->again_ms, feed_again);
	if (lacking) {
		e->again_ms = e->again_ms < EMBEDDED_AGAIN_MAX_MS / 2 ? e->again_ms * 2
								      : EMBEDDED_AGAIN_MAX_MS;
	}
	if (pem != NULL && e->renewed != NULL)
		e->renewed(e->renewed_arg, pem);
}

/* The key service, whichever process it is now, reads the keys of the plan in force; one that is starting does so by
 * itself. */
static void feed_present(struct embedded *e)
{
	deadline_clear(e->loop, &e->again);
	feed_clear(&e->feed);
	if (!wanted(&e->key, e->plan) || e->key.channel == NULL)
		return;
	embedded_feed(e, e->plan, refed, e);
}

static void feed_again(struct deadline *deadline)
{
	struct embedded *e = CONTAINER_OF(deadline, struct embedded, again);

	if (e->stopping)
		return;
	if (embedded_is_reading(e))
		deadline_set(e->loop, &e->again, EMBEDDED_AGAIN_MIN_MS, feed_again);
	else
		feed_present(e);
}

static void restart_cb(struct deadline *deadline)
{
	struct service_process *p = CONTAINER_OF(deadline, struct service_process, restart);
	struct embedded *e = p->embedded;

	if (e->stopping)
		return;
	if (spawn(p) != 0) {
		deadline_set(e->loop, &p->restart, EMBEDDED_BACKOFF_MAX_MS, restart_cb);
		return;
	}
	if (p == &e->key)
		feed_present(e);
}

static void ended(struct service_process *p, int status)
{
	struct embedded *e = p->embedded;
	pid_t pid = p->pid;

	p->pid = 0;
	if (e->stopping)
		return;
	/* A pass that it has taken along fails before another begins. */
	if (p == &e->key && p->channel != NULL)
		on_key_closed(e);
	if (loop_now_ms(e->loop) - p->started_ms > EMBEDDED_LIVED_MS)
		p->backoff_ms = 0;
	if (WIFSIGNALED(status))
		log_warnx("%s (process %d) was ended by signal %d; starting it again in %u ms",
		    p->name, (int)pid, WTERMSIG(status), p->backoff_ms);
	else
		log_warnx("%s (process %d) ended with status %d; starting it again in %u ms",
		    p->name, (int)pid, WEXITSTATUS(status), p->backoff_ms);
	deadline_set(e->loop, &p->restart, p->backoff_ms, restart_cb);
	p->backoff_ms = p->backoff_ms == 0 ? EMBEDDED_BACKOFF_MIN_MS : p->backoff_ms * 2;
	if (p->backoff_ms > EMBEDDED_BACKOFF_MAX_MS)
		p->backoff_ms = EMBEDDED_BACKOFF_MAX_MS;
}

bool embedded_ended(struct embedded *e, pid_t pid, int status)
{
	if (pid == e->key.pid)
		ended(&e->key, status);
	else if (pid == e->cache.pid)
		ended(&e->cache, status);
	else
		return false;
	return true;
}

/* Workers connect with the rights they have left. Found out now, not when a service is started again. */
static int check_reach(const char *path, const struct plan_user *user)
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		return 0;
	pid = fork();
	if (pid == 0)
		_exit(
		    privileges_drop(user->uid, user->gid) == 0 && access(path, W_OK) == 0 ? 0 : 1);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	log_errorx(
	    "user %u cannot reach %s: let others pass through the folders above it (chmod o+x)",
	    (unsigned)user->uid, path);
	return -1;
}

static const char *path_of(const struct service_process *p)
{
	return ((const struct sockaddr_un *)&p->at.addr)->sun_path;
}

/* Only root and the workers' group may look for the sockets in the folder. The descriptor, or -1. */
static int listen_at(const struct service_process *p, const struct plan_user *user)
{
	const char *dir = p->embedded->runtime_dir, *path = path_of(p);
	bool root = geteuid() == 0;
	int fd;

	if ((mkdir(dir, 0700) != 0 && errno != EEXIST) ||
	    (root && (chown(dir, 0, user->gid) != 0 || chmod(dir, 0710) != 0))) {
		log_error("cannot set the rights of %s", dir);
		return -1;
	}
	fd = listener_socket(&p->at, false);
	if (fd >= 0 && chmod(path, root ? 0660 : 0600) == 0 &&
	    (!root || chown(path, 0, user->gid) == 0))
		return fd;
	log_error("cannot make the socket %s", path);
	if (fd >= 0)
		close(fd);
	return -1;
}

static int open_socket(struct service_process *p, const struct plan_user *user)
{
	char text[ENDPOINT_TEXT_MAX];

	if ((size_t)snprintf(text, sizeof text, "unix:%s/%s", p->embedded->runtime_dir, p->file) >=
		sizeof text ||
	    endpoint_parse(&p->at, text) != 0) {
		log_errorx(
		    "runtime_dir %s is too long for a Unix socket", p->embedded->runtime_dir);
		return -1;
	}
	p->listen_fd = listen_at(p, user);
	return p->listen_fd < 0 ? -1 : check_reach(path_of(p), user);
}

/* Somebody tidied up: without its path nobody could connect to the service again. The process has the
 * former socket, which nobody reaches: another process takes its place. */
static void mend_socket(struct service_process *p, const struct plan_user *user)
{
	struct stat st;
	int fd;

	if (p->listen_fd < 0 || lstat(path_of(p), &st) == 0)
		return;
	fd = listen_at(p, user);
	if (fd < 0)
		return;
	log_errorx("somebody removed %s: made again; %s is started again", path_of(p), p->name);
	close(p->listen_fd);
	p->listen_fd = fd;
	if (p->pid > 0)
		kill(p->pid, SIGKILL);
}

void embedded_watch(struct embedded *e)
{
	if (e->stopping)
		return;
	mend_socket(&e->key, &e->plan->gateway);
	mend_socket(&e->cache, &e->plan->gateway);
}

struct embedded *embedded_new(
    struct loop *loop, const struct plan *plan, const char *runtime_dir, int token_fd)
{
	struct embedded *e = calloc(1, sizeof *e);

	if (e == NULL)
		return NULL;
	e->loop = loop;
	e->plan = plan;
	e->runtime_dir = runtime_dir;
	e->token_fd = token_fd;
	e->admin_fd = -1;
	e->again_ms = EMBEDDED_AGAIN_MIN_MS;
	e->key = (struct service_process){
		.embedded = e, .name = "sslgw-keysvc", .file = "key.sock", .listen_fd = -1
	};
	e->cache = (struct service_process){
		.embedded = e, .name = "sslgw-cachesvc", .file = "cache.sock", .listen_fd = -1
	};
	if ((wanted(&e->key, plan) && open_socket(&e->key, &plan->gateway) != 0) ||
	    (wanted(&e->cache, plan) && open_socket(&e->cache, &plan->gateway) != 0)) {
		embedded_free(e);
		return NULL;
	}
	return e;
}

void embedded_admin(struct embedded *e, int fd)
{
	e->admin_fd = fd;
}

int embedded_start(struct embedded *e, const struct plan *plan, bool check)
{
	e->plan = plan;
	e->check = check;
	if (wanted(&e->key, plan) && spawn(&e->key) != 0)
		return -1;
	return check || !wanted(&e->cache, plan) ? 0 : spawn(&e->cache);
}

void embedded_feed(struct embedded *e, const struct plan *plan, embedded_fed fed, void *arg)
{
	deadline_set(e->loop, &e->silent, EMBEDDED_SILENT_MS, silent);
	feed_begin(&e->feed, e->loop, e->key.channel, plan, fed, arg);
}

static void use(struct embedded *e, const struct plan *plan)
{
	e->plan = plan;
	deadline_clear(e->loop, &e->again);
	e->again_ms = EMBEDDED_AGAIN_MIN_MS;
	e->lacking = 0;
}

static void send_conf(struct embedded *e)
{
	int conf = conf_of(&e->key, e->plan);

	if (conf < 0)
		return;
	if (e->key.channel != NULL)
		channel_send(e->key.channel, &conf, 1, "reload");
	close(conf);
}

void embedded_commit(struct embedded *e, const struct plan *plan)
{
	use(e, plan);
	if (!wanted(&e->key, plan))
		return;
	feed_commit(&e->feed, e->key.channel);
	send_conf(e);
}

void embedded_discard(struct embedded *e)
{
	feed_discard(&e->feed, e->key.channel);
}

void embedded_go_back(struct embedded *e, const struct plan *plan)
{
	use(e, plan);
	if (wanted(&e->key, plan))
		send_conf(e);
	feed_present(e);
}

void embedded_forget(struct embedded *e)
{
	if (e->key.channel != NULL)
		channel_send(e->key.channel, NULL, 0, "keys-forget");
}

bool embedded_is_reading(const struct embedded *e)
{
	if (wanted(&e->key, e->plan) && (e->key.channel == NULL || e->key.pid == 0))
		return true;
	return e->feed.plan != NULL;
}

void embedded_restart_key(struct embedded *e)
{
	if (e->key.pid > 0)
		kill(e->key.pid, SIGKILL);
}

void embedded_on_renewed(struct embedded *e, void (*renewed)(void *arg, const char *pem), void *arg)
{
	e->renewed = renewed;
	e->renewed_arg = arg;
}

pid_t embedded_key_pid(const struct embedded *e)
{
	return e->key.pid;
}

const struct endpoint *embedded_keys(const struct embedded *e)
{
	return &e->key.at;
}

const struct endpoint *embedded_cache(const struct embedded *e)
{
	return &e->cache.at;
}

static void tell(struct embedded *e, const char *what)
{
	if (e->key.channel != NULL)
		channel_send(e->key.channel, NULL, 0, "%s", what);
	if (e->cache.channel != NULL)
		channel_send(e->cache.channel, NULL, 0, "%s", what);
}

void embedded_reopen(struct embedded *e)
{
	tell(e, "reopen");
}

void embedded_stop(struct embedded *e)
{
	e->stopping = true;
	deadline_clear(e->loop, &e->silent);
	deadline_clear(e->loop, &e->again);
	deadline_clear(e->loop, &e->key.restart);
	deadline_clear(e->loop, &e->cache.restart);
	tell(e, "stop");
}

bool embedded_gone(const struct embedded *e)
{
	return e->key.pid == 0 && e->cache.pid == 0;
}

void embedded_kill(struct embedded *e)
{
	if (e->key.pid > 0)
		kill(e->key.pid, SIGKILL);
	if (e->cache.pid > 0)
		kill(e->cache.pid, SIGKILL);
}

void embedded_free(struct embedded *e)
{
	struct service_process *both[2];

	if (e == NULL)
		return;
	both[0] = &e->key;
	both[1] = &e->cache;
	feed_clear(&e->feed);
	deadline_clear(e->loop, &e->silent);
	deadline_clear(e->loop, &e->again);
	for (size_t i = 0; i < 2; i++) {
		deadline_clear(e->loop, &both[i]->restart);
		channel_free(both[i]->channel);
		if (both[i]->listen_fd >= 0) {
			close(both[i]->listen_fd);
			unlink(path_of(both[i]));
		}
	}
	free(e);
}
