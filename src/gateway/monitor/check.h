/*
 * check.h: one look at one server: a connection and, if there is something to ask, the head of the
 * answer, read as strictly as any back-end's.
 */
#ifndef GATEWAY_MONITOR_CHECK_H
#define GATEWAY_MONITOR_CHECK_H

#include "http/head.h"
#include "net/endpoint.h"
#include "net/loop.h"

struct check;

struct check_params {
	const struct endpoint *at; /* copied */
	struct bytes request; /* a head, or empty: a connection will do; borrowed until done */
	const char *statuses; /* of good answers: see pool_conf_status(); borrowed until done */
	uint64_t timeout_ms;
	struct head *scratch; /* all checks may share one */
	/* Once, in a later turn; the check is gone then. why: NULL, it is well; borrowed. */
	void (*done)(void *arg, const char *why);
	void *arg;
};

struct check *check_start(struct loop *, const struct check_params *); /* NULL: no memory */
void check_cancel(struct check *); /* done() is not called */

#endif
