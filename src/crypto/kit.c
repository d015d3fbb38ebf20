/*
 * kit.c: one thread's fetched algorithms, and the few operations that are not one call of
 * libcrypto. Called by epoch, seal and tbs; no error leaves half a secret in a caller's buffer.
 */
#include "config.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/kit.h"

#include "base/poison.h"

enum { EXPAND_BLOCK = 32, EXPAND_MAX = 255 * EXPAND_BLOCK };

static EVP_MAC_CTX *hmac_new(const char *digest)
{
	/* The name is not written to: OSSL_PARAM has no const variant. */
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);

	EVP_MAC_free(mac); /* the context holds a reference */
	if (ctx != NULL && !EVP_MAC_CTX_set_params(ctx, params)) {
		EVP_MAC_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

struct kit *kit_new(void)
{
	struct kit *kit = calloc(1, sizeof(*kit));

	if (kit == NULL)
		return NULL;
	kit->hmac_sha256 = hmac_new("SHA2-256");
	kit->hmac_sha512 = hmac_new("SHA2-512");
	kit->aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	kit->cipher = EVP_CIPHER_CTX_new();
	kit->p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	kit->p384 = EC_GROUP_new_by_curve_name(NID_secp384r1);
	kit->bn = BN_CTX_new();
	if (kit->hmac_sha256 == NULL || kit->hmac_sha512 == NULL || kit->aes_256_gcm == NULL ||
	    kit->cipher == NULL || kit->p256 == NULL || kit->p384 == NULL || kit->bn == NULL) {
		kit_free(kit);
		return NULL;
	}
	return kit;
}

void kit_free(struct kit *kit)
{
	if (kit == NULL)
		return;
	EVP_MAC_CTX_free(kit->hmac_sha256);
	EVP_MAC_CTX_free(kit->hmac_sha512);
	EVP_CIPHER_free(kit->aes_256_gcm);
	EVP_CIPHER_CTX_free(kit->cipher);
	EC_GROUP_free(kit->p256);
	EC_GROUP_free(kit->p384);
	BN_CTX_free(kit->bn);
	free(kit);
}

static int hmac(EVP_MAC_CTX *ctx, struct bytes key, const struct bytes *parts, size_t n,
    uint8_t *out, size_t out_len)
{
	size_t len = 0;

	if (!EVP_MAC_init(ctx, key.at, key.len, NULL))
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].len > 0 && !EVP_MAC_update(ctx, parts[i].at, parts[i].len))
			return -1;
	}
	if (!EVP_MAC_final(ctx, out, &len, out_len) || len != out_len)
		return -1;
	return 0;
}

int kit_hmac_sha256(
    struct kit *kit, struct bytes key, const struct bytes *parts, size_t n, uint8_t out[static 32])
{
	return hmac(kit->hmac_sha256, key, parts, n, out, 32);
}

int kit_hmac_sha512(
    struct kit *kit, struct bytes key, const struct bytes *parts, size_t n, uint8_t out[static 64])
{
	return hmac(kit->hmac_sha512, key, parts, n, out, 64);
}

int kit_expand(struct kit *kit, struct bytes prk, const struct bytes *info, size_t n, uint8_t *out,
    size_t out_len)
{
	enum { PARTS_MAX = 6 };
	uint8_t block[EXPAND_BLOCK], counter = 0;
	struct bytes parts[PARTS_MAX + 2];
	size_t done = 0;
	int rc = -1;

	assert(n <= PARTS_MAX && out_len <= EXPAND_MAX);
	while (done < out_len) {
		size_t take = out_len - done < sizeof(block) ? out_len - done : sizeof(block);

		counter++;
		parts[0] = bytes_of(block, counter == 1 ? 0 : sizeof(block));
		for (size_t i = 0; i < n; i++)
			parts[i + 1] = info[i];
		parts[n + 1] = bytes_of(&counter, 1);
		if (kit_hmac_sha256(kit, prk, parts, n + 2, block) == -1)
			goto out;
		memcpy(out + done, block, take);
		done += take;
	}
	rc = 0;
out:
	if (rc == -1)
		OPENSSL_cleanse(out, out_len);
	OPENSSL_cleanse(block, sizeof(block));
	return rc;
}

bool kit_on_curve(struct kit *kit, const EC_GROUP *group, struct bytes point)
{
	EC_POINT *p;
	bool ok;

	/* oct2point also takes the one byte of infinity and compressed points. */
	if (point.len < 2 || point.at[0] != POINT_CONVERSION_UNCOMPRESSED)
		return false;
	p = EC_POINT_new(group);
	/* It refuses coordinates that are not below the field's prime or not on the curve. */
	ok = p != NULL && EC_POINT_oct2point(group, p, point.at, point.len, kit->bn) == 1;
	EC_POINT_free(p);
	if (!ok)
		ERR_clear_error();
	return ok;
}
