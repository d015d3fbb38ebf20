/*
 * test_cluster.c: what the TLS side asks of the services, and what it makes of their answers, over
 * fake peers.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/epoch.h"
#include "gateway/cluster/secrets.h"
#include "t/sim/keyclient_bed.h"

#include "base/poison.h"

/* ---- the key client */

static const uint8_t token[32] = "token of the family, 32 bytes..";

static void setup(struct fixture *f)
{
	bed_setup(f, (struct keyclient_params){ .owner = 1000, .token = token });
}

static void test_the_question_is_the_protocol_s(void **state)
{
	struct fixture f;
	struct keyless k;

	(void)state;
	setup(&f);
	sign(&f, 0x0403);
	k = asked(0);
	assert_int_equal(k.opcode, KEYLESS_CUSTOM);
	assert_true(bytes_equal_str(k.function, "sslgw/tls-sign"));
	assert_memory_equal(k.ski.at, bed_key.ski, 20);
	assert_int_equal(k.payload.len, 2 + 12);
	assert_memory_equal(k.payload.at, "\x04\x03to be signed", 14);
	assert_int_equal(fake_peers()->asks[0].deadline_ms, KEYCLIENT_TRY_MS);
	answer_keyless(0, KEYLESS_ANSWER, bed_ecdsa_sig, sizeof(bed_ecdsa_sig));
	assert_int_equal(f.told.n, 1);
	assert_int_equal(f.told.reason, REASON_NONE);
	assert_int_equal(f.told.len, sizeof(bed_ecdsa_sig));
	bed_teardown(&f);
}

static void test_a_new_connection_says_hello_with_the_token(void **state)
{
	struct fixture f;
	struct keyless k;
	enum keyless_error error;
	uint8_t buf[256];
	size_t len;

	(void)state;
	setup(&f);
	len = fake_peers()->params.hello(fake_peers()->params.arg, buf, sizeof(buf));
	assert_int_equal(keyless_parse(bytes_of(buf, len), &k, &error), PARSE_OK);
	assert_true(bytes_equal_str(k.function, "sslgw/hello"));
	assert_memory_equal(k.payload.at, token, 32);
	len = keyless_build_answer(0, bytes_of(NULL, 0), buf, sizeof(buf));
	assert_int_equal(
	    fake_peers()->params.welcome(fake_peers()->params.arg, bytes_of(buf, len)), PARSE_OK);
	len = keyless_build_error(0, KEYLESS_ERR_BAD_OPCODE, buf, sizeof(buf));
	assert_int_equal(
	    fake_peers()->params.welcome(fake_peers()->params.arg, bytes_of(buf, len)), PARSE_BAD);
	assert_int_equal(fake_peers()->params.owner, 1000);
	bed_teardown(&f);
}

static void test_answers_without_the_shape_of_a_signature_are_tried_once_more(void **state)
{
	static const uint8_t big[2000] = { 0x30 };
	static const struct {
		uint16_t scheme;
		size_t len;
	} wrong[] = { { 0x0403, 7 }, { 0x0403, 8 }, { 0x0403, 105 }, { 0x0804, 255 },
		{ 0x0804, 1025 }, { 0x0401, 64 }, { 0x0807, 63 }, { 0x0807, 65 }, { 0x0403, 0 } };
	struct fixture f;

	(void)state;
	setup(&f);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		sign(&f, wrong[i].scheme);
		answer_keyless(2 * i, KEYLESS_ANSWER, big, wrong[i].len);
		assert_int_equal(f.told.n, 0);
		answer_keyless(2 * i + 1, KEYLESS_ANSWER, big, wrong[i].len);
		assert_int_equal(f.told.n, 1);
		assert_int_equal(f.told.reason, REASON_SERVICE_PROTOCOL);
		assert_int_equal(f.told.checks, 0);
	}
	assert_int_equal(fake_peers()->blamed, 2 * sizeof(wrong) / sizeof(wrong[0]));
	bed_teardown(&f);
}

static void test_the_second_try_may_succeed(void **state)
{
	static const uint8_t internal = KEYLESS_ERR_INTERNAL;
	struct fixture f;

	(void)state;
	setup(&f);
	sign(&f, 0x0403);
	fake_answer(0, PEERS_DEADLINE, NULL, 0);
	assert_int_equal(fake_peers()->n, 2);
	assert_memory_equal(fake_peers()->asks[1].message, fake_peers()->asks[0].message,
	    fake_peers()->asks[0].len);
	assert_in_range(fake_peers()->asks[1].deadline_ms, 1, KEYCLIENT_ALL_MS);
	answer_keyless(1, KEYLESS_ANSWER, bed_ecdsa_sig, sizeof(bed_ecdsa_sig));
	assert_int_equal(f.told.reason, REASON_NONE);
	sign(&f, 0x0403);
	answer_keyless(2, KEYLESS_ERROR, &internal, 1);
	answer_keyless(3, KEYLESS_ANSWER, bed_ecdsa_sig, sizeof(bed_ecdsa_sig));
	assert_int_equal(f.told.reason, REASON_NONE);
	f.told.refuse = true;
	sign(&f, 0x0403);
	answer_keyless(4, KEYLESS_ANSWER, bed_ecdsa_sig, sizeof(bed_ecdsa_sig));
	assert_int_equal(fake_peers()->blamed, 1);
	f.told.refuse = false;
	answer_keyless(5, KEYLESS_ANSWER, bed_ecdsa_sig, sizeof(bed_ecdsa_sig));
	assert_int_equal(f.told.reason, REASON_NONE);
	assert_int_equal(f.told.nth, 2);
	fake_peers()->up(fake_peers()->up_arg);
	sign(&f, 0x0403);
	answer_keyless(6, KEYLESS_ANSWER, bed_ecdsa_sig, sizeof(bed_ecdsa_sig));
	assert_int_equal(f.told.nth, 0); /* who knows who answers now */
	bed_teardown(&f);
}

static void test_another_server_is_asked_the_second_time(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	sign(&f, 0x0403);
	assert_int_equal(fake_peers()->asks[0].choice.by, PEERS_ANY);
	assert_int_equal(fake_peers()->asks[0].choice.avoid, 0);
	assert_true(fake_peers()->asks[0].choice.hedge);
	fake_peers()->asks[0].slot = 1;
	fake_answer(0, PEERS_LOST, NULL, 0);
	assert_int_equal(fake_peers()->asks[1].choice.avoid, 1 << 1);
	answer_keyless(1, KEYLESS_ANSWER, bed_ecdsa_sig, sizeof(bed_ecdsa_sig));
	assert_int_equal(f.told.reason, REASON_NONE);
	bed_teardown(&f);
}

static void test_each_server_is_trusted_by_its_own_answers(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	for (size_t i = 0; i < 4; i++) {
		sign(&f, 0x0403);
		fake_peers()->asks[i].slot = i == 3 ? 1 : 0;
		answer_keyless(i, KEYLESS_ANSWER, bed_ecdsa_sig, sizeof(bed_ecdsa_sig));
		assert_int_equal(f.told.nth, i == 3 ? 0 : i);
		assert_int_equal(keyclient_slot(f.keys), i == 3 ? 1 : 0);
	}
	bed_teardown(&f);
}

static void test_a_refusal_is_final(void **state)
{
	static const uint8_t final[] = { KEYLESS_ERR_KEY_NOT_FOUND, KEYLESS_ERR_BAD_OPCODE,
		KEYLESS_ERR_FORMAT };
	struct fixture f;

	(void)state;
	setup(&f);
	for (size_t i = 0; i < sizeof(final); i++) {
		sign(&f, 0x0403);
		answer_keyless(i, KEYLESS_ERROR, &final[i], 1);
		assert_int_equal(f.told.reason, REASON_KEY_REFUSED);
	}
	assert_int_equal(fake_peers()->n, sizeof(final));
	bed_teardown(&f);
}

static void test_retries_have_a_budget(void **state)
{
	struct fixture f;
	size_t at = 0, retried = 0;

	(void)state;
	setup(&f);
	for (int i = 0; i < 40; i++) {
		sign(&f, 0x0403);
		fake_answer(at++, PEERS_LOST, NULL, 0);
		if (fake_peers()->n == at)
			continue;
		retried++;
		fake_answer(at++, PEERS_LOST, NULL, 0);
		assert_int_equal(f.told.reason, REASON_SERVICE_LOST);
	}
	assert_int_equal(retried, 10);
	bed_teardown(&f);
}

static void test_nothing_follows_where_nothing_was_asked(void **state)
{
	static const struct {
		enum peers_why why;
		enum reason reason;
	} cases[] = { { PEERS_BREAKER, REASON_SERVICE_BREAKER },
		{ PEERS_FULL, REASON_SERVICE_FULL }, { PEERS_NO_ENDPOINT, REASON_KEY_SERVICE } };
	struct fixture f;
	enum reason why;
	struct keyclient_ask *ka;

	(void)state;
	setup(&f);
	for (size_t i = 0; i < 3; i++) {
		fake_peers()->why = cases[i].why;
		assert_null(ask_sign(&f, 0x0403, &why));
		assert_int_equal(why, cases[i].reason);
	}
	fake_peers()->why = PEERS_ASKED;
	ka = ask_sign(&f, 0x0403, &why);
	keyclient_cancel(ka);
	assert_false(fake_peers()->asks[0].open);
	assert_int_equal(f.told.n, 0);
	sign(&f, 0x0403); /* is told of the end */
	keyclient_free(f.keys);
	assert_int_equal(f.told.n, 1);
	assert_int_equal(f.told.reason, REASON_SERVICE_LOST);
	loop_free(f.loop);
}

/* ---- secrets */

static size_t epochs(uint8_t *buf, size_t size, uint32_t until_next)
{
	static const struct epoch_set none;
	struct writer w = writer_of(buf, size);

	epoch_answer_begin(&w, 1000000, &none);
	for (uint64_t e = 7; e <= 8; e++) {
		struct epoch_record r = {
			.id = "\x00\x01ididid", .kind = EPOCH_MADE, .start = 1, .e = e
		};

		/* Void 24 hours after it has ended. */
		epoch_answer_add(
		    &w, &r, e == 7 ? 0 : until_next, 86400 + (e == 7 ? until_next : 3600));
	}
	return writer_len(&w);
}

static void count_cb(void *arg)
{
	++*(unsigned *)arg;
}

static bool turned(struct loop *loop, const unsigned *count, unsigned until)
{
	for (int i = 0; i < 1000 && *count < until; i++)
		assert_int_equal(loop_turn(loop), 0);
	return *count >= until;
}

static void test_secrets_come_by_group_and_are_asked_for_again(void **state)
{
	static struct site_conf sites[3] = { { .group = (char *)(uintptr_t) "one" },
		{ .group = (char *)(uintptr_t) "two" }, { .group = (char *)(uintptr_t) "one" } };
	struct gateway_conf conf = { .sites = { sites, 3 } };
	static uint8_t buf[1024];
	unsigned changes = 0, ready = 0;
	struct fixture f;
	struct secrets *s;
	size_t len;

	(void)state;
	setup(&f);
	s = secrets_new(f.loop, f.keys, &conf, NULL);
	secrets_on_change(s, count_cb, &changes);
	secrets_on_ready(s, count_cb, &ready);
	assert_int_equal(fake_peers()->n, 2);
	assert_int_equal(secrets_group(s, "one"), 0);
	assert_int_equal(secrets_group(s, "two"), 1);
	assert_null(secrets_current(s, 0));
	len = epochs(buf, sizeof(buf), 1);
	answer_keyless(0, KEYLESS_ANSWER, buf, len);
	assert_int_equal(changes, 1);
	assert_false(secrets_ready(s));
	assert_int_equal(secrets_current(s, 0)->e, 7);
	assert_null(secrets_current(s, 1));
	answer_keyless(2, KEYLESS_ANSWER, buf, len); /* a second server's for the first group */
	answer_keyless(1, KEYLESS_ANSWER, "rubbish", 7);
	assert_false(secrets_ready(s));
	/* Asked again, and the next epoch begins by itself. */
	assert_true(turned(f.loop, &fake_peers()->asked, 4));
	answer_keyless(3, KEYLESS_ANSWER, buf, len);
	assert_true(turned(f.loop, &ready, 1));
	assert_true(turned(f.loop, &changes, 4));
	assert_int_equal(secrets_current(s, 0)->e, 8);
	assert_non_null(secrets_find(s, 0, 1, 7));
	assert_null(secrets_find(s, 0, 1, 9));
	assert_null(secrets_find(s, 0, 2, 7));
	assert_in_range(secrets_left_s(secrets_current(s, 0)), 89000, 90000);
	secrets_free(s);
	bed_teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_question_is_the_protocol_s),
		cmocka_unit_test(test_a_new_connection_says_hello_with_the_token),
		cmocka_unit_test(test_answers_without_the_shape_of_a_signature_are_tried_once_more),
		cmocka_unit_test(test_the_second_try_may_succeed),
		cmocka_unit_test(test_another_server_is_asked_the_second_time),
		cmocka_unit_test(test_each_server_is_trusted_by_its_own_answers),
		cmocka_unit_test(test_a_refusal_is_final),
		cmocka_unit_test(test_retries_have_a_budget),
		cmocka_unit_test(test_nothing_follows_where_nothing_was_asked),
		cmocka_unit_test(test_secrets_come_by_group_and_are_asked_for_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
