/*
 * keyclient.h: what the TLS side asks of the key servers, over the Keyless protocol's custom
 * functions (wire/keyless.h); of foreign servers signatures only, by the protocol's own operations
 * (foreign.h). A callback comes once, never inside the call. A question is asked once
 * more, of another server where there is one, if the first try failed by the service's fault, the
 * budget of retries allows it (a fifth of what was asked in the last 10 s, never below 10) and
 * KEYCLIENT_ALL_MS are not over. A server is known by its slot: its number in the set.
 */
#ifndef GATEWAY_CLUSTER_KEYCLIENT_H
#define GATEWAY_CLUSTER_KEYCLIENT_H

#include "base/bytes.h"
#include "base/reason.h"
#include "net/endpoint.h"
#include "net/loop.h"
#include "net/peers.h"

enum {
	KEYCLIENT_TRY_MS = 300,
	KEYCLIENT_ALL_MS = 2000,
	KEYCLIENT_TOKEN_LEN = 32,
	KEYCLIENT_CONNECTIONS = 4, /* servers that a worker is connected to, of however many */
};

struct keyclient;
struct counters;
struct keyclient_ask;
struct tlsctx;

struct keyclient_params {
	const struct endpoint *servers; /* copied; n may be 0 until keyclient_servers() */
	size_t n;
	struct tlsctx *tls; /* for all but Unix sockets; NULL: there are only those. Borrowed */
	uid_t owner; /* Unix sockets: the uid that must listen on them, (uid_t)-1: any */
	const uint8_t *token; /* KEYCLIENT_TOKEN_LEN bytes for the embedded service; NULL: none */
	struct counters *counters; /* where REPORT_ASKED is counted; NULL: nowhere. Borrowed */
	bool foreign; /* they know no functions of ours and sign digests */
	uint64_t
	    worker; /* any number that differs from worker to worker: which servers it prefers */
};

/* By what servers find a key. */
struct keyclient_key {
	uint8_t ski[20];
	bool has_modulus; /* RSA, for foreign servers */
	uint8_t modulus_sha256[32]; /* crypto/cert.h */
};

/* REASON_NONE and the answer (borrowed), or why not. */
typedef void (*keyclient_cb)(void *arg, enum reason, struct bytes answer);
/* Is this answer a signature? false: the server is blamed and the question counts as failed. nth: how many
 * good signatures were taken of that server's connection before: how far it is trusted. */
typedef bool (*keyclient_check)(void *arg, struct bytes answer, uint64_t nth);

struct keyclient *keyclient_new(
    struct loop *, const struct keyclient_params *); /* NULL: no memory */
/* Questions in flight end as REASON_SERVICE_LOST before it returns. */
void keyclient_free(struct keyclient *);
/* Another set (names were resolved): slots change, questions in flight go on. 0, -1: no memory. */
int keyclient_servers(struct keyclient *, const struct endpoint *, size_t n);
size_t keyclient_servers_n(const struct keyclient *);
const struct endpoint *keyclient_server(const struct keyclient *, unsigned slot); /* NULL: none */
const struct peers *keyclient_peers(const struct keyclient *); /* to be looked at */
/* The deny list has changed: connections to servers on it close. */
void keyclient_recheck(struct keyclient *);

/* tbs is the whole to-be-signed message, copied. NULL: nothing will follow, *why is set (breaker open, full). */
struct keyclient_ask *keyclient_sign(struct keyclient *, const struct keyclient_key *,
    uint16_t scheme, struct bytes tbs, keyclient_check, keyclient_cb, void *arg, enum reason *why);
/* The same for a trial: once, of a server that is not in avoid. */
struct keyclient_ask *keyclient_try(struct keyclient *, const struct keyclient_key *,
    uint16_t scheme, struct bytes tbs, uint64_t avoid, keyclient_check, keyclient_cb, void *arg,
    enum reason *why);
/* avoid: servers that are not to be asked unless there is no other: bits 1 << slot. */
struct keyclient_ask *keyclient_epoch_keys(struct keyclient *, struct bytes group, uint64_t avoid,
    keyclient_cb, void *arg, enum reason *why);
struct keyclient_ask *keyclient_epoch_ids(
    struct keyclient *, uint64_t avoid, keyclient_cb, void *arg, enum reason *why);
/* Within a callback: who answered, the number of its endpoint. */
unsigned keyclient_slot(const struct keyclient *);
struct keyclient_ask *keyclient_keys(
    struct keyclient *, uint32_t first, uint64_t avoid, keyclient_cb, void *arg, enum reason *why);
/* Tells that very server how many signatures it was asked for (signcount.h). */
struct keyclient_ask *keyclient_signed(struct keyclient *, unsigned slot, uint64_t instance,
    uint64_t n, keyclient_cb, void *arg, enum reason *why);
void keyclient_cancel(struct keyclient_ask *);

#endif
