/*
 * test_session_claims.c: claims as a cache server is asked for them: which one, how often, and what counts as
 * granted. The peers are fakes, answered by hand.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/cluster/sessioncache.h"
#include "t/sim/fake_peers.h"

#include "base/poison.h"

#define INFO                                                                                       \
	"run_id:0123456789abcdef0123456789abcdef01234567\r\nmaxmemory_policy:noeviction\r\n"       \
	"role:master\r\n"

struct fixture {
	struct loop *loop;
	struct sessioncache *cache;
	struct peers *peers;
	struct sessioncache_ask *found, *claim;
	bool claims; /* whatever is found */
	unsigned told;
	enum sessioncache_result result;
};

static const uint8_t name[SEAL_NAME_LEN] = "12345678901234567890123456789012";

static bool claimed_cb(void *arg, enum sessioncache_result result, struct bytes value)
{
	struct fixture *f = arg;

	assert_int_equal(value.len, 0);
	f->told++;
	f->result = result;
	f->claim = NULL;
	return true;
}

static bool found_cb(void *arg, enum sessioncache_result result, struct bytes value)
{
	struct fixture *f = arg;

	(void)value;
	if (result == SESSIONCACHE_OK && f->claims)
		f->claim = sessioncache_claim(f->found, 90000, claimed_cb, f);
	return true;
}

static void setup(struct fixture *f, bool claims)
{
	struct endpoint e[3];

	*f = (struct fixture){ .loop = loop_new(), .claims = true };
	assert_non_null(f->loop);
	for (size_t i = 0; i < 3; i++) {
		char text[32];

		snprintf(text, sizeof(text), "127.0.0.1:%zu", 7000 + i);
		assert_null(endpoint_parse(&e[i], text));
	}
	f->cache = sessioncache_new(f->loop,
	    &(struct sessioncache_params){ .servers = e, .n = 3, .copies = 2, .claims = claims });
	assert_non_null(f->cache);
	f->peers = fake_peers();
	f->peers->mark = 7;
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

/* A look-up that its second server answers: the claim is for the first all the same. */
static size_t look_up(struct fixture *f)
{
	size_t i = f->peers->n;

	f->told = 0;
	f->found = sessioncache_get(f->cache, name, found_cb, f);
	assert_non_null(f->found);
	say(i, "$-1\r\n");
	say(i + 1, "$1\r\nv\r\n");
	return i + 2;
}

static void test_a_claim_goes_to_the_first_server_alone(void **state)
{
	static const char message[] = "*6\r\n$3\r\nSET\r\n$38\r\nclaim:"
				      "12345678901234567890123456789012\r\n"
				      "$1\r\n1\r\n$2\r\nNX\r\n$2\r\nPX\r\n$5\r\n90000\r\n";
	struct fixture f;
	size_t i;

	(void)state;
	setup(&f, true);
	i = look_up(&f);
	assert_int_equal(f.peers->n, i + 1);
	assert_int_equal(f.peers->asks[i].len, strlen(message));
	assert_memory_equal(f.peers->asks[i].message, message, strlen(message));
	assert_int_equal(f.peers->asks[i].choice.by, PEERS_RANK);
	assert_int_equal(f.peers->asks[i].choice.rank, 0);
	assert_true(f.peers->asks[i].choice.direct);
	assert_false(f.peers->asks[i].choice.hedge);
	assert_memory_equal(&f.peers->asks[i].choice.hash, name, 8);
	assert_in_range(f.peers->asks[i].deadline_ms, 1, SESSIONCACHE_MS);
	say(i, "+OK\r\n");
	assert_int_equal(f.told, 1);
	assert_int_equal(f.result, SESSIONCACHE_OK);
	assert_int_equal(f.peers->n, i + 1);
	teardown(&f);
}

static void check(
    struct fixture *f, enum peers_result how, const char *reply, int result, size_t blamed)
{
	size_t was = f->peers->blamed, i = look_up(f);

	fake_answer(i, how, reply, strlen(reply));
	assert_int_equal(f->told, 1);
	assert_int_equal(f->result, result);
	assert_int_equal(f->peers->blamed - was, blamed);
	assert_int_equal(f->peers->n, i + 1); /* never asked again, of nobody */
}

static void test_only_ok_is_granted_and_nothing_is_tried_again(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, true);
	check(&f, PEERS_OK, "+OK\r\n", SESSIONCACHE_OK, 0);
	check(&f, PEERS_OK, "$-1\r\n", SESSIONCACHE_MISS, 0);
	check(&f, PEERS_OK, "-OOM command not allowed\r\n", SESSIONCACHE_DOWN, 0);
	check(&f, PEERS_OK, "-READONLY You can't write against a read only replica.\r\n",
	    SESSIONCACHE_DOWN, 0);
	check(&f, PEERS_OK, "$2\r\nOK\r\n", SESSIONCACHE_DOWN, 1);
	check(&f, PEERS_OK, ":1\r\n", SESSIONCACHE_DOWN, 1);
	check(&f, PEERS_DEADLINE, "", SESSIONCACHE_DOWN, 0);
	check(&f, PEERS_LOST, "", SESSIONCACHE_DOWN, 0);
	check(&f, PEERS_PROTOCOL, "", SESSIONCACHE_DOWN, 0);
	teardown(&f);
}

static void test_without_time_or_server_there_is_no_claim(void **state)
{
	struct fixture f;
	uint64_t end;

	(void)state;
	setup(&f, true);
	f.found = sessioncache_get(f.cache, name, found_cb, &f);
	end = loop_now_ms(f.loop) + SESSIONCACHE_MS + 1;
	while (loop_now_ms(f.loop) < end)
		assert_int_equal(loop_turn(f.loop), 0);
	f.told = 0;
	say(0, "$1\r\nv\r\n"); /* at the very last moment */
	assert_null(f.claim);
	assert_int_equal(f.told, 0);
	f.found = sessioncache_get(f.cache, name, found_cb, &f);
	f.peers->why = PEERS_NO_ENDPOINT;
	say(f.peers->n - 1, "$1\r\nv\r\n");
	assert_null(f.claim);
	assert_int_equal(f.told, 0);
	teardown(&f);
}

static void test_a_cancelled_claim_is_told_nothing(void **state)
{
	struct fixture f;
	size_t i;

	(void)state;
	setup(&f, true);
	i = look_up(&f);
	sessioncache_cancel(f.claim);
	assert_false(f.peers->asks[i].open);
	look_up(&f);
	sessioncache_free(f.cache);
	assert_int_equal(f.told, 1);
	assert_int_equal(f.result, SESSIONCACHE_DOWN);
	loop_free(f.loop);
}

/* ---- who holds a claim */

static void test_the_holder_is_a_run_of_a_server_of_a_set(void **state)
{
	struct endpoint e[3];
	struct fixture f;
	uint64_t holder;

	(void)state;
	setup(&f, true);
	holder = sessioncache_holder(f.cache, name);
	assert_int_not_equal(holder, 0);
	f.peers->mark = 8; /* it was started anew, or is another one */
	assert_int_not_equal(sessioncache_holder(f.cache, name), holder);
	f.peers->mark = 0;
	assert_int_equal(sessioncache_holder(f.cache, name), 0);
	f.peers->mark = 7;
	assert_int_equal(sessioncache_holder(f.cache, name), holder);
	/* In whatever order the servers are named; but not of other servers. */
	for (size_t i = 0; i < 3; i++) {
		char text[32];

		snprintf(text, sizeof(text), "127.0.0.1:%zu", 7002 - i);
		assert_null(endpoint_parse(&e[i], text));
	}
	assert_int_equal(sessioncache_servers(f.cache, e, 3), 0);
	assert_int_equal(sessioncache_holder(f.cache, name), holder);
	assert_int_equal(sessioncache_servers(f.cache, e, 2), 0);
	assert_int_not_equal(sessioncache_holder(f.cache, name), holder);
	assert_int_equal(sessioncache_servers(f.cache, e, 0), 0);
	assert_int_equal(sessioncache_holder(f.cache, name), 0);
	teardown(&f);
}

static uint64_t learn(struct fixture *f, const char *info)
{
	char answer[512];

	snprintf(answer, sizeof(answer), "$%zu\r\n%s\r\n", strlen(info), info);
	return f->peers->params.learn(
	    f->peers->params.arg, &(struct endpoint){ 0 }, bytes_str(answer));
}

static void test_servers_are_asked_who_they_are_where_claims_are_made(void **state)
{
	struct fixture f;
	uint8_t buf[64];
	uint64_t mark;

	(void)state;
	setup(&f, false);
	assert_null(f.peers->params.inquire);
	teardown(&f);
	setup(&f, true);
	assert_int_equal(f.peers->params.inquire(f.peers->params.arg, buf, sizeof(buf)), 14);
	assert_memory_equal(buf, "*1\r\n$4\r\nINFO\r\n", 14);
	mark = learn(&f, INFO);
	assert_int_not_equal(mark, 0);
	assert_int_equal(learn(&f, INFO), mark);
	assert_int_not_equal(learn(&f, "run_id:1123456789abcdef0123456789abcdef01234567\r\n"
				       "maxmemory_policy:noeviction\r\nrole:master\r\n"),
	    mark);
	assert_int_equal(learn(&f, "run_id:0123456789abcdef0123456789abcdef01234567\r\n"
				   "maxmemory_policy:allkeys-lru\r\nrole:master\r\n"),
	    0);
	assert_int_equal(f.peers->params.learn(f.peers->params.arg, &(struct endpoint){ 0 },
			     bytes_str("-NOPERM no\r\n")),
	    0);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_claim_goes_to_the_first_server_alone),
		cmocka_unit_test(test_only_ok_is_granted_and_nothing_is_tried_again),
		cmocka_unit_test(test_without_time_or_server_there_is_no_claim),
		cmocka_unit_test(test_a_cancelled_claim_is_told_nothing),
		cmocka_unit_test(test_the_holder_is_a_run_of_a_server_of_a_set),
		cmocka_unit_test(test_servers_are_asked_who_they_are_where_claims_are_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
