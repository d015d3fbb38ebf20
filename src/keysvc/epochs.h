/*
 * epochs.h: the cluster's secrets in this service: loaded, moved on once an epoch, made anew, written.
 */
#ifndef KEYSVC_EPOCHS_H
#define KEYSVC_EPOCHS_H

#include "crypto/generation.h"
#include "net/loop.h"

struct epochs;

struct epochs_params {
	const char *path; /* the state file; NULL: memory only. Copied */
	uint32_t period; /* seconds; a file of another period goes on with its own, which is said */
	uint64_t lifetime_s; /* of a generation: after that long the next one is made */
};

/* Reads the file or begins anew, and writes it. A file that cannot be read or written is said, and the
 * secrets stay in memory: then a restart ends all sessions. NULL: no memory or no randomness. */
struct epochs *epochs_new(struct loop *, const struct epochs_params *);
void epochs_free(struct epochs *); /* wipes them */

/* The payload of the answer to sslgw/epoch-keys. 0, -1: cannot be made now. */
int epochs_answer(struct epochs *, struct bytes group, struct writer *)
    __attribute__((warn_unused_result));
bool epochs_held(
    const struct epochs *); /* the wall clock is not believed: nothing is made or forgotten */
bool epochs_lasting(const struct epochs *); /* they are in a file */

#endif
