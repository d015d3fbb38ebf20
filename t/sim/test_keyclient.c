/*
 * test_keyclient.c: the key client where the servers are foreign, and its counts of signatures: the
 * questions that it asks, and what it makes of each error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/counters.h"
#include "gateway/cluster/signcount.h"
#include "t/sim/keyclient_bed.h"

#include "base/poison.h"

/* ---- foreign servers */

static void setup_foreign(struct fixture *f)
{
	bed_setup(f, (struct keyclient_params){ .foreign = true });
}

static const struct {
	uint16_t scheme;
	uint8_t opcode;
	const char *digest; /* of "to be signed": its first bytes, by sha256sum and its kin */
	size_t len;
} operations[] = {
	{ 0x0401, 0x05,
	    "\x06"
	    "\x59"
	    "\xa5"
	    "\xbb",
	    32 },
	{ 0x0501, 0x06,
	    "\x7a"
	    "\x53"
	    "\x37"
	    "\x9f",
	    48 },
	{ 0x0601, 0x07,
	    "\x5e"
	    "\xb5"
	    "\x95"
	    "\xd7",
	    64 },
	{ 0x0403, 0x15,
	    "\x06"
	    "\x59"
	    "\xa5"
	    "\xbb",
	    32 },
	{ 0x0503, 0x16,
	    "\x7a"
	    "\x53"
	    "\x37"
	    "\x9f",
	    48 },
	{ 0x0603, 0x17,
	    "\x5e"
	    "\xb5"
	    "\x95"
	    "\xd7",
	    64 },
	{ 0x0804, 0x35,
	    "\x06"
	    "\x59"
	    "\xa5"
	    "\xbb",
	    32 },
	{ 0x0805, 0x36,
	    "\x7a"
	    "\x53"
	    "\x37"
	    "\x9f",
	    48 },
	{ 0x0806, 0x37,
	    "\x5e"
	    "\xb5"
	    "\x95"
	    "\xd7",
	    64 },
	{ 0x0807, 0x18, "to b", 12 },
};

static void test_foreign_servers_are_asked_to_sign_the_digest(void **state)
{
	struct fixture f;

	(void)state;
	setup_foreign(&f);
	assert_null(fake_peers()->params.hello);
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		struct keyless k;

		sign(&f, operations[i].scheme);
		k = asked(i);
		assert_int_equal(k.opcode, operations[i].opcode);
		assert_null(k.function.at);
		assert_null(k.digest.at);
		assert_memory_equal(k.ski.at, bed_key.ski, 20);
		assert_int_equal(k.payload.len, operations[i].len);
		assert_memory_equal(k.payload.at, operations[i].digest, 4);
	}
	bed_teardown(&f);
}

static void test_foreign_servers_may_know_a_key_by_its_modulus(void **state)
{
	struct keyclient_key rsa = { .ski = "12345678901234567890",
		.has_modulus = true,
		.modulus_sha256 = "12345678901234567890123456789012" };
	struct fixture f;
	enum reason why;

	(void)state;
	setup_foreign(&f);
	assert_non_null(keyclient_sign(
	    f.keys, &rsa, 0x0804, bytes_str("to be signed"), NULL, told_cb, &f.told, &why));
	assert_memory_equal(asked(0).digest.at, rsa.modulus_sha256, 32);
	assert_memory_equal(asked(0).ski.at, rsa.ski, 20);
	bed_teardown(&f);
}

static void test_no_operation_no_question(void **state)
{
	struct fixture f;
	enum reason why = REASON_NONE;

	(void)state;
	setup_foreign(&f);
	assert_null(ask_sign(&f, 0x0203, &why));
	assert_int_equal(why, REASON_INTERNAL);
	assert_int_equal(fake_peers()->n, 0);
	bed_teardown(&f);
}

static void test_foreign_errors_are_final_or_not(void **state)
{
	/* 1: another server is asked. */
	static const char again[0x0e] = { 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1 };
	struct fixture f;

	(void)state;
	setup_foreign(&f);
	for (uint8_t code = 1; code < sizeof(again); code++) {
		size_t first = fake_peers()->n;

		sign(&f, 0x0403);
		answer_keyless(first, KEYLESS_ERROR, &code, 1);
		assert_int_equal(f.told.n, again[code] ? 0 : 1);
		assert_int_equal(fake_peers()->n, first + (again[code] ? 2 : 1));
		if (!again[code]) {
			assert_int_equal(f.told.reason, REASON_KEY_REFUSED);
			continue;
		}
		assert_int_equal(fake_peers()->asks[first + 1].choice.avoid & 1, 1);
		answer_keyless(first + 1, KEYLESS_ANSWER, bed_ecdsa_sig, sizeof(bed_ecdsa_sig));
		assert_int_equal(f.told.reason, REASON_NONE);
	}
	assert_int_equal(fake_peers()->blamed, 0);
	bed_teardown(&f);
}

static void test_a_trial_is_made_once_of_the_server_that_is_meant(void **state)
{
	static const uint8_t none = KEYLESS_ERR_KEY_NOT_FOUND;
	struct fixture f;
	enum reason why;

	(void)state;
	setup_foreign(&f);
	assert_non_null(keyclient_try(f.keys, &bed_key, 0x0403, bytes_str("to be signed"), 2,
	    check_cb, told_cb, &f.told, &why));
	assert_int_equal(fake_peers()->asks[0].choice.avoid, 2);
	assert_false(fake_peers()->asks[0].choice.hedge);
	answer_keyless(0, KEYLESS_ERROR, &none, 1);
	assert_int_equal(f.told.n, 1);
	assert_int_equal(f.told.reason, REASON_KEY_SERVICE);
	assert_int_equal(fake_peers()->n, 1);
	bed_teardown(&f);
}

/* ---- counts of signatures */

struct counted {
	struct fixture f;
	struct counters *counters;
};

static void tick_passed(struct deadline *d)
{
	(void)d;
}

static void turn(struct loop *loop)
{
	struct deadline tick = { .passed = NULL };

	deadline_set(loop, &tick, 5, tick_passed);
	loop_turn(loop);
	deadline_clear(loop, &tick);
}

/* Two servers, and a signature that was asked of the second. */
static void counted_setup(struct counted *c)
{
	struct endpoint e[2];
	struct peers_params *params;
	struct ask *a;
	int fd;

	c->f = (struct fixture){ .loop = loop_new() };
	c->counters = counters_create(&fd);
	close(fd);
	assert_int_equal(endpoint_parse(&e[0], "10.0.0.1:2407"), 0);
	assert_int_equal(endpoint_parse(&e[1], "10.0.0.2:2407"), 0);
	c->f.keys = keyclient_new(
	    c->f.loop, &(struct keyclient_params){ .servers = e, .n = 2, .counters = c->counters });
	assert_non_null(c->f.keys);
	params = &fake_peers()->params;
	sign(&c->f, 0x0403);
	a = &fake_peers()->asks[0];
	params->sent(params->arg, 1, bytes_of(a->message, a->len));
}

static void counted_teardown(struct counted *c)
{
	bed_teardown(&c->f);
	counters_detach(c->counters);
}

static void test_signatures_are_counted_by_server_and_told_to_it(void **state)
{
	struct counted c;
	struct peers_params *params;
	struct ask *a;
	struct keyless k;
	enum reason why;

	(void)state;
	counted_setup(&c);
	params = &fake_peers()->params;
	a = &fake_peers()->asks[0];
	params->sent(params->arg, 1, bytes_of(a->message, a->len)); /* a copy */
	assert_non_null(keyclient_epoch_ids(c.f.keys, 0, told_cb, &c.f.told, &why));
	a = &fake_peers()->asks[1];
	params->sent(params->arg, 1, bytes_of(a->message, a->len));
	assert_int_equal(counters_sum(c.counters, "kept asked 10.0.0.2:2407"), 2);
	assert_int_equal(counters_sum(c.counters, "kept asked 10.0.0.1:2407"), 0);
	assert_non_null(
	    keyclient_signed(c.f.keys, 1, 0x1122334455667788, 2, told_cb, &c.f.told, &why));
	k = asked(2);
	assert_true(bytes_equal_str(k.function, "sslgw/signed"));
	assert_int_equal(k.payload.len, 16);
	assert_memory_equal(k.payload.at, "\x11\x22\x33\x44\x55\x66\x77\x88\0\0\0\0\0\0\0\2", 16);
	assert_int_equal(fake_peers()->asks[2].choice.by, PEERS_SLOT);
	assert_int_equal(fake_peers()->asks[2].choice.rank, 1);
	counted_teardown(&c);
}

/* A server that was away for a while must not take its callers for thieves. */
static void test_a_count_that_was_not_told_is_told_again_soon(void **state)
{
	struct counted c;
	struct signcount *count;
	uint64_t until;

	(void)state;
	counted_setup(&c);
	count = signcount_new(c.f.loop, c.f.keys, c.counters);
	assert_non_null(count);
	signcount_tell(count);
	assert_int_equal(fake_peers()->n, 2);
	fake_answer(1, PEERS_LOST, NULL, 0);
	until = loop_now_ms(c.f.loop) + SIGNCOUNT_RETRY_MS +
		500; /* or sooner, where its turn comes */
	while (loop_now_ms(c.f.loop) < until && fake_peers()->n == 2)
		turn(c.f.loop);
	assert_int_equal(fake_peers()->n, 3);
	assert_true(bytes_equal_str(asked(2).function, "sslgw/signed"));
	assert_int_equal(fake_peers()->asks[2].choice.rank, 1);
	signcount_free(count);
	counted_teardown(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_foreign_servers_are_asked_to_sign_the_digest),
		cmocka_unit_test(test_foreign_servers_may_know_a_key_by_its_modulus),
		cmocka_unit_test(test_no_operation_no_question),
		cmocka_unit_test(test_foreign_errors_are_final_or_not),
		cmocka_unit_test(test_a_trial_is_made_once_of_the_server_that_is_meant),
		cmocka_unit_test(test_signatures_are_counted_by_server_and_told_to_it),
		cmocka_unit_test(test_a_count_that_was_not_told_is_told_again_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
