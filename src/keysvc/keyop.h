/*
 * keyop.h: signing, by one thread with its own scratch. What may be signed is decided before (tbs.h).
 */
#ifndef KEYSVC_KEYOP_H
#define KEYSVC_KEYOP_H

#include "keysvc/keystore.h"

enum {
	KEYOP_SIGNATURE_MAX = 1024, /* RSA of 8192 bits */
	KEYOP_NO_SLOT = KEY_SLOTS,
};

struct keyop;

/* slot: which of a key's sets of contexts this thread uses, alone among the threads that sign with that
 * key; KEYOP_NO_SLOT: none, contexts are made anew each time. NULL: no memory, or an algorithm is
 * missing. */
struct keyop *keyop_new(unsigned slot);
void keyop_free(struct keyop *);
struct kit *keyop_kit(struct keyop *);
void keyop_prepared_free(struct keyop_prepared *); /* keystore's; NULL is fine */

/* The scheme is a SignatureScheme of TLS that fits the key: RSA PKCS#1 and PSS (salt as long as the
 * hash), ECDSA (DER), Ed25519. An RSA signature is verified with e before it leaves: one that a fault
 * spoilt would give the key away. 0 with *len set, or -1. */
int keyop_sign(struct keyop *, struct key *, uint16_t scheme, struct bytes message, uint8_t *out,
    size_t size, size_t *len) __attribute__((warn_unused_result));

/* Signs once with each kind of scheme of the key, and verifies. -1: its halves do not belong together. */
int keyop_self_test(struct keyop *, struct key *) __attribute__((warn_unused_result));

#endif
