/*
 * tbs.h: is this what a TLS server signs in a handshake? The key service signs nothing else for a
 * gateway, so a stolen gateway identity cannot have certificates, tokens or foreign protocols signed.
 * Pure but for the check that a point lies on its curve.
 *
 *   TLS 1.3, 130 or 146 bytes: 64 x 0x20 | "TLS 1.3, server CertificateVerify" | 00 | 32 or 48 bytes
 *   TLS 1.2, 100, 133 or 165 bytes: 64 random, the last 8 of them "DOWNGRD" 01 (mode sentinel)
 *            | 03 | u16 group | u8 n | n bytes: 001d n=32; 0017 n=65; 0018 n=97
 *
 * Schemes: in both 0403 with P-256, 0503 with P-384, 0807 with Ed25519, 0804-0806 with RSA; in 1.2
 * also 0401, 0501, 0601 with RSA and 0403, 0503, 0603 with either curve.
 */
#ifndef CRYPTO_TBS_H
#define CRYPTO_TBS_H

#include "base/bytes.h"
#include "crypto/cert.h"
#include "crypto/kit.h"

enum { TBS_MAX = 165 };

/* Whether a key may sign for TLS 1.2. The sentinel is what a server that could speak 1.3 writes.
 * The values go over the wire in the answer to sslgw/keys. */
enum tls12_mode { TLS12_SENTINEL, TLS12_ANY, TLS12_OFF };

enum tbs_result {
	TBS_TLS13,
	TBS_TLS12,
	TBS_BAD_MESSAGE, /* neither of the two, byte for byte */
	TBS_BAD_SCHEME, /* not for this key, or not in this version */
	TBS_BAD_POINT, /* not on the curve that it names */
	TBS_NO_TLS12, /* TLS 1.2 is off for the key, or the sentinel is missing */
};

enum tbs_result tbs_check(
    struct kit *, struct bytes message, uint16_t scheme, enum key_type, enum tls12_mode);
const char *tbs_result_text(enum tbs_result); /* for the operator */
bool tbs_ok(enum tbs_result);

#endif
