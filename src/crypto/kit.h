/*
 * kit.h: the algorithms of libcrypto that a handshake needs, fetched once: in OpenSSL 3.0 a fetch
 * costs more than most of the operations. One kit a thread: its contexts are scratch.
 */
#ifndef CRYPTO_KIT_H
#define CRYPTO_KIT_H

#include <openssl/ec.h>
#include <openssl/evp.h>

#include "base/bytes.h"

struct kit {
	EVP_MAC_CTX *hmac_sha256, *hmac_sha512;
	EVP_CIPHER *aes_256_gcm;
	EVP_CIPHER_CTX *cipher; /* scratch */
	EC_GROUP *p256, *p384;
	BN_CTX *bn;
};

struct kit *kit_new(void); /* NULL: no memory, or an algorithm is missing from the library */
void kit_free(struct kit *);

/* HMAC over up to three parts. 0, or -1. out: 32 or 64 bytes. */
int kit_hmac_sha256(struct kit *, struct bytes key, const struct bytes *parts, size_t n,
    uint8_t out[static 32]) __attribute__((warn_unused_result));
int kit_hmac_sha512(struct kit *, struct bytes key, const struct bytes *parts, size_t n,
    uint8_t out[static 64]) __attribute__((warn_unused_result));

/* HKDF-Expand with SHA-256 (RFC 5869, 2.3): info is the parts, one after the other. out_len is at
 * most 255 * 32. 0, or -1: then out is cleansed. */
int kit_expand(struct kit *, struct bytes prk, const struct bytes *info, size_t n, uint8_t *out,
    size_t out_len) __attribute__((warn_unused_result));

/* True if the bytes are an uncompressed point of that curve. */
bool kit_on_curve(struct kit *, const EC_GROUP *, struct bytes point);

#endif
