/*
 * master_private.h: the master, as its files share it. master.c: start, signals, end; reload.c: a new
 * configuration; check.c: -t and -T.
 */
#ifndef GATEWAY_MASTER_MASTER_PRIVATE_H
#define GATEWAY_MASTER_MASTER_PRIVATE_H

#include "base/counters.h"
#include "gateway/master/embedded.h"
#include "gateway/master/master.h"
#include "gateway/master/plan.h"
#include "gateway/master/sockets.h"
#include "gateway/master/watcher.h"
#include "gateway/master/workers.h"
#include "net/loop.h"
#include "proc/adminconf.h"

#define MASTER_PHASES(X)                                                                           \
	X(MASTER_KEYS, "reading keys")                                                             \
	X(MASTER_NAMES, "resolving names")                                                         \
	X(MASTER_WORKERS, "starting workers")                                                      \
	X(MASTER_SERVING, "serving")                                                               \
	X(MASTER_DRAINING, "draining")                                                             \
	X(MASTER_ENDING, "ending")

enum master_phase {
#define X(id, name) id,
	MASTER_PHASES(X)
#undef X
};

struct reload {
	struct plan *plan; /* NULL: none going on */
	struct sockets *sockets;
	bool naming; /* the new monitor looks up names */
	bool pending; /* asked for while one was going on, or too soon after it */
	unsigned tries; /* of one that the key service did not answer */
	struct deadline again, patience;
};

struct master {
	const struct launch *launch;
	struct loop *loop;
	enum master_phase phase;
	int status; /* exit status */
	struct plan *plan;
	struct sockets *sockets;
	char runtime_dir[96];
	struct counters *counters;
	int counters_fd, token_fd, tickets_fd, selfsigned_fd;
	struct embedded *embedded;
	struct workers *workers;
	struct watcher *watcher; /* the monitor process */
	struct adminconf_sockets admin; /* the monitor serves them */
	struct adminconf_sockets key_admin; /* the embedded key service does */
	uint64_t generation; /* of the configuration in force */
	struct reload reload;
	struct deadline tick, patience;
	struct signals *signals;
	struct pidfh *pidfile;
	int daemon; /* daemonize()'s handle; -1: in the foreground */
};

/* Reads the configuration; NULL with all errors printed or logged. */
struct plan *master_plan(const struct launch *, struct conf_errors *);
int master_runtime_dir(struct master *, const struct plan *); /* made; 0, -1: said in the log */
int master_selfsigned(struct master *, const char *pem);
/* -t --live: 0, or the exit status: what is not reached was said. The loop has run before. */
int master_live(struct loop *, const struct gateway_conf *);
void master_log_errors(const struct conf_errors *);

/* admin.c */
int master_admin_open(struct master *); /* 0, -1: said in the log */
void master_admin_watch(struct master *); /* each second: see to it that the socket is there */
void master_admin_print(
    const struct master *, FILE *); /* for the ready line: " admin http://127.0.0.1:9901" */
void master_admin_changed(
    const struct master *, const struct plan *); /* says that it takes a restart */
void master_asked(void *master, const char *what); /* a command of the operator's */

void reload_ask(struct master *);
void master_stop(struct master *); /* drains, then ends; a second time: ends */
void reload_serving(struct master *); /* the start is over: what was asked for meanwhile */
void reload_named(struct master *); /* the monitor has looked up its names */
void reload_rolled(struct master *, int failed);

#endif
