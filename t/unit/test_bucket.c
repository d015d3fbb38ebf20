/*
 * test_bucket.c: the token bucket with a hand-moved clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bucket.h"

#include "base/poison.h"

static unsigned taken(struct bucket *b, unsigned tries, uint64_t now)
{
	unsigned n = 0;

	for (unsigned i = 0; i < tries; i++)
		n += bucket_take(b, 1, now);
	return n;
}

static void starts_full_and_gives_its_burst(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 10, 5, 1000);
	assert_int_equal(taken(&b, 100, 1000), 5);
}

static void fills_by_its_rate_and_never_above_burst(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 10, 5, 0);
	assert_int_equal(taken(&b, 100, 0), 5);
	assert_int_equal(taken(&b, 100, 99), 0);
	assert_int_equal(taken(&b, 100, 100), 1);
	assert_int_equal(taken(&b, 100, 350), 2);
	assert_int_equal(taken(&b, 100, 400), 1); /* the half token of 350 was kept */
	assert_int_equal(taken(&b, 100, UINT64_MAX), 5);
}

static void all_or_none(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 1, 4, 0);
	assert_false(bucket_take(&b, 5, 0));
	assert_true(bucket_take(&b, 3, 0));
	assert_false(bucket_take(&b, 2, 0));
	assert_true(bucket_take(&b, 1, 0));
	assert_false(bucket_take(&b, UINT64_MAX, UINT64_MAX));
}

static void a_clock_that_goes_back_fills_nothing(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 1000, 1, 500);
	assert_true(bucket_take(&b, 1, 500));
	assert_false(bucket_take(&b, 1, 100));
	assert_false(bucket_take(&b, 1, 500));
	assert_true(bucket_take(&b, 1, 501));
}

static void rate_zero_gives_its_burst_once(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 0, 2, 0);
	assert_int_equal(taken(&b, 10, 0), 2);
	assert_int_equal(taken(&b, 10, UINT64_MAX), 0);
}

static void a_smaller_burst_holds_at_once(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 1, 10, 0);
	bucket_set(&b, 1, 3);
	assert_int_equal(taken(&b, 10, 0), 3);
}

static void huge_numbers_do_not_wrap(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, UINT64_MAX, UINT64_MAX, 0);
	assert_true(bucket_take(&b, 1000000, 0));
	assert_true(bucket_take(&b, 1000000, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_full_and_gives_its_burst),
		cmocka_unit_test(fills_by_its_rate_and_never_above_burst),
		cmocka_unit_test(all_or_none),
		cmocka_unit_test(a_clock_that_goes_back_fills_nothing),
		cmocka_unit_test(rate_zero_gives_its_burst_once),
		cmocka_unit_test(a_smaller_burst_holds_at_once),
		cmocka_unit_test(huge_numbers_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
