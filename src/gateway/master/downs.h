/*
 * downs.h: the servers that the monitor found down, kept for workers that start later. At most DOWNS_MAX:
 * of more than that new workers find out by themselves.
 */
#ifndef GATEWAY_MASTER_DOWNS_H
#define GATEWAY_MASTER_DOWNS_H

#include <stddef.h>

struct channel;

enum { DOWNS_MAX = 10000 };

struct downs {
	char **lines; /* "down POOL ADDRESS" */
	size_t n;
};

/* A line of gateway/healthword.h; copied. The up of one that is kept ends its keeping. */
void downs_keep(struct downs *, const char *line);
void downs_tell(const struct downs *, struct channel *);
void downs_clear(struct downs *);

#endif
