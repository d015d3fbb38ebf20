/*
 * cachesvc.h: the session-cache service as a whole: a service (net/service.h) whose calls are run on
 * one store by the table of verbs. main makes one; tests make one too, over sockets of their own.
 */
#ifndef CACHESVC_CACHESVC_H
#define CACHESVC_CACHESVC_H

#include <sys/types.h>

#include "cachesvc/cachesvc_conf.h"
#include "cachesvc/store.h"
#include "net/loop.h"

struct cachesvc;

struct cachesvc_params {
	uint64_t max_memory; /* bytes */
	uint32_t connections, idle_ms;
	struct bytes secret; /* what AUTH must name; empty: nobody has to. Copied */
	uid_t callers[CACHESVC_CALLERS_MAX]; /* who may call on Unix sockets */
	size_t callers_n;
};

struct tlsctx;

struct cachesvc *cachesvc_new(
    struct loop *, const struct cachesvc_params *); /* copied; NULL: errno */
/* fd listening, owned. tlsctx NULL: plain, where AUTH decides if there is a secret; else the certificate
 * does, and tlsctx (borrowed) outlives the service. 0 or -1. */
int cachesvc_listen(struct cachesvc *, int fd, struct tlsctx *);
/* Anew: who is connected and may no longer be is closed, but for those who know a former secret. */
void cachesvc_set_secret(struct cachesvc *, struct bytes);
void cachesvc_set_callers(struct cachesvc *, const uid_t *, size_t n);
void cachesvc_recheck(struct cachesvc *, const struct tlsctx *); /* its deny list has changed */
void cachesvc_drain(struct cachesvc *, void (*done)(void *arg), void *arg); /* no new connections */
void cachesvc_stats(const struct cachesvc *, struct store_stats *);
struct cachesvc_counts {
	uint64_t connections, run, refused; /* now; commands, and those refused */
};
void cachesvc_counts(const struct cachesvc *, struct cachesvc_counts *);
void cachesvc_free(struct cachesvc *);

#endif
