/*
 * status.h: the key service's admin address: what it serves there, and the commands that it takes.
 */
#ifndef KEYSVC_STATUS_H
#define KEYSVC_STATUS_H

#include "keysvc/keysvc.h"
#include "proc/adminconf.h"

struct status;

struct status_params {
	const struct keysvc *keysvc; /* borrowed for the life of the status, as are the others */
	struct epochs *epochs;
	const struct adminconf *conf; /* until status_new() returns, if it has no names */
	bool wants_file; /* cluster_secret_file is set: that it cannot be written is a problem */
	void (*reload)(
	    void *arg); /* what signals do, too; NULL: embedded, of commands there is only epoch */
	void (*reopen)(void *arg);
	void (*drain)(void *arg);
	bool (*draining)(void *arg);
	void *arg;
};

/* Takes the sockets over. NULL: no memory. */
struct status *status_new(struct loop *, const struct status_params *, struct adminconf_sockets *);
void status_free(struct status *); /* NULL is fine */

#endif
