/*
 * test_service.c: the answering side against scripted callers: order, identity and
 * bad bytes.
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

/* ---- order */

static void messages_are_cut_wherever_their_pieces_are(void **state)
{
	struct bed *bed = *state;
	const char *text = "a\nbb\nccc\n";

	bed->echo = true;
	bed_start(bed);
	bed_client(bed, 0);
	for (size_t i = 0; text[i] != '\0'; i++) {
		assert_int_equal(send(bed->clients[0].fd, text + i, 1, 0), 1);
		sim_turn(bed->loop);
	}
	sim_until(bed->loop, bed_got(bed, 0, text));
	bed_say(bed, 0, "d\ne\nf\n");
	sim_until(bed->loop, bed_got(bed, 0, "a\nbb\nccc\nd\ne\nf\n"));
	assert_int_equal(bed->calls_n, 6);
}

static void ordered_answers_wait_for_their_turn(void **state)
{
	struct bed *bed = *state;

	bed_start(bed);
	bed_client(bed, 0);
	bed_say(bed, 0, "a\nb\nc\nd\n");
	sim_until(bed->loop, bed->calls_n == 4);
	bed_answer(bed, 3, "D\n");
	bed_answer(bed, 1, "B\n");
	sim_while(bed->loop, 10, bed_got(bed, 0, ""));
	bed_answer(bed, 0, "A\n");
	sim_until(bed->loop, bed_got(bed, 0, "A\nB\n"));
	sim_while(bed->loop, 10, bed_got(bed, 0, "A\nB\n"));
	bed_answer(bed, 2, "C\n");
	sim_until(bed->loop, bed_got(bed, 0, "A\nB\nC\nD\n"));
}

/* Whatever becomes of the calls behind it. */
static void the_last_answer_is_the_last(void **state)
{
	struct bed *bed = *state;

	bed_start(bed);
	bed_client(bed, 0);
	bed_say(bed, 0, "a\nb\nc\nd\n");
	sim_until(bed->loop, bed->calls_n == 4);
	call_close(bed->calls[2]);
	call_close(bed->calls[0]);
	bed->calls[0] = bed->calls[2] = NULL;
	bed_answer(bed, 1, "B\n");
	bed_answer(bed, 3, "D\n");
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	assert_true(bed_got(bed, 0, ""));
	bed_hang_up(bed, 0);
	sim_until(bed->loop, service_connections(bed->service) == 0);
}

static void numbered_answers_leave_as_they_come(void **state)
{
	struct bed *bed = *state;

	bed->params.codec = &sim_numbered;
	bed_start(bed);
	bed_client(bed, 0);
	assert_int_equal(send(bed->clients[0].fd, "\1...1a\1...2b", 12, 0), 12);
	sim_until(bed->loop, bed->calls_n == 2);
	bed_answer(bed, 1, "\1...2B");
	sim_until(bed->loop, bed_got(bed, 0, "\1...2B"));
	bed_answer(bed, 0, "\1...1A");
	sim_until(bed->loop, bed_got(bed, 0, "\1...2B\1...1A"));
}

static void an_answer_may_have_no_bytes(void **state)
{
	struct bed *bed = *state;

	bed_start(bed);
	bed_client(bed, 0);
	bed_say(bed, 0, "a\nb\n");
	sim_until(bed->loop, bed->calls_n == 2);
	call_reply(bed->calls[0], NULL, 0);
	bed->calls[0] = NULL;
	bed_answer(bed, 1, "B\n");
	sim_until(bed->loop, bed_got(bed, 0, "B\n"));
}

/* ---- who asks */

static void the_caller_on_a_unix_socket_is_known(void **state)
{
	struct bed *bed = *state;

	bed->echo = true;
	bed_start(bed);
	bed_client(bed, 0);
	bed_say(bed, 0, "a\n");
	sim_until(bed->loop, bed_got(bed, 0, "a\n"));
	assert_true(bed->identity.local);
	assert_int_equal(bed->identity.uid, getuid());
	assert_int_equal(bed->identity.gid, getgid());
	assert_int_equal(bed->identity.pid, getpid());
	assert_string_equal(bed->identity.name, "");
}

/* ---- bad bytes and closes */

static void bad_bytes_are_answered_after_what_came_before_them(void **state)
{
	struct bed *bed = *state;

	bed_start(bed);
	bed_client(bed, 0);
	bed_client(bed, 1);
	bed_say(bed, 0, "a\n!!!\nb\n");
	sim_until(bed->loop, bed->calls_n == 1);
	sim_while(bed->loop, 10, bed_got(bed, 0, ""));
	bed_say(bed, 0, "c\n"); /* dropped */
	bed_answer(bed, 0, "A\n");
	sim_until(bed->loop, bed_got(bed, 0, "A\nBAD\n"));
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	assert_int_equal(bed->calls_n, 1);
	/* The neighbour does not notice. */
	bed_say(bed, 1, "d\n");
	sim_until(bed->loop, bed->calls_n == 2);
}

static void a_message_that_never_ends_is_bad(void **state)
{
	struct bed *bed = *state;
	char big[1024];

	memset(big, 'x', sizeof(big));
	bed_start(bed);
	bed_client(bed, 0);
	for (int i = 0; i < 32; i++) {
		assert_false(bed_got(bed, 0, "BAD\n"));
		assert_int_equal(send(bed->clients[0].fd, big, sizeof(big), 0), sizeof(big));
		sim_turn(bed->loop);
	}
	sim_until(bed->loop, bed_got(bed, 0, "BAD\n"));
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
}

static void bad_bytes_of_a_numbered_codec_end_it_when_all_is_answered(void **state)
{
	struct bed *bed = *state;

	bed->params.codec = &sim_numbered;
	bed_start(bed);
	bed_client(bed, 0);
	assert_int_equal(send(bed->clients[0].fd, "\1...1a\xff", 7, 0), 7);
	sim_until(bed->loop, bed_got(bed, 0, "BAD\n"));
	assert_int_equal(bed->calls_n, 1);
	bed_answer(bed, 0, "\1...1A");
	sim_until(bed->loop, bed_got(bed, 0, "BAD\n\1...1A"));
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
}

static void a_call_can_end_the_connection(void **state)
{
	struct bed *bed = *state;
	struct iovec iov = { (void *)(uintptr_t) "bye\n", 4 };

	bed_start(bed);
	bed_client(bed, 0);
	bed_say(bed, 0, "a\nb\nc\n");
	sim_until(bed->loop, bed->calls_n == 3);
	call_reply_last(bed->calls[1], &iov, 1);
	bed->calls[1] = NULL;
	bed_answer(bed, 0, "A\n");
	sim_until(bed->loop, bed_got(bed, 0, "A\nbye\n"));
	/* What lay behind it is not answered. */
	bed_answer(bed, 2, "C\n");
	sim_while(bed->loop, 10, bed_got(bed, 0, "A\nbye\n"));
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	bed_hang_up(bed, 0);
	sim_until(bed->loop, service_connections(bed->service) == 0);
	/* And at once, without an answer. */
	bed->close_all = true;
	bed_client(bed, 1);
	bed_say(bed, 1, "a\nb\n");
	sim_until(bed->loop, sim_ended(bed->clients[1].fd));
	assert_int_equal(bed->calls_n, 4);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		T(messages_are_cut_wherever_their_pieces_are),
		T(ordered_answers_wait_for_their_turn),
		T(the_last_answer_is_the_last),
		T(numbered_answers_leave_as_they_come),
		T(an_answer_may_have_no_bytes),
		T(the_caller_on_a_unix_socket_is_known),
		T(bad_bytes_are_answered_after_what_came_before_them),
		T(a_message_that_never_ends_is_bad),
		T(bad_bytes_of_a_numbered_codec_end_it_when_all_is_answered),
		T(a_call_can_end_the_connection),
	};
#undef T

	return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
