/*
 * test_stream_close.c: handshakes that pause, fail or end early, closing from within every callback,
 * and connecting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/listener.h"
#include "stream_bed.h"

#include "base/poison.h"

/* ---- the handshake */

static void a_paused_handshake_takes_nothing_and_goes_on_when_woken(void **state)
{
	struct stream_bed *bed = *state;

	bed->user.pauses_in_steps = 1;
	stream_bed_tls(bed);
	assert_int_not_equal(SSL_do_handshake(bed->peer), 1);
	sim_until(bed->loop, bed->user.steps == 1);
	/* Whatever comes meanwhile stays in the kernel: nothing grows, nothing spins. */
	stream_bed_far_says(bed, "this is no record and will end it");
	stream_bed_is_idle(bed);
	assert_int_equal(bed->user.steps, 1);
	assert_true(stream_received(bed->user.stream) < 4096);
	stream_wake(bed->user.stream);
	sim_until(bed->loop, bed->user.closed == 1);
	assert_true(bed->user.steps > 1);
	assert_int_equal(bed->user.opened, 0);
}

static void a_client_that_goes_while_the_handshake_is_paused_costs_nothing(void **state)
{
	struct stream_bed *bed = *state;

	bed->user.pauses_in_steps = 1;
	stream_bed_tls(bed);
	SSL_do_handshake(bed->peer);
	sim_until(bed->loop, bed->user.steps == 1);
	shutdown(bed->fd, SHUT_RDWR);
	stream_bed_is_idle(bed);
	stream_wake(bed->user.stream);
	sim_until(bed->loop, bed->user.closed == 1);
}

static void a_step_that_fails_is_told_with_its_reason(void **state)
{
	struct stream_bed *bed = *state;

	bed->user.fails_with = REASON_LIMIT;
	stream_bed_tls(bed);
	SSL_do_handshake(bed->peer);
	sim_until(bed->loop, bed->user.closed == 1);
	assert_int_equal(bed->user.why, REASON_LIMIT);
	assert_int_equal(bed->user.opened, 0);
}

static void what_comes_with_the_finished_is_not_lost(void **state)
{
	struct stream_bed *bed = *state;
	BIO *in, *out;

	stream_bed_tls(bed);
	/* The peer's last flight and its first request go out in one write. */
	in = BIO_new(BIO_s_mem());
	out = BIO_new(BIO_s_mem());
	SSL_set_bio(bed->peer, in, out);
	while (bed->user.opened == 0) {
		int rc = SSL_do_handshake(bed->peer), n;

		if (rc == 1)
			assert_int_equal(SSL_write(bed->peer, "GET /", 5), 5);
		if (rc == 1)
			SSL_shutdown(bed->peer);
		n = BIO_read(out, bed->block, sizeof bed->block);
		if (n > 0)
			assert_int_equal(send(bed->fd, bed->block, (size_t)n, 0), n);
		if (rc == 1)
			shutdown(bed->fd, SHUT_WR);
		sim_turn(bed->loop);
		for (ssize_t got; (got = recv(bed->fd, bed->block, sizeof bed->block, 0)) > 0;)
			BIO_write(in, bed->block, (int)got);
	}
	sim_until(bed->loop, bed->user.ended == 1);
	assert_string_equal(bed->user.text, "GET /");
	assert_int_equal(bed->user.closed, 0);
}

/* Ten thousand may be told in one turn. The sanitizers' allocator does not count: there it shows nothing. */
static void what_is_told_of_an_end_leaves_no_buffer_behind(void **state)
{
	struct stream_bed *bed = *state;
	size_t before;

	stream_bed_tls(bed);
	stream_bed_open(bed);
	before = mallinfo2().uordblks;
	stream_say_end(bed->user.stream);
	assert_true(mallinfo2().uordblks < before + 4096);
}

/* Whatever the far end says after that, it has what was written, and an end that is no accident. */
static void what_both_have_said_all_of_ends_at_once(void **state)
{
	struct stream_bed *bed = *state;
	int n;

	stream_bed_tls(bed);
	stream_bed_open(bed);
	stream_bed_say(bed, 3000);
	assert_true(stream_finish_both(bed->user.stream));
	stream_close(bed->user.stream);
	bed->user.stream = NULL;
	sim_turn(bed->loop);
	for (size_t got = 0; got < 3000; got += (size_t)n)
		assert_true((n = SSL_read(bed->peer, bed->block, sizeof bed->block)) > 0);
	assert_int_equal(SSL_read(bed->peer, bed->block, 1), 0);
	assert_int_equal(SSL_get_error(bed->peer, 0), SSL_ERROR_ZERO_RETURN);
	assert_int_equal(recv(bed->fd, bed->block, 1, 0), 0);
}

/* What has not left, or is unread, would be lost with the descriptor. */
static void an_end_at_once_waits_for_output_and_input(void **state)
{
	struct stream_bed *bed = *state;

	stream_bed_plain(bed);
	stream_bed_narrow(bed);
	stream_bed_say(bed, 200 * 1024);
	assert_false(stream_finish_both(bed->user.stream));
	for (size_t got = 0; got < 200 * 1024; sim_turn(bed->loop))
		got += stream_bed_far_reads(bed);
	sim_until(bed->loop, recv(bed->fd, bed->block, 1, 0) == 0);
	stream_close(bed->user.stream);
	close(bed->fd);
	stream_bed_plain(bed);
	/* The loop has not looked since. */
	stream_bed_far_says(bed, "more");
	assert_false(stream_finish_both(bed->user.stream));
	sim_until(bed->loop, recv(bed->fd, bed->block, 1, 0) == 0);
}

/* Who waited for the rest of a message was told to stop: what comes then is no guess. */
static void what_comes_to_a_paused_stream_is_known_to_be_unread(void **state)
{
	struct stream_bed *bed = *state;

	bed->user.expects = bed->user.pauses_after_input = true;
	stream_bed_plain(bed);
	stream_bed_far_says(bed, "begin");
	sim_until(bed->loop, bed->user.inputs == 1);
	assert_false(stream_unread(bed->user.stream));
	stream_bed_far_says(bed, "more");
	sim_until(bed->loop, stream_unread(bed->user.stream));
	stream_bed_is_idle(bed);
	assert_int_equal(bed->user.inputs, 1);
}

/* The kernel tells it once: to the write; the read after it finds an end. */
static void a_reset_that_a_write_meets_is_no_end(void **state)
{
	struct stream_bed *bed = *state;

	stream_bed_plain(bed);
	stream_bed_far_says(bed, "half of it");
	stream_bed_far_resets(bed);
	stream_bed_say(bed, 3);
	stream_flush(bed->user.stream);
	sim_until(bed->loop, bed->user.closed == 1);
	assert_int_equal(bed->user.why, REASON_RESET);
	assert_string_equal(bed->user.text, "half of it");
	assert_int_equal(bed->user.ended, 0);
}

/* ---- closing from within */

/* Twice: alone, and together with another stream that has output gathered. */
static void closes_within(struct stream_bed *bed, enum call call, bool tls)
{
	for (int both = 0; both < 2; both++) {
		struct user other = { .loop = bed->loop };
		int pair[2];

		bed->user = (struct user){ .closes_in = call };
		if (both) {
			stream_bed_pair(pair);
			other.stream = stream_accept(
			    bed->loop, pair[0], false, NULL, &stream_bed_events, &other);
			bed->user.closes_too = other.stream;
			stream_write(other.stream, &(struct iovec){ (char[]){ "ok" }, 2 }, 1);
		}
		if (tls)
			stream_bed_tls(bed);
		else
			stream_bed_plain(bed);
		if (call == DRAINED)
			while (stream_bed_say(bed, 100 * 1024) == FLOW_GO)
				;
		for (int i = 0; i < 20; i++) {
			if (bed->peer != NULL && SSL_do_handshake(bed->peer) == 1)
				SSL_write(bed->peer, "text", 4);
			if (bed->peer == NULL)
				(void)!send(bed->fd, "text", 4, MSG_NOSIGNAL);
			stream_bed_far_reads(bed);
			sim_turn(bed->loop);
		}
		assert_int_equal(bed->user.opened, tls && (call == OPENED || call == INPUT));
		assert_int_equal(bed->user.drained, call == DRAINED);
		assert_int_equal(bed->user.closed, 0);
		if (call != DRAINED)
			assert_int_equal(bed->user.inputs, call == INPUT);
		if (both) { /* what it had written before went out */
			char got[8] = "";

			assert_int_equal(recv(pair[1], got, sizeof got, 0), 2);
			close(pair[1]);
		}
		SSL_free(bed->peer);
		bed->peer = NULL;
		close(bed->fd);
		bed->fd = -1;
	}
}

static void closing_in_opened_ends_it(void **state)
{
	closes_within(*state, OPENED, true);
}

static void closing_in_input_ends_it(void **state)
{
	closes_within(*state, INPUT, false);
	closes_within(*state, INPUT, true);
}

static void closing_in_drained_ends_it(void **state)
{
	closes_within(*state, DRAINED, false);
}

static void closing_in_a_step_ends_it(void **state)
{
	closes_within(*state, STEP, true);
}

/* ---- connecting */

static void connecting_opens_in_a_later_turn_and_talks(void **state)
{
	struct stream_bed *bed = *state;
	const char *addresses[] = { "127.0.0.1:0", "[::1]:0" };

	for (size_t i = 0; i < 2; i++) {
		struct endpoint at;
		int listening;

		assert_int_equal(endpoint_parse(&at, addresses[i]), 0);
		listening = listener_socket(&at, false);
		assert_true(listening >= 0);
		at.len = sizeof at.addr;
		getsockname(listening, (struct sockaddr *)&at.addr, &at.len);
		bed->user = (struct user){ 0 };
		bed->user.stream = stream_connect(
		    bed->loop, &at, NULL, &stream_bed_events, &bed->user);
		assert_non_null(bed->user.stream);
		assert_int_equal(bed->user.opened, 0);
		sim_until(bed->loop, bed->user.opened == 1);
		bed->fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		close(listening);
		stream_bed_say(bed, 3);
		stream_bed_far_says(bed, "hello");
		sim_until(bed->loop, bed->user.got == 5);
		assert_int_equal(stream_bed_far_reads(bed), 3);
		stream_close(bed->user.stream);
		bed->user.stream = NULL;
		close(bed->fd);
		bed->fd = -1;
	}
}

static void a_connection_that_nobody_accepts_waits_and_may_be_closed(void **state)
{
	struct stream_bed *bed = *state;
	struct endpoint nobody;

	/* RFC 5737: no route, or no answer; either way no event from within. */
	assert_int_equal(endpoint_parse(&nobody, "192.0.2.1:9"), 0);
	bed->user.stream = stream_connect(bed->loop, &nobody, NULL, &stream_bed_events, &bed->user);
	assert_non_null(bed->user.stream);
	assert_int_equal(bed->user.closed, 0);
	stream_bed_is_idle(bed);
	assert_int_equal(bed->user.opened, 0);
}

int main(void)
{
#define STREAM_TEST(f) cmocka_unit_test_setup_teardown(f, stream_bed_setup, stream_bed_teardown)
	const struct CMUnitTest tests[] = {
		STREAM_TEST(a_paused_handshake_takes_nothing_and_goes_on_when_woken),
		STREAM_TEST(a_client_that_goes_while_the_handshake_is_paused_costs_nothing),
		STREAM_TEST(a_step_that_fails_is_told_with_its_reason),
		STREAM_TEST(what_comes_with_the_finished_is_not_lost),
		STREAM_TEST(what_is_told_of_an_end_leaves_no_buffer_behind),
		STREAM_TEST(what_both_have_said_all_of_ends_at_once),
		STREAM_TEST(an_end_at_once_waits_for_output_and_input),
		STREAM_TEST(what_comes_to_a_paused_stream_is_known_to_be_unread),
		STREAM_TEST(a_reset_that_a_write_meets_is_no_end),
		STREAM_TEST(closing_in_opened_ends_it),
		STREAM_TEST(closing_in_input_ends_it),
		STREAM_TEST(closing_in_drained_ends_it),
		STREAM_TEST(closing_in_a_step_ends_it),
		STREAM_TEST(connecting_opens_in_a_later_turn_and_talks),
		STREAM_TEST(a_connection_that_nobody_accepts_waits_and_may_be_closed),
	};

	return cmocka_run_group_tests_name("stream_close", tests, NULL, NULL);
}
