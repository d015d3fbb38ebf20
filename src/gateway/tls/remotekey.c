/*
 * remotekey.c: the provider "sslgw" and its key management. A key is made from a certificate's
 * public half and a pointer to its facts; there is no way to export it: libcrypto would copy the
 * public half to the default provider and then miss the private one.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/sha.h>

#include "base/log.h"

#include "gateway/tls/remotekey.h"
#include "gateway/tls/remotekey_private.h"
#include "gateway/worker.h"

#include "base/poison.h"

#define PROPERTIES "provider=sslgw"
#define PARAM_FACTS "sslgw-facts" /* octet_ptr: struct facts of remotekey_new's stack */

struct facts {
	struct worker *worker;
	const struct cert_chain *chain;
	EVP_PKEY *public;
};

/* ---- the key object */

static struct remotekey *key_new(unsigned type)
{
	struct remotekey *key = calloc(1, sizeof(*key));

	if (key != NULL)
		key->type = type;
	return key;
}

static void *new_rsa(void *provctx)
{
	(void)provctx;
	return key_new(KEY_RSA);
}

static void *new_ec(void *provctx)
{
	(void)provctx;
	return key_new(KEY_P256);
}

static void *new_ed25519(void *provctx)
{
	(void)provctx;
	return key_new(KEY_ED25519);
}

static void key_free(void *keydata)
{
	struct remotekey *key = keydata;

	if (key == NULL)
		return;
	for (size_t i = 0; i < REMOTEKEY_VERIFIERS; i++)
		EVP_PKEY_CTX_free(key->verifiers[i].ctx);
	EVP_PKEY_free(key->verify);
	free(key);
}

static int key_has(const void *keydata, int selection)
{
	const struct remotekey *key = keydata;

	if (key == NULL)
		return 0;
	if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 && !key->has_public)
		return 0;
	return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 || key->worker != NULL;
}

static int key_match(const void *a, const void *b, int selection)
{
	const struct remotekey *one = a, *other = b;

	(void)selection;
	return one->has_public && other->has_public &&
	       memcmp(one->public, other->public, REMOTEKEY_PUBLIC_LEN) == 0;
}

/* The digest of the public half: modulus and exponent, or the point. */
static int take_public(struct remotekey *key, const OSSL_PARAM params[])
{
	static const char *const rsa[] = { OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, NULL };
	static const char *const point[] = { OSSL_PKEY_PARAM_PUB_KEY, NULL };
	uint8_t digests[2 * SHA256_DIGEST_LENGTH] = { 0 };
	const char *const *name = key->type == KEY_RSA ? rsa : point;

	for (size_t i = 0; name[i] != NULL; i++) {
		const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name[i]);

		if (p == NULL || p->data == NULL)
			return 0;
		SHA256(p->data, p->data_size, digests + i * SHA256_DIGEST_LENGTH);
	}
	SHA256(digests, sizeof(digests), key->public);
	key->has_public = true;
	return 1;
}

static int take_facts(struct remotekey *key, const struct facts *facts)
{
	size_t len;

	key->worker = facts->worker;
	key->type = facts->chain->type;
	key->bits = EVP_PKEY_get_bits(facts->public);
	key->security_bits = EVP_PKEY_get_security_bits(facts->public);
	key->max_size = EVP_PKEY_get_size(facts->public);
	memcpy(key->named.ski, facts->chain->ski, sizeof(key->named.ski));
	if (key->type == KEY_RSA && facts->worker->conf->key_service.protocol == KEYS_KEYLESS)
		key->named.has_modulus = key_modulus_sha256(
					     facts->public, key->named.modulus_sha256) == 0;
	if ((key->type == KEY_P256 || key->type == KEY_P384) &&
	    !EVP_PKEY_get_group_name(facts->public, key->group, sizeof(key->group), &len))
		return 0;
	if (!EVP_PKEY_up_ref(facts->public))
		return 0;
	key->verify = facts->public;
	return 1;
}

static int key_import(void *keydata, int selection, const OSSL_PARAM params[])
{
	struct remotekey *key = keydata;
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PARAM_FACTS);
	const void *facts;
	size_t len;

	(void)selection;
	if (!take_public(key, params))
		return 0;
	if (p == NULL)
		return 1; /* a certificate's public key, to be compared */
	if (!OSSL_PARAM_get_octet_ptr(p, &facts, &len) || len != sizeof(struct facts))
		return 0;
	return take_facts(key, facts);
}

static const OSSL_PARAM *key_import_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_octet_ptr(PARAM_FACTS, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)selection;
	return types;
}

static int set_string(OSSL_PARAM params[], const char *name, const char *value)
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

	return p == NULL || OSSL_PARAM_set_utf8_string(p, value);
}

static int set_int(OSSL_PARAM params[], const char *name, int value)
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

	return p == NULL || OSSL_PARAM_set_int(p, value);
}

static int key_get_params(void *keydata, OSSL_PARAM params[])
{
	const struct remotekey *key = keydata;

	if (!set_int(params, OSSL_PKEY_PARAM_BITS, key->bits) ||
	    !set_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, key->security_bits) ||
	    !set_int(params, OSSL_PKEY_PARAM_MAX_SIZE, key->max_size))
		return 0;
	if (key->group[0] != '\0' && !set_string(params, OSSL_PKEY_PARAM_GROUP_NAME, key->group))
		return 0;
	/* Ed25519 hashes by itself: no digest may be named. */
	if (key->type == KEY_ED25519)
		return set_string(params, OSSL_PKEY_PARAM_MANDATORY_DIGEST, "");
	return set_string(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST, "SHA256");
}

static const OSSL_PARAM *key_gettable_params(void *provctx)
{
	static const OSSL_PARAM gettable[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provctx;
	return gettable;
}

static const char *ec_operation_name(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

/* ---- the provider */

#define KEYMGMT_COMMON                                                                             \
	{ OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))key_free },                                      \
	    { OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))key_has },                                    \
	    { OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))key_match },                                \
	    { OSSL_FUNC_KEYMGMT_IMPORT, (void (*)(void))key_import },                              \
	    { OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))key_import_types },                  \
	    { OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))key_get_params },                      \
	{                                                                                          \
		OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))key_gettable_params             \
	}

static const OSSL_DISPATCH rsa_functions[] = {
	{ OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))new_rsa },
	KEYMGMT_COMMON,
	{ 0, NULL },
};
static const OSSL_DISPATCH ec_functions[] = {
	{ OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))new_ec },
	{ OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))ec_operation_name },
	KEYMGMT_COMMON,
	{ 0, NULL },
};
static const OSSL_DISPATCH ed25519_functions[] = {
	{ OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))new_ed25519 },
	KEYMGMT_COMMON,
	{ 0, NULL },
};

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM keymgmts[] = {
		{ "RSA:rsaEncryption", PROPERTIES, rsa_functions, "RSA keys of the key service" },
		{ "EC:id-ecPublicKey", PROPERTIES, ec_functions, "EC keys of the key service" },
		{ "ED25519", PROPERTIES, ed25519_functions, "Ed25519 keys of the key service" },
		{ NULL, NULL, NULL, NULL },
	};

	(void)provctx;
	*no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return keymgmts;
	return operation == OSSL_OP_SIGNATURE ? remotekey_signatures : NULL;
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **provctx)
{
	static const OSSL_DISPATCH functions[] = {
		{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query },
		{ 0, NULL },
	};

	(void)in;
	*out = functions;
	*provctx = (void *)(uintptr_t)handle;
	return 1;
}

/* Loading again gives the same object: so nobody has to keep it. */
static void unload_at_exit(void)
{
	static const char *const names[] = { "sslgw", "default" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		OSSL_PROVIDER *provider = OSSL_PROVIDER_load(NULL, names[i]);

		OSSL_PROVIDER_unload(provider);
		OSSL_PROVIDER_unload(provider);
	}
}

int remotekey_start(void)
{
	if (OSSL_PROVIDER_available(NULL, "sslgw"))
		return 0;
	/* The default provider first, by name: loading any other would leave it out, and of two
	 * implementations of a name the first one loaded is the one that a plain fetch finds. Both
	 * stay for the life of the process. */
	if (OSSL_PROVIDER_load(NULL, "default") != NULL &&
	    OSSL_PROVIDER_add_builtin(NULL, "sslgw", provider_init) &&
	    OSSL_PROVIDER_load(NULL, "sslgw") != NULL && OPENSSL_atexit(unload_at_exit))
		return 0;
	log_errorx(
	    "libcrypto cannot load its providers: %s", ERR_reason_error_string(ERR_peek_error()));
	return -1;
}

EVP_PKEY *remotekey_new(struct worker *worker, const struct cert_chain *chain)
{
	struct facts facts = { worker, chain, X509_get0_pubkey(chain->leaf) }, *at = &facts;
	OSSL_PARAM own[] = {
		OSSL_PARAM_construct_octet_ptr(PARAM_FACTS, (void **)&at, sizeof(facts)),
		OSSL_PARAM_construct_end(),
	};
	OSSL_PARAM *public = NULL, *all = NULL;
	const char *type = chain->type == KEY_RSA       ? "RSA"
			   : chain->type == KEY_ED25519 ? "ED25519"
							: "EC";
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, PROPERTIES);
	EVP_PKEY *key = NULL;

	if (ctx != NULL && EVP_PKEY_todata(facts.public, EVP_PKEY_PUBLIC_KEY, &public) &&
	    (all = OSSL_PARAM_merge(public, own)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, all) != 1)
		key = NULL;
	OSSL_PARAM_free(all);
	OSSL_PARAM_free(public);
	EVP_PKEY_CTX_free(ctx);
	return key;
}
