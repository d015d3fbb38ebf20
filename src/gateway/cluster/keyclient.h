/*
 * keyclient.h: what the TLS side asks of the key service, over the Keyless protocol's custom
 * functions (wire/keyless.h). A callback comes once, never inside the call. A question is asked once
 * more if the first try failed by the service's fault, the budget of retries allows it (a fifth of
 * what was asked in the last 10 s, never below 10) and KEYCLIENT_ALL_MS are not over.
 */
#ifndef GATEWAY_CLUSTER_KEYCLIENT_H
#define GATEWAY_CLUSTER_KEYCLIENT_H

#include "base/bytes.h"
#include "base/reason.h"
#include "net/endpoint.h"
#include "net/loop.h"
#include "net/peers.h"

enum { KEYCLIENT_TRY_MS = 300, KEYCLIENT_ALL_MS = 2000, KEYCLIENT_TOKEN_LEN = 32 };

struct keyclient;
struct keyclient_ask;

/* REASON_NONE and the answer (borrowed), or why not. */
typedef void (*keyclient_cb)(void *arg, enum reason, struct bytes answer);
/* Is this answer a signature? false: the server is blamed and the question counts as failed. */
typedef bool (*keyclient_check)(void *arg, struct bytes answer);

/* One endpoint; owner: the uid that must listen on it (Unix sockets), (uid_t)-1: any. NULL: no memory. */
struct keyclient *keyclient_new(struct loop *, const struct endpoint *, uid_t owner,
    const uint8_t token[static KEYCLIENT_TOKEN_LEN]);
/* Questions in flight end as REASON_SERVICE_LOST before it returns. */
void keyclient_free(struct keyclient *);

/* tbs is the whole to-be-signed message, copied. NULL: nothing will follow, *why is set (breaker open, full). */
struct keyclient_ask *keyclient_sign(struct keyclient *, const uint8_t ski[static 20],
    uint16_t scheme, struct bytes tbs, keyclient_check, keyclient_cb, void *arg, enum reason *why);
/* avoid: servers that are not to be asked unless there is no other: bits 1 << slot. */
struct keyclient_ask *keyclient_epoch_keys(struct keyclient *, struct bytes group, uint64_t avoid,
    keyclient_cb, void *arg, enum reason *why);
struct keyclient_ask *keyclient_epoch_ids(
    struct keyclient *, uint64_t avoid, keyclient_cb, void *arg, enum reason *why);
/* Within a callback: who answered, the number of its endpoint. */
unsigned keyclient_slot(const struct keyclient *);
struct keyclient_ask *keyclient_keys(
    struct keyclient *, uint32_t first, keyclient_cb, void *arg, enum reason *why);
void keyclient_cancel(struct keyclient_ask *);

/* Signatures taken since the service's connection was made: how far it is trusted. */
uint64_t keyclient_answers(const struct keyclient *);

#endif
