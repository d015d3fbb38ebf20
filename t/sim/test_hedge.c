/*
 * test_hedge.c: asks that go to a second server when the first is slow: the first answer counts, once,
 * within a budget; whatever the order of answers, losses, deadlines and cancels.
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

static int up_n(const struct many_bed *bed)
{
	int n = 0;

	for (size_t i = 0; i < bed->peers->n; i++)
		n += bed->peers->at[i]->state == PEER_UP;
	return n;
}

/* Users that may hedge and don't retry; all are asked of server 0 first. */
static void start(struct many_bed *bed, int n)
{
	bed->params.hedge_permille = 1000;
	bed->params.ping_ms = 0;
	bed->choice.hedge = true;
	bed->retry = false;
	many_start(bed, n);
	peers_connect(bed->peers);
	sim_until(bed->loop, up_n(bed) == n);
}

/* The only one that is free to be asked first is server 0. */
static void ask_first(struct many_bed *bed)
{
	uint64_t load = bed->peers->at[1]->in_flight;

	bed->peers->at[1]->in_flight = bed->params.in_flight_max;
	many_ask(bed);
	bed->peers->at[1]->in_flight = (uint32_t)load;
}

static void check_quiet(struct many_bed *bed)
{
	assert_int_equal(peers_in_flight(bed->peers), 0);
	for (size_t i = 0; i < bed->peers->n; i++) {
		struct peer *peer = bed->peers->at[i];

		assert_int_equal(peer->in_flight, 0);
		assert_true(TAILQ_EMPTY(&peer->queue));
		if (peer->slots != NULL)
			assert_int_equal(
			    peer->free_slots_n, bed->params.in_flight_max + PEER_OWN_ASKS);
	}
}

static void check_slow_first(struct many_bed *bed)
{
	start(bed, 2);
	bed->servers[0].behaviour = SLOW;
	bed->servers[0].slow_ms = 70;
	for (int i = 0; i < 5; i++) {
		ask_first(bed);
		sim_until(bed->loop, bed->ended_n == bed->users_n);
		assert_int_equal(bed->users[i].result, PEERS_OK);
		assert_int_equal(bed->users[i].slot, 1);
		assert_in_range(bed->users[i].took_ms, 20, 65); /* a quarter of the deadline */
		assert_int_equal(peers_in_flight(bed->peers), 0);
	}
	/* The answers of the slow one are dropped, and tell that it is there. */
	sim_until(bed->loop, bed->peers->at[0]->in_flight == 0);
	assert_false(breaker_is_open(&bed->peers->at[0]->breaker));
	for (int i = 0; i < 5; i++)
		assert_int_equal(bed->users[i].done_n, 1);
	check_quiet(bed);
}

static void the_faster_answer_counts(void **state)
{
	check_slow_first(*state);
}

static void the_faster_answer_counts_where_they_are_numbered(void **state)
{
	struct many_bed *bed = *state;

	bed->params.codec = &sim_numbered;
	check_slow_first(bed);
}

static void the_first_may_be_the_faster_all_the_same(void **state)
{
	struct many_bed *bed = *state;

	start(bed, 2);
	for (int i = 0; i < 2; i++) {
		bed->servers[i].behaviour = SLOW;
		bed->servers[i].slow_ms = i == 0 ? 40 : 70;
	}
	ask_first(bed);
	sim_until(bed->loop, bed->ended_n == 1);
	assert_int_equal(bed->users[0].slot, 0);
	assert_int_equal(bed->servers[1].calls_n, 1);
	assert_int_equal(peers_in_flight(bed->peers), 0);
	sim_until(bed->loop, bed->peers->at[1]->in_flight == 0);
	check_quiet(bed);
}

static void copies_keep_to_their_budget(void **state)
{
	struct many_bed *bed = *state;
	int calls;

	bed->params.deadline_ms = 400;
	start(bed, 2);
	bed->servers[0].behaviour = bed->servers[1].behaviour = SLOW;
	bed->servers[0].slow_ms = bed->servers[1].slow_ms = 150;
	bed->peers->params.hedge_permille = 50;
	many_ask_for(bed, 600);
	calls = bed->servers[0].calls_n + bed->servers[1].calls_n;
	assert_true(calls > bed->users_n); /* some went twice */
	assert_true(calls <= bed->users_n + 10 + bed->users_n * 50 / 1000 + 1);
	assert_int_equal(bed->failed_n, 0);
	/* Who may not, does not. */
	bed->choice.hedge = false;
	calls = bed->servers[0].calls_n + bed->servers[1].calls_n - bed->users_n;
	many_ask_for(bed, 300);
	assert_int_equal(calls, bed->servers[0].calls_n + bed->servers[1].calls_n - bed->users_n);
}

static void the_time_is_that_of_most_answers(void **state)
{
	struct many_bed *bed = *state;

	bed->params.deadline_ms = 1000;
	start(bed, 2);
	many_ask_for(bed, 300); /* answers take 1 ms or so */
	bed->servers[0].behaviour = SLOW;
	bed->servers[0].slow_ms = 300;
	ask_first(bed);
	sim_until(bed->loop, bed->ended_n == bed->users_n);
	assert_int_equal(bed->users[bed->users_n - 1].slot, 1);
	assert_true(bed->users[bed->users_n - 1].took_ms < 60);
}

static void a_slow_server_is_spared_though_its_asks_were_answered(void **state)
{
	struct many_bed *bed = *state;

	start(bed, 2);
	many_ask_for(bed, 100);
	bed->servers[0].behaviour = HANG;
	many_ask_for(bed, 900); /* one at a time, each for its deadline, since the other is idle */
	assert_int_equal(bed->failed_n, 0);
	assert_true(many_slowest(bed, 0) < 80);
	assert_true(breaker_is_open(&bed->peers->at[0]->breaker));
}

static void by_rank_the_next_one_gets_the_copy(void **state)
{
	struct many_bed *bed = *state;
	unsigned order[4] = { 0 };

	bed->choice.by = PEERS_RANK;
	start(bed, 4);
	for (uint8_t rank = 0; rank < 4; rank++) {
		bed->choice.rank = rank;
		bed->choice.hash = UINT64_C(0x1234567890abcdef);
		many_ask(bed);
		sim_until(bed->loop, bed->ended_n == bed->users_n);
		order[rank] = bed->users[bed->users_n - 1].slot;
	}
	for (uint8_t rank = 0; rank < 3; rank++) {
		bed->servers[order[rank]].behaviour = HANG;
		bed->choice.rank = rank;
		many_ask(bed);
		sim_until(bed->loop, bed->ended_n == bed->users_n);
		assert_int_equal(bed->users[bed->users_n - 1].result, PEERS_OK);
		assert_int_equal(bed->users[bed->users_n - 1].slot, order[rank + 1]);
		bed->servers[order[rank]].behaviour = ECHO;
	}
	/* Behind the last there is none. */
	bed->servers[order[3]].behaviour = HANG;
	bed->choice.rank = 3;
	many_ask(bed);
	sim_until(bed->loop, bed->ended_n == bed->users_n);
	assert_int_equal(bed->users[bed->users_n - 1].result, PEERS_DEADLINE);
}

/* Both hold a copy. */
static void start_both_hang(struct many_bed *bed)
{
	start(bed, 2);
	bed->servers[0].behaviour = bed->servers[1].behaviour = HANG;
	ask_first(bed);
	sim_until(bed->loop, bed->servers[0].calls_n == 1 && bed->servers[1].calls_n == 1);
	assert_int_equal(peers_in_flight(bed->peers), 1);
}

static void the_copy_outlives_the_first_connection(void **state)
{
	for (int first = 0; first < 2; first++) {
		struct many_bed *bed = *state;

		start_both_hang(bed);
		many_server_stop(&bed->servers[first]);
		sim_until(bed->loop, bed->peers->at[first]->state != PEER_UP);
		assert_int_equal(bed->ended_n, 0);
		many_answer_hung(bed);
		sim_until(bed->loop, bed->ended_n == 1);
		assert_int_equal(bed->users[0].result, PEERS_OK);
		assert_int_equal(bed->users[0].slot, 1 - first);
		check_quiet(bed);
		if (first == 0) {
			many_teardown(state);
			many_setup(state);
		}
	}
}

static void a_lost_ask_may_go_to_another_at_once(void **state)
{
	struct many_bed *bed = *state;

	bed->params.deadline_ms = 4000; /* the copy would be due in a second */
	start(bed, 2);
	bed->servers[0].behaviour = HANG;
	ask_first(bed);
	sim_until(bed->loop, bed->servers[0].calls_n == 1);
	many_server_stop(&bed->servers[0]);
	sim_until(bed->loop, bed->ended_n == 1);
	assert_int_equal(bed->users[0].result, PEERS_OK);
	assert_int_equal(bed->users[0].slot, 1);
	assert_true(bed->users[0].took_ms < 500);
}

static void both_lost_is_lost_once(void **state)
{
	struct many_bed *bed = *state;

	start_both_hang(bed);
	many_server_stop(&bed->servers[1]);
	many_server_stop(&bed->servers[0]);
	sim_until(bed->loop, bed->ended_n == 1);
	assert_int_equal(bed->users[0].result, PEERS_LOST);
	sim_while(bed->loop, 120, bed->users[0].done_n == 1);
	check_quiet(bed);
}

static void a_deadline_ends_both(void **state)
{
	struct many_bed *bed = *state;

	start_both_hang(bed);
	sim_until(bed->loop, bed->ended_n == 1);
	assert_int_equal(bed->users[0].result, PEERS_DEADLINE);
	assert_in_range(bed->users[0].took_ms, 95, 160);
	sim_until(bed->loop, bed->peers->at[1]->in_flight == 0);
	assert_int_equal(bed->users[0].done_n, 1);
	check_quiet(bed);
	many_answer_hung(bed); /* late answers meet nobody */
	bed->servers[0].behaviour = bed->servers[1].behaviour = ECHO;
	many_ask_for(bed, 50);
	assert_int_equal(bed->failed_n, 1);
}

static void a_cancel_ends_both(void **state)
{
	struct many_bed *bed = *state;

	start_both_hang(bed);
	ask_cancel(bed->users[0].ask);
	check_quiet(bed);
	many_answer_hung(bed);
	sim_while(bed->loop, 120, bed->ended_n == 0);
	check_quiet(bed);
	/* And before there are two. */
	ask_first(bed);
	ask_cancel(bed->users[1].ask);
	sim_while(bed->loop, 60, bed->servers[1].calls_n == 1);
	check_quiet(bed);
}

static void peers_can_be_freed_with_both_in_flight(void **state)
{
	struct many_bed *bed = *state;

	start_both_hang(bed);
	peers_free(bed->peers);
	bed->peers = NULL;
	assert_int_equal(bed->users[0].done_n, 1);
	assert_int_equal(bed->users[0].result, PEERS_LOST);
}

static void the_set_may_change_with_both_in_flight(void **state)
{
	for (int kept = 0; kept < 2; kept++) {
		struct many_bed *bed = *state;

		start_both_hang(bed);
		assert_int_equal(peers_set(bed->peers, &bed->servers[kept].at.endpoint, 1), 0);
		sim_while(bed->loop, 20, bed->ended_n == 0);
		many_answer_hung(bed);
		sim_until(bed->loop, bed->ended_n == 1);
		assert_int_equal(bed->users[0].result, PEERS_OK);
		sim_until(
		    bed->loop, bed->peers->leaving_n == 0 && bed->peers->at[0]->in_flight == 0);
		if (kept == 0) {
			many_teardown(state);
			many_setup(state);
		}
	}
}

static void one_that_is_not_up_yet_is_hedged_too(void **state)
{
	struct many_bed *bed = *state;

	start(bed, 2);
	/* Server 0 is there, and never gets to accept. */
	many_server_stop(&bed->servers[0]);
	sim_until(bed->loop, bed->peers->at[0]->state != PEER_UP);
	ask_first(bed);
	sim_until(bed->loop, bed->ended_n == 1);
	assert_int_equal(bed->users[0].result, PEERS_OK);
	assert_int_equal(bed->users[0].slot, 1);
	assert_true(bed->users[0].took_ms < 80);
	check_quiet(bed);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, many_setup, many_teardown)
	const struct CMUnitTest tests[] = {
		T(the_faster_answer_counts),
		T(the_faster_answer_counts_where_they_are_numbered),
		T(the_first_may_be_the_faster_all_the_same),
		T(copies_keep_to_their_budget),
		T(the_time_is_that_of_most_answers),
		T(a_slow_server_is_spared_though_its_asks_were_answered),
		T(by_rank_the_next_one_gets_the_copy),
		T(the_copy_outlives_the_first_connection),
		T(a_lost_ask_may_go_to_another_at_once),
		T(both_lost_is_lost_once),
		T(a_deadline_ends_both),
		T(a_cancel_ends_both),
		T(peers_can_be_freed_with_both_in_flight),
		T(the_set_may_change_with_both_in_flight),
		T(one_that_is_not_up_yet_is_hedged_too),
	};
#undef T

	return cmocka_run_group_tests_name("hedge", tests, NULL, NULL);
}
