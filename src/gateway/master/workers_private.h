/*
 * workers_private.h: the worker processes, as their files share them. workers.c: their life and the roll;
 * slots.c: which process serves which slot's sockets.
 */
#ifndef GATEWAY_MASTER_WORKERS_PRIVATE_H
#define GATEWAY_MASTER_WORKERS_PRIVATE_H

#include <sys/queue.h>

#include "gateway/master/downs.h"
#include "gateway/master/names.h"
#include "gateway/master/workers.h"
#include "gateway/roles.h"
#include "proc/channel.h"

enum process_state { PROCESS_STARTING, PROCESS_READY, PROCESS_DRAINING };

struct process {
	TAILQ_ENTRY(process) link;
	struct workers *workers;
	pid_t pid;
	struct channel *channel; /* NULL: closed */
	unsigned slot, cell, generation;
	enum process_state state;
	uint64_t started_ms;
	uint64_t beat; /* the last that was seen, and for how many looks since */
	unsigned missed;
	bool silent; /* was sent SIGKILL */
};

struct slot {
	struct process *current, *next;
	struct process *server; /* serves its sockets beside its own while current is NULL */
	unsigned backoff_ms;
	struct deadline restart, orphaned;
	struct workers *workers;
};

/* What new workers get. */
struct in_force {
	const struct plan *plan; /* NULL: none yet */
	const struct sockets *sockets;
	int config_fd;
	unsigned generation;
};

struct workers {
	struct workers_params params;
	struct in_force now, before; /* before: until the roll to now is over */
	int selfsigned_fd;
	unsigned generations, slots_n;
	struct slot slots[ROLES_WORKERS_MAX];
	TAILQ_HEAD(, process) processes;
	struct names names;
	struct downs downs;
	bool rolling, draining;
};

/* The process serves its slot from now on; whoever did for it does no more. */
void slots_taken(struct workers *, struct process *);
/* It serves none any more: those that it served for others find another. */
void slots_left(struct workers *, const struct process *);
/* Should nobody serve this slot in so many ms, a neighbour does. */
void slots_orphan(struct workers *, unsigned slot, uint64_t ms);

#endif
