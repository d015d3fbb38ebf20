/*
 * scope.c: what epoch.h derives from a group key. Who may share a session is decided here and
 * nowhere else: the scope's hash goes into every key.
 */
#include "config.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/epoch.h"

#include "base/poison.h"

enum { SCOPE_NAME_MAX = 512, DIGEST_LEN = 32 };

static int expand(struct kit *kit, const uint8_t key[static EPOCH_KEY_LEN], const char *label,
    struct bytes context, uint8_t *out, size_t len)
{
	struct bytes info[] = { bytes_str(label), context };

	return kit_expand(kit, bytes_of(key, EPOCH_KEY_LEN), info, 2, out, len);
}

int epoch_group_key(struct kit *kit, const uint8_t epoch_key[static EPOCH_KEY_LEN],
    struct bytes group, uint8_t out[static EPOCH_KEY_LEN])
{
	return expand(kit, epoch_key, "sslgw group", group, out, EPOCH_KEY_LEN);
}

static int compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, DIGEST_LEN);
}

int scope_ca_digest(const STACK_OF(X509) * cas, uint8_t out[static 32])
{
	int n = cas == NULL ? 0 : sk_X509_num(cas);
	uint8_t(*digests)[DIGEST_LEN] = calloc((size_t)n + 1, DIGEST_LEN);
	unsigned len;
	size_t kept = 0;
	int rc = -1;

	if (digests == NULL)
		return -1;
	for (int i = 0; i < n; i++) {
		if (!X509_digest(sk_X509_value(cas, i), EVP_sha256(), digests[i], &len))
			goto out;
	}
	qsort(digests, (size_t)n, DIGEST_LEN, compare_digests);
	for (size_t i = 0; i < (size_t)n; i++) {
		/* A CA listed twice in the file trusts nobody more. */
		if (kept == 0 || memcmp(digests[kept - 1], digests[i], DIGEST_LEN) != 0)
			memmove(digests[kept++], digests[i], DIGEST_LEN);
	}
	SHA256(digests[0], kept * DIGEST_LEN, out);
	rc = 0;
out:
	free(digests);
	return rc;
}

static void put_item(struct writer *w, const void *at, size_t len)
{
	writer_u16(w, (uint16_t)len);
	writer_put(w, at, len);
}

void scope_hash(const struct scope *scope, uint8_t out[static EPOCH_SCOPE_LEN])
{
	uint8_t buf[SCOPE_NAME_MAX + 64];
	struct writer w = writer_of(buf, sizeof(buf));

	put_item(&w, scope->site, strlen(scope->site));
	put_item(&w, &scope->verify, 1);
	put_item(&w, &scope->depth, 1);
	put_item(&w, scope->ca_digest, sizeof(scope->ca_digest));
	put_item(&w, &scope->crl, 1);
	assert(w.ok); /* a host name is at most 253 bytes */
	SHA256(buf, writer_len(&w), out);
}

int scope_keys_derive(struct kit *kit, const uint8_t group_key[static EPOCH_KEY_LEN],
    const uint8_t scope[static EPOCH_SCOPE_LEN], uint16_t version, struct scope_keys *out)
{
	uint8_t k[EPOCH_KEY_LEN], ticket[64];
	const uint8_t v[2] = { (uint8_t)(version >> 8), (uint8_t)version };
	struct bytes vb = bytes_of(v, sizeof(v));
	int rc = -1;

	if (expand(kit, group_key, "sslgw scope", bytes_of(scope, EPOCH_SCOPE_LEN), k, sizeof(k)) ==
		0 &&
	    expand(kit, k, "sslgw ticket", vb, ticket, sizeof(ticket)) == 0 &&
	    expand(kit, k, "sslgw seal", vb, out->seal, sizeof(out->seal)) == 0 &&
	    expand(kit, k, "sslgw name", vb, out->name, sizeof(out->name)) == 0) {
		memcpy(out->ticket_cipher, ticket, 32);
		memcpy(out->ticket_hmac, ticket + 32, 32);
		rc = 0;
	}
	OPENSSL_cleanse(k, sizeof(k));
	OPENSSL_cleanse(ticket, sizeof(ticket));
	if (rc == -1)
		OPENSSL_cleanse(out, sizeof(*out));
	return rc;
}
