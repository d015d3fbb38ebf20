/*
 * ownsecrets.h: ticket keys of the gateways' own (crypto/ticketsecret.h), where the key service is a
 * foreign Keyless server, which makes none. The wall clock says which epoch it is; that is looked at
 * again every OWNSECRETS_LOOK_MS, so a clock that is set is followed. Called by secrets.c.
 */
#ifndef GATEWAY_CLUSTER_OWNSECRETS_H
#define GATEWAY_CLUSTER_OWNSECRETS_H

#include "crypto/ticketsecret.h"
#include "net/loop.h"

enum { OWNSECRETS_LOOK_MS = 30000 };

struct ownsecrets;

/* groups: n names, borrowed for its life; the secrets are copied. changed() comes in later turns, where
 * another epoch has begun: what was derived of keys that are gone must go. NULL: no memory. */
struct ownsecrets *ownsecrets_new(struct loop *, const struct ticketsecrets *,
    const char *const *groups, size_t n, void (*changed)(void *arg), void *arg);
void ownsecrets_free(struct ownsecrets *); /* wipes all keys; NULL is fine */

/* As secrets.h's, for the group of that place. now_ms: CLOCK_BOOTTIME. */
const struct epoch_record *ownsecrets_current(
    const struct ownsecrets *, size_t group, uint64_t now_ms);
const struct epoch_record *ownsecrets_find(
    const struct ownsecrets *, size_t group, uint64_t now_ms, uint16_t tag, uint32_t e24);

#endif
