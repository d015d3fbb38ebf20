/*
 * keyop.h: signing, by one thread with its own scratch. What may be signed is decided before (tbs.h).
 */
#ifndef KEYSVC_KEYOP_H
#define KEYSVC_KEYOP_H

#include "keysvc/keystore.h"

enum {
	KEYOP_SIGNATURE_MAX = 1024, /* RSA of 8192 bits */
	KEYOP_PREMASTER_LEN = 48,
	KEYOP_NO_SLOT = KEY_SLOTS,
	/* Schemes of our own, beside TLS's: TLS 1.1 had no numbers for them. */
	KEYOP_RSA_MD5SHA1 = 0xfe01,
	KEYOP_ECDSA_MD5SHA1 = 0xfe03,
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

/* The same for a digest that was made elsewhere, SHA-1, SHA-224 and MD5-SHA1 too; for Ed25519 it is the
 * whole message. */
int keyop_sign_digest(struct keyop *, struct key *, uint16_t scheme, struct bytes digest,
    uint8_t *out, size_t size, size_t *len) __attribute__((warn_unused_result));
/* Does the scheme fit the key, and a digest of that length the scheme? */
bool keyop_takes_digest(uint16_t scheme, enum key_type, size_t len);

/* ciphertext ^ d, padding and all. -1: not of the modulus' length, or not below it. */
int keyop_raw_decrypt(struct keyop *, struct key *, struct bytes ciphertext, uint8_t *out,
    size_t size, size_t *len) __attribute__((warn_unused_result));
/* A TLS premaster secret: it must begin with version, or with other where that is not 0; else, and where
 * the ciphertext is bad in any way, out is random (RFC 5246, 7.4.7.1), in the same time. -1: no RSA key,
 * no randomness. */
int keyop_rsa_kx(struct keyop *, struct key *, uint16_t version, uint16_t other,
    struct bytes ciphertext, uint8_t out[static KEYOP_PREMASTER_LEN])
    __attribute__((warn_unused_result));

/* Signs once with each kind of scheme of the key, and verifies. -1: its halves do not belong together. */
int keyop_self_test(struct keyop *, struct key *) __attribute__((warn_unused_result));

#endif
