/*
 * test_peers_use.c: the asking side in its user's hands: asks cancelled in every state, callbacks
 * that ask, cancel and free, bounds, probes and pings, and the set of servers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/breaker.h"

#include "peers_bed.h"

/* ---- cancel, free, ask in callbacks */

static void a_cancelled_ask_is_heard_of_no_more(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_ask(bed, 0, "queued\n", 0);
	bed_ask(bed, 1, "a\n", 0);
	ask_cancel(bed->asked[0].ask);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 1));
	sim_until(bed->loop, sim_server_got(&bed->server, "a\n")); /* the queued one never left */
	bed_ask(bed, 2, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	ask_cancel(bed->asked[1].ask);
	assert_int_equal(peers_in_flight(bed->peers), 1);
	sim_server_say(&bed->server, "A\nB\n");
	sim_until(bed->loop, bed_ended(bed, 2, PEERS_OK));
	assert_string_equal(bed->asked[2].answer, "B\n");
	assert_int_equal(bed->asked[0].done_n, 0);
	assert_int_equal(bed->asked[1].done_n, 0);
	/* Cancelled and then lost. */
	bed_ask(bed, 3, "c\n", 0);
	sim_until(bed->loop, sim_server_len(&bed->server) == 6);
	ask_cancel(bed->asked[3].ask);
	sim_server_close(&bed->server);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
	assert_int_equal(bed->asked[3].done_n, 0);
}

static void cancel_next(struct asked *asked)
{
	ask_cancel(asked[1].ask);
	ask_cancel(asked->ask); /* oneself: nothing */
}

static void an_ask_can_be_cancelled_by_another_ones_end(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	bed->asked[0].then = bed->asked[2].then = bed->asked[4].then = cancel_next;
	bed_ask(bed, 0, "a\n", 0);
	bed_ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	sim_server_say(&bed->server, "A\nB\n");
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_OK));
	bed_ask(bed, 2, "c\n", 0);
	bed_ask(bed, 3, "d\n", 0);
	sim_server_close(&bed->server);
	sim_until(bed->loop, bed_ended(bed, 2, PEERS_LOST));
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
	bed_ask(bed, 4, "e\n", 20);
	bed_ask(bed, 5, "f\n", 20);
	sim_until(bed->loop, bed_ended(bed, 4, PEERS_DEADLINE));
	sim_while(bed->loop, 40, bed->asked[5].done_n == 0);
	assert_int_equal(bed->asked[1].done_n + bed->asked[3].done_n, 0);
	assert_int_equal(peers_in_flight(bed->peers), 0);
}

static void ask_again(struct asked *asked)
{
	asked->then = NULL;
	bed_ask(asked->bed, (int)(asked - asked->bed->asked) + 10, "again\n", 0);
}

static void an_ask_at_anothers_loss_waits_for_the_next_connection(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	bed->asked[0].then = bed->asked[1].then = ask_again;
	bed_ask(bed, 0, "a\n", 0);
	bed_ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	sim_server_close(&bed->server);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
	sim_until(bed->loop, sim_server_got(&bed->server, "again\nagain\n"));
	sim_server_say(&bed->server, "A\nB\n");
	sim_until(bed->loop, bed_ended(bed, 10, PEERS_OK) && bed_ended(bed, 11, PEERS_OK));
}

static void free_peers(struct asked *asked)
{
	struct peers *peers = asked->bed->peers;

	asked->bed->peers = NULL;
	peers_free(peers);
}

static void free_in(struct bed *bed, int i)
{
	bed_start(bed, true);
	bed_connect(bed);
	bed->asked[i].then = free_peers;
	for (int n = 0; n < 3; n++)
		bed_ask(bed, n, "a\n", n == 1 ? 20 : 0);
}

static void all_ended(struct bed *bed)
{
	for (int n = 0; n < 3; n++)
		assert_int_equal(bed->asked[n].done_n, 1);
	sim_until(bed->loop, sim_server_sees_end(&bed->server));
}

static void peers_can_be_freed_by_an_answer(void **state)
{
	struct bed *bed = *state;

	free_in(bed, 0);
	sim_server_say(&bed->server, "A\nB\nC\n");
	sim_until(bed->loop, bed->peers == NULL);
	all_ended(bed);
	assert_int_equal(bed->asked[2].result, PEERS_LOST);
}

static void peers_can_be_freed_by_a_deadline(void **state)
{
	struct bed *bed = *state;

	free_in(bed, 1);
	sim_until(bed->loop, bed->peers == NULL);
	all_ended(bed);
}

static void peers_can_be_freed_by_a_loss(void **state)
{
	struct bed *bed = *state;

	free_in(bed, 2);
	sim_server_close(&bed->server);
	sim_until(bed->loop, bed->peers == NULL);
	for (int n = 0; n < 3; n++)
		assert_true(bed_ended(bed, n, PEERS_LOST));
}

static void no_ask_is_taken_while_peers_are_freed(void **state)
{
	struct bed *bed = *state;
	struct peers *peers;
	struct asked *asked = &bed->asked[0];

	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 0, "a\n", 0);
	bed_ask(bed, 1, "b\n", 0);
	asked->then = free_peers; /* a second free, from within the first: nothing */
	peers = bed->peers;
	peers_free(peers);
	assert_true(bed_ended(bed, 0, PEERS_LOST) && bed_ended(bed, 1, PEERS_LOST));
}

/* ---- bounds */

static void what_is_in_flight_is_bounded(void **state)
{
	struct bed *bed = *state;

	bed->params.in_flight_max = 3;
	bed_start(bed, true);
	for (int round = 0; round < 2; round++) {
		int at = round * 10;

		for (int i = 0; i < 3; i++) /* queued, then sent */
			bed_ask(bed, at + i, "a\n", 0);
		assert_null(bed_ask_bytes(bed, 50, bytes_str("a\n"), 0));
		assert_int_equal(bed->why, PEERS_FULL);
		sim_until(bed->loop, sim_server_accepted(&bed->server, 1));
		sim_until(bed->loop, sim_server_got(&bed->server, "a\na\na\n"));
		sim_server_take(&bed->server);
		sim_server_say(&bed->server, "A\n");
		sim_until(bed->loop, bed_ended(bed, at, PEERS_OK));
		bed_ask(bed, at + 3, "b\n", 0);
		sim_server_say(&bed->server, "A\nA\nB\n");
		sim_until(bed->loop, bed_ended(bed, at + 3, PEERS_OK));
		sim_server_take(&bed->server);
	}
	assert_int_equal(bed->asked[50].done_n, 0);
}

static void a_server_that_does_not_read_is_full_soon(void **state)
{
	struct bed *bed = *state;
	char *big = malloc(30000);
	int i;

	assert_non_null(big);
	memset(big, 'x', 29999);
	big[29999] = '\n';
	bed->params.in_flight_max = 1000;
	bed_start(bed, true);
	bed_connect(bed);
	for (i = 0; i < ASKS_MAX; i++) {
		if (bed_ask_bytes(bed, i, bytes_of(big, 30000), 0) == NULL)
			break;
		sim_turn(bed->loop);
	}
	assert_in_range(i, 2, ASKS_MAX - 1);
	assert_int_equal(bed->why, PEERS_FULL);
	/* It reads on: there is room again. */
	sim_until(bed->loop, (sim_server_take(&bed->server), sim_server_len(&bed->server), true) &&
				 bed_ask_bytes(bed, i, bytes_of(big, 30000), 0) != NULL);
	free(big);
}

/* ---- probes and pings */

static void open_breaker(struct bed *bed)
{
	int i;

	for (i = 0; i < 5; i++)
		bed_ask(bed, i, "a\n", 20);
	sim_until(bed->loop, bed->asked[4].done_n == 1);
	assert_false(peers_usable(bed->peers));
	sim_until(bed->loop, sim_server_got(&bed->server, "a\na\na\na\na\n"));
	sim_server_take(&bed->server);
}

/* One that may go nowhere else. */
static struct ask *ask_by_name(struct bed *bed, int i, const char *text)
{
	struct peers_choice choice = { .by = PEERS_RANK };

	return peers_ask(
	    bed->peers, bytes_str(text), choice, 0, bed_done, &bed->asked[i], &bed->why);
}

static void a_spared_server_is_probed_with_copies_of_asks(void **state)
{
	struct bed *bed = *state;
	uint64_t end;
	size_t probes = 0;

	bed->params.ping = bed_ping;
	bed_start(bed, true);
	bed_connect(bed);
	open_breaker(bed);
	end = sim_now_ms() + 2600;
	while (sim_now_ms() < end) {
		assert_null(ask_by_name(bed, 9, "probe\n"));
		assert_int_equal(bed->why, PEERS_BREAKER);
		sim_turn(bed->loop);
		probes = sim_server_len(&bed->server) / 6;
		if (probes == 1 && bed->server.accepted_n == 1)
			break;
	}
	assert_int_equal(probes, 1);
	assert_true(sim_server_got(&bed->server, "probe\n"));
	assert_int_equal(bed->asked[9].done_n, 0);
	/* Five late answers, then the probe's. */
	sim_server_say(&bed->server, "A\nA\nA\nA\nA\n");
	sim_while(bed->loop, 20, !peers_usable(bed->peers));
	sim_server_say(&bed->server, "P\n");
	sim_until(bed->loop, peers_usable(bed->peers));
	assert_int_equal(bed->asked[9].done_n, 0);
}

static void no_probe_is_a_copy_of_what_is_direct(void **state)
{
	struct bed *bed = *state;
	struct peers_choice direct[] = { { .by = PEERS_RANK, .direct = true },
		{ .by = PEERS_SLOT, .rank = 0 } };
	uint64_t until;
	enum peers_why why;

	bed->params.ping = bed_ping;
	bed_start(bed, true);
	bed_connect(bed);
	open_breaker(bed);
	until = sim_now_ms() + BREAKER_PROBE_MS + BREAKER_JITTER_MS + 100;
	while (sim_now_ms() < until) {
		for (int i = 0; i < 2; i++) {
			assert_null(peers_ask(bed->peers, bytes_str("direct\n"), direct[i], 0,
			    bed_done, &bed->asked[9], &why));
			assert_int_equal(why, PEERS_BREAKER);
		}
		sim_turn(bed->loop);
	}
	(void)sim_server_len(&bed->server);
	assert_null(strstr(bed->server.in, "direct"));
	/* Counter-proof: any other ask is copied when a probe is due. */
	sim_until(bed->loop,
	    (assert_null(ask_by_name(bed, 9, "probe\n")),
		sim_server_len(&bed->server) > 0 && strstr(bed->server.in, "probe") != NULL));
}

static void a_spared_server_is_pinged_when_nobody_asks(void **state)
{
	struct bed *bed = *state;
	uint64_t began;

	bed->params.ping = bed_ping;
	bed_start(bed, true);
	bed_connect(bed);
	open_breaker(bed);
	began = sim_now_ms();
	sim_until(bed->loop, sim_server_got(&bed->server, "ping\n"));
	assert_true(sim_now_ms() - began < 1600);
	sim_server_say(&bed->server, "A\nA\nA\nA\nA\npong\n");
	sim_until(bed->loop, peers_usable(bed->peers));
	assert_true(sim_now_ms() - began < 2000);
}

static void an_idle_connection_is_pinged_and_closed_when_it_is_silent(void **state)
{
	struct bed *bed = *state;

	bed->params.ping = bed_ping;
	bed->params.ping_ms = 40;
	bed->params.connect_ms = 300;
	bed_start(bed, true);
	bed_connect(bed);
	for (int i = 0; i < 3; i++) {
		sim_until(bed->loop, sim_server_got(&bed->server, "ping\n"));
		sim_server_take(&bed->server);
		sim_server_say(&bed->server, "pong\n");
	}
	sim_until(bed->loop, sim_server_got(&bed->server, "ping\n"));
	sim_until(bed->loop, sim_server_sees_end(&bed->server));
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
}

static void blame(struct asked *asked)
{
	peers_blame(asked->bed->peers, asked->ask);
}

static void an_answer_that_is_blamed_counts_as_a_failure(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	for (int i = 0; i < 5; i++) {
		assert_true(peers_usable(bed->peers));
		bed->asked[i].then = blame;
		bed_ask(bed, i, "a\n", 0);
		sim_server_say(&bed->server, "A\n");
		sim_until(bed->loop, bed_ended(bed, i, PEERS_OK));
	}
	assert_false(peers_usable(bed->peers));
}

/* ---- the set */

static void a_server_that_leaves_answers_what_it_was_asked(void **state)
{
	struct bed *bed = *state;
	struct sim_server *other = &bed->other;
	struct endpoint twice[2];

	sim_server_init(other);
	sim_server_listen(other);
	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 0, "a\n", 0);
	twice[0] = twice[1] = other->endpoint; /* named twice: once */
	assert_int_equal(peers_set(bed->peers, twice, 2), 0);
	bed_ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_accepted(other, 1));
	sim_until(bed->loop, sim_server_got(other, "b\n"));
	assert_true(sim_server_got(&bed->server, "a\n"));
	assert_false(sim_server_sees_end(&bed->server));
	sim_server_say(&bed->server, "A\n");
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_OK));
	sim_until(bed->loop, sim_server_sees_end(&bed->server));
	sim_server_say(other, "B\n");
	sim_until(bed->loop, bed_ended(bed, 1, PEERS_OK));
	/* Both again; then none. */
	twice[1] = bed->server.endpoint;
	assert_int_equal(peers_set(bed->peers, twice, 2), 0);
	assert_int_equal(peers_set(bed->peers, NULL, 0), 0);
	sim_until(bed->loop, sim_server_sees_end(other));
	assert_null(bed_ask_bytes(bed, 2, bytes_str("c\n"), 0));
	assert_int_equal(bed->why, PEERS_NO_ENDPOINT);
	sim_server_clear(other);
}

static void a_name_keeps_to_its_server(void **state)
{
	struct bed *bed = *state;
	struct sim_server *other = &bed->other;
	struct endpoint both[2];
	size_t first, second;

	sim_server_init(other);
	sim_server_listen(other);
	bed_start(bed, true);
	both[0] = bed->server.endpoint;
	both[1] = other->endpoint;
	assert_int_equal(peers_set(bed->peers, both, 2), 0);
	for (int i = 0; i < 20; i++)
		assert_non_null(peers_ask(bed->peers, bytes_str("a\n"),
		    (struct peers_choice){
			.by = PEERS_RANK, .hash = (uint64_t)i * 0x9e3779b97f4a7c15u, .rank = 0 },
		    0, bed_done, &bed->asked[i], &bed->why));
	for (int i = 0; i < 20; i++)
		assert_non_null(peers_ask(bed->peers, bytes_str("bb\n"),
		    (struct peers_choice){
			.by = PEERS_RANK, .hash = (uint64_t)i * 0x9e3779b97f4a7c15u, .rank = 1 },
		    0, bed_done, &bed->asked[i + 20], &bed->why));
	sim_until(bed->loop, sim_server_accepted(&bed->server, 1) &&
				 sim_server_accepted(other, 1) &&
				 sim_server_len(&bed->server) + sim_server_len(other) == 100);
	/* First for n names (2 bytes each) and second for the other 20 - n (3 bytes each). */
	first = 60 - sim_server_len(&bed->server);
	second = 60 - sim_server_len(other);
	assert_int_equal(first + second, 20);
	assert_true(first > 0 && second > 0);
	sim_server_clear(other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		T(a_cancelled_ask_is_heard_of_no_more),
		T(an_ask_can_be_cancelled_by_another_ones_end),
		T(an_ask_at_anothers_loss_waits_for_the_next_connection),
		T(peers_can_be_freed_by_an_answer),
		T(peers_can_be_freed_by_a_deadline),
		T(peers_can_be_freed_by_a_loss),
		T(no_ask_is_taken_while_peers_are_freed),
		T(what_is_in_flight_is_bounded),
		T(a_server_that_does_not_read_is_full_soon),
		T(a_spared_server_is_probed_with_copies_of_asks),
		T(no_probe_is_a_copy_of_what_is_direct),
		T(a_spared_server_is_pinged_when_nobody_asks),
		T(an_idle_connection_is_pinged_and_closed_when_it_is_silent),
		T(an_answer_that_is_blamed_counts_as_a_failure),
		T(a_server_that_leaves_answers_what_it_was_asked),
		T(a_name_keeps_to_its_server),
	};
#undef T

	return cmocka_run_group_tests_name("peers_use", tests, NULL, NULL);
}
