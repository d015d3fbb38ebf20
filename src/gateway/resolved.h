/*
 * resolved.h: what the monitor says of a name, as a line: "HOST TTL ADDRESS ADDRESS...". The master
 * and the workers each check it again: it comes from a process that reads answers of strangers.
 */
#ifndef GATEWAY_RESOLVED_H
#define GATEWAY_RESOLVED_H

#include <stddef.h>

#include "net/endpoint.h"

enum { RESOLVED_ADDRESSES_MAX = 16, RESOLVED_HOST_MAX = 256, RESOLVED_TTL_MAX = 86400 };

struct resolved {
	char host[RESOLVED_HOST_MAX];
	unsigned ttl; /* seconds */
	size_t n; /* never 0 */
	struct endpoint endpoints[RESOLVED_ADDRESSES_MAX]; /* port 0 */
};

/* Cuts text up. 0, -1: not such a line. */
int resolved_parse(char *text, struct resolved *) __attribute__((warn_unused_result));
/* The line. 0, -1: it does not fit. */
int resolved_print(const struct resolved *, char *buf, size_t size)
    __attribute__((warn_unused_result));

#endif
