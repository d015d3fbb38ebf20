/*
 * test_breaker.c: the breaker under a hand-moved clock, the choice among servers, and their delays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/breaker.h"
#include "net/choice.h"
#include "net/delays.h"

static void it_opens_at_five_failures_in_a_row(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b);
	for (int i = 0; i < BREAKER_IN_ROW - 1; i++)
		assert_false(breaker_failed(&b, 0, 0));
	assert_false(breaker_is_open(&b));
	assert_true(breaker_failed(&b, 0, 0));
	assert_true(breaker_is_open(&b));
	assert_false(breaker_failed(&b, 0, 0)); /* opens once */
}

static void a_success_between_starts_the_row_anew(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < BREAKER_IN_ROW - 1; i++)
			assert_false(breaker_failed(&b, 0, 0));
		/* So many successes that no twenty in a row hold ten failures. */
		for (int i = 0; i < 7; i++)
			assert_false(breaker_ok(&b));
	}
}

static void it_opens_at_half_of_the_last_twenty(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b);
	for (int i = 0; i < 9; i++) {
		breaker_ok(&b);
		assert_false(breaker_failed(&b, 0, 0));
	}
	breaker_ok(&b); /* 19 outcomes, 9 failures */
	assert_true(breaker_failed(&b, 0, 0));
	/* And not at less than half, however long it goes on. */
	breaker_init(&b);
	for (int i = 0; i < 200; i++) {
		if (i % 11 < 4)
			assert_false(breaker_failed(&b, 0, 0));
		else
			breaker_ok(&b);
	}
}

static void one_probe_a_second_while_it_is_open(void **state)
{
	struct breaker b;
	unsigned probes = 0;

	(void)state;
	breaker_init(&b);
	assert_false(breaker_probe(&b, 1000000, 0)); /* closed: none is due */
	for (int i = 0; i < BREAKER_IN_ROW; i++)
		breaker_failed(&b, 5000, 123456789);
	for (uint64_t now = 5000; now < 5000 + 60000; now++) {
		bool due = breaker_probe(&b, now, (uint32_t)(now * 2654435761u));

		if (due)
			assert_false(breaker_probe(&b, now, 0));
		probes += due;
	}
	assert_in_range(probes, 48, 80);
	/* The longest time to the next one, whatever chance says. */
	for (uint32_t chance = 0; chance < 2000; chance++) {
		breaker_init(&b);
		for (int i = 0; i < BREAKER_IN_ROW; i++)
			breaker_failed(&b, 0, chance);
		assert_false(breaker_probe(&b, BREAKER_PROBE_MS - 1, 0));
		assert_true(breaker_probe(&b, 1250, 0));
	}
}

static void the_first_success_closes_it_and_forgets(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b);
	for (int i = 0; i < 20; i++)
		breaker_failed(&b, 0, 0);
	assert_true(breaker_ok(&b));
	assert_false(breaker_is_open(&b));
	for (int i = 0; i < BREAKER_TRIAL; i++)
		assert_false(breaker_ok(&b));
	for (int i = 0; i < BREAKER_IN_ROW - 1; i++)
		assert_false(breaker_failed(&b, 0, 0));
	assert_true(breaker_failed(&b, 0, 0));
}

static void what_was_open_is_on_trial(void **state)
{
	struct breaker b;

	(void)state;
	for (int shown = 0; shown <= BREAKER_TRIAL; shown++) {
		breaker_init(&b);
		for (int i = 0; i < BREAKER_IN_ROW; i++)
			breaker_failed(&b, 0, 0);
		assert_true(breaker_ok(&b));
		for (int i = 0; i < shown; i++)
			assert_false(breaker_ok(&b));
		assert_int_equal(breaker_failed(&b, 0, 0), shown < BREAKER_TRIAL);
	}
}

static void a_quantile_follows_the_last_answers(void **state)
{
	struct delays d = { 0 };

	(void)state;
	for (int i = 0; i < DELAYS_MIN; i++) {
		assert_int_equal(delays_quantile(&d, 950), 0);
		delays_add(&d, 1000);
	}
	assert_in_range(delays_quantile(&d, 950), 1000, 1250);
	for (int i = 0; i < 2000;
	     i++) /* one of ten is slow: the p95 is among these, the median not */
		delays_add(&d, i % 10 == 0 ? 50000 : 1000);
	assert_in_range(delays_quantile(&d, 950), 50000, 62500);
	assert_in_range(delays_quantile(&d, 500), 1000, 1250);
	for (int i = 0; i < 3000; i++)
		delays_add(&d, 200);
	assert_in_range(delays_quantile(&d, 950), 200, 250);
	delays_add(&d, 0);
	delays_add(&d, UINT64_MAX);
	for (uint64_t us = 4; us < 16000000;
	     us += 1 + us / 7) { /* rounded up, by a quarter at most */
		struct delays one = { 0 };

		for (int i = 0; i < DELAYS_MIN; i++)
			delays_add(&one, us);
		assert_in_range(delays_quantile(&one, 950), us + 1, us + us / 4 + 1);
	}
}

static void the_less_loaded_of_two_is_chosen(void **state)
{
	uint32_t load[4] = { 5, CHOICE_LOAD_OUT, 1, 9 };
	unsigned times[4] = { 0 };
	uint64_t chance = 1;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		size_t got;

		chance = chance * 6364136223846793005u + 1442695040888963407u;
		got = choice_by_load(load, 4, chance ^ chance >> 29);
		assert_true(got < 4);
		times[got]++;
	}
	assert_int_equal(times[1], 0); /* out */
	assert_int_equal(times[3], 0); /* loses against either */
	assert_true(times[2] > times[0]);
	assert_true(times[0] > 0);
	load[0] = load[2] = load[3] = CHOICE_LOAD_OUT;
	assert_true(choice_by_load(load, 4, 7) == CHOICE_NONE);
	load[3] = 1000;
	assert_int_equal(choice_by_load(load, 4, 7), 3);
	assert_true(choice_by_load(load, 0, 7) == CHOICE_NONE);
}

static uint64_t name_of(uint64_t i)
{
	return i * 0x9e3779b97f4a7c15u;
}

static void ranks_are_a_permutation_and_spread(void **state)
{
	uint64_t ids[5];
	unsigned first[5] = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 5; i++)
		ids[i] = 0xabcdef12345u * (i + 1) * (i + 7);
	for (uint64_t name = 0; name < 5000; name++) {
		unsigned seen = 0;

		for (size_t rank = 0; rank < 5; rank++)
			seen |= 1u << choice_by_rank(ids, 5, name_of(name), rank);
		assert_int_equal(seen, 31);
		first[choice_by_rank(ids, 5, name_of(name), 0)]++;
	}
	for (int i = 0; i < 5; i++)
		assert_in_range(first[i], 800, 1200);
	assert_true(choice_by_rank(ids, 5, 1, 5) == CHOICE_NONE);
}

static void a_server_that_leaves_moves_only_its_own_names(void **state)
{
	uint64_t ids[5];

	(void)state;
	for (uint64_t i = 0; i < 5; i++)
		ids[i] = 0x1234567u * (i + 3) * (i + 11);
	for (uint64_t name = 0; name < 2000; name++) {
		size_t before = choice_by_rank(ids, 5, name_of(name), 0);
		size_t second = choice_by_rank(ids, 5, name_of(name), 1);
		size_t after = choice_by_rank(ids, 4, name_of(name), 0);

		assert_int_equal(after, before == 4 ? second : before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_opens_at_five_failures_in_a_row),
		cmocka_unit_test(a_success_between_starts_the_row_anew),
		cmocka_unit_test(it_opens_at_half_of_the_last_twenty),
		cmocka_unit_test(one_probe_a_second_while_it_is_open),
		cmocka_unit_test(the_first_success_closes_it_and_forgets),
		cmocka_unit_test(what_was_open_is_on_trial),
		cmocka_unit_test(a_quantile_follows_the_last_answers),
		cmocka_unit_test(the_less_loaded_of_two_is_chosen),
		cmocka_unit_test(ranks_are_a_permutation_and_spread),
		cmocka_unit_test(a_server_that_leaves_moves_only_its_own_names),
	};

	return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
