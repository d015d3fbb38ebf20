/*
 * resolve.h: names to addresses by c-ares, without blocking: /etc/hosts, then DNS, with TTLs.
 */
#ifndef GATEWAY_MONITOR_RESOLVE_H
#define GATEWAY_MONITOR_RESOLVE_H

#include "gateway/resolved.h"
#include "net/loop.h"

struct resolver;

/* answer: borrowed; NULL: it failed, for the reason in why. Once for each resolver_ask that returned 0, never
 * from within it. */
typedef void (*resolve_cb)(void *arg, const struct resolved *answer, const char *why);

/* servers: "127.0.0.1:53,[::1]:53", or NULL for those of /etc/resolv.conf. NULL: no memory, or c-ares said no. */
struct resolver *resolver_new(struct loop *, const char *servers);
int resolver_ask(struct resolver *, const char *host, resolve_cb, void *arg); /* 0, -1: no memory */
void resolver_free(struct resolver *); /* questions in flight get no answer */

#endif
