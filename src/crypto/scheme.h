/*
 * scheme.h: a TLS SignatureScheme (RFC 8446, 4.2.3) by itself: the hash of a message for it, and
 * whether a signature of it is good. For whoever asks others to sign: the schemes of tbs.h only.
 */
#ifndef CRYPTO_SCHEME_H
#define CRYPTO_SCHEME_H

#include <openssl/evp.h>

#include "base/bytes.h"
#include "crypto/cert.h"

enum { SCHEME_ED25519 = 0x0807, SCHEME_DIGEST_MAX = 64 };

/* The one that a key of that type has in TLS 1.3; 0: none. */
uint16_t scheme_of_key(enum key_type);
/* The message's hash; its length. 0: Ed25519, which signs the message itself. */
size_t scheme_digest(uint16_t scheme, struct bytes message, uint8_t out[static SCHEME_DIGEST_MAX]);
const EVP_MD *scheme_md(uint16_t scheme); /* not for Ed25519 */
/* Could these bytes be a signature by that scheme? By their length, and DER's head. */
bool scheme_has_shape(uint16_t scheme, struct bytes signature);
/* Is it that key's signature of the message? Sets all up anew each time: for single signatures. */
bool scheme_verify(EVP_PKEY *, uint16_t scheme, struct bytes message, struct bytes signature);

#endif
