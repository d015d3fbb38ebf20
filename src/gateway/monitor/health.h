/*
 * health.h: the servers of pools that have a health_check: asked now and then, up and down by the rule of
 * rise and fall, and what is news told. A server is taken for up until its first check, and that one
 * decides at once.
 */
#ifndef GATEWAY_MONITOR_HEALTH_H
#define GATEWAY_MONITOR_HEALTH_H

#include "gateway/healthword.h"
#include "net/endpoint.h"
#include "net/loop.h"

struct health;

enum health_state { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN };

struct health_server {
	const char *pool, *address;
	enum health_state state;
	const char *why; /* of the last bad check; "" if there was none */
	uint64_t since_ms; /* on the loop's clock; of the state */
	uint64_t checks, failures;
};

struct health_params {
	struct loop *loop;
	const struct gateway_conf *conf;
	/* News; again at the next check where it returns -1. */
	int (*changed)(void *arg, const struct healthword *);
	void *arg;
};

/* Without checks to make it does nothing. NULL: no memory. */
struct health *health_new(const struct health_params *);
void health_free(struct health *);
/* A host name's addresses; ports are the servers' own. A server is checked once its name has resolved. */
void health_resolved(struct health *, const char *host, const struct endpoint *, size_t n);
/* The i-th of those that are checked; false: there are not so many. */
bool health_server(const struct health *, size_t i, struct health_server *);

#endif
