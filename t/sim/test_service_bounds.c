/*
 * test_service_bounds.c: the answering side's bounds and deadlines, callers that leave, and
 * drain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "service_bed.h"

/* ---- bounds */

static void connections_are_bounded(void **state)
{
	struct bed *bed = *state;

	bed->echo = true;
	bed_start(bed);
	for (int i = 0; i < 4; i++)
		bed_client(bed, i);
	bed->clients[4].fd = sim_connect(&bed->at.endpoint);
	sim_until(bed->loop, sim_ended(bed->clients[4].fd));
	bed_hang_up(bed, 0);
	sim_until(bed->loop, service_connections(bed->service) == 3);
	bed_client(bed, 5);
	bed_say(bed, 5, "a\n");
	sim_until(bed->loop, bed_got(bed, 5, "a\n"));
}

/* Who has said "me" is known from then on. */
static bool has_said_it(void *arg, const struct identity *who)
{
	(void)arg;
	return who->user != NULL;
}

static void strangers_hold_no_place_that_another_wants(void **state)
{
	struct bed *bed = *state;

	bed->params.known = has_said_it;
	bed_start(bed);
	for (int i = 0; i < 4; i++)
		bed_client(bed, i);
	bed_say(bed, 0, "me\n");
	sim_until(bed->loop, bed->calls_n == 1);
	call_identity(bed->calls[0])->user = bed;
	bed_answer(bed, 0, "you\n");
	sim_until(bed->loop, bed_got(bed, 0, "you\n"));
	bed->clients[4].fd = sim_connect(&bed->at.endpoint);
	bed->clients[5].fd = sim_connect(&bed->at.endpoint);
	sim_until(bed->loop, sim_ended(bed->clients[1].fd) && sim_ended(bed->clients[2].fd));
	bed_say(bed, 5, "a\n");
	sim_until(bed->loop, bed->calls_n == 2);
	bed_answer(bed, 1, "A\n");
	sim_until(bed->loop, bed_got(bed, 5, "A\n"));
	bed_say(bed, 0, "still here\n");
	sim_until(bed->loop, bed->calls_n == 3);
	bed_answer(bed, 2, "yes\n");
	sim_until(bed->loop, bed_got(bed, 0, "you\nyes\n"));
}

static void a_stranger_is_not_waited_for_long(void **state)
{
	struct bed *bed = *state;

	bed->params.known = has_said_it;
	bed->params.stall_ms = 200;
	bed_start(bed);
	bed_client(bed, 0);
	bed_client(bed, 1);
	bed_say(bed, 0, "me\n");
	sim_until(bed->loop, bed->calls_n == 1);
	call_identity(bed->calls[0])->user = bed;
	bed_answer(bed, 0, "you\n");
	sim_until(bed->loop, sim_ended(bed->clients[1].fd));
	sim_while(bed->loop, 30, service_connections(bed->service) == 1);
	bed_say(bed, 0, "b\n");
	sim_until(bed->loop, bed->calls_n == 2);
	bed_answer(bed, 1, "B\n");
	sim_until(bed->loop, bed_got(bed, 0, "you\nB\n"));
}

static void calls_of_one_connection_are_bounded(void **state)
{
	struct bed *bed = *state;

	bed->params.conn_calls_max = 2;
	bed_start(bed);
	bed_client(bed, 0);
	bed_client(bed, 1);
	bed_say(bed, 0, "a\nb\nc\nd\n");
	sim_until(bed->loop, bed->calls_n == 2);
	sim_while(bed->loop, 10, bed->calls_n == 2);
	bed_say(bed, 1, "x\n"); /* the neighbour's turn comes */
	sim_until(bed->loop, bed->calls_n == 3);
	bed_answer(bed, 1, "B\n"); /* held: it takes its place yet */
	sim_while(bed->loop, 10, bed->calls_n == 3);
	bed_answer(bed, 0, "A\n");
	sim_until(bed->loop, bed->calls_n == 5);
	assert_string_equal(bed->asked[3], "c\n");
	assert_string_equal(bed->asked[4], "d\n");
}

static void calls_of_all_connections_are_bounded(void **state)
{
	struct bed *bed = *state;
	int done = 0;

	bed->params.calls_max = 2;
	bed_start(bed);
	for (int i = 0; i < 4; i++) {
		bed_client(bed, i);
		bed_say(bed, i, "a\nb\nc\n");
	}
	while (done < 12) {
		sim_until(bed->loop, bed->calls_n == (done + 2 < 12 ? done + 2 : 12));
		sim_while(bed->loop, 3, bed->calls_n <= done + 2);
		bed_answer(bed, done++, "A\n");
	}
	for (int i = 0; i < 4; i++)
		sim_until(bed->loop, bed_got(bed, i, "A\nA\nA\n"));
}

static void a_place_is_not_lost_with_who_waits_for_it(void **state)
{
	struct bed *bed = *state;

	bed->params.calls_max = 1;
	bed_start(bed);
	bed_client(bed, 0);
	bed_say(bed, 0, "a\n");
	sim_until(bed->loop, bed->calls_n == 1);
	for (int i = 1; i < 4; i++) {
		bed_client(bed, i);
		bed_say(bed, i, "b\n");
		sim_turn(bed->loop);
	}
	bed_hang_up(bed, 1);
	bed_answer(bed, 0, "A\n");
	for (int i = 1; i < 4; i++) { /* the one that left may still have had its turn */
		sim_until(bed->loop, bed->calls_n > i || bed_got(bed, 3, "B\n"));
		if (bed->calls_n > i)
			bed_answer(bed, i, "B\n");
	}
	sim_until(bed->loop, bed_got(bed, 3, "B\n"));
}

static void who_does_not_read_is_not_read(void **state)
{
	struct bed *bed = *state;
	int n;

	bed->echo = true;
	bed->big_len = 30000;
	bed->big = malloc(bed->big_len);
	assert_non_null(bed->big);
	memset(bed->big, 'x', bed->big_len);
	bed->params.stall_ms = 1000;
	bed_start(bed);
	bed_client(bed, 0);
	for (int i = 0; i < 50; i++)
		bed_say(bed, 0, "a\na\na\na\n");
	sim_until(bed->loop, bed->calls_n > 3);
	sim_while(bed->loop, 20, bed->calls_n < 100);
	n = bed->calls_n;
	/* It reads again: all goes on. */
	while (bed->calls_n < n + 20) {
		bed->clients[0].len = 0;
		bed_got(bed, 0, "");
		sim_turn(bed->loop);
	}
	/* And stops for good: it is closed. */
	sim_until(bed->loop, service_connections(bed->service) == 0);
}

/* ---- deadlines */

static void half_a_message_has_a_deadline(void **state)
{
	struct bed *bed = *state;
	uint64_t began = sim_now_ms();

	bed->echo = true;
	bed->params.stall_ms = 100;
	bed_start(bed);
	bed_client(bed, 0);
	while (service_connections(bed->service) > 0 && sim_now_ms() < began + 5000) {
		(void)send(
		    bed->clients[0].fd, "a", 1, MSG_NOSIGNAL); /* a byte a turn buys no time */
		sim_turn(bed->loop);
	}
	assert_int_equal(service_connections(bed->service), 0);
	assert_in_range(sim_now_ms() - began, 90, 4000);
}

static void whole_messages_that_leave_a_half_are_no_stall(void **state)
{
	struct bed *bed = *state;

	bed->echo = true;
	bed->params.stall_ms = 300;
	bed_start(bed);
	bed_client(bed, 0);
	bed_say(bed, 0, "a");
	for (int i = 0; i < 20; i++) {
		sim_while(bed->loop, 20, service_connections(bed->service) == 1);
		bed_say(bed, 0, "\na");
	}
	sim_until(bed->loop, service_connections(bed->service) == 0);
	assert_int_equal(bed->calls_n, 20);
}

static void an_idle_connection_is_closed_a_working_one_is_not(void **state)
{
	struct bed *bed = *state;

	bed->params.idle_ms = 400;
	bed_start(bed);
	bed_client(bed, 0);
	bed_client(bed, 1);
	bed_say(bed, 0, "a\n");
	sim_until(bed->loop, service_connections(bed->service) == 1);
	assert_true(sim_ended(bed->clients[1].fd));
	sim_while(bed->loop, 500, service_connections(bed->service) == 1);
	bed_answer(bed, 0, "A\n");
	sim_until(bed->loop, bed_got(bed, 0, "A\n"));
	sim_until(bed->loop, service_connections(bed->service) == 0);
}

/* ---- callers that leave */

static void a_call_whose_caller_left_is_told_and_answered_all_the_same(void **state)
{
	struct bed *bed = *state;

	bed_start(bed);
	bed_client(bed, 0);
	bed_say(bed, 0, "a\nb\nc\n");
	sim_until(bed->loop, bed->calls_n == 3);
	bed_answer(bed, 1, "B\n"); /* held */
	bed_hang_up(bed, 0);
	sim_until(bed->loop, bed->gone_n == 2);
	assert_int_equal(service_connections(bed->service), 0);
	assert_true(call_identity(bed->calls[0])->local);
	bed_answer(bed, 0, "A\n");
	bed_answer(bed, 2, "C\n");
	sim_turn(bed->loop);
	assert_int_equal(bed->gone_n, 2);
	/* Within gone(). */
	bed->reply_gone = true;
	bed_client(bed, 1);
	bed_say(bed, 1, "a\nb\n");
	sim_until(bed->loop, bed->calls_n == 5);
	bed_hang_up(bed, 1);
	sim_until(bed->loop, bed->gone_n == 4);
}

static void what_was_asked_before_the_end_is_answered(void **state)
{
	struct bed *bed = *state;

	bed->echo = true;
	bed_start(bed);
	bed_client(bed, 0);
	bed_say(bed, 0, "a\nb\nhalf");
	shutdown(bed->clients[0].fd, SHUT_WR);
	sim_until(bed->loop, bed_got(bed, 0, "a\nb\n"));
	sim_until(bed->loop, service_connections(bed->service) == 0);
	assert_true(sim_ended(bed->clients[0].fd));
	/* An end in the middle of the first message. */
	bed_client(bed, 1);
	bed_say(bed, 1, "half");
	bed_hang_up(bed, 1);
	sim_until(bed->loop, service_connections(bed->service) == 0);
}

/* ---- drain and free */

static void drain_answers_what_is_in_work_and_takes_no_more(void **state)
{
	struct bed *bed = *state;

	bed_start(bed);
	bed_client(bed, 0);
	bed_client(bed, 1); /* idle */
	bed_say(bed, 0, "a\nb\n");
	sim_until(bed->loop, bed->calls_n == 2);
	service_drain(bed->service, bed_drained);
	assert_int_equal(bed->drained_n, 0);
	sim_until(bed->loop, sim_ended(bed->clients[1].fd));
	bed_hang_up(bed, 1);
	bed_say(bed, 0, "c\n");
	sim_while(bed->loop, 20, bed->calls_n == 2 && bed->drained_n == 0);
	bed_answer(bed, 0, "A\n");
	bed_answer(bed, 1, "B\n");
	sim_until(bed->loop, bed_got(bed, 0, "A\nB\n"));
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	bed_hang_up(bed, 0);
	sim_until(bed->loop, bed->drained_n == 1);
	sim_while(bed->loop, 10, bed->drained_n == 1);
}

static void drain_waits_for_calls_whose_callers_left(void **state)
{
	struct bed *bed = *state;

	bed_start(bed);
	bed_client(bed, 0);
	bed_say(bed, 0, "a\n");
	sim_until(bed->loop, bed->calls_n == 1);
	bed_hang_up(bed, 0);
	sim_until(bed->loop, bed->gone_n == 1);
	service_drain(bed->service, bed_drained);
	sim_while(bed->loop, 10, bed->drained_n == 0);
	bed_answer(bed, 0, "A\n");
	sim_until(bed->loop, bed->drained_n == 1);
}

static void a_freed_service_leaves_calls_that_can_be_answered(void **state)
{
	struct bed *bed = *state;

	bed_start(bed);
	bed_client(bed, 0);
	bed_client(bed, 1);
	bed_say(bed, 0, "a\nb\n");
	bed_say(bed, 1, "c\n");
	sim_until(bed->loop, bed->calls_n == 3);
	bed_hang_up(bed, 1);
	sim_until(bed->loop, bed->gone_n == 1);
	service_free(bed->service);
	bed->service = NULL;
	bed_answer(bed, 0, "A\n");
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	assert_int_equal(bed->gone_n, 1);
	/* The other two are answered in the bed_teardown, turns later. */
}

static void a_service_can_be_freed_by_a_call(void **state)
{
	struct bed *bed = *state;

	bed->free_all = true;
	bed_start(bed);
	bed_client(bed, 0);
	bed_say(bed, 0, "a\nb\n");
	sim_until(bed->loop, bed->service == NULL);
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	assert_int_equal(bed->calls_n, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		T(connections_are_bounded),
		T(calls_of_one_connection_are_bounded),
		T(calls_of_all_connections_are_bounded),
		T(a_place_is_not_lost_with_who_waits_for_it),
		T(who_does_not_read_is_not_read),
		T(half_a_message_has_a_deadline),
		T(whole_messages_that_leave_a_half_are_no_stall),
		T(strangers_hold_no_place_that_another_wants),
		T(a_stranger_is_not_waited_for_long),
		T(an_idle_connection_is_closed_a_working_one_is_not),
		T(a_call_whose_caller_left_is_told_and_answered_all_the_same),
		T(what_was_asked_before_the_end_is_answered),
		T(drain_answers_what_is_in_work_and_takes_no_more),
		T(drain_waits_for_calls_whose_callers_left),
		T(a_freed_service_leaves_calls_that_can_be_answered),
		T(a_service_can_be_freed_by_a_call),
	};
#undef T

	return cmocka_run_group_tests_name("service_bounds", tests, NULL, NULL);
}
