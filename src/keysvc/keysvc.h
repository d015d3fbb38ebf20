/*
 * keysvc.h: the key service's calls: Keyless requests in, answers out. Owns the connections and the
 * lanes; keys, policy and secrets are given to it.
 */
#ifndef KEYSVC_KEYSVC_H
#define KEYSVC_KEYSVC_H

#include "keysvc/audit.h"
#include "keysvc/epochs.h"
#include "keysvc/keystore.h"
#include "keysvc/lanes.h"
#include "keysvc/policy.h"
#include "net/loop.h"

struct keysvc;
struct tlsctx;

struct keysvc_params {
	unsigned threads, slow_threads;
	uint32_t queue_max, conns_max, deadline_ms;
	struct policy
	    *policy; /* borrowed for the service's life; its rules are bound to the keys */
	struct epochs *epochs; /* the same */
};

/* Starts the threads. NULL: no memory, no threads. */
struct keysvc *keysvc_new(struct loop *, const struct keysvc_params *);
/* fd: listening, owned. NULL: a Unix socket; else TCP, mutual TLS by that context (borrowed for the
 * service's life, one for all). 0, -1. */
int keysvc_listen(struct keysvc *, int fd, struct tlsctx *);
/* The policy or the deny list has changed: closes the connections of those that may not ask any more. */
void keysvc_recheck(struct keysvc *);
/* Takes over a sealed set; the former one goes, but for the keys that a job holds. */
void keysvc_set_keys(struct keysvc *, struct keystore *);
/* Of those that keystore_keep() left in it: keystore_leave(), keystore_forget(). */
void keysvc_leave_keys(struct keysvc *, uint64_t gone_ms);
uint64_t keysvc_forget_keys(struct keysvc *, uint64_t now_ms);
const struct keystore *keysvc_keys(const struct keysvc *); /* never NULL */
const struct audit *keysvc_audit(const struct keysvc *);
struct keysvc_counts {
	size_t connections, callers; /* now; callers by TLS that are remembered */
	unsigned waiting[LANES_N], threads[LANES_N];
};
void keysvc_counts(const struct keysvc *, struct keysvc_counts *);
/* Callers as whom more was asked for than their gateways claim (claims.h). */
void keysvc_alarms(
    const struct keysvc *, void (*each)(void *arg, const struct caller *), void *arg);
void keysvc_drain(struct keysvc *, void (*done)(void *arg), void *arg);
void keysvc_free(struct keysvc *);

#endif
