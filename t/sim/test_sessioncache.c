/*
 * test_sessioncache.c: sessions in several cache servers: who is asked, in which order, and what is
 * believed. The peers are fakes, answered by hand.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/cluster/sessioncache.h"
#include "t/sim/fake_peers.h"
#include "wire/resp.h"

#include "base/poison.h"

struct got {
	unsigned n;
	enum sessioncache_result result;
	char value[16];
	bool refuse;
	uint32_t repair_s; /* 0: do not ask for one */
	struct sessioncache_ask *ask;
};

struct fixture {
	struct loop *loop;
	struct sessioncache *cache;
	struct peers *peers;
	_Atomic uint64_t found, repairs;
	struct got got;
};

static const uint8_t name[SEAL_NAME_LEN] = "\r\n name with every\0kind of byte";

static bool got_cb(void *arg, enum sessioncache_result result, struct bytes value)
{
	struct got *g = arg;

	g->n++;
	g->result = result;
	assert_true(value.len < sizeof(g->value));
	memcpy(g->value, value.at != NULL ? (const char *)value.at : "", value.len);
	g->value[value.len] = '\0';
	if (g->repair_s != 0)
		sessioncache_repair(g->ask, value, g->repair_s);
	return !g->refuse;
}

static void setup(struct fixture *f, size_t servers, unsigned copies, const char *user)
{
	struct endpoint e[4] = { { 0 } };

	*f = (struct fixture){ .loop = loop_new() };
	assert_non_null(f->loop);
	f->cache = sessioncache_new(f->loop, &(struct sessioncache_params){ .servers = e,
						 .n = servers,
						 .copies = copies,
						 .user = user,
						 .password = "secret",
						 .found = &f->found,
						 .repairs = &f->repairs });
	assert_non_null(f->cache);
	f->peers = fake_peers();
	assert_int_equal(f->peers->set_n, servers);
}

static void teardown(struct fixture *f)
{
	sessioncache_free(f->cache);
	loop_free(f->loop);
}

static void say(size_t i, const char *reply)
{
	fake_answer(i, PEERS_OK, reply, strlen(reply));
}

static struct sessioncache_ask *get(struct fixture *f)
{
	f->got = (struct got){ .refuse = f->got.refuse, .repair_s = f->got.repair_s };
	return f->got.ask = sessioncache_get(f->cache, name, got_cb, &f->got);
}

static struct sessioncache_ask *put(struct fixture *f)
{
	f->got = (struct got){ 0 };
	return sessioncache_put(f->cache, name, bytes_str("value"), 77, got_cb, &f->got);
}

static void assert_told(struct fixture *f, enum sessioncache_result result, const char *value)
{
	assert_int_equal(f->got.n, 1);
	assert_int_equal(f->got.result, result);
	assert_string_equal(f->got.value, value);
}

static void assert_asked(struct fixture *f, size_t i, unsigned rank)
{
	assert_true(i < f->peers->n);
	assert_int_equal(f->peers->asks[i].choice.by, PEERS_RANK);
	assert_int_equal(f->peers->asks[i].choice.rank, rank);
	assert_memory_equal(&f->peers->asks[i].choice.hash, name, 8);
	assert_in_range(f->peers->asks[i].deadline_ms, 1, SESSIONCACHE_MS);
}

static void check_get(struct fixture *f, enum peers_result how, const char *reply,
    enum sessioncache_result result, const char *value, size_t blamed)
{
	size_t was = f->peers->blamed, i = f->peers->n;

	assert_non_null(get(f));
	assert_memory_equal(f->peers->asks[i].message, "*2\r\n$3\r\nGET\r\n$32\r\n\r\n name", 25);
	assert_int_equal(f->peers->asks[i].deadline_ms, SESSIONCACHE_MS);
	fake_answer(i, how, reply, strlen(reply));
	assert_told(f, result, value);
	assert_int_equal(f->peers->blamed - was, blamed);
}

static void test_the_cache_is_asked_and_believed_in_part(void **state)
{
	static const char stored[] = "$5\r\nvalue\r\n$2\r\nEX\r\n$2\r\n77\r\n";
	struct fixture f;
	size_t i;

	(void)state;
	setup(&f, 1, 2, NULL);
	check_get(&f, PEERS_OK, "$3\r\nabc\r\n", SESSIONCACHE_OK, "abc", 0);
	check_get(&f, PEERS_OK, "$-1\r\n", SESSIONCACHE_MISS, "", 0);
	check_get(&f, PEERS_OK, "-ERR oh\r\n", SESSIONCACHE_DOWN, "", 1);
	check_get(&f, PEERS_OK, ":7\r\n", SESSIONCACHE_DOWN, "", 1);
	check_get(&f, PEERS_DEADLINE, "", SESSIONCACHE_DOWN, "", 0);
	check_get(&f, PEERS_LOST, "", SESSIONCACHE_DOWN, "", 0);
	assert_int_equal(f.found, 1);
	f.got.refuse = true; /* the seal does not open */
	check_get(&f, PEERS_OK, "$3\r\nabc\r\n", SESSIONCACHE_OK, "abc", 1);
	i = f.peers->n;
	assert_non_null(put(&f));
	assert_int_equal(f.peers->n, i + 1);
	assert_non_null(
	    memmem(f.peers->asks[i].message, f.peers->asks[i].len, stored, strlen(stored)));
	say(i, "+OK\r\n");
	assert_told(&f, SESSIONCACHE_OK, "");
	assert_null(sessioncache_put(f.cache, name, bytes_str("value"), 0, got_cb, &f.got));
	f.peers->why = PEERS_BREAKER;
	assert_null(get(&f));
	assert_null(put(&f));
	teardown(&f);
}

static void test_a_new_connection_gives_the_password(void **state)
{
	static const char alone[] = "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n",
			  of_user[] = "*3\r\n$4\r\nAUTH\r\n$2\r\ngw\r\n$6\r\nsecret\r\n";
	const char *users[] = { NULL, "gw" };
	struct fixture f;
	uint8_t buf[256];
	size_t len;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		setup(&f, 1, 1, users[i]);
		len = f.peers->params.hello(f.peers->params.arg, buf, sizeof(buf));
		assert_int_equal(len, strlen(i == 0 ? alone : of_user));
		assert_memory_equal(buf, i == 0 ? alone : of_user, len);
		assert_int_equal(f.peers->params.welcome(NULL, bytes_str("+OK\r\n")), PARSE_OK);
		assert_int_equal(
		    f.peers->params.welcome(NULL, bytes_str("-WRONGPASS\r\n")), PARSE_BAD);
		teardown(&f);
	}
}

static void test_a_miss_or_a_loss_at_the_first_server_goes_to_the_second(void **state)
{
	static const struct {
		enum peers_result how;
		const char *reply;
	} first[] = { { PEERS_OK, "$-1\r\n" }, { PEERS_LOST, "" }, { PEERS_OK, "-ERR no\r\n" } };
	struct fixture f;

	(void)state;
	setup(&f, 3, 2, NULL);
	for (size_t i = 0; i < 3; i++) {
		assert_non_null(get(&f));
		assert_asked(&f, 2 * i, 0);
		fake_answer(2 * i, first[i].how, first[i].reply, strlen(first[i].reply));
		assert_int_equal(f.got.n, 0);
		assert_asked(&f, 2 * i + 1, 1);
		say(2 * i + 1, i == 1 ? "$-1\r\n" : "$1\r\nv\r\n");
		if (i == 1)
			assert_told(&f, SESSIONCACHE_MISS, "");
		else
			assert_told(&f, SESSIONCACHE_OK, "v");
	}
	assert_int_equal(f.peers->n, 6); /* never a third: there are two copies */
	assert_int_equal(f.found, 2);
	teardown(&f);
}

static void turn_until_asked(struct fixture *f, size_t n)
{
	uint64_t until = loop_now_ms(f->loop) + 5000;

	while (f->peers->n < n && loop_now_ms(f->loop) < until)
		assert_int_equal(loop_turn(f->loop), 0);
}

static void test_a_silent_first_server_is_not_waited_for(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 2, 2, NULL);
	assert_non_null(get(&f));
	turn_until_asked(&f, 2);
	assert_asked(&f, 1, 1);
	assert_int_equal(f.got.n, 0);
	say(1, "$1\r\nv\r\n");
	assert_told(&f, SESSIONCACHE_OK, "v");
	assert_false(f.peers->asks[0].open); /* cancelled */
	/* Both asked, and the first says no: the second is still heard. */
	assert_non_null(get(&f));
	turn_until_asked(&f, 4);
	say(2, "$-1\r\n");
	assert_int_equal(f.got.n, 0);
	fake_answer(3, PEERS_DEADLINE, "", 0);
	assert_told(&f, SESSIONCACHE_MISS, "");
	teardown(&f);
}

static void test_a_store_goes_to_all_copies_and_one_is_enough(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 3, 2, NULL);
	assert_non_null(put(&f));
	assert_int_equal(f.peers->n, 2);
	assert_asked(&f, 0, 0);
	assert_asked(&f, 1, 1);
	say(1, "+OK\r\n");
	assert_told(&f, SESSIONCACHE_OK, "");
	assert_true(f.peers->asks[0].open);
	fake_answer(0, PEERS_LOST, "", 0);
	assert_int_equal(f.got.n, 1);
	/* None. One that is full is not to blame. */
	assert_non_null(put(&f));
	fake_answer(2, PEERS_LOST, "", 0);
	assert_int_equal(f.got.n, 0);
	say(3, "-OOM command not allowed\r\n");
	assert_int_equal(f.got.n, 1);
	assert_int_not_equal(f.got.result, SESSIONCACHE_OK);
	assert_int_equal(f.peers->blamed, 0);
	/* A server that makes no sense is. */
	assert_non_null(put(&f));
	say(4, "$1\r\nv\r\n");
	say(5, "+OK\r\n");
	assert_int_equal(f.peers->blamed, 1);
	assert_told(&f, SESSIONCACHE_OK, "");
	teardown(&f);
}

/* ---- repair */

/* The first says that it has it not, the second that it has. How many repairs that makes. */
static size_t second_has_it(struct fixture *f)
{
	size_t i = f->peers->n;

	assert_non_null(get(f));
	say(i, "$-1\r\n");
	say(i + 1, "$1\r\nv\r\n");
	assert_told(f, SESSIONCACHE_OK, "v");
	return f->peers->n - i - 2;
}

static void test_a_missing_copy_is_written_back(void **state)
{
	static const char set[] = "$1\r\nv\r\n$2\r\nEX\r\n$2\r\n55\r\n$2\r\nNX\r\n";
	struct fixture f;

	(void)state;
	setup(&f, 3, 2, NULL);
	assert_int_equal(second_has_it(&f), 0); /* nobody asked for it: the seal did not open */
	f.got.repair_s = 55;
	assert_int_equal(second_has_it(&f), 1);
	assert_asked(&f, 4, 0);
	assert_memory_equal(f.peers->asks[4].message, "*6\r\n$3\r\nSET\r\n$32\r\n\r\n name", 25);
	assert_non_null(memmem(f.peers->asks[4].message, f.peers->asks[4].len, set, strlen(set)));
	assert_int_equal(f.repairs, 1);
	say(4, "+OK\r\n");
	/* Another was faster; the server was lost: nobody is told. */
	assert_int_equal(second_has_it(&f), 1);
	say(7, "$-1\r\n");
	assert_int_equal(second_has_it(&f), 1);
	fake_answer(10, PEERS_LOST, "", 0);
	assert_int_equal(f.peers->blamed, 0);
	/* What the first has, or did not answer, is not repaired. */
	assert_non_null(get(&f));
	say(11, "$1\r\nv\r\n");
	assert_non_null(get(&f));
	fake_answer(12, PEERS_LOST, "", 0);
	say(13, "$1\r\nv\r\n");
	assert_told(&f, SESSIONCACHE_OK, "v");
	assert_int_equal(f.peers->n, 14);
	assert_int_equal(f.repairs, 3);
	f.got.repair_s = 0;
	teardown(&f);
}

static void test_all_that_miss_a_copy_get_it(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 4, 3, NULL);
	f.got.repair_s = 55;
	assert_non_null(get(&f));
	say(0, "$-1\r\n");
	say(1, "$-1\r\n");
	say(2, "$1\r\nv\r\n");
	assert_int_equal(f.peers->n, 5);
	assert_asked(&f, 3, 0);
	assert_asked(&f, 4, 1);
	assert_int_equal(f.repairs, 2);
	f.got.repair_s = 0;
	teardown(&f);
}

/* What was saved up; then one look-up in four earns one. */
static void test_repairs_have_a_budget(void **state)
{
	size_t repairs = 0, lookups = 0;
	struct fixture f;

	(void)state;
	setup(&f, 2, 2, NULL);
	f.got.repair_s = 55;
	for (repairs = lookups = 0; lookups < 1000; lookups++) {
		fake_forget();
		repairs += second_has_it(&f);
	}
	assert_in_range(repairs,
	    SESSIONCACHE_REPAIR_BURST + 1000 * SESSIONCACHE_REPAIR_PERMILLE / 1000 - 1,
	    SESSIONCACHE_REPAIR_BURST + 1000 * SESSIONCACHE_REPAIR_PERMILLE / 1000 + 1);
	f.got.repair_s = 0;
	teardown(&f);
}

static void test_what_is_cancelled_is_told_nothing(void **state)
{
	struct sessioncache_ask *sa;
	struct fixture f;

	(void)state;
	setup(&f, 2, 2, NULL);
	sa = get(&f);
	sessioncache_cancel(sa);
	assert_false(f.peers->asks[0].open);
	sa = put(&f);
	sessioncache_cancel(sa);
	assert_true(f.peers->asks[1].open); /* it may still arrive */
	say(1, "+OK\r\n");
	say(2, "+OK\r\n");
	assert_int_equal(f.got.n, 0);
	/* The end of all is told to those who wait. */
	assert_non_null(get(&f));
	sessioncache_free(f.cache);
	assert_told(&f, SESSIONCACHE_DOWN, "");
	loop_free(f.loop);
}

static void test_servers_may_come_later(void **state)
{
	struct endpoint e[2] = { { 0 } };
	struct fixture f;

	(void)state;
	setup(&f, 0, 2, NULL);
	assert_null(get(&f));
	assert_null(put(&f));
	assert_int_equal(sessioncache_servers(f.cache, e, 2), 0);
	assert_int_equal(f.peers->set_n, 2);
	assert_non_null(put(&f));
	assert_int_equal(f.peers->n, 2);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_cache_is_asked_and_believed_in_part),
		cmocka_unit_test(test_a_new_connection_gives_the_password),
		cmocka_unit_test(test_a_miss_or_a_loss_at_the_first_server_goes_to_the_second),
		cmocka_unit_test(test_a_silent_first_server_is_not_waited_for),
		cmocka_unit_test(test_a_store_goes_to_all_copies_and_one_is_enough),
		cmocka_unit_test(test_a_missing_copy_is_written_back),
		cmocka_unit_test(test_all_that_miss_a_copy_get_it),
		cmocka_unit_test(test_repairs_have_a_budget),
		cmocka_unit_test(test_what_is_cancelled_is_told_nothing),
		cmocka_unit_test(test_servers_may_come_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
