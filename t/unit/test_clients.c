/*
 * test_clients.c: what one address may take: connections at once, new ones a second; and that those who
 * left are forgotten.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/front/clients.h"

#include "base/poison.h"

static enum reason enter(
    struct clients *all, const char *ip, uint64_t now, struct clients_one **one)
{
	struct endpoint at;

	assert_int_equal(endpoint_of_ip(&at, ip, 1), 0);
	return clients_enter(all, &at, now, one);
}

static void an_address_has_so_many_connections(void **state)
{
	struct clients *all = clients_new(2, 0);
	struct clients_one *a, *b, *c;

	(void)state;
	assert_int_equal(enter(all, "192.0.2.1", 0, &a), REASON_NONE);
	assert_int_equal(enter(all, "192.0.2.1", 0, &b), REASON_NONE);
	assert_int_equal(enter(all, "192.0.2.1", 0, &c), REASON_CLIENT_LIMIT);
	assert_null(c);
	assert_int_equal(enter(all, "192.0.2.2", 0, &c), REASON_NONE);
	clients_leave(all, c, 0);
	clients_leave(all, a, 0);
	assert_int_equal(enter(all, "192.0.2.1", 0, &a), REASON_NONE);
	clients_leave(all, a, 0);
	clients_leave(all, b, 0);
	clients_free(all);
}

static void an_ipv6_client_is_its_64(void **state)
{
	struct clients *all = clients_new(1, 0);
	struct clients_one *a, *b, *c;

	(void)state;
	assert_int_equal(enter(all, "2001:db8::1", 0, &a), REASON_NONE);
	assert_int_equal(enter(all, "2001:db8::ffff:2", 0, &b), REASON_CLIENT_LIMIT);
	assert_int_equal(enter(all, "2001:db8:0:1::1", 0, &b), REASON_NONE);
	assert_int_equal(enter(all, "::ffff:192.0.2.1", 0, &c), REASON_NONE);
	clients_leave(all, a, 0);
	clients_leave(all, b, 0);
	clients_leave(all, c, 0);
	clients_free(all);
}

static void an_address_has_so_many_new_ones_a_second(void **state)
{
	struct clients *all = clients_new(0, 2);
	struct clients_one *one;

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(enter(all, "192.0.2.1", 1000, &one), REASON_NONE);
		clients_leave(all, one, 1000);
	}
	assert_int_equal(enter(all, "192.0.2.1", 1000, &one), REASON_CLIENT_RATE);
	assert_int_equal(enter(all, "192.0.2.1", 1499, &one), REASON_CLIENT_RATE);
	assert_int_equal(enter(all, "192.0.2.1", 1500, &one), REASON_NONE);
	clients_leave(all, one, 1500);
	clients_free(all);
}

static void those_who_left_are_forgotten_and_never_too_many(void **state)
{
	struct clients *all = clients_new(1, 1);
	struct clients_one *one;
	char ip[32];

	(void)state;
	for (unsigned i = 0; i < 3 * CLIENTS_QUIET_MAX; i++) {
		snprintf(ip, sizeof(ip), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		assert_int_equal(enter(all, ip, 5, &one), REASON_NONE);
		clients_leave(all, one, 5);
		assert_true(clients_known(all) <= CLIENTS_QUIET_MAX);
	}
	for (int i = 0; i < CLIENTS_QUIET_MAX; i++) {
		if (enter(all, "192.0.2.1", 5 + CLIENTS_QUIET_MS, &one) == REASON_NONE)
			clients_leave(all, one, 5 + CLIENTS_QUIET_MS);
	}
	assert_int_equal(clients_known(all), 1);
	clients_free(all);
}

static void without_limits_nothing_is_kept(void **state)
{
	struct clients *all = clients_new(0, 0);
	struct clients_one *one;

	(void)state;
	assert_int_equal(enter(all, "192.0.2.1", 0, &one), REASON_NONE);
	assert_null(one);
	assert_int_equal(clients_known(all), 0);
	clients_leave(all, one, 0);
	clients_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_has_so_many_connections),
		cmocka_unit_test(an_ipv6_client_is_its_64),
		cmocka_unit_test(an_address_has_so_many_new_ones_a_second),
		cmocka_unit_test(those_who_left_are_forgotten_and_never_too_many),
		cmocka_unit_test(without_limits_nothing_is_kept),
	};

	return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
