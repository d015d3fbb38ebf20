/*
 * test_balance.c: who gets the next request, by each rule; who is spared, who is a backup, who is full.
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

enum { SERVERS = 5, NOW = 1000000, MANY = 500 };

struct farm {
	struct pool_conf conf;
	struct pool pool;
	struct server servers[SERVERS];
	char names[SERVERS][16];
};

static struct farm *farm(enum balance rule, const unsigned weights[SERVERS])
{
	static struct farm f;

	memset(&f, 0, sizeof(f));
	f.conf.balance = (int)rule;
	f.pool.conf = &f.conf;
	f.pool.servers = f.servers;
	f.pool.servers_n = SERVERS;
	f.pool.busy_max = SIZE_MAX;
	for (unsigned i = 0; i < SERVERS; i++) {
		struct server *s = &f.servers[i];

		snprintf(f.names[i], sizeof(f.names[i]), "10.0.0.%u:80", i);
		s->pool = &f.pool;
		s->index = i;
		s->weight = weights[i];
		s->addresses_n = weights[i] > 0 || i == 0;
		s->id = pool_client(f.names[i]);
	}
	balance_init(&f.pool);
	return &f;
}

static int next(struct farm *f, uint64_t client)
{
	bool busy;
	struct server *s = balance_choose(
	    &f->pool, &(struct pool_wish){ .client = client }, NOW, &busy);

	return s != NULL ? (int)s->index : busy ? -2 : -1;
}

/* seen: how often each was chosen. The longest run of one server. */
static int picks(struct farm *f, int n, int seen[SERVERS])
{
	int run = 0, longest = 0, last = -1;

	memset(seen, 0, SERVERS * sizeof(seen[0]));
	for (int i = 0; i < n; i++) {
		int at = next(f, 0);

		assert_in_range(at, 0, SERVERS - 1);
		seen[at]++;
		run = at == last ? run + 1 : 1;
		last = at;
		longest = run > longest ? run : longest;
	}
	return longest;
}

static void in_turn_by_weight_and_smoothly(void **state)
{
	struct farm *f = farm(BALANCE_ROUND_ROBIN, (const unsigned[SERVERS]){ 5, 1, 1, 0, 0 });
	int seen[SERVERS];

	(void)state;
	for (int i = 0; i < 50; i++) {
		assert_in_range(picks(f, 7, seen), 1, 4);
		assert_int_equal(seen[0], 5);
		assert_int_equal(seen[1], 1);
		assert_int_equal(seen[2], 1);
	}
	assert_in_range(picks(f, 700, seen), 1, 4);
	f = farm(BALANCE_ROUND_ROBIN, (const unsigned[SERVERS]){ 1, 1, 1, 0, 0 });
	for (int i = 0; i < 6; i++)
		assert_int_equal(next(f, 0), i % 3);
}

static void shares_hold_while_the_heaviest_is_away_and_when_it_is_back(void **state)
{
	struct farm *f = farm(BALANCE_ROUND_ROBIN, (const unsigned[SERVERS]){ 200, 3, 2, 1, 1 });
	int seen[SERVERS];

	(void)state;
	f->servers[0].down = true;
	picks(f, 7000, seen);
	assert_int_equal(seen[0], 0);
	assert_in_range(seen[1], 2990, 3010);
	assert_in_range(seen[2], 1990, 2010);
	assert_in_range(seen[3], 990, 1010);
	assert_in_range(seen[4], 990, 1010);
	f->servers[0].down = false;
	picks(f, 2070, seen);
	assert_in_range(seen[0], 1990, 2010);
	assert_in_range(seen[1], 25, 35);
	assert_in_range(seen[4], 7, 13);
}

/* A choice looks at the servers that it passes, and at no others: the rest of the pool is not even read. */
static void a_choice_costs_the_same_in_a_pool_of_hundreds(void **state)
{
	static struct server servers[MANY];
	struct farm *f = farm(BALANCE_ROUND_ROBIN, (const unsigned[SERVERS]){ 1, 0, 0, 0, 0 });

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		servers[i] = f->servers[0];
		servers[i].index = i;
	}
	f->pool.servers = servers;
	f->pool.servers_n = MANY;
	balance_init(&f->pool);
	for (int i = 0; i < 3 * MANY; i++) {
		struct server *others = &servers[(i + 1) % MANY];
		int64_t before = others->current;

		assert_int_equal(next(f, 0), i % MANY);
		assert_int_equal(others->current, before);
	}
}

static void the_least_busy_for_its_weight(void **state)
{
	struct farm *f = farm(
	    BALANCE_LEAST_CONNECTIONS, (const unsigned[SERVERS]){ 1, 2, 1, 0, 0 });
	unsigned seen[SERVERS] = { 0 };

	(void)state;
	for (int i = 0; i < 400; i++) {
		int n = next(f, 0);

		assert_in_range(n, 0, 2);
		f->servers[n].busy_n++;
		seen[n]++;
	}
	assert_int_equal(seen[1], 200);
	assert_int_equal(seen[0], 100);
	f->servers[2].busy_n = 3;
	for (int i = 0; i < 97; i++) {
		assert_int_equal(next(f, 0), 2);
		f->servers[2].busy_n++;
	}
}

static void a_client_keeps_its_server_and_only_a_lost_servers_clients_move(void **state)
{
	struct farm *f = farm(BALANCE_CLIENT_HASH, (const unsigned[SERVERS]){ 1, 1, 2, 1, 0 });
	static int first[5000];
	unsigned seen[SERVERS] = { 0 };
	char address[32];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		snprintf(address, sizeof(address), "192.0.%d.%d", i >> 8, i & 255);
		first[i] = next(f, pool_client(address));
		assert_int_equal(next(f, pool_client(address)), first[i]);
		seen[first[i]]++;
	}
	assert_in_range(seen[2], 1800, 2200);
	assert_in_range(seen[0], 850, 1150);
	f->servers[1].spared_until = NOW + 1;
	for (int i = 0; i < 5000; i++) {
		snprintf(address, sizeof(address), "192.0.%d.%d", i >> 8, i & 255);
		if (first[i] != 1)
			assert_int_equal(next(f, pool_client(address)), first[i]);
		else
			assert_int_not_equal(next(f, pool_client(address)), 1);
	}
}

static void backups_only_where_no_other_is_well(void **state)
{
	struct farm *f = farm(BALANCE_ROUND_ROBIN, (const unsigned[SERVERS]){ 1, 1, 1, 0, 0 });

	(void)state;
	f->servers[2].backup = true;
	for (int i = 0; i < 6; i++)
		assert_int_not_equal(next(f, 0), 2);
	f->servers[0].spared_until = NOW + 10;
	assert_int_equal(next(f, 0), 1);
	f->servers[1].spared_until = NOW + 5;
	assert_int_equal(next(f, 0), 2);
	/* Full is not ill: then one waits. */
	f->servers[1].spared_until = 0;
	f->servers[1].busy_n = f->pool.busy_max = 4;
	assert_int_equal(next(f, 0), -2);
	/* None is well: the one that has been spared for longest. */
	f->servers[1].spared_until = NOW + 5;
	f->servers[2].spared_until = NOW + 20;
	f->servers[1].busy_n = 0;
	assert_int_equal(next(f, 0), 1);
}

static void a_server_without_weight_is_the_last_resort(void **state)
{
	struct farm *f = farm(BALANCE_ROUND_ROBIN, (const unsigned[SERVERS]){ 0, 1, 0, 0, 0 });
	bool busy;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(next(f, 0), 1);
	assert_ptr_equal(
	    balance_choose(&f->pool, &(struct pool_wish){ .tried = 1u << 1 }, NOW, &busy),
	    &f->servers[0]);
	assert_null(balance_choose(&f->pool, &(struct pool_wish){ .tried = 3 }, NOW, &busy));
	assert_false(busy);
}

static void no_server_gets_more_than_it_may(void **state)
{
	struct farm *f = farm(BALANCE_ROUND_ROBIN, (const unsigned[SERVERS]){ 1, 9, 0, 0, 0 });

	(void)state;
	f->pool.busy_max = 3;
	for (int i = 0; i < 6; i++) {
		int n = next(f, 0);

		assert_in_range(n, 0, 1);
		f->servers[n].busy_n++;
		assert_in_range(f->servers[n].busy_n, 1, 3);
	}
	assert_int_equal(next(f, 0), -2);
	f->servers[0].busy_n--;
	assert_int_equal(next(f, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_turn_by_weight_and_smoothly),
		cmocka_unit_test(shares_hold_while_the_heaviest_is_away_and_when_it_is_back),
		cmocka_unit_test(a_choice_costs_the_same_in_a_pool_of_hundreds),
		cmocka_unit_test(the_least_busy_for_its_weight),
		cmocka_unit_test(a_client_keeps_its_server_and_only_a_lost_servers_clients_move),
		cmocka_unit_test(backups_only_where_no_other_is_well),
		cmocka_unit_test(a_server_without_weight_is_the_last_resort),
		cmocka_unit_test(no_server_gets_more_than_it_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
