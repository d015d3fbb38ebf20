/*
 * test_storelimit.c: how many sessions the clients of a network may have stored.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/tls/storelimit.h"

#include "base/poison.h"

enum { RATE = 10, BURST = RATE * STORELIMIT_BURST_S, START_MS = 1000000 };

static struct endpoint at(const char *text)
{
	struct endpoint e;

	assert_null(endpoint_parse(&e, text));
	return e;
}

static unsigned taken(struct storelimit *limit, const char *text, unsigned n, uint64_t now)
{
	struct endpoint e = at(text);
	unsigned got = 0;

	for (unsigned i = 0; i < n; i++)
		got += storelimit_take(limit, &e, now);
	return got;
}

static void a_minutes_worth_at_once_and_then_the_rate(void **state)
{
	struct storelimit *limit = storelimit_new(RATE);

	(void)state;
	assert_non_null(limit);
	assert_int_equal(taken(limit, "192.0.2.1:1000", 2 * BURST, START_MS), BURST);
	assert_int_equal(taken(limit, "192.0.2.1:1000", 100, START_MS + 1000), RATE);
	assert_int_equal(taken(limit, "192.0.2.1:1000", 100, START_MS + 1050), 0);
	assert_int_equal(taken(limit, "192.0.2.1:1000", 100, START_MS + 1100), 1);
	assert_int_equal(taken(limit, "192.0.2.1:1000", 2 * BURST, START_MS + 3600000), BURST);
	storelimit_free(limit);
}

static void a_network_is_one_client_and_others_are_not_it(void **state)
{
	static const char *const same[] = { "192.0.2.77:1", "192.0.2.255:2",
		"[::ffff:192.0.2.9]:3" };
	static const char *const same6[] = { "[2001:db8:1:2ff::1]:1", "[2001:db8:1:200:8::]:2" };
	static const char *const others[] = { "192.0.3.1:1", "193.0.2.1:1", "[2001:db8:1:300::1]:1",
		"[2001:db8:2:2ff::1]:1", "[4c0:2::]:1" };
	struct storelimit *limit = storelimit_new(RATE);

	(void)state;
	assert_non_null(limit);
	assert_int_equal(taken(limit, "192.0.2.1:1000", BURST, START_MS), BURST);
	assert_int_equal(taken(limit, "[2001:db8:1:2aa::1]:1000", BURST, START_MS), BURST);
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		assert_int_equal(taken(limit, same[i], 1, START_MS), 0);
	for (size_t i = 0; i < sizeof(same6) / sizeof(same6[0]); i++)
		assert_int_equal(taken(limit, same6[i], 1, START_MS), 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(taken(limit, others[i], BURST + 1, START_MS), BURST);
	storelimit_free(limit);
}

static void who_has_no_address_is_not_limited(void **state)
{
	struct storelimit *limit = storelimit_new(1);

	(void)state;
	assert_non_null(limit);
	assert_int_equal(taken(limit, "unix:/run/front", 1000, START_MS), 1000);
	storelimit_free(limit);
}

/* A hundred times more networks than there are places: nothing is refused that should not be, and one that
 * goes on taking is not forgotten for those that took once. */
static void with_too_many_networks_the_busy_ones_are_remembered(void **state)
{
	struct storelimit *limit = storelimit_new(RATE);
	unsigned refused = 0, busy = 0;
	size_t before;
	struct endpoint e;
	char text[32];

	(void)state;
	assert_non_null(limit);
	assert_int_equal(taken(limit, "10.0.0.1:1", BURST, START_MS), BURST);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (unsigned i = 0; i < 100 * STORELIMIT_NETWORKS; i++) {
		snprintf(text, sizeof(text), "%u.%u.%u.1:1", 11 + (i >> 16), i >> 8 & 255, i & 255);
		e = at(text);
		refused += !storelimit_take(limit, &e, START_MS);
		if (i % 1000 == 0)
			busy += taken(limit, "10.0.0.1:1", 1, START_MS);
	}
	assert_int_equal(mallinfo2().uordblks + mallinfo2().hblkhd, before);
	assert_int_equal(refused, 0);
	assert_int_equal(busy, 0);
	storelimit_free(limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_minutes_worth_at_once_and_then_the_rate),
		cmocka_unit_test(a_network_is_one_client_and_others_are_not_it),
		cmocka_unit_test(who_has_no_address_is_not_limited),
		cmocka_unit_test(with_too_many_networks_the_busy_ones_are_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
