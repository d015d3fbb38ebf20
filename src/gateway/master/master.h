/*
 * master.h: the process that the operator starts: it reads the configuration, owns the listening
 * sockets, starts, watches, replaces and reaps all others. It never reads a client's bytes or a key's.
 */
#ifndef GATEWAY_MASTER_MASTER_H
#define GATEWAY_MASTER_MASTER_H

#include <stdbool.h>

struct launch {
	const char *file; /* NULL: the quick form */
	const char *listen, *backend, *cert, *key; /* quick form */
	bool daemon;
	bool live; /* -t: whom it would ask is asked, too */
};

/* Each returns the exit status of the program. */
int master_run(const struct launch *);
int master_check(const struct launch *); /* -t */
int master_show(const struct launch *); /* -T */

#endif
