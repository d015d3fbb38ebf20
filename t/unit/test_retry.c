/*
 * test_retry.c: when a request may be asked again, all combinations of the facts; and the budget.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/exchange/retry.h"

#include "base/poison.h"

static struct retry_facts facts_of(unsigned bits)
{
	return (struct retry_facts){
		.sent = (bits & 1) != 0 ? 100 : 0,
		.answer_begun = (bits & 2) != 0,
		.reused = (bits & 4) != 0,
		.idempotent = (bits & 8) != 0,
		.held = (bits & 16) != 0,
		.others = (bits & 32) != 0,
		.time_left = (bits & 64) != 0,
	};
}

static void what_may_have_been_carried_out_is_sent_twice_only_if_that_is_harmless(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 128; bits++) {
		struct retry_facts f = facts_of(bits);
		bool costs;
		enum retry got = retry_decide(&f, &costs);

		if (f.answer_begun || !f.held)
			assert_int_equal(got, RETRY_NO);
		if (f.sent > 0 && !f.idempotent)
			assert_int_equal(got, RETRY_NO);
		if (got != RETRY_NO)
			assert_true(costs == (f.sent > 0));
		if (got == RETRY_OTHER)
			assert_true(f.others);
	}
}

static void a_kept_connection_that_was_gone_costs_nothing_whatever_the_method(void **state)
{
	struct retry_facts f = { .reused = true, .held = true };
	bool costs;

	(void)state;
	assert_int_equal(retry_decide(&f, &costs), RETRY_NEW);
	assert_false(costs);
	f.sent = 1;
	assert_int_equal(retry_decide(&f, &costs), RETRY_NO);
	f.idempotent = true;
	assert_int_equal(retry_decide(&f, &costs), RETRY_NEW);
	assert_true(costs);
}

static void a_server_that_refuses_is_left_for_another_while_there_is_time(void **state)
{
	struct retry_facts f = { .held = true, .others = true, .time_left = true };
	bool costs;

	(void)state;
	assert_int_equal(retry_decide(&f, &costs), RETRY_OTHER);
	assert_false(costs);
	f.time_left = false;
	assert_int_equal(retry_decide(&f, &costs), RETRY_NO);
	f.time_left = true;
	f.others = false;
	assert_int_equal(retry_decide(&f, &costs), RETRY_NO);
}

static unsigned takes(struct retry_budget *b, uint64_t second)
{
	unsigned n = 0;

	while (n < 1000 && retry_budget_take(b, second))
		n++;
	return n;
}

static void the_budget_is_a_fifth_of_the_last_ten_seconds_and_never_below_ten(void **state)
{
	struct retry_budget b = { 0 };

	(void)state;
	assert_int_equal(takes(&b, 100), 10);
	assert_int_equal(takes(&b, 105), 0);
	/* The window has passed. */
	assert_int_equal(takes(&b, 110), 10);
	for (int i = 0; i < 500; i++)
		retry_budget_request(&b, 200 + (uint64_t)i % 5);
	assert_int_equal(takes(&b, 204), 100);
	assert_int_equal(takes(&b, 209), 0);
	/* By 213 the requests of 200 to 203 are out of it; what was taken at 204 still counts. */
	assert_int_equal(takes(&b, 213), 0);
	assert_int_equal(takes(&b, 214), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    what_may_have_been_carried_out_is_sent_twice_only_if_that_is_harmless),
		cmocka_unit_test(a_kept_connection_that_was_gone_costs_nothing_whatever_the_method),
		cmocka_unit_test(a_server_that_refuses_is_left_for_another_while_there_is_time),
		cmocka_unit_test(the_budget_is_a_fifth_of_the_last_ten_seconds_and_never_below_ten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
