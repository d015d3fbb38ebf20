/*
 * serverinfo.h: what a cache server's INFO says of it, as far as claims need to know: which run of it
 * this is (claims end with a run), whether it keeps what it has promised, and whether it is the one
 * that is written to. Our own, Redis or Valkey. Pure.
 */
#ifndef GATEWAY_CLUSTER_SERVERINFO_H
#define GATEWAY_CLUSTER_SERVERINFO_H

#include "base/bytes.h"

enum { SERVERINFO_RUN_ID_MIN = 16, SERVERINFO_RUN_ID_MAX = 64 };

/* Slices of the text; empty: not there. Of a line that comes twice the first counts. */
struct serverinfo {
	struct bytes run_id;
	struct bytes role;
	struct bytes maxmemory_policy;
	struct bytes
	    claims_policy; /* our own servers: claims are kept in another way than the rest */
};

void serverinfo_parse(struct bytes text, struct serverinfo *);
/* NULL: claims can be made there. Else why not and what to do about it, for the log. */
const char *serverinfo_unfit(const struct serverinfo *);

#endif
