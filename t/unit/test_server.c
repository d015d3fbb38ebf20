/*
 * test_server.c: when a server is spared and for how long, how it comes back, and the names in cookies.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/origin/server.h"

#include "base/poison.h"

enum { SERVERS = 2, NOW = 1000000 };

struct farm {
	struct pool_conf conf;
	struct pool pool;
	struct server servers[SERVERS];
};

static int setup(void **state)
{
	static struct farm f;

	memset(&f, 0, sizeof(f));
	f.conf = (struct pool_conf){ .name = (char *)(uintptr_t) "pool",
		.max_fails = 3,
		.fail_timeout = 10000,
		.sticky_cookie = (char *)(uintptr_t) "SRV" };
	f.pool.conf = &f.conf;
	f.pool.servers = f.servers;
	f.pool.servers_n = SERVERS;
	f.pool.busy_max = SIZE_MAX;
	sticky_key(&f.pool);
	for (unsigned i = 0; i < SERVERS; i++) {
		struct server_conf conf = { .weight = 1 };
		char address[32];

		snprintf(address, sizeof(address), "10.0.0.%u:80", i + 1);
		conf.address = address;
		assert_int_equal(server_init(&f.servers[i], &f.pool, i, &conf), 0);
		f.servers[i].text = "";
	}
	balance_init(&f.pool);
	*state = &f;
	return 0;
}

static int chosen(struct farm *f, uint64_t now, unsigned sticky)
{
	bool busy;
	struct server *s = balance_choose(
	    &f->pool, &(struct pool_wish){ .server = sticky }, now, &busy);

	if (s == NULL)
		return -1;
	server_chosen(s, now);
	return (int)s->index;
}

static void a_server_is_spared_after_failures_in_a_row(void **state)
{
	struct farm *f = *state;
	struct server *s = f->servers;

	for (int i = 0; i < 2; i++)
		server_failed(s, false, NOW);
	server_worked(s, false, NOW);
	for (int i = 0; i < 2; i++)
		server_failed(s, false, NOW);
	assert_true(server_well(s, NOW));
	server_failed(s, false, NOW);
	assert_false(server_well(s, NOW));
	assert_false(server_well(s, NOW + SERVER_SPARE_MS - 1));
	assert_true(server_well(s, NOW + SERVER_SPARE_MS));
	/* One that cannot be connected to, at once. */
	server_failed(&f->servers[1], true, NOW);
	assert_false(server_well(&f->servers[1], NOW));
}

static void zero_fails_are_never_enough(void **state)
{
	struct farm *f = *state;

	f->conf.max_fails = 0;
	for (int i = 0; i < 50; i++)
		server_failed(f->servers, true, NOW);
	assert_true(server_well(f->servers, NOW));
}

static void the_time_doubles_by_trials_that_fail_and_not_by_many_at_once(void **state)
{
	static const uint64_t spared[] = { 1000, 2000, 4000, 8000, 10000, 10000 };
	struct farm *f = *state;
	struct server *s = f->servers;
	uint64_t now = NOW;

	for (size_t i = 0; i < sizeof(spared) / sizeof(spared[0]); i++) {
		for (int k = 0; k < 20; k++)
			server_failed(s, true, now);
		assert_false(server_well(s, now + spared[i] - 1));
		assert_true(server_well(s, now + spared[i]));
		now += spared[i];
	}
	server_worked(s, false, now);
	server_failed(s, true, now);
	assert_true(server_well(s, now + 1000));
}

static void after_the_time_one_request_tries_and_the_others_wait_for_it(void **state)
{
	struct farm *f = *state;
	int tries = 0;

	server_failed(f->servers, true, NOW);
	for (int i = 0; i < 10; i++)
		tries += chosen(f, NOW + 1500, 0) == 0;
	assert_int_equal(tries, 1);
	server_worked(f->servers, false, NOW + 1600);
	tries = 0;
	for (int i = 0; i < 10; i++)
		tries += chosen(f, NOW + 1700, 0) == 0;
	assert_int_equal(tries, 5);
}

static void one_that_the_monitor_found_down_is_left_out_until_it_is_up(void **state)
{
	struct farm *f = *state;

	server_health(f->servers, false, NOW);
	for (int i = 0; i < 6; i++)
		assert_int_equal(chosen(f, NOW, 0), 1);
	/* The other is spared only: better than one that is down. */
	server_failed(&f->servers[1], true, NOW);
	assert_int_equal(chosen(f, NOW, 0), 1);
	server_failed(f->servers, true, NOW);
	server_health(f->servers, true, NOW + 1);
	assert_int_equal(chosen(f, NOW + 1, 0), 0);
}

static void a_share_grows_after_a_server_came_back(void **state)
{
	struct farm *f = *state;
	unsigned early = 0, late = 0;

	f->conf.slow_start = 10000;
	assert_int_equal(server_share(f->servers, NOW), SERVER_SHARE);
	server_health(f->servers, false, NOW);
	server_health(f->servers, true, NOW);
	assert_in_range(server_share(f->servers, NOW), 1, 2);
	assert_int_equal(server_share(f->servers, NOW + 5000), SERVER_SHARE / 2);
	assert_int_equal(server_share(f->servers, NOW + 10000), SERVER_SHARE);
	for (int i = 0; i < 100; i++)
		early += chosen(f, NOW + 1000, 0) == 0;
	for (int i = 0; i < 100; i++)
		late += chosen(f, NOW + 20000, 0) == 0;
	assert_in_range(early, 7, 12);
	assert_int_equal(late, 50);
	/* Idle or not: the least busy rule heeds it too. */
	f->conf.balance = BALANCE_LEAST_CONNECTIONS;
	f->servers[1].busy_n = 3;
	assert_int_equal(chosen(f, NOW + 1000, 0), 1);
	assert_int_equal(chosen(f, NOW + 20000, 0), 0);
}

static void how_it_is_can_be_told(void **state)
{
	struct farm *f = *state;
	struct server *s = f->servers;

	f->conf.slow_start = 10000;
	assert_int_equal(server_state(s, NOW), REPORT_SERVER_WELL);
	server_failed(s, false, NOW);
	assert_int_equal(server_state(s, NOW), REPORT_SERVER_WELL);
	server_failed(s, false, NOW);
	server_failed(s, false, NOW);
	assert_int_equal(server_state(s, NOW), REPORT_SERVER_FAILING);
	server_failed(s, true, NOW + 1);
	assert_int_equal(server_state(s, NOW + 1), REPORT_SERVER_UNREACHABLE);
	assert_int_equal(server_state(s, NOW + 1 + SERVER_SPARE_MS), REPORT_SERVER_WELL);
	server_worked(s, false, NOW + 3000);
	assert_int_equal(server_state(s, NOW + 3000), REPORT_SERVER_SLOW);
	assert_int_equal(server_state(s, NOW + 13000), REPORT_SERVER_WELL);
}

static void a_cookie_names_a_server_and_nothing_else_does(void **state)
{
	static const char *const forged[] = { "", "0000000000000000", "10.0.0.1:80", "-1",
		"ffffffffffffffff0" };
	struct farm *f = *state;
	char id[SERVERS][POOL_STICKY_LEN], other[POOL_STICKY_LEN];

	for (unsigned i = 0; i < SERVERS; i++) {
		pool_sticky_id(&f->pool, i, id[i]);
		assert_int_equal(
		    pool_sticky_find(&f->pool, bytes_of(id[i], POOL_STICKY_LEN)), i + 1);
		assert_int_equal(
		    pool_sticky_find(&f->pool, bytes_of(id[i], POOL_STICKY_LEN - 1)), 0);
	}
	assert_memory_not_equal(id[0], id[1], POOL_STICKY_LEN);
	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++)
		assert_int_equal(pool_sticky_find(&f->pool, bytes_str(forged[i])), 0);
	for (int c = 0; c < 256; c++) {
		memcpy(other, id[0], sizeof(other));
		other[3] = (char)c;
		assert_int_equal(pool_sticky_find(&f->pool, bytes_of(other, sizeof(other))),
		    other[3] == id[0][3]);
	}
	/* The same everywhere; another with a secret. */
	sticky_key(&f->pool);
	assert_int_equal(sticky_of(&f->pool, "10.0.0.1:80"), f->servers[0].sticky);
	f->conf.sticky_secret = (char *)(uintptr_t) "secret";
	sticky_key(&f->pool);
	assert_int_not_equal(sticky_of(&f->pool, "10.0.0.1:80"), f->servers[0].sticky);
}

static void a_wished_server_is_taken_while_it_is_well_and_free(void **state)
{
	struct farm *f = *state;

	f->servers[0].weight = 0;
	for (int i = 0; i < 4; i++)
		assert_int_equal(chosen(f, NOW, 1), 0);
	assert_int_equal(chosen(f, NOW, 0), 1);
	assert_int_equal(chosen(f, NOW, 77), 1);
	f->pool.busy_max = f->servers[0].busy_n = 2;
	assert_int_equal(chosen(f, NOW, 1), 1);
	f->servers[0].busy_n = 1;
	server_health(f->servers, false, NOW);
	assert_int_equal(chosen(f, NOW, 1), 1);
}

int main(void)
{
#define SERVER_TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		SERVER_TEST(a_server_is_spared_after_failures_in_a_row),
		SERVER_TEST(zero_fails_are_never_enough),
		SERVER_TEST(the_time_doubles_by_trials_that_fail_and_not_by_many_at_once),
		SERVER_TEST(after_the_time_one_request_tries_and_the_others_wait_for_it),
		SERVER_TEST(one_that_the_monitor_found_down_is_left_out_until_it_is_up),
		SERVER_TEST(a_share_grows_after_a_server_came_back),
		SERVER_TEST(how_it_is_can_be_told),
		SERVER_TEST(a_cookie_names_a_server_and_nothing_else_does),
		SERVER_TEST(a_wished_server_is_taken_while_it_is_well_and_free),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
