/*
 * names.h: the monitor's last good answers, kept for workers that start later. At most NAMES_MAX: past
 * that the one goes that was heard first.
 */
#ifndef GATEWAY_MASTER_NAMES_H
#define GATEWAY_MASTER_NAMES_H

#include <stddef.h>

struct channel;

enum { NAMES_MAX = 10000 };

struct names {
	char **lines; /* "HOST TTL ADDR...", one a host */
	size_t n;
};

void names_keep(struct names *, const char *line); /* replaces the host's former line; copied */
void names_tell(const struct names *, struct channel *);
void names_clear(struct names *);

#endif
