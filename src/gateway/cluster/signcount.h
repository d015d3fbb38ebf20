/*
 * signcount.h: tells the key servers elsewhere how many signatures this gateway has asked them for, so that
 * they see what somebody else had signed with its identity (sslgw/signed, wire/keyless.h). All workers
 * count in the shared table, by server (report.h); whichever looks first, every SIGNCOUNT_MS, tells what
 * has grown, and every SIGNCOUNT_EACH times what has not; one that could not be told
 * is told again SIGNCOUNT_RETRY_MS later. What a worker asked just before it died is told by another.
 */
#ifndef GATEWAY_CLUSTER_SIGNCOUNT_H
#define GATEWAY_CLUSTER_SIGNCOUNT_H

#include "net/loop.h"

enum {
	SIGNCOUNT_EACH = 6,
	SIGNCOUNT_MS = 10000,
	SIGNCOUNT_DRAIN_MS = 1000,
	SIGNCOUNT_RETRY_MS = 1000, /* after one that was not told */
};

struct signcount;
struct counters;
struct keyclient;

/* Both are borrowed for its life. NULL: no memory. */
struct signcount *signcount_new(struct loop *, struct keyclient *, struct counters *);
void signcount_free(struct signcount *); /* before the keyclient; NULL is fine */
void signcount_tell(struct signcount *); /* now: the servers are about to be others */
void signcount_drain(
    struct signcount *); /* the end is near: now, and every SIGNCOUNT_DRAIN_MS from now on */

#endif
