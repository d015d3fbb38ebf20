/*
 * workers.h: the worker processes: one a slot in force, its successor while that starts, and those
 * that drain. A worker that ends, or beats no more, is replaced; until then a neighbour serves its sockets.
 */
#ifndef GATEWAY_MASTER_WORKERS_H
#define GATEWAY_MASTER_WORKERS_H

#include "base/counters.h"
#include "gateway/master/plan.h"
#include "gateway/master/sockets.h"
#include "net/endpoint.h"
#include "net/loop.h"

struct workers;

struct workers_params {
	struct loop *loop;
	struct counters *counters;
	int counters_fd, token_fd, tickets_fd; /* the master's */
	struct endpoint keys, cache;
	/* All slots have a worker of the present plan: after workers_start() and workers_roll(), once each. failed: a
	 * worker of it ended before it was ready, with this exit status; the former ones go on. */
	void (*rolled)(void *arg, int failed);
	void (*drained)(void *arg); /* after workers_drain(): none is left */
	void *arg;
};

struct workers *workers_new(const struct workers_params *); /* copied */
void workers_free(struct workers *);
/* What new workers get: plan and sockets are borrowed until the next call; selfsigned_fd: -1 or the chain. */
int workers_use(struct workers *, const struct plan *, const struct sockets *, int selfsigned_fd);
void workers_go_back(struct workers *); /* after a failed roll: to what was in use before */
void workers_selfsigned(
    struct workers *, int fd); /* another chain, for those that start from now on */
void workers_start(struct workers *); /* all slots at once */
void workers_roll(struct workers *); /* one at a time: new ones take over, old ones drain */
bool workers_rolling(const struct workers *);
bool workers_ended(struct workers *, pid_t, int status); /* true: it was one of these */
void workers_resolved(
    struct workers *, const char *text); /* "HOST TTL ADDR...": to all, and to those that come */
void workers_health(struct workers *, const char *text); /* "up|down POOL ADDRESS": the same way */
void workers_reopen(struct workers *);
void workers_drain(struct workers *);
void workers_stop(struct workers *); /* now */
void workers_kill(struct workers *);
bool workers_gone(const struct workers *);
void workers_watch(struct workers *); /* called every second: ends those that beat no more */

#endif
