/*
 * scheme.c: see scheme.h. Called by the gateway where it hashes by itself: to check signatures, and to
 * ask servers that sign digests.
 */
#include "config.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "crypto/scheme.h"

#include "base/poison.h"

enum {
	HASH_SHA256 = 4,
	HASH_SHA384 = 5,
	RSA_LEN_MIN = 256,
	RSA_LEN_MAX = 1024,
	ECDSA_LEN_MIN = 8, /* two integers of one byte */
	ECDSA_LEN_MAX = 104, /* P-384 */
	ED25519_LEN = 64,
};

static bool is_pss(uint16_t scheme)
{
	return scheme >> 8 == 8 && scheme != SCHEME_ED25519;
}

/* TLS 1.2's HashAlgorithm; PSS has the same numbers in the other byte. */
static unsigned hash_of(uint16_t scheme)
{
	return is_pss(scheme) ? scheme & 0xff : scheme >> 8;
}

uint16_t scheme_of_key(enum key_type type)
{
	switch (type) {
	case KEY_RSA:
		return 0x0804;
	case KEY_P256:
		return 0x0403;
	case KEY_P384:
		return 0x0503;
	case KEY_ED25519:
		return SCHEME_ED25519;
	case KEY_NONE:
		break;
	}
	return 0;
}

size_t scheme_digest(uint16_t scheme, struct bytes message, uint8_t out[static SCHEME_DIGEST_MAX])
{
	if (scheme == SCHEME_ED25519)
		return 0;
	switch (hash_of(scheme)) {
	case HASH_SHA256:
		SHA256(message.at, message.len, out);
		return SHA256_DIGEST_LENGTH;
	case HASH_SHA384:
		SHA384(message.at, message.len, out);
		return SHA384_DIGEST_LENGTH;
	default:
		SHA512(message.at, message.len, out);
		return SHA512_DIGEST_LENGTH;
	}
}

bool scheme_has_shape(uint16_t scheme, struct bytes s)
{
	switch (scheme >> 8) {
	case 0x04:
	case 0x05:
	case 0x06: /* hash | 01 RSA PKCS#1, 03 ECDSA */
		if ((scheme & 0xff) == 0x01)
			return s.len >= RSA_LEN_MIN && s.len <= RSA_LEN_MAX;
		return s.len >= ECDSA_LEN_MIN && s.len <= ECDSA_LEN_MAX && s.at[0] == 0x30 &&
		       s.at[1] == s.len - 2;
	case 0x08:
		if (scheme == SCHEME_ED25519)
			return s.len == ED25519_LEN;
		return s.len >= RSA_LEN_MIN && s.len <= RSA_LEN_MAX;
	}
	return false;
}

const EVP_MD *scheme_md(uint16_t scheme)
{
	switch (hash_of(scheme)) {
	case HASH_SHA256:
		return EVP_sha256();
	case HASH_SHA384:
		return EVP_sha384();
	default:
		return EVP_sha512();
	}
}

bool scheme_verify(EVP_PKEY *key, uint16_t scheme, struct bytes message, struct bytes signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey;
	bool ok = ctx != NULL &&
		  EVP_DigestVerifyInit(ctx, &pkey,
		      scheme == SCHEME_ED25519 ? NULL : scheme_md(scheme), NULL, key) == 1;

	if (ok && is_pss(scheme))
		ok = EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestVerify(ctx, signature.at, signature.len, message.at, message.len) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		ERR_clear_error();
	return ok;
}
