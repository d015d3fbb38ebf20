/*
 * keyop.h: signing, by one thread with its own scratch. What may be signed is decided before (tbs.h).
 */
#ifndef KEYSVC_KEYOP_H
#define KEYSVC_KEYOP_H

#include "keysvc/keystore.h"

enum { KEYOP_SIGNATURE_MAX = 1024 }; /* RSA of 8192 bits */

struct keyop;

struct keyop *keyop_new(void); /* NULL: no memory, or an algorithm is missing */
void keyop_free(struct keyop *);
struct kit *keyop_kit(struct keyop *);

/* The scheme is a SignatureScheme of TLS that fits the key: RSA PKCS#1 and PSS (salt as long as the
 * hash), ECDSA (DER), Ed25519. An RSA signature is verified with e before it leaves: one that a fault
 * spoilt would give the key away. 0 with *len set, or -1. */
int keyop_sign(struct keyop *, const struct key *, uint16_t scheme, struct bytes message, uint8_t *out,
    size_t size, size_t *len) __attribute__((warn_unused_result));

/* Signs once with each kind of scheme of the key, and verifies. -1: its halves do not belong together. */
int keyop_self_test(struct keyop *, const struct key *) __attribute__((warn_unused_result));

#endif
