/* test_keysvc_foreign.c: the Keyless protocol's own operations, RSA key exchange, padding: for foreign clients. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rsa.h>

#include <cmocka.h>

#include "base/log.h"
#include "crypto/epoch.h"
#include "keysvc/keyop.h"
#include "keysvc/keysvc.h"
#include "net/endpoint.h"
#include "net/listener.h"
#include "wire/keyless.h"

#include "keysvc_bed.h"

#include "base/poison.h"

static struct keyless digest_op(
    struct fixture *f, const struct key *key, uint8_t opcode, struct bytes payload)
{
	struct keyless k = {
		.id = 77, .opcode = opcode, .ski = bytes_of(key->ski, 20), .payload = payload
	};

	return ask(f, &k);
}

/* By the one-shot interface; digest NULL: Ed25519's message. */
static bool verifies(const struct key *key, const char *digest, int padding, struct bytes tbs,
    struct bytes signature)
{
	EVP_MD *md = digest == NULL ? NULL : EVP_MD_fetch(NULL, digest, NULL);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	EVP_MD_CTX *one = EVP_MD_CTX_new();
	bool ok;

	if (key->type == KEY_ED25519)
		ok = EVP_DigestVerifyInit_ex(one, NULL, NULL, NULL, NULL, key->pkey, NULL) > 0 &&
		     EVP_DigestVerify(one, signature.at, signature.len, tbs.at, tbs.len) == 1;
	else
		ok = EVP_PKEY_verify_init(ctx) > 0 &&
		     (padding == 0 || (EVP_PKEY_CTX_set_rsa_padding(ctx, padding) > 0 &&
					  EVP_PKEY_CTX_set_signature_md(ctx, md) > 0)) &&
		     (padding != RSA_PKCS1_PSS_PADDING ||
			 EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0) &&
		     EVP_PKEY_verify(ctx, signature.at, signature.len, tbs.at, tbs.len) == 1;
	EVP_MD_CTX_free(one);
	EVP_PKEY_CTX_free(ctx);
	EVP_MD_free(md);
	return ok;
}

static struct key *keys_of_all_types(struct fixture *f, struct key *keys[static 3])
{
	struct keystore *set = keystore_new();
	char why[100];

	keys[0] = key_new(EVP_RSA_gen(2048), "rsa", why, sizeof(why));
	keys[1] = key_new(EVP_EC_gen("P-256"), "ec", why, sizeof(why));
	keys[2] = key_new(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "ed", why, sizeof(why));
	for (int i = 0; i < 3; i++)
		assert_int_equal(keystore_add(set, keys[i]), 0);
	keystore_seal(set);
	keysvc_set_keys(f->svc, set);
	return keys[0];
}

__attribute__((noinline)) static void refuses(struct fixture *f, const struct key *key,
    uint8_t opcode, struct bytes payload, enum keyless_error error)
{
	refused(digest_op(f, key, opcode, payload), error);
}

static void foreign_operations_sign_digests_where_granted(void **state)
{
	static const struct {
		uint8_t opcode;
		uint8_t key;
		const char *digest;
		uint8_t len;
		int padding;
	} cases[] = {
		{ 0x02, 0, "MD5-SHA1", 36, RSA_PKCS1_PADDING },
		{ 0x03, 0, "SHA1", 20, RSA_PKCS1_PADDING },
		{ 0x04, 0, "SHA2-224", 28, RSA_PKCS1_PADDING },
		{ 0x05, 0, "SHA2-256", 32, RSA_PKCS1_PADDING },
		{ 0x06, 0, "SHA2-384", 48, RSA_PKCS1_PADDING },
		{ 0x07, 0, "SHA2-512", 64, RSA_PKCS1_PADDING },
		{ 0x12, 1, NULL, 36, 0 },
		{ 0x13, 1, NULL, 20, 0 },
		{ 0x14, 1, NULL, 28, 0 },
		{ 0x15, 1, NULL, 32, 0 },
		{ 0x16, 1, NULL, 48, 0 },
		{ 0x17, 1, NULL, 64, 0 },
		{ 0x18, 2, NULL, 64, 0 },
		{ 0x35, 0, "SHA2-256", 32, RSA_PKCS1_PSS_PADDING },
		{ 0x36, 0, "SHA2-384", 48, RSA_PKCS1_PSS_PADDING },
		{ 0x37, 0, "SHA2-512", 64, RSA_PKCS1_PSS_PADDING },
	};
	struct fixture *f = *state;
	struct key *keys[3];
	uint8_t digest[65];
	struct keyless answer;

	hello(f);
	keys_of_all_types(f, keys);
	memset(digest, 0x5a, sizeof(digest));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bytes tbs = bytes_of(digest, cases[i].len);
		const struct key *key = keys[cases[i].key];

		f->policy.grants = GRANT_TLS_SIGN;
		refuses(f, key, cases[i].opcode, tbs, KEYLESS_ERR_BAD_OPCODE);
		f->policy.grants = GRANT_DIGEST_SIGN;
		answer = digest_op(f, key, cases[i].opcode, tbs);
		assert_int_equal(answer.opcode, KEYLESS_ANSWER);
		assert_true(verifies(key, cases[i].digest, cases[i].padding, tbs, answer.payload));
		for (int other = 0; other < 3; other++) {
			if (other != cases[i].key)
				refuses(f, keys[other], cases[i].opcode, tbs, KEYLESS_ERR_CRYPTO);
		}
		if (cases[i].key == 2)
			continue; /* signs a message of any length */
		refuses(f, key, cases[i].opcode, bytes_of(digest, tbs.len - 1), KEYLESS_ERR_CRYPTO);
		refuses(f, key, cases[i].opcode, bytes_of(digest, tbs.len + 1), KEYLESS_ERR_CRYPTO);
	}
	/* The one grant is not the other. */
	refuses_custom(
	    f, KEYLESS_FN_TLS_SIGN, keys[0]->ski, bytes_of(digest, 64), KEYLESS_ERR_BAD_OPCODE);
}

static void rsa_keys_are_found_by_their_modulus_too(void **state)
{
	struct fixture *f = *state;
	struct key *keys[3];
	uint8_t digest[33] = { 1 };
	struct keyless k = {
		.id = 9, .opcode = 0x05, .payload = bytes_of(digest, 32), .digest = { 0 }
	};

	hello(f);
	f->policy.grants = GRANT_DIGEST_SIGN;
	keys_of_all_types(f, keys);
	k.digest = bytes_of(keys[0]->modulus_sha256, 32);
	assert_int_equal(ask(f, &k).opcode, KEYLESS_ANSWER);
	k.digest = bytes_of(digest, 32);
	refused(ask(f, &k), KEYLESS_ERR_KEY_NOT_FOUND);
	k.digest = bytes_of(digest, 33);
	refused(ask(f, &k), KEYLESS_ERR_KEY_NOT_FOUND);
	k.digest = (struct bytes){ NULL, 0 };
	refused(ask(f, &k), KEYLESS_ERR_INTERNAL);
}

__attribute__((noinline)) static bool premaster(
    struct fixture *f, const struct key *key, const uint8_t *at, size_t len, uint8_t out[static 48])
{
	struct keyless answer = custom(f, KEYLESS_FN_TLS_RSA_KX, key->ski, bytes_of(at, len));

	if (answer.opcode != KEYLESS_ANSWER)
		return false;
	assert_int_equal(answer.payload.len, 48);
	memcpy(out, answer.payload.at, 48);
	return true;
}

static void premaster_secrets_come_and_bad_ones_are_random(void **state)
{
	struct fixture *f = *state;
	struct key *keys[3];
	uint8_t payload[4 + 256] = { 3, 3, 0, 0 }, secret[48] = { 3, 3, 7, 7, 7 }, got[48],
			    first[48];
	EVP_PKEY_CTX *ctx;
	size_t len = 256;

	hello(f);
	keys_of_all_types(f, keys);
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, keys[0]->pkey, NULL);
	assert_true(EVP_PKEY_encrypt_init(ctx) > 0 &&
		    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
		    EVP_PKEY_encrypt(ctx, payload + 4, &len, secret, sizeof(secret)) > 0);
	EVP_PKEY_CTX_free(ctx);
	assert_false(premaster(f, keys[0], payload, 260, got)); /* not granted */
	f->policy.grants = GRANT_TLS_RSA_KX;
	assert_true(premaster(f, keys[0], payload, 260, got));
	assert_memory_equal(got, secret, 48);
	payload[1] = 2; /* another version than the secret's */
	assert_true(premaster(f, keys[0], payload, 260, got));
	assert_memory_not_equal(got, secret, 48);
	payload[1] = 3, payload[100] ^= 1; /* bad padding: no error tells */
	assert_true(premaster(f, keys[0], payload, 260, first));
	memset(payload + 4, 0xff, 256); /* not below the modulus */
	assert_true(premaster(f, keys[0], payload, 260, got));
	assert_memory_not_equal(got, first, 48);
	assert_true(premaster(f, keys[0], payload, 259, got));
	assert_false(premaster(f, keys[0], payload, 3, got));
	assert_false(premaster(f, keys[1], payload, 260, got)); /* not RSA */
}

static void padded_questions_get_padded_answers(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[KEYLESS_PADDED_LEN], request[200];
	struct keyless k = { .id = 3, .opcode = KEYLESS_PING, .payload = bytes_str("hi") }, answer;
	size_t n;

	hello(f);
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			k.opcode = 0x05; /* refused */
		if (i == 2)
			k = (struct keyless){ .id = 4,
				.opcode = KEYLESS_CUSTOM,
				.function = bytes_str(KEYLESS_FN_TLS_SIGN),
				.ski = bytes_of(f->key->ski, 20),
				.payload = sign_request(request, 0x0403) };
		n = keyless_build(&k, true, buf, sizeof(buf));
		assert_int_equal(n, KEYLESS_PADDED_LEN);
		send_all(f, buf, n);
		assert_true(receive(f, &answer));
		assert_int_equal(f->last, KEYLESS_PADDED_LEN);
		assert_true(answer.padded);
		assert_int_equal(answer.opcode, i == 0   ? KEYLESS_PONG
						: i == 1 ? KEYLESS_ERROR
							 : KEYLESS_ANSWER);
		assert_false(ask(f, &k).padded);
		assert_true(f->last < 200);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(foreign_operations_sign_digests_where_granted),
		T(rsa_keys_are_found_by_their_modulus_too),
		T(premaster_secrets_come_and_bad_ones_are_random),
		T(padded_questions_get_padded_answers),
	};

	log_init("test_keysvc_foreign");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
