/*
 * healthword.h: what the monitor says of a server that it checks, as a line: "up POOL ADDRESS" or "down
 * POOL ADDRESS". Master and workers each compare it with what they are configured with: it comes from a
 * process that reads answers of strangers, and may speak of another configuration.
 */
#ifndef GATEWAY_HEALTHWORD_H
#define GATEWAY_HEALTHWORD_H

#include "gateway/gateway_conf.h"

struct healthword {
	bool up;
	size_t pool, server; /* in the configuration; the first that fits */
};

/* 0; -1: no such line, no such server, or one that is not checked. */
int healthword_parse(const char *text, const struct gateway_conf *, struct healthword *)
    __attribute__((warn_unused_result));
/* 0, -1: it does not fit. */
int healthword_print(const struct gateway_conf *, const struct healthword *, char *buf, size_t size)
    __attribute__((warn_unused_result));

#endif
