/*
 * test_peers_many.c: several servers, one of which hangs, dies, is slow or answers rubbish, and comes
 * back: its users are answered in time by others, and few of them notice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/peers_private.h"

#include "many_bed.h"

enum { NOTICED_MAX = 16 }; /* asks that hit a bad server before it is spared */

static bool is_spared(const struct many_bed *bed, size_t slot)
{
	return breaker_is_open(&bed->peers->at[slot]->breaker);
}

static int up_n(const struct many_bed *bed)
{
	int n = 0;

	for (size_t i = 0; i < bed->peers->n; i++)
		n += bed->peers->at[i]->state == PEER_UP;
	return n;
}

static void start(struct many_bed *bed, int n)
{
	many_start(bed, n);
	peers_connect(bed->peers);
	sim_until(bed->loop, up_n(bed) == n);
}

/* A server that came back is used again within 2 s. */
static void check_comes_back(struct many_bed *bed, int server)
{
	uint64_t began = sim_now_ms();
	int calls = bed->servers[server].calls_n;

	while (is_spared(bed, (size_t)server) || bed->servers[server].calls_n < calls + 20) {
		assert_true(sim_now_ms() - began < 2500);
		many_ask_for(bed, 5);
	}
	assert_int_equal(bed->failed_n, 0);
}

static void the_load_goes_to_all(void **state)
{
	struct many_bed *bed = *state;

	start(bed, 4);
	many_ask_for(bed, 400);
	assert_int_equal(bed->failed_n, 0);
	for (int i = 0; i < 4; i++)
		assert_true(bed->servers[i].calls_n * 10 > bed->users_n);
}

static int sent_n[4];

static void count_sent(void *arg, unsigned slot, struct bytes message)
{
	(void)arg, (void)message;
	sent_n[slot]++;
}

/* And what is sent is told by server. */
static void a_slot_is_asked_and_no_other(void **state)
{
	struct many_bed *bed = *state;

	memset(sent_n, 0, sizeof(sent_n));
	bed->params.sent = count_sent;
	bed->params.connections_max = 2; /* it may be one that this worker does not keep to */
	many_start(bed, 4);
	for (uint8_t slot = 0; slot < 4; slot++) {
		bed->choice = (struct peers_choice){ .by = PEERS_SLOT, .rank = slot };
		for (int i = 0; i < 100 && bed->servers[slot].calls_n < 5; i++)
			many_ask_for(bed, 10);
		assert_true(bed->servers[slot].calls_n >= 5);
		for (uint8_t other = (uint8_t)(slot + 1); other < 4; other++)
			assert_int_equal(sent_n[other], 0);
	}
	for (int slot = 0; slot < 4; slot++)
		sim_until(bed->loop, sent_n[slot] == bed->servers[slot].calls_n);
	assert_int_equal(bed->failed_n, 0);
	bed->choice.rank = 3;
	many_server_stop(&bed->servers[3]);
	bed->retry = false;
	for (int i = 0; i < 100 && bed->failed_n == 0; i++)
		many_ask_for(bed, 10);
	assert_true(bed->failed_n > 0); /* nobody answers for it */
	assert_int_equal(sent_n[0], bed->servers[0].calls_n);
}

static void a_loaded_server_gets_less(void **state)
{
	struct many_bed *bed = *state;

	bed->params.deadline_ms = 5000;
	start(bed, 2);
	bed->servers[0].behaviour = SLOW;
	bed->servers[0].slow_ms = 100;
	many_ask_for(bed, 500);
	assert_int_equal(bed->failed_n, 0);
	assert_true(bed->servers[0].calls_n * 5 < bed->servers[1].calls_n);
}

static void check_one_bad(struct many_bed *bed, enum behaviour behaviour, uint32_t slow_ms)
{
	int from;

	start(bed, 2);
	many_ask_for(bed, 100);
	bed->servers[0].calls_n = 0;
	bed->servers[0].behaviour = behaviour;
	bed->servers[0].slow_ms = slow_ms;
	from = bed->users_n;
	for (int i = 0; i < 60 && !is_spared(bed, 0); i++)
		many_ask_for(bed, 50);
	assert_true(is_spared(bed, 0));
	many_ask_for(bed, 500);
	assert_int_equal(bed->failed_n, 0);
	/* One deadline lost, and the second try. */
	assert_true(many_slowest(bed, from) < 2 * 100 + 50);
	/* Besides probes. */
	assert_true(bed->servers[0].calls_n < NOTICED_MAX + 60);
	bed->servers[0].behaviour = ECHO;
	many_answer_hung(bed);
	check_comes_back(bed, 0);
}

static void one_that_hangs_is_spared(void **state)
{
	check_one_bad(*state, HANG, 0);
}

static void one_that_is_slow_is_spared(void **state)
{
	check_one_bad(*state, SLOW, 500);
}

static void one_that_answers_rubbish_is_spared(void **state)
{
	struct many_bed *bed = *state;

	check_one_bad(bed, RUBBISH, 0);
	/* And is asked once a second, not at each reconnection. */
	bed->servers[0].behaviour = RUBBISH;
	many_ask_for(bed, 100);
	bed->servers[0].calls_n = 0;
	many_ask_for(bed, 1000);
	assert_true(bed->servers[0].calls_n < 15);
	assert_int_equal(bed->failed_n, 0);
}

static void one_whose_answers_are_blamed_is_spared(void **state)
{
	struct many_bed *bed = *state;

	start(bed, 2);
	for (int i = 0; i < USERS_MAX; i++)
		bed->users[i].blames = true;
	many_ask_for(bed, 100);
	bed->servers[0].calls_n = 0;
	many_ask_for(bed, 1200);
	assert_int_equal(bed->failed_n, 0);
	assert_true(bed->servers[0].calls_n < 20);
}

static void one_that_dies_is_not_missed(void **state)
{
	struct many_bed *bed = *state;

	start(bed, 2);
	many_ask_for(bed, 100);
	bed->servers[0].behaviour = HANG; /* some asks are in flight at its death */
	for (int i = 0; i < 10; i++)
		many_ask(bed);
	sim_while(bed->loop, 10, true);
	many_server_stop(&bed->servers[0]);
	many_ask_for(bed, 500);
	assert_int_equal(bed->failed_n, 0);
	assert_true(many_slowest(bed, 0) < 150);
	bed->servers[0].behaviour = ECHO;
	many_server_start(&bed->servers[0]);
	check_comes_back(bed, 0);
}

static void one_that_never_was_there_is_not_missed(void **state)
{
	struct many_bed *bed = *state;

	many_start(bed, 2);
	many_server_stop(&bed->servers[1]);
	many_ask_for(bed, 500);
	assert_int_equal(bed->failed_n, 0);
	assert_true(many_slowest(bed, 0) < 250);
	many_server_start(&bed->servers[1]);
	check_comes_back(bed, 1);
}

static void a_single_server_that_came_back_is_used(void **state)
{
	struct many_bed *bed = *state;
	uint64_t began;

	start(bed, 1);
	many_server_stop(&bed->servers[0]);
	bed->retry = false;
	many_ask_for(bed, 1500);
	assert_true(is_spared(bed, 0) && bed->failed_n > 0);
	many_server_start(&bed->servers[0]);
	began = sim_now_ms();
	sim_until(bed->loop, peers_usable(bed->peers));
	assert_true(sim_now_ms() - began < 2000);
	bed->failed_n = 0;
	many_ask_for(bed, 50);
	assert_int_equal(bed->failed_n, 0);
}

static void all_down_is_said_at_once(void **state)
{
	struct many_bed *bed = *state;

	start(bed, 3);
	bed->retry = false;
	for (int i = 0; i < 3; i++)
		many_server_stop(&bed->servers[i]);
	many_ask_for(bed, 1500);
	assert_false(peers_usable(bed->peers));
	many_ask_for(bed, 20);
	assert_true(many_slowest(bed, bed->users_n - 5) < 5);
	for (int i = 0; i < 3; i++)
		many_server_start(&bed->servers[i]);
	sim_until(bed->loop, peers_usable(bed->peers));
	bed->failed_n = 0;
	bed->retry = true;
	many_ask_for(bed, 50);
	assert_int_equal(bed->failed_n, 0);
}

/* ---- few connections */

static int wanted_n(const struct many_bed *bed)
{
	int n = 0;

	for (size_t i = 0; i < bed->peers->n; i++)
		n += bed->peers->at[i]->wanted;
	return n;
}

static int connections_n(const struct many_bed *bed)
{
	int n = 0;

	for (int i = 0; i < bed->n; i++)
		n += bed->servers[i].service != NULL &&
		     service_connections(bed->servers[i].service) > 0;
	return n;
}

static void a_worker_keeps_to_few_servers(void **state)
{
	struct many_bed *bed = *state;
	unsigned first[2];
	int n = 0, others;

	bed->params.connections_max = 2;
	many_start(bed, 6);
	many_ask_for(bed, 300);
	assert_int_equal(up_n(bed), 2);
	assert_int_equal(connections_n(bed), 2);
	for (unsigned i = 0; i < 6; i++)
		if (bed->peers->at[i]->wanted)
			first[n++] = i;
	assert_int_equal(n, 2);
	/* One goes: a third stands in. */
	many_server_stop(&bed->servers[first[0]]);
	many_ask_for(bed, 1500);
	assert_int_equal(bed->failed_n, 0);
	assert_true(bed->peers->at[first[0]]->lost);
	assert_int_equal(up_n(bed), 2);
	/* It comes back: the third is left. */
	many_server_start(&bed->servers[first[0]]);
	check_comes_back(bed, (int)first[0]);
	others = 0;
	for (unsigned i = 0; i < 6; i++)
		if (i != first[0] && i != first[1])
			others -= bed->servers[i].calls_n;
	many_ask_for(bed, 300);
	for (unsigned i = 0; i < 6; i++)
		if (i != first[0] && i != first[1])
			others += bed->servers[i].calls_n;
	assert_in_range(others, 0, 3); /* pings */
	assert_int_equal(bed->failed_n, 0);
}

static void workers_differ_in_whom_they_keep_to(void **state)
{
	struct many_bed *bed = *state;
	int seen[6] = { 0 };

	bed->params.connections_max = 1;
	many_start(bed, 6);
	for (uint64_t worker = 0; worker < 64; worker++) {
		peers_free(bed->peers);
		bed->params.worker = worker;
		bed->peers = peers_new(bed->loop, &bed->params);
		assert_non_null(bed->peers);
		many_set(bed, 6);
		assert_int_equal(wanted_n(bed), 1);
		for (int i = 0; i < 6; i++)
			seen[i] += bed->peers->at[i]->wanted;
	}
	for (int i = 0; i < 6; i++)
		assert_in_range(seen[i], 2, 30);
}

/* ---- slots */

static void slots_are_those_of_the_set(void **state)
{
	struct many_bed *bed = *state;
	struct endpoint endpoints[5];

	start(bed, 3);
	endpoints[0] = bed->servers[2].at.endpoint;
	endpoints[1] = bed->servers[2].at.endpoint; /* twice */
	endpoints[2] = bed->servers[0].at.endpoint;
	endpoints[3] = bed->servers[1].at.endpoint;
	assert_int_equal(peers_set(bed->peers, endpoints, 4), 0);
	assert_int_equal(up_n(bed), 3); /* all were kept */
	for (unsigned slot = 0; slot < 4; slot++) {
		static const unsigned servers[] = { 2, 2, 0, 1 };
		struct many_server *server = &bed->servers[servers[slot]];
		int before = server->calls_n;

		if (slot == 1)
			continue;
		bed->choice.avoid = UINT64_C(0xf) & ~(UINT64_C(1) << slot);
		many_ask(bed);
		sim_until(bed->loop, bed->ended_n == bed->users_n);
		assert_int_equal(server->calls_n, before + 1);
		assert_int_equal(bed->users[bed->users_n - 1].slot, slot);
	}
	/* Where all are to be avoided, one is taken all the same. */
	bed->choice.avoid = UINT64_MAX;
	many_ask(bed);
	sim_until(bed->loop, bed->ended_n == bed->users_n);
	assert_int_equal(bed->failed_n, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, many_setup, many_teardown)
	const struct CMUnitTest tests[] = {
		T(the_load_goes_to_all),
		T(a_slot_is_asked_and_no_other),
		T(a_loaded_server_gets_less),
		T(one_that_hangs_is_spared),
		T(one_that_is_slow_is_spared),
		T(one_that_answers_rubbish_is_spared),
		T(one_whose_answers_are_blamed_is_spared),
		T(one_that_dies_is_not_missed),
		T(one_that_never_was_there_is_not_missed),
		T(a_single_server_that_came_back_is_used),
		T(all_down_is_said_at_once),
		T(a_worker_keeps_to_few_servers),
		T(workers_differ_in_whom_they_keep_to),
		T(slots_are_those_of_the_set),
	};
#undef T

	return cmocka_run_group_tests_name("peers_many", tests, NULL, NULL);
}
