/*
 * keyclient.h: what the TLS side asks of the key service, over the Keyless protocol's custom
 * functions (wire/keyless.h). A callback comes once, never inside the call.
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

/* REASON_NONE and the signature (borrowed), or why not. */
typedef void (*keyclient_cb)(void *arg, enum reason, struct bytes answer);

struct keyclient *keyclient_new(struct loop *, const struct endpoint *, uid_t owner, const uint8_t token[static KEYCLIENT_TOKEN_LEN]);
void keyclient_free(struct keyclient *);
/* tbs is the whole to-be-signed message, copied. NULL: nothing will follow, *why is set (breaker open, full). */
struct keyclient_ask *keyclient_sign(struct keyclient *, const uint8_t ski[static 20], uint16_t scheme, struct bytes tbs,
	keyclient_cb, void *arg, enum reason *why);
struct keyclient_ask *keyclient_epoch_keys(struct keyclient *, keyclient_cb, void *arg, enum reason *why);
struct keyclient_ask *keyclient_keys(struct keyclient *, keyclient_cb, void *arg, enum reason *why);
void keyclient_cancel(struct keyclient_ask *);

#endif
