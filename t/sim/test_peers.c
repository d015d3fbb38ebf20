/*
 * test_peers.c: the asking side against a scripted far end: every fault of a server.
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

#include "peers_bed.h"

/* ---- answers */

static void answers_come_in_order_whatever_their_pieces(void **state)
{
	struct bed *bed = *state;
	const char *answers = "A\nBB\nCCC\n";

	bed_start(bed, true);
	bed_ask(bed, 0, "a\n", 0); /* queued: it connects by itself */
	bed_ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 1));
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	bed_ask(bed, 2, "c\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\nc\n"));
	assert_int_equal(peers_in_flight(bed->peers), 3);
	for (size_t i = 0; answers[i] != '\0'; i++) {
		assert_int_equal(bed->asked[2].done_n, 0);
		sim_server_send(&bed->server, answers + i, 1);
		sim_turn(bed->loop);
	}
	sim_until(bed->loop, bed->asked[2].done_n == 1);
	assert_string_equal(bed->asked[0].answer, "A\n");
	assert_string_equal(bed->asked[1].answer, "BB\n");
	assert_string_equal(bed->asked[2].answer, "CCC\n");
	assert_int_equal(peers_in_flight(bed->peers), 0);
	assert_true(peers_usable(bed->peers));
}

static void numbered_answers_come_in_any_order(void **state)
{
	struct bed *bed = *state;
	uint8_t in[18], out[12];

	bed->params.codec = &sim_numbered;
	bed->params.number = bed_number;
	bed_start(bed, true);
	bed_connect(bed);
	for (int i = 0; i < 3; i++)
		assert_non_null(bed_ask_bytes(bed, i, bytes_of("\1....x", 6), i == 1 ? 40 : 0));
	sim_until(bed->loop, sim_server_len(&bed->server) == 18);
	memcpy(in, bed->server.in, 18);
	/* The third, then the first; the second is too late and its number is nobody's any more. */
	sim_until(bed->loop, bed_ended(bed, 1, PEERS_DEADLINE));
	in[17] = 'c';
	sim_server_send(&bed->server, in + 12, 6);
	in[11] = 'b';
	sim_server_send(&bed->server, in + 6, 6);
	in[5] = 'a';
	sim_server_send(&bed->server, in, 6);
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_OK) && bed_ended(bed, 2, PEERS_OK));
	assert_int_equal(bed->asked[0].answer[5], 'a');
	assert_int_equal(bed->asked[2].answer[5], 'c');
	/* The late one's slot is used again, under another number. */
	sim_server_take(&bed->server);
	assert_non_null(bed_ask_bytes(bed, 3, bytes_of("\1....x", 6), 0));
	sim_until(bed->loop, sim_server_len(&bed->server) == 6);
	memcpy(out, bed->server.in, 6);
	for (int i = 0; i < 3; i++) /* one of them had its slot before */
		sim_server_send(&bed->server, in + i * 6, 6);
	sim_while(bed->loop, 20, bed->asked[3].done_n == 0);
	sim_server_send(&bed->server, out, 6);
	sim_until(bed->loop, bed_ended(bed, 3, PEERS_OK));
	assert_int_equal(bed->server.accepted_n, 1);
}

static void a_number_that_cannot_be_ends_the_connection(void **state)
{
	struct bed *bed = *state;

	bed->params.codec = &sim_numbered;
	bed->params.number = bed_number;
	bed_start(bed, true);
	bed_connect(bed);
	assert_non_null(bed_ask_bytes(bed, 0, bytes_of("\1....x", 6), 0));
	sim_server_send(&bed->server, "\1\xff\xff\xff\xffx", 6);
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_PROTOCOL));
	sim_until(bed->loop, sim_server_sees_end(&bed->server));
}

/* ---- late, slow, silent */

static void a_late_answer_is_dropped_in_its_turn(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 0, "a\n", 20);
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_DEADLINE));
	bed_ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	sim_server_say(&bed->server, "late\n");
	sim_while(bed->loop, 20, bed->asked[1].done_n == 0);
	sim_server_say(&bed->server, "B\n");
	sim_until(bed->loop, bed_ended(bed, 1, PEERS_OK));
	assert_string_equal(bed->asked[1].answer, "B\n");
	assert_int_equal(bed->asked[0].done_n, 1);
}

static void late_answers_end_the_connection_by_their_number(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	for (int i = 0; i < 64; i++)
		bed_ask(bed, i, "a\n", 20);
	bed_ask(bed, 64, "b\n", 0);
	sim_until(bed->loop, bed_ended(bed, 64, PEERS_LOST));
	for (int i = 0; i < 64; i++)
		assert_true(bed_ended(bed, i, PEERS_DEADLINE));
	assert_true(sim_server_sees_end(&bed->server));
}

static void three_missed_deadlines_end_a_silent_connection(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 9, "z\n", 0);
	for (int i = 0; i < 3; i++) {
		assert_false(sim_server_sees_end(&bed->server));
		bed_ask(bed, i, "a\n", 20);
		sim_until(bed->loop, bed_ended(bed, i, PEERS_DEADLINE));
	}
	sim_until(bed->loop, bed_ended(bed, 9, PEERS_LOST));
	/* And another connection is made, on which all is well. */
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
	sim_until(bed->loop, peers_usable(bed->peers) && bed->up_n == 2);
	bed_ask(bed, 10, "y\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "y\n"));
	sim_server_say(&bed->server, "Y\n");
	sim_until(bed->loop, bed_ended(bed, 10, PEERS_OK));
}

static void the_time_in_which_the_machine_stood_still_is_no_servers_fault(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 0, "a\n", 200);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\n"));
	sim_stand_still(300);
	sim_while(bed->loop, 100, bed->asked[0].done_n == 0);
	sim_server_say(&bed->server, "A\n");
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_OK));
}

static void a_few_asks_go_on_where_a_connection_stands_though_nothing_was_answered(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	for (int i = 0; i < 5; i++)
		bed_ask(bed, i, "a\n", 20);
	sim_until(bed->loop, !peers_usable(bed->peers));
	for (int i = 5; i < 9; i++)
		bed_ask(bed, i, "b\n", 0);
	assert_null(bed_ask_bytes(bed, 9, bytes_str("c\n"), 0));
	assert_int_equal(bed->why, PEERS_BREAKER);
	sim_server_say(&bed->server, "1\n2\n3\n4\n5\nB\nB\nB\nB\n");
	for (int i = 5; i < 9; i++)
		sim_until(bed->loop, bed_ended(bed, i, PEERS_OK));
	assert_true(peers_usable(bed->peers));
	assert_int_equal(bed->server.accepted_n, 1);
}

static void any_answer_starts_the_count_of_misses_anew(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	for (int i = 0; i < 4; i++) {
		bed_ask(bed, 2 * i, "a\n", 20);
		sim_until(bed->loop, bed_ended(bed, 2 * i, PEERS_DEADLINE));
		sim_server_say(&bed->server, "late\n");
		bed_ask(bed, 2 * i + 1, "b\n", 0);
		sim_server_say(&bed->server, "B\n");
		sim_until(bed->loop, bed_ended(bed, 2 * i + 1, PEERS_OK));
	}
	assert_false(sim_server_sees_end(&bed->server));
}

/* ---- dead, closing, lying */

static void a_dead_server_opens_the_breaker_and_is_used_again_when_it_is_back(void **state)
{
	struct bed *bed = *state;
	uint64_t back;
	int i;

	bed_start(bed, false);
	for (i = 0; i < 50 && bed_ask_bytes(bed, i, bytes_str("a\n"), 0) != NULL; i++)
		sim_until(bed->loop, bed_ended(bed, i, PEERS_LOST));
	assert_in_range(i, 1, 5);
	assert_int_equal(bed->why, PEERS_BREAKER);
	assert_false(peers_usable(bed->peers));
	sim_while(bed->loop, 300, !peers_usable(bed->peers));
	sim_server_listen(&bed->server);
	back = sim_now_ms();
	sim_until(bed->loop, peers_usable(bed->peers));
	assert_true(sim_now_ms() - back < 2000);
	bed_ask(bed, 60, "b\n", 0);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 1));
	sim_until(bed->loop, sim_server_got(&bed->server, "b\n"));
	sim_server_say(&bed->server, "B\n");
	sim_until(bed->loop, bed_ended(bed, 60, PEERS_OK));
}

static void rubbish_ends_the_connection_and_what_was_asked_on_it(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 0, "a\n", 0);
	bed_ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	sim_server_say(&bed->server, "A\n!!!\n");
	sim_until(bed->loop, bed_ended(bed, 1, PEERS_PROTOCOL));
	assert_true(bed_ended(bed, 0, PEERS_OK));
	assert_true(sim_server_sees_end(&bed->server));
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
}

static void an_answer_that_never_ends_is_rubbish(void **state)
{
	struct bed *bed = *state;
	char *big = malloc(32768);

	assert_non_null(big);
	memset(big, 'x', 32768);
	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 0, "a\n", 0);
	for (int i = 0; i < 4; i++) {
		sim_server_send(&bed->server, big, 8192);
		sim_turn(bed->loop);
	}
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_PROTOCOL));
	free(big);
}

static void an_answer_that_nobody_asked_for_ends_the_connection(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	sim_server_say(&bed->server, "surprise\n");
	sim_until(bed->loop, sim_server_sees_end(&bed->server));
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
}

static void a_close_in_the_middle_of_an_answer_is_a_loss(void **state)
{
	struct bed *bed = *state;

	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 0, "a\n", 0);
	bed_ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	sim_server_say(&bed->server, "A\nhal");
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_OK));
	sim_server_close(&bed->server);
	sim_server_take(&bed->server);
	sim_until(bed->loop, bed_ended(bed, 1, PEERS_LOST));
	assert_true(peers_usable(bed->peers));
	/* What is asked now waits for the next connection. */
	bed_ask(bed, 2, "c\n", 0);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
	sim_until(bed->loop, sim_server_got(&bed->server, "c\n"));
	sim_server_say(&bed->server, "C\n");
	sim_until(bed->loop, bed_ended(bed, 2, PEERS_OK));
}

static void the_socket_of_another_user_is_not_asked(void **state)
{
	struct bed *bed = *state;

	bed->params.owner = getuid() + 1;
	bed_start(bed, true);
	bed_ask(bed, 0, "secret\n", 0);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 1));
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_LOST));
	assert_int_equal(sim_server_len(&bed->server), 0);
	assert_true(sim_server_sees_end(&bed->server));
	assert_int_equal(bed->up_n, 0);
}

/* ---- welcome */

static void nothing_is_asked_before_the_welcome(void **state)
{
	struct bed *bed = *state;

	bed->params.hello = bed_hello;
	bed->params.welcome = bed_welcome;
	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 0, "a\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "hello\n"));
	sim_while(bed->loop, 20, sim_server_got(&bed->server, "hello\n"));
	assert_int_equal(bed->up_n, 0);
	sim_server_say(&bed->server, "welcome\n");
	sim_until(bed->loop, sim_server_got(&bed->server, "hello\na\n"));
	assert_int_equal(bed->up_n, 1);
	sim_server_say(&bed->server, "A\n");
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_OK));
}

static void who_is_not_welcome_asks_nothing(void **state)
{
	struct bed *bed = *state;

	bed->params.hello = bed_hello;
	bed->params.welcome = bed_welcome;
	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 0, "a\n", 0);
	sim_server_say(&bed->server, "go away\n");
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_PROTOCOL));
	assert_true(sim_server_got(&bed->server, "hello\n"));
	assert_int_equal(bed->up_n, 0);
}

static void a_welcome_that_does_not_come_ends_the_connection(void **state)
{
	struct bed *bed = *state;

	bed->params.hello = bed_hello;
	bed->params.connect_ms = 50;
	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 0, "a\n", 0);
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_LOST));
	assert_true(sim_server_sees_end(&bed->server));
}

/* ---- what is to be known of a server */

static size_t inquire(void *arg, uint8_t *buf, size_t max)
{
	(void)arg;
	assert_true(max >= 4);
	memcpy(buf, "who\n", 4);
	return 4;
}

/* The number that it says. */
static uint64_t learn(void *arg, const struct endpoint *at, struct bytes answer)
{
	const struct bed *bed = arg;

	assert_true(endpoint_equal(at, &bed->server.endpoint));
	assert_true(answer.len == 2);
	return (uint64_t)(answer.at[0] - '0');
}

static const struct peers_choice first = { .by = PEERS_RANK, .direct = true };

static uint64_t mark_of(struct bed *bed)
{
	return peers_mark(bed->peers, (struct peers_choice){ .by = PEERS_RANK });
}

static void a_connection_is_marked_by_what_was_learnt_before_its_use(void **state)
{
	struct bed *bed = *state;

	bed->params.hello = bed_hello;
	bed->params.welcome = bed_welcome;
	bed->params.inquire = inquire;
	bed->params.learn = learn;
	bed->params.arg = bed;
	bed_start(bed, true);
	bed_connect(bed);
	bed_ask(bed, 0, "a\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "hello\n"));
	assert_int_equal(mark_of(bed), 0);
	sim_server_say(&bed->server, "welcome\n");
	sim_until(bed->loop, sim_server_got(&bed->server, "hello\nwho\n"));
	sim_while(bed->loop, 20, sim_server_got(&bed->server, "hello\nwho\n"));
	assert_int_equal(bed->up_n, 0);
	assert_int_equal(mark_of(bed), 0);
	sim_server_say(&bed->server, "7\n");
	sim_until(bed->loop, sim_server_got(&bed->server, "hello\nwho\na\n"));
	assert_int_equal(mark_of(bed), 7);
	/* It is the connection's: with the next one it is asked anew. */
	sim_server_close(&bed->server);
	sim_server_take(&bed->server);
	sim_until(bed->loop, bed_ended(bed, 0, PEERS_LOST));
	assert_int_equal(mark_of(bed), 0);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
	sim_server_say(&bed->server, "welcome\n");
	sim_server_say(&bed->server, "0\n");
	sim_until(bed->loop, bed->up_n == 2);
	assert_int_equal(mark_of(bed), 0);
}

static void what_is_direct_goes_over_the_connection_that_there_is_or_not_at_all(void **state)
{
	struct bed *bed = *state;
	enum peers_why why;

	bed->params.hello = bed_hello;
	bed_start(bed, true);
	bed_connect(bed);
	/* Any other ask would wait for the welcome. */
	assert_null(
	    peers_ask(bed->peers, bytes_str("a\n"), first, 0, bed_done, &bed->asked[0], &why));
	sim_server_say(&bed->server, "welcome\n");
	sim_until(bed->loop, bed->up_n == 1);
	assert_non_null(
	    peers_ask(bed->peers, bytes_str("b\n"), first, 0, bed_done, &bed->asked[1], &why));
	sim_until(bed->loop, sim_server_got(&bed->server, "hello\nb\n"));
	sim_server_close(&bed->server);
	sim_server_take(&bed->server);
	sim_until(bed->loop, bed_ended(bed, 1, PEERS_LOST));
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
	sim_server_say(&bed->server, "welcome\n");
	sim_until(bed->loop, bed->up_n == 2);
	sim_while(bed->loop, 20, sim_server_got(&bed->server, "hello\n"));
	assert_int_equal(bed->asked[0].done_n, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		T(answers_come_in_order_whatever_their_pieces),
		T(numbered_answers_come_in_any_order),
		T(a_number_that_cannot_be_ends_the_connection),
		T(a_late_answer_is_dropped_in_its_turn),
		T(late_answers_end_the_connection_by_their_number),
		T(three_missed_deadlines_end_a_silent_connection),
		T(the_time_in_which_the_machine_stood_still_is_no_servers_fault),
		T(a_few_asks_go_on_where_a_connection_stands_though_nothing_was_answered),
		T(any_answer_starts_the_count_of_misses_anew),
		T(a_dead_server_opens_the_breaker_and_is_used_again_when_it_is_back),
		T(rubbish_ends_the_connection_and_what_was_asked_on_it),
		T(an_answer_that_never_ends_is_rubbish),
		T(an_answer_that_nobody_asked_for_ends_the_connection),
		T(a_close_in_the_middle_of_an_answer_is_a_loss),
		T(the_socket_of_another_user_is_not_asked),
		T(nothing_is_asked_before_the_welcome),
		T(who_is_not_welcome_asks_nothing),
		T(a_welcome_that_does_not_come_ends_the_connection),
		T(a_connection_is_marked_by_what_was_learnt_before_its_use),
		T(what_is_direct_goes_over_the_connection_that_there_is_or_not_at_all),
	};
#undef T

	return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
