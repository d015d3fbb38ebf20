/*
 * seal.h: sessions as the cache service stores them: it can neither read nor forge one.
 *
 * HMAC-SHA512(seal key of scope and version, u16 TLS version | session id) = name (32) | key (32):
 * an AES-256-GCM key for each entry, so random nonces have no limit to respect.
 *
 *   value     = u8 1 | 12 random | ciphertext | 16 tag;   AAD = name | scope hash
 *   plaintext = u64 expiry | u64 first authentication | u64 claim hash
 *             | u16 length | session DER | u16 length | intermediates DER, one after the other
 *
 * Times are unix seconds. Integers are big-endian.
 */
#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H

#include "base/bytes.h"
#include "crypto/kit.h"

enum {
	SEAL_NAME_LEN = 32,
	SEAL_KEY_LEN = 32,
	SEAL_SESSION_MAX = 16384,
	SEAL_INTERMEDIATES_MAX = 8192,
	SEAL_OVERHEAD = 1 + 12 + 3 * 8 + 2 * 2 + 16, /* value's length beyond the two DERs */
	SEAL_VALUE_MAX = SEAL_OVERHEAD + SEAL_SESSION_MAX + SEAL_INTERMEDIATES_MAX,
};

struct sealed_session {
	uint64_t expiry, first_auth; /* unix seconds */
	uint64_t claim; /* hash of the servers that hold claims; 0: none */
	struct bytes session, intermediates; /* borrowed */
};

int seal_name_and_key(struct kit *, const uint8_t seal_key[static 64], uint16_t version,
    struct bytes session_id, uint8_t name[static SEAL_NAME_LEN], uint8_t key[static SEAL_KEY_LEN])
    __attribute__((warn_unused_result));

/* 0 with *len set, or -1: too long for the format or for out (SEAL_OVERHEAD + both DERs), or no
 * randomness. */
int seal_encrypt(struct kit *, const uint8_t name[static SEAL_NAME_LEN],
    const uint8_t key[static SEAL_KEY_LEN], const uint8_t scope[static 32],
    const struct sealed_session *, uint8_t *out, size_t size, size_t *len)
    __attribute__((warn_unused_result));

/* Opens value into buf (value.len bytes are enough; the caller cleanses it), where out's slices then
 * point. 0, or -1: altered, of another name, key or scope, or not of this format. */
int seal_decrypt(struct kit *, const uint8_t name[static SEAL_NAME_LEN],
    const uint8_t key[static SEAL_KEY_LEN], const uint8_t scope[static 32], struct bytes value,
    uint8_t *buf, size_t size, struct sealed_session *out) __attribute__((warn_unused_result));

#endif
