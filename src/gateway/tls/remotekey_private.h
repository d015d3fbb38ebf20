/*
 * remotekey_private.h: the key object of the provider, shared by its two halves: key management
 * (remotekey.c) and signing (remotekey_sign.c).
 */
#ifndef GATEWAY_TLS_REMOTEKEY_PRIVATE_H
#define GATEWAY_TLS_REMOTEKEY_PRIVATE_H

#include <openssl/core_dispatch.h>
#include <openssl/evp.h>

#include "base/bytes.h"
#include "crypto/cert.h"
#include "gateway/cluster/keyclient.h"

struct worker;

enum { REMOTEKEY_VERIFIERS = 4, REMOTEKEY_PUBLIC_LEN = 32 };

/* Signs nothing but is ready to check: one for each scheme that the key was used with. */
struct remotekey_verifier {
	uint16_t scheme; /* 0: free */
	EVP_PKEY_CTX *ctx;
};

/* What libcrypto holds as the key. A certificate's public key, imported to be compared, has no
 * worker. */
struct remotekey {
	unsigned
	    type; /* enum key_type; of a public key only RSA, EC or Ed25519 is known: KEY_P256 is any EC */
	bool has_public;
	uint8_t public[REMOTEKEY_PUBLIC_LEN]; /* SHA-256 of it, to compare */
	struct worker *worker;
	EVP_PKEY *verify; /* the public key as the default provider has it */
	int bits, security_bits, max_size;
	char group[32]; /* EC */
	struct keyclient_key named; /* to key servers */
	struct remotekey_verifier verifiers[REMOTEKEY_VERIFIERS];
};

extern const OSSL_ALGORITHM remotekey_signatures[];

/* Is sig this key's signature of tbs? On the main stack only. */
bool remotekey_verify(struct remotekey *, uint16_t scheme, struct bytes tbs, struct bytes sig);

#endif
