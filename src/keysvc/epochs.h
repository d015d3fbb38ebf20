/*
 * epochs.h: the cluster's secrets in this service: loaded, moved on once an epoch, made anew, written,
 * and exchanged with the other key services.
 *
 * With peers: each is asked every 30 s and at start for what it has (crypto/generation.h: the
 * exchange, and what is taken of it). Where none rules the present, they are asked first: whoever has
 * one gives it; if all answer and none has any, one is made; if some are silent and none has any, an
 * orphan is made, which gives way as soon as they are back. Without peers one is made at once.
 */
#ifndef KEYSVC_EPOCHS_H
#define KEYSVC_EPOCHS_H

#include "crypto/generation.h"
#include "net/endpoint.h"
#include "net/loop.h"

struct epochs;
struct tlsctx;

enum { EPOCHS_TEXT_MAX = 65536, EPOCHS_PEERS_MAX = 16 };

struct epochs_params {
	const char *path; /* the state file; NULL: memory only. Copied */
	uint32_t period; /* seconds; a file of another period goes on with its own, which is said */
	uint64_t lifetime_s; /* of a generation: after that long the next one is made */
	const struct endpoint
	    *peers; /* the other key services; this one may be among them. Copied */
	size_t peers_n; /* at most EPOCHS_PEERS_MAX */
	struct tlsctx
	    *tls; /* a client's, that accepts ROLE_KEYSVC only; borrowed. For Unix sockets none */
	/* Unix time and seconds of CLOCK_BOOTTIME; NULL: the system's. */
	void (*clock)(void *arg, uint64_t *wall, uint64_t *boot);
	void *clock_arg;
};

/* Reads the file or begins anew, and writes it. A file that cannot be read or written is said, and the
 * secrets stay in memory: then a restart ends all sessions. NULL: no memory or no randomness. */
struct epochs *epochs_new(struct loop *, const struct epochs_params *);
void epochs_free(struct epochs *); /* wipes them; before the tlsctx */

/* The payloads of the answers to sslgw/epoch-keys, sslgw/epoch-ids and sslgw/generations (for
 * ROLE_KEYSVC only: it holds the secrets; at most GENERATIONS_EXCHANGE_MAX bytes). 0, -1: cannot be
 * made now. Cleanse what was written when it is sent. */
int epochs_answer(struct epochs *, struct bytes group, struct writer *)
    __attribute__((warn_unused_result));
int epochs_ids(struct epochs *, struct writer *) __attribute__((warn_unused_result));
int epochs_generations(struct epochs *, struct writer *) __attribute__((warn_unused_result));

bool epochs_held(
    const struct epochs *); /* the wall clock is not believed: nothing is made or forgotten */
bool epochs_lasting(const struct epochs *); /* they are in a file */
bool epochs_ready(const struct epochs *); /* some generation rules the present */

/* ---- the operator's commands. said: what was done, or why not and what to do; at most size bytes,
 * NUL-terminated (EPOCHS_TEXT_MAX is enough). */

/* "epoch" "show" ["--json"] | "new" ["--now"] ["--revoke-old"] | "accept-clock". */
bool epochs_command(struct epochs *, int argc, char *const argv[], char *said, size_t size);
/* No secrets. json: one object. */
void epochs_show(const struct epochs *, bool json, char *buf, size_t size);
/* A made generation, two epochs ahead or at once. revoke_old (at once only): all others are void. */
bool epochs_make(struct epochs *, bool at_once, bool revoke_old, char *said, size_t size);
bool epochs_accept_clock(struct epochs *, char *said, size_t size);

#endif
