/*
 * status.h: the cache's admin address: what it serves there, and the commands that it takes.
 */
#ifndef CACHESVC_STATUS_H
#define CACHESVC_STATUS_H

#include "cachesvc/cachesvc.h"
#include "proc/adminconf.h"

struct status;

struct status_params {
	const struct cachesvc *cachesvc; /* borrowed for the life of the status */
	const struct adminconf *conf; /* the same */
	void (*reload)(void *arg); /* what signals do, too */
	void (*drain)(void *arg);
	bool (*draining)(void *arg);
	void *arg;
};

/* Takes the sockets over. NULL: no memory. */
struct status *status_new(struct loop *, const struct status_params *, struct adminconf_sockets *);
void status_free(struct status *); /* NULL is fine */

#endif
