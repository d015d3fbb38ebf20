/*
 * keyop.c: a table of schemes, and libcrypto's calls for each kind. Called in the lanes' threads, and
 * at load for the self-test. Digests are fetched once a thread.
 */
#include "keysvc/keyop.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

enum { DIGEST_MAX = 64 };
enum hash { SHA_256, SHA_384, SHA_512, SHA_224, SHA_1, MD5_SHA1, HASHES_N, HASH_NONE = HASHES_N };

static const struct {
	const char *name;
	size_t len; /* of a digest */
	bool must; /* be in the library */
} hashes[HASHES_N] = {
	[SHA_256] = { "SHA2-256", 32, true },
	[SHA_384] = { "SHA2-384", 48, true },
	[SHA_512] = { "SHA2-512", 64, true },
	[SHA_224] = { "SHA2-224", 28, false },
	[SHA_1] = { "SHA1", 20, false },
	[MD5_SHA1] = { "MD5-SHA1", 36, false },
};

struct keyop {
	struct kit *kit;
	EVP_MD *hashes[HASHES_N + 1]; /* by enum hash; HASH_NONE's is NULL */
	EVP_MD_CTX *md; /* scratch */
	unsigned slot; /* of each key's contexts: this thread's */
};

static const struct scheme {
	uint16_t scheme;
	enum hash hash;
	int padding; /* RSA only */
} schemes[] = {
	{ 0x0401, SHA_256, RSA_PKCS1_PADDING },
	{ 0x0501, SHA_384, RSA_PKCS1_PADDING },
	{ 0x0601, SHA_512, RSA_PKCS1_PADDING },
	{ 0x0804, SHA_256, RSA_PKCS1_PSS_PADDING },
	{ 0x0805, SHA_384, RSA_PKCS1_PSS_PADDING },
	{ 0x0806, SHA_512, RSA_PKCS1_PSS_PADDING },
	{ 0x0403, SHA_256, 0 },
	{ 0x0503, SHA_384, 0 },
	{ 0x0603, SHA_512, 0 },
	{ 0x0807, HASH_NONE, 0 },
	/* For digests only: tbs_check lets none of these pass. */
	{ 0x0201, SHA_1, RSA_PKCS1_PADDING },
	{ 0x0203, SHA_1, 0 },
	{ 0x0301, SHA_224, RSA_PKCS1_PADDING },
	{ 0x0303, SHA_224, 0 },
	{ KEYOP_RSA_MD5SHA1, MD5_SHA1, RSA_PKCS1_PADDING },
	{ KEYOP_ECDSA_MD5SHA1, MD5_SHA1, 0 },
};
enum { SCHEMES_N = sizeof(schemes) / sizeof(schemes[0]) };

/* Making a context and setting it up costs a fifth of a P-256 signature. */
struct keyop_prepared {
	EVP_PKEY_CTX *sign[SCHEMES_N];
};

struct keyop *keyop_new(unsigned slot)
{
	struct keyop *op = calloc(1, sizeof(*op));
	bool ok;

	if (op == NULL)
		return NULL;
	op->slot = slot;
	op->kit = kit_new();
	op->md = EVP_MD_CTX_new();
	ok = op->kit != NULL && op->md != NULL;
	for (size_t i = 0; i < HASHES_N; i++) {
		op->hashes[i] = EVP_MD_fetch(NULL, hashes[i].name, NULL);
		ok = ok && (op->hashes[i] != NULL || !hashes[i].must);
	}
	if (!ok) {
		keyop_free(op);
		return NULL;
	}
	return op;
}

void keyop_free(struct keyop *op)
{
	if (op == NULL)
		return;
	for (size_t i = 0; i < HASHES_N; i++)
		EVP_MD_free(op->hashes[i]);
	EVP_MD_CTX_free(op->md);
	kit_free(op->kit);
	free(op);
}

struct kit *keyop_kit(struct keyop *op)
{
	return op->kit;
}

static const struct scheme *find_scheme(uint16_t scheme, enum key_type type)
{
	for (size_t i = 0; i < SCHEMES_N; i++) {
		const struct scheme *s = &schemes[i];

		if (s->scheme != scheme)
			continue;
		if (s->padding != 0)
			return type == KEY_RSA ? s : NULL;
		if (s->hash == HASH_NONE)
			return type == KEY_ED25519 ? s : NULL;
		return type == KEY_P256 || type == KEY_P384 ? s : NULL;
	}
	return NULL;
}

static int set_padding(EVP_PKEY_CTX *ctx, const struct scheme *s)
{
	if (EVP_PKEY_CTX_set_rsa_padding(ctx, s->padding) <= 0)
		return -1;
	if (s->padding == RSA_PKCS1_PSS_PADDING &&
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) <= 0)
		return -1;
	return 0; /* PSS: MGF1 is of the signature's hash unless set */
}

static EVP_PKEY_CTX *context_new(
    struct keyop *op, struct key *key, const struct scheme *s, int (*init)(EVP_PKEY_CTX *))
{
	EVP_PKEY_CTX *ctx;

	if (s->padding != 0 && op->hashes[s->hash] == NULL)
		return NULL;
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	if (ctx != NULL && init(ctx) > 0 &&
	    (s->padding == 0 || (set_padding(ctx, s) == 0 &&
				    EVP_PKEY_CTX_set_signature_md(ctx, op->hashes[s->hash]) > 0)))
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

/* Where this thread keeps its contexts of the key, or NULL. */
static struct keyop_prepared *prepared(struct keyop *op, struct key *key)
{
	if (op->slot == KEYOP_NO_SLOT)
		return NULL;
	if (key->prepared[op->slot] == NULL)
		key->prepared[op->slot] = calloc(1, sizeof(struct keyop_prepared));
	return key->prepared[op->slot];
}

void keyop_prepared_free(struct keyop_prepared *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < SCHEMES_N; i++)
		EVP_PKEY_CTX_free(p->sign[i]);
	free(p);
}

/*
 * RSA and ECDSA sign a digest made beforehand. A faulty CRT half would give an RSA key away (Boneh,
 * DeMillo, Lipton): libcrypto's own software checks each result with e before it returns it, and falls
 * back to no CRT, so it is not done a second time here. What signs elsewhere (a token) must be.
 */
static int sign_digest(struct keyop *op, struct key *key, const struct scheme *s,
    struct bytes digest, uint8_t *out, size_t *len)
{
	struct keyop_prepared once = { { NULL } }, *p = prepared(op, key);
	size_t i = (size_t)(s - schemes);
	int rc = -1;

	if (p == NULL)
		p = &once;
	if (p->sign[i] == NULL)
		p->sign[i] = context_new(op, key, s, EVP_PKEY_sign_init);
	if (p->sign[i] != NULL && EVP_PKEY_sign(p->sign[i], out, len, digest.at, digest.len) > 0)
		rc = 0;
	if (p == &once || rc == -1) { /* one that failed is not used again */
		EVP_PKEY_CTX_free(p->sign[i]);
		p->sign[i] = NULL;
	}
	return rc;
}

static int sign_message(
    struct keyop *op, const struct key *key, struct bytes message, uint8_t *out, size_t *len)
{
	int ok = EVP_DigestSignInit_ex(op->md, NULL, NULL, NULL, NULL, key->pkey, NULL) > 0 &&
		 EVP_DigestSign(op->md, out, len, message.at, message.len) > 0;

	EVP_MD_CTX_reset(op->md);
	return ok ? 0 : -1;
}

/* A spoilt signature must not be left to leak either. */
static int spoilt(uint8_t *out, size_t size)
{
	OPENSSL_cleanse(out, size);
	ERR_clear_error();
	return -1;
}

bool keyop_takes_digest(uint16_t scheme, enum key_type type, size_t len)
{
	const struct scheme *s = find_scheme(scheme, type);

	return s != NULL && (s->hash == HASH_NONE || hashes[s->hash].len == len);
}

int keyop_sign_digest(struct keyop *op, struct key *key, uint16_t scheme, struct bytes digest,
    uint8_t *out, size_t size, size_t *len)
{
	const struct scheme *s = find_scheme(scheme, key->type);
	int rc;

	if (!keyop_takes_digest(scheme, key->type, digest.len) ||
	    size < (size_t)EVP_PKEY_get_size(key->pkey))
		return -1;
	ERR_clear_error();
	*len = size;
	rc = s->hash == HASH_NONE ? sign_message(op, key, digest, out, len)
				  : sign_digest(op, key, s, digest, out, len);
	return rc == 0 ? 0 : spoilt(out, size);
}

int keyop_sign(struct keyop *op, struct key *key, uint16_t scheme, struct bytes message,
    uint8_t *out, size_t size, size_t *len)
{
	const struct scheme *s = find_scheme(scheme, key->type);
	uint8_t digest[DIGEST_MAX];
	unsigned digest_len;
	int rc = -1;

	/* SHA-224 and what comes behind it: of digests only, whoever asks. */
	if (s == NULL || (s->hash >= SHA_224 && s->hash < HASHES_N) ||
	    size < (size_t)EVP_PKEY_get_size(key->pkey))
		return -1;
	ERR_clear_error();
	*len = size;
	if (s->hash == HASH_NONE)
		rc = sign_message(op, key, message, out, len);
	else if (EVP_Digest(
		     message.at, message.len, digest, &digest_len, op->hashes[s->hash], NULL))
		rc = sign_digest(op, key, s, bytes_of(digest, digest_len), out, len);
	return rc == 0 ? 0 : spoilt(out, size);
}

/* ---- RSA that is no signature */

static EVP_PKEY_CTX *decryption(struct key *key, int padding)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);

	if (ctx != NULL && EVP_PKEY_decrypt_init(ctx) > 0 &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, padding) > 0)
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

/* Does block ^ e give the ciphertext? A faulty CRT would give the key away here too. */
static bool encrypts_to(struct key *key, struct bytes block, struct bytes ciphertext)
{
	uint8_t again[KEYOP_SIGNATURE_MAX];
	size_t len = sizeof(again);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	bool ok = ctx != NULL && EVP_PKEY_encrypt_init(ctx) > 0 &&
		  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) > 0 &&
		  EVP_PKEY_encrypt(ctx, again, &len, block.at, block.len) > 0 &&
		  bytes_equal(bytes_of(again, len), ciphertext);

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

int keyop_raw_decrypt(struct keyop *op, struct key *key, struct bytes ciphertext, uint8_t *out,
    size_t size, size_t *len)
{
	EVP_PKEY_CTX *ctx;
	bool ok;

	(void)op;
	if (key->type != KEY_RSA || size < (size_t)EVP_PKEY_get_size(key->pkey) ||
	    ciphertext.len != (size_t)EVP_PKEY_get_size(key->pkey))
		return -1;
	ERR_clear_error();
	ctx = decryption(key, RSA_NO_PADDING);
	*len = size;
	ok = ctx != NULL && EVP_PKEY_decrypt(ctx, out, len, ciphertext.at, ciphertext.len) > 0 &&
	     encrypts_to(key, bytes_of(out, *len), ciphertext);
	EVP_PKEY_CTX_free(ctx);
	return ok ? 0 : spoilt(out, size);
}

int keyop_rsa_kx(struct keyop *op, struct key *key, uint16_t version, uint16_t other,
    struct bytes ciphertext, uint8_t out[static KEYOP_PREMASTER_LEN])
{
	unsigned client = version, negotiated = other;
	uint8_t block[KEYOP_SIGNATURE_MAX];
	size_t len = sizeof(block);
	OSSL_PARAM params[] = { OSSL_PARAM_construct_uint(
				    OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &client),
		OSSL_PARAM_construct_uint(
		    OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, &negotiated),
		OSSL_PARAM_construct_end() };
	EVP_PKEY_CTX *ctx;

	(void)op;
	if (key->type != KEY_RSA ||
	    RAND_priv_bytes(out, KEYOP_PREMASTER_LEN) != 1) /* for a ciphertext out of range */
		return -1;
	ERR_clear_error();
	if ((ctx = decryption(key, RSA_PKCS1_WITH_TLS_PADDING)) == NULL ||
	    EVP_PKEY_CTX_set_params(ctx, params) <= 0) {
		EVP_PKEY_CTX_free(ctx);
		return -1;
	}
	/* Padding, length and version are judged in constant time within: bad ones give random bytes.
	 * What fails openly is public: the ciphertext's own length and size. */
	if (EVP_PKEY_decrypt(ctx, block, &len, ciphertext.at, ciphertext.len) > 0 &&
	    len == KEYOP_PREMASTER_LEN)
		memcpy(out, block, KEYOP_PREMASTER_LEN);
	OPENSSL_cleanse(block, sizeof(block));
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return 0;
}

/* ---- self-test */

static int verify(struct keyop *op, const struct key *key, const struct scheme *s,
    struct bytes message, struct bytes signature)
{
	EVP_PKEY_CTX *ctx;
	EVP_MD *hash = s->hash == HASH_NONE ? NULL : op->hashes[s->hash];
	const char *name = hash == NULL ? NULL : EVP_MD_get0_name(hash);
	int ok = EVP_DigestVerifyInit_ex(op->md, &ctx, name, NULL, NULL, key->pkey, NULL) > 0 &&
		 (s->padding == 0 || set_padding(ctx, s) == 0) &&
		 EVP_DigestVerify(op->md, signature.at, signature.len, message.at, message.len) ==
		     1;

	EVP_MD_CTX_reset(op->md);
	ERR_clear_error();
	return ok ? 0 : -1;
}

int keyop_self_test(struct keyop *op, struct key *key)
{
	static const uint16_t tests[] = { 0x0401, 0x0804, 0x0403, 0x0503, 0x0807 };
	struct bytes message = bytes_str("sslgw self-test");
	uint8_t signature[KEYOP_SIGNATURE_MAX];
	size_t len;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		const struct scheme *s = find_scheme(tests[i], key->type);

		if (s == NULL)
			continue;
		if (keyop_sign(op, key, s->scheme, message, signature, sizeof(signature), &len) ==
			-1 ||
		    verify(op, key, s, message, bytes_of(signature, len)) == -1)
			return -1;
	}
	return 0;
}
