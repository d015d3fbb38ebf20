/*
 * keysvc.h: the key service's calls: Keyless requests in, answers out. Owns the connections and the
 * lanes; keys, policy and secrets are given to it.
 */
#ifndef KEYSVC_KEYSVC_H
#define KEYSVC_KEYSVC_H

#include "keysvc/audit.h"
#include "keysvc/epochs.h"
#include "keysvc/keystore.h"
#include "keysvc/policy.h"
#include "net/loop.h"

struct keysvc;

struct keysvc_params {
	unsigned threads, slow_threads;
	uint32_t queue_max, conns_max, deadline_ms;
	const struct policy *policy; /* borrowed for the service's life */
	struct epochs *epochs; /* the same */
};

/* Starts the threads. NULL: no memory, no threads. */
struct keysvc *keysvc_new(struct loop *, const struct keysvc_params *);
int keysvc_listen(struct keysvc *, int fd); /* a listening Unix socket, owned. 0, -1 */
/* Takes over a sealed set; the former one goes, but for the keys that a job holds. */
void keysvc_set_keys(struct keysvc *, struct keystore *);
const struct keystore *keysvc_keys(const struct keysvc *); /* never NULL */
const struct audit *keysvc_audit(const struct keysvc *);
void keysvc_drain(struct keysvc *, void (*done)(void *arg), void *arg);
void keysvc_free(struct keysvc *);

#endif
