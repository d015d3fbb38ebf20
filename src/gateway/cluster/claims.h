/*
 * claims.h: tells the key servers elsewhere how many signatures this gateway has asked them for, so that
 * they see what somebody else had signed with its identity (sslgw/signed, wire/keyless.h). All workers
 * count in the shared table, by server (report.h); whichever looks first, every CLAIMS_MS, tells what
 * has grown, and every CLAIMS_EACH times what has not. What a worker asked just before it died is told by another.
 */
#ifndef GATEWAY_CLUSTER_CLAIMS_H
#define GATEWAY_CLUSTER_CLAIMS_H

#include "net/loop.h"

enum { CLAIMS_EACH = 6, CLAIMS_MS = 10000, CLAIMS_DRAIN_MS = 1000 };

struct claims;
struct counters;
struct keyclient;

/* Both are borrowed for its life. NULL: no memory. */
struct claims *claims_new(struct loop *, struct keyclient *, struct counters *);
void claims_free(struct claims *); /* before the keyclient; NULL is fine */
void claims_tell(struct claims *); /* now: the servers are about to be others */
void claims_drain(
    struct claims *); /* the end is near: now, and every CLAIMS_DRAIN_MS from now on */

#endif
