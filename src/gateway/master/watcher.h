/*
 * watcher.h: the monitor process, seen from the master: started, started again when it ends, heard.
 */
#ifndef GATEWAY_MASTER_WATCHER_H
#define GATEWAY_MASTER_WATCHER_H

#include "base/counters.h"
#include "gateway/master/plan.h"
#include "net/endpoint.h"
#include "net/loop.h"
#include "proc/adminconf.h"

struct watcher;

struct watcher_params {
	struct loop *loop;
	struct counters *counters;
	int counters_fd;
	struct endpoint keys, cache;
	void (*ready)(void *arg); /* every name had its first answer, or time enough; each start */
	void (*resolved)(void *arg, const char *line); /* "HOST TTL ADDR...", checked */
	void (*health)(
	    void *arg, const char *line); /* "up|down POOL ADDRESS", checked; NULL: not heard */
	/* An operator's command that came by the admin socket: "reload", "drain", "reopen". NULL: none is taken. */
	void (*asked)(void *arg, const char *what);
	const struct adminconf_sockets *admin; /* handed to each monitor; borrowed. NULL: none */
	void *arg;
};

struct watcher *watcher_new(const struct watcher_params *);
int watcher_use(struct watcher *,
    const struct plan *); /* starts it, or replaces the one of another plan. 0, -1 */
void watcher_replace(struct watcher *); /* by one that gets the admin's sockets as they are now */
bool watcher_ended(struct watcher *, pid_t, int status);
void watcher_watch(struct watcher *);
void watcher_stop(struct watcher *);
void watcher_kill(struct watcher *);
bool watcher_gone(const struct watcher *);
void watcher_free(struct watcher *);

#endif
