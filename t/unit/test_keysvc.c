/* test_keysvc.c: the key service over a Unix socket: who may ask, what is signed, what is refused. */
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

static void signs_what_a_tls_server_signs(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[200];
	struct bytes request = sign_request(buf, 0x0403);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct keyless answer;

	hello(f);
	answer = custom(f, KEYLESS_FN_TLS_SIGN, f->key->ski, request);
	assert_int_equal(answer.opcode, KEYLESS_ANSWER);
	assert_true(
	    EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, f->key->pkey, NULL) > 0);
	assert_int_equal(EVP_DigestVerify(ctx, answer.payload.at, answer.payload.len,
			     request.at + 2, request.len - 2),
	    1);
	EVP_MD_CTX_free(ctx);
	assert_int_equal(keysvc_audit(f->svc)->n[AUDIT_SIGNED], 1);
	assert_int_equal(f->key->refs, 2);
}

static void signs_nothing_else(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[400] = { 0 }, none[20] = { 0 };
	struct bytes request = sign_request(buf, 0x0403);
	uint64_t refusals = 0;

	hello(f);
	for (size_t i = 2; i < 100; i++, refusals++) {
		buf[i] ^= 1;
		refuses_custom(
		    f, KEYLESS_FN_TLS_SIGN, f->key->ski, request, KEYLESS_ERR_BAD_OPCODE);
		buf[i] ^= 1;
	}
	for (size_t n = 0; n < request.len; n++, refusals++)
		refuses_custom(
		    f, KEYLESS_FN_TLS_SIGN, f->key->ski, bytes_of(buf, n), KEYLESS_ERR_BAD_OPCODE);
	refuses_custom(
	    f, KEYLESS_FN_TLS_SIGN, f->key->ski, bytes_of(buf, 400), KEYLESS_ERR_BAD_OPCODE);
	buf[1] = 0x01; /* 0401 with a P-256 key */
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, f->key->ski, request, KEYLESS_ERR_BAD_OPCODE);
	assert_int_equal(keysvc_audit(f->svc)->n[AUDIT_REFUSED], refusals + 2);
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, none, request, KEYLESS_ERR_INTERNAL);
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, NULL, request, KEYLESS_ERR_INTERNAL);
	none[0] = 1;
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, none, request, KEYLESS_ERR_KEY_NOT_FOUND);
	assert_int_equal(keysvc_audit(f->svc)->n[AUDIT_SIGNED], 0);
}

static void every_other_opcode_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t digest[32] = { 0 };
	struct keyless k = {
		.id = 1, .ski = bytes_of(f->key->ski, 20), .payload = bytes_of(digest, 32)
	};

	hello(f);
	for (unsigned op = 0; op < 256; op++) {
		enum keyless_error error = KEYLESS_ERR_BAD_OPCODE;
		struct keyless answer;

		if (op == KEYLESS_ANSWER || op == KEYLESS_PONG || op == KEYLESS_ERROR)
			error = KEYLESS_ERR_UNEXPECTED_OPCODE;
		else if (op == KEYLESS_SEAL || op == KEYLESS_UNSEAL)
			error = KEYLESS_ERR_INTERNAL;
		k.id = op;
		k.opcode = (uint8_t)op;
		answer = ask(f, &k);
		if (op == KEYLESS_PING)
			assert_int_equal(answer.opcode, KEYLESS_PONG);
		else
			refused(answer, error);
	}
	refuses_custom(
	    f, "sslgw/tls-sigm", f->key->ski, bytes_of(digest, 32), KEYLESS_ERR_BAD_OPCODE);
	refuses_custom(f, "", f->key->ski, bytes_of(digest, 32), KEYLESS_ERR_BAD_OPCODE);
	refuses_custom(f, KEYLESS_FN_HELLO, NULL, bytes_of(f->policy.token, 32),
	    KEYLESS_ERR_BAD_OPCODE); /* once */
}

static void token_comes_first_or_nothing(void **state)
{
	struct fixture *f = *state;
	struct keyless ping = { .id = 1, .opcode = KEYLESS_PING, .payload = bytes_str("x") };
	uint8_t buf[200], token[33];
	size_t n;

	send_all(f, buf, keyless_build(&ping, false, buf, sizeof(buf)));
	closed(f);
	for (size_t len = 0; len <= 33;
	     len++) { /* wrong lengths, and the right one with a wrong bit */
		memset(token, 0x77, sizeof(token));
		if (len == 32)
			token[31] ^= 1;
		join(f);
		n = keyless_build_custom(
		    1, KEYLESS_FN_HELLO, NULL, bytes_of(token, len), buf, sizeof(buf));
		send_all(f, buf, n);
		closed(f);
	}
	assert_int_equal(keysvc_audit(f->svc)->n[AUDIT_STRANGERS], 35);
	join(f);
	hello(f);
	assert_int_equal(ask(f, &ping).opcode, KEYLESS_PONG);
}

static void users_that_are_not_named_get_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[200];
	size_t n = keyless_build_custom(
	    1, KEYLESS_FN_HELLO, NULL, bytes_of(f->policy.token, 32), buf, sizeof(buf));

	f->policy.uids[0] = getuid() + 1;
	f->policy.uids_n = 1;
	send_all(f, buf, n);
	closed(f);
	f->policy.uids[1] = getuid();
	f->policy.uids_n = 2;
	join(f);
	hello(f);
}

static void grants_are_kept_apart(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[200];
	struct bytes request = sign_request(buf, 0x0403);

	hello(f);
	f->policy.grants = GRANT_KEYS;
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, f->key->ski, request, KEYLESS_ERR_BAD_OPCODE);
	refuses_custom(
	    f, KEYLESS_FN_EPOCH_KEYS, NULL, bytes_str("default"), KEYLESS_ERR_BAD_OPCODE);
	assert_int_equal(
	    custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(NULL, 0)).opcode, KEYLESS_ANSWER);
	f->policy.grants = GRANT_TLS_SIGN;
	refuses_custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(NULL, 0), KEYLESS_ERR_BAD_OPCODE);
	assert_int_equal(
	    custom(f, KEYLESS_FN_TLS_SIGN, f->key->ski, request).opcode, KEYLESS_ANSWER);
}

static void keys_are_listed_page_by_page(void **state)
{
	struct fixture *f = *state;
	struct keystore *set = keystore_new();
	struct keyless answer;
	struct keyless_key record;
	struct cursor c;
	uint8_t from[4] = { 0, 0, 4, 0 }, seen[20] = { 0 };
	char why[100];

	for (int i = 0; i < KEYLESS_KEYS_MAX + 3; i++)
		assert_int_equal(keystore_add(set, key_new(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
						       "n", why, sizeof(why))),
		    0);
	keystore_seal(set);
	keysvc_set_keys(f->svc, set);
	hello(f);
	answer = custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(NULL, 0));
	c = cursor_of(answer.payload);
	assert_int_equal(cursor_u32(&c), KEYLESS_KEYS_MAX + 3);
	for (int i = 0; i < KEYLESS_KEYS_MAX; i++) {
		assert_true(keyless_key_take(&c, &record));
		assert_true(memcmp(seen, record.ski, 20) < 0); /* in order, none twice */
		memcpy(seen, record.ski, 20);
		assert_int_equal(record.type, KEY_ED25519);
		assert_memory_equal(record.spki_sha256,
		    keystore_find(keysvc_keys(f->svc), record.ski)->spki_sha256, 32);
	}
	assert_int_equal(cursor_left(&c), 0);
	answer = custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(from, 4));
	c = cursor_of(answer.payload);
	assert_int_equal(cursor_u32(&c), KEYLESS_KEYS_MAX + 3);
	assert_int_equal(cursor_left(&c), 3 * KEYLESS_KEY_LEN);
	assert_true(keyless_key_take(&c, &record) && memcmp(seen, record.ski, 20) < 0);
	memset(from, 0xff, 4);
	assert_int_equal(custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(from, 4)).payload.len, 4);
	refuses_custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(from, 3), KEYLESS_ERR_FORMAT);
}

static void epoch_keys_come_by_group(void **state)
{
	struct fixture *f = *state;
	struct epoch_set *set = calloc(1, sizeof(*set));
	uint8_t key[32];
	uint64_t server;
	char long_name[EPOCH_GROUP_MAX + 1];
	struct keyless answer;

	hello(f);
	answer = custom(f, KEYLESS_FN_EPOCH_KEYS, NULL, bytes_str("default"));
	assert_int_equal(epoch_answer_parse(answer.payload, 0, set, &server), PARSE_OK);
	assert_int_equal(epoch_set_current(set, 0)->kind, EPOCH_MADE);
	memcpy(key, epoch_set_current(set, 0)->group_key, 32);
	answer = custom(f, KEYLESS_FN_EPOCH_KEYS, NULL, bytes_str("defaulu"));
	assert_int_equal(epoch_answer_parse(answer.payload, 0, set, &server), PARSE_OK);
	assert_memory_not_equal(key, epoch_set_current(set, 0)->group_key, 32);
	memset(long_name, 'x', sizeof(long_name));
	refuses_custom(f, KEYLESS_FN_EPOCH_KEYS, NULL, bytes_of(long_name, sizeof(long_name)),
	    KEYLESS_ERR_FORMAT);
	refuses_custom(f, KEYLESS_FN_EPOCH_KEYS, NULL, bytes_of(NULL, 0), KEYLESS_ERR_FORMAT);
	free(set);
}

static void bad_bytes_are_answered_then_closed(void **state)
{
	static const uint8_t twice[] = { 1, 0, 0, 8, 0, 0, 0, 9, 0x11, 0, 1, 0xf1, 0x11, 0, 1,
		0xf1 };
	static const uint8_t version[] = { 2, 0, 0, 4, 0, 0, 0, 8, 0x11, 0, 1, 0xf1 };
	struct fixture *f = *state;
	struct keyless k;

	hello(f);
	send_all(f, twice, sizeof(twice));
	assert_true(receive(f, &k));
	assert_int_equal(k.id, 9);
	refused(k, KEYLESS_ERR_FORMAT);
	closed(f);
	join(f);
	hello(f);
	send_all(f, version, sizeof(version));
	assert_true(receive(f, &k));
	assert_int_equal(k.id, 8);
	refused(k, KEYLESS_ERR_VERSION);
	closed(f);
}

static void new_keys_replace_the_old(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[200];
	struct bytes request = sign_request(buf, 0x0807);
	char why[100];
	struct key *other = key_new(
	    EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "n", why, sizeof(why));

	hello(f);
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, other->ski, request, KEYLESS_ERR_KEY_NOT_FOUND);
	keysvc_set_keys(f->svc, key_set(other));
	assert_int_equal(
	    custom(f, KEYLESS_FN_TLS_SIGN, other->ski, request).opcode, KEYLESS_ANSWER);
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, f->key->ski, request, KEYLESS_ERR_KEY_NOT_FOUND);
	assert_int_equal(f->key->refs, 1);
	key_unref(other);
}

static void many_at_once_are_all_answered(void **state)
{
	enum { N = 200 };
	struct fixture *f = *state;
	uint8_t buf[200], message[400];
	struct bytes request = sign_request(buf, 0x0403);
	bool seen[N] = { false };
	struct keyless k;

	hello(f);
	for (uint32_t i = 0; i < N; i++) {
		size_t n = keyless_build_custom(
		    i, KEYLESS_FN_TLS_SIGN, f->key->ski, request, message, sizeof(message));

		send_all(f, message, n);
	}
	for (int i = 0; i < N;
	     i++) { /* the queue holds 8: what is above is refused, but answered */
		assert_true(receive(f, &k));
		assert_true(k.id < N && !seen[k.id]);
		seen[k.id] = true;
		assert_true(k.opcode == KEYLESS_ANSWER || k.payload.at[0] == KEYLESS_ERR_INTERNAL);
	}
	assert_int_equal(
	    keysvc_audit(f->svc)->n[AUDIT_SIGNED] + keysvc_audit(f->svc)->n[AUDIT_FULL], N);
	assert_true(keysvc_audit(f->svc)->n[AUDIT_SIGNED] >= 8);
	assert_int_equal(f->key->refs, 2);
}

static void caller_that_leaves_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[200], message[400];
	struct bytes request = sign_request(buf, 0x0403);
	struct keyless ping = { .id = 1, .opcode = KEYLESS_PING };

	hello(f);
	for (uint32_t i = 0; i < 8; i++)
		send_all(f, message,
		    keyless_build_custom(
			i, KEYLESS_FN_TLS_SIGN, f->key->ski, request, message, sizeof(message)));
	join(f);
	hello(f);
	while (f->key->refs > 2) /* jobs that still hold it */
		ask(f, &ping);
}

static void on_drained(void *arg)
{
	bool *drained = arg;

	*drained = true;
}

static void drain_ends(void **state)
{
	struct fixture *f = *state;
	bool drained = false;

	hello(f);
	keysvc_drain(f->svc, on_drained, &drained);
	while (!drained)
		assert_int_equal(loop_turn(f->loop), 0);
	closed(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(signs_what_a_tls_server_signs),
		T(signs_nothing_else),
		T(every_other_opcode_is_refused),
		T(token_comes_first_or_nothing),
		T(users_that_are_not_named_get_nothing),
		T(grants_are_kept_apart),
		T(keys_are_listed_page_by_page),
		T(epoch_keys_come_by_group),
		T(bad_bytes_are_answered_then_closed),
		T(new_keys_replace_the_old),
		T(many_at_once_are_all_answered),
		T(caller_that_leaves_leaves_nothing),
		T(drain_ends),
	};

	log_init("test_keysvc");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
