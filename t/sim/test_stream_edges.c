/*
 * test_stream_edges.c: what an edge-triggered descriptor can lose: pauses, ends that come with data,
 * resets, and bounds against a peer that does not read; and that none of it keeps the processor busy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/listener.h"
#include "stream_bed.h"

#include "base/poison.h"

/* ---- reading */

static void what_is_left_unread_is_bounded_and_goes_on_when_consumed_later(void **state)
{
	enum { ALL = 600 * 1000 };
	struct stream_bed *bed = *state;
	char *block = calloc(1, ALL);
	size_t sent = 0, taken = 0;

	stream_bed_plain(bed);
	bed->user.leaves = true;
	while (taken < ALL) {
		size_t lies = stream_input(bed->user.stream).len;

		if (sent < ALL) {
			ssize_t n = send(bed->fd, block + sent, ALL - sent, MSG_NOSIGNAL);

			sent += n > 0 ? (size_t)n : 0;
		}
		sim_turn(bed->loop);
		assert_true(
		    stream_input(bed->user.stream).len < STREAM_INPUT_MAX + STREAM_READ_MAX);
		if (lies < STREAM_INPUT_MAX && taken + lies < ALL)
			continue;
		/* Not from within input(): nobody but this call says that there is room again. */
		stream_consume(bed->user.stream, lies);
		taken += lies;
	}
	assert_int_equal(taken, ALL);
	free(block);
}

static int others_ran;

static void other_runs(struct later *later)
{
	(void)later;
	others_ran++;
}

static void connects(struct stream_bed *bed, const struct stream_events *events, void *arg)
{
	struct endpoint at;
	int listening;
	char address[64];

	snprintf(address, sizeof address, "unix:/tmp/sslgw-edges.%d", (int)getpid());
	assert_int_equal(endpoint_parse(&at, address), 0);
	listening = listener_socket(&at, false);
	assert_true(listening >= 0);
	bed->user.loop = bed->loop;
	bed->user.stream = stream_connect(bed->loop, &at, NULL, events, arg);
	assert_non_null(bed->user.stream);
	sim_until(bed->loop, bed->user.opened == 1);
	bed->fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(bed->fd >= 0);
	close(listening);
	unlink(address + 5);
}

/* One read where the event comes, then a few whenever its turn does, which count among those that a turn serves. */
static void a_large_answer_is_read_a_few_times_in_its_turn(void **state)
{
	enum { READS = 1 + 2 * STREAM_READS, ALL = READS * STREAM_READ_MAX };
	struct stream_bed *bed = *state;
	struct later others[LOOP_READY_MAX] = { 0 };
	int room = ALL + ALL / 4;
	char *block = calloc(1, ALL);

	connects(bed, &stream_bed_events, &bed->user);
	stream_set_bulk(bed->user.stream);
	setsockopt(bed->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	assert_int_equal(send(bed->fd, block, ALL, MSG_NOSIGNAL), ALL);
	loop_turn(bed->loop);
	assert_int_equal(bed->user.inputs, 1 + STREAM_READS);
	for (int i = 0; i < LOOP_READY_MAX; i++)
		loop_ready(bed->loop, &others[i], other_runs);
	loop_turn(bed->loop);
	assert_int_equal(bed->user.inputs, 1 + 2 * STREAM_READS);
	assert_int_equal(others_ran, LOOP_READY_MAX - STREAM_READS);
	sim_until(bed->loop, others_ran == LOOP_READY_MAX);
	assert_int_equal(bed->user.got, ALL);
	free(block);
}

static void of_a_client_there_is_one_read_a_turn(void **state)
{
	struct stream_bed *bed = *state;
	char *block = calloc(1, 3 * STREAM_READ_MAX);

	stream_bed_plain(bed);
	send(bed->fd, block, 3 * STREAM_READ_MAX, MSG_NOSIGNAL);
	for (int inputs = 0; inputs <= 2; inputs = bed->user.inputs) {
		assert_true(loop_turn(bed->loop) == 0 && bed->user.inputs <= inputs + 1);
	}
	free(block);
}

/* Says more each time, while the stream is in its turn. */
static void says_more(void *arg)
{
	struct stream_bed *bed = arg;
	struct stream *s = bed->user.stream;

	bed->user.inputs++;
	bed->user.got += stream_input(s).len;
	stream_consume(s, stream_input(s).len);
	stream_expect(s);
	if (bed->user.inputs == 2)
		stream_bed_far_says(bed, "b");
	else if (bed->user.inputs == 3)
		assert_int_equal(
		    send(bed->fd, bed->block, sizeof bed->block, MSG_NOSIGNAL), sizeof bed->block);
	else if (bed->user.inputs == 4) /* a full read; as much again lies there */
		assert_true(stream_unread(s));
}

static void bed_opened(void *arg)
{
	struct stream_bed *bed = arg;

	bed->user.opened = 1;
}

/* A read that brings what was only guessed, and is full, makes no guess of what lies behind it. */
static void what_lies_behind_a_guess_that_was_right_is_unread(void **state)
{
	static struct stream_events events; /* until the stream is closed */
	struct stream_bed *bed = *state;

	events = stream_bed_events;
	events.opened = bed_opened;
	events.input = says_more;
	connects(bed, &events, bed);
	stream_set_bulk(bed->user.stream);
	assert_int_equal(
	    send(bed->fd, bed->block, STREAM_READ_MAX + 1, MSG_NOSIGNAL), STREAM_READ_MAX + 1);
	sim_until(bed->loop, bed->user.inputs >= 4);
}

/* A further read makes room for more, and finds nothing: what lies there has moved. */
static void what_is_left_unread_is_found_where_it_lies(void **state)
{
	struct stream_bed *bed = *state;
	struct bytes in;
	char *others;

	stream_bed_plain(bed);
	bed->user.leaves = bed->user.expects = true;
	stream_bed_far_says(bed, "unread");
	sim_until(bed->loop, bed->user.inputs > 0);
	sim_while(bed->loop, 5, true);
	others = malloc(1024); /* where it lay at first, as like as not */
	assert_non_null(others);
	memset(others, '!', 1024);
	in = stream_input(bed->user.stream);
	assert_int_equal(in.len, 6);
	assert_memory_equal(in.at, "unread", 6);
	free(others);
}

static void a_pause_keeps_data_and_end_for_later(void **state)
{
	struct stream_bed *bed = *state;

	stream_bed_plain(bed);
	stream_pause(bed->user.stream);
	stream_bed_far_says(bed, "last words");
	shutdown(bed->fd, SHUT_WR);
	stream_bed_is_idle(bed);
	assert_int_equal(bed->user.inputs, 0);
	stream_resume(bed->user.stream);
	sim_until(bed->loop, bed->user.ended == 1);
	assert_string_equal(bed->user.text, "last words");
	stream_bed_is_idle(bed);
	assert_int_equal(bed->user.ended, 1);
	/* Half is open still. */
	stream_bed_say(bed, 5);
	sim_until(bed->loop, stream_bed_far_reads(bed) == 5);
	assert_int_equal(bed->user.closed, 0);
}

static void a_pause_from_within_input_holds_at_once(void **state)
{
	struct stream_bed *bed = *state;

	stream_bed_plain(bed);
	bed->user.pauses_after_input = true;
	stream_pause(bed->user.stream);
	for (int i = 0; i < 5; i++) {
		stream_bed_far_says(bed, "x");
		sim_while(bed->loop, 5, bed->user.got == (size_t)i);
		stream_resume(bed->user.stream);
		sim_until(bed->loop, bed->user.got == (size_t)i + 1);
	}
	assert_string_equal(bed->user.text, "xxxxx");
}

static void many_tiny_records_come_in_few_calls(void **state)
{
	enum { RECORDS = 400 };
	struct stream_bed *bed = *state;

	stream_bed_tls(bed);
	stream_bed_open(bed);
	for (int i = 0; i < RECORDS; i++)
		assert_int_equal(SSL_write(bed->peer, "y", 1), 1);
	sim_until(bed->loop, bed->user.got == RECORDS);
	assert_in_range(bed->user.inputs, 1, RECORDS / 10);
}

/* RFC 6066, section 4: a client that has little room for a record. */
static void a_client_that_wants_small_records_gets_all(void **state)
{
	enum { ALL = 40000 };
	struct stream_bed *bed = *state;
	size_t got = 0;
	int n;

	SSL_CTX_set_tlsext_max_fragment_length(bed->client, TLSEXT_max_fragment_length_512);
	stream_bed_tls(bed);
	stream_bed_open(bed);
	stream_bed_say(bed, ALL);
	while (got < ALL) {
		sim_until(bed->loop, (n = SSL_read(bed->peer, bed->block, sizeof bed->block)) > 0 ||
					 bed->user.closed > 0);
		assert_in_range(n, 1, 512);
		got += (size_t)n;
	}
	assert_int_equal(got, ALL);
}

static void the_end_comes_once_with_tls_too(void **state)
{
	struct stream_bed *bed = *state;

	stream_bed_tls(bed);
	stream_bed_open(bed);
	assert_int_equal(SSL_write(bed->peer, "bye", 3), 3);
	SSL_shutdown(bed->peer);
	shutdown(bed->fd, SHUT_WR);
	sim_until(bed->loop, bed->user.ended == 1);
	assert_string_equal(bed->user.text, "bye");
	assert_false(stream_truncated(bed->user.stream));
	stream_bed_is_idle(bed);
	assert_int_equal(bed->user.ended, 1);
	assert_int_equal(bed->user.closed, 0);
}

/* ---- resets */

static void a_reset_behind_a_short_read_shows_to_who_expects_more(void **state)
{
	struct stream_bed *bed = *state;

	stream_bed_plain(bed);
	bed->user.expects = true;
	stream_bed_far_says(bed, "half a mess");
	stream_bed_far_resets(bed);
	sim_until(bed->loop, bed->user.closed == 1);
	assert_int_equal(bed->user.why, REASON_RESET);
	assert_string_equal(bed->user.text, "half a mess");
	sim_while(bed->loop, 5, bed->user.closed == 1);
}

static void a_write_that_meets_a_reset_tells_the_last_words_first(void **state)
{
	struct stream_bed *bed = *state;

	stream_bed_plain(bed);
	sim_turn(bed->loop);
	stream_bed_far_says(bed, "413 too large");
	stream_bed_far_resets(bed);
	/* The events have not been looked at yet. */
	stream_bed_say(bed, 100 * 1024);
	assert_int_equal(bed->user.closed, 0); /* never from within a call */
	stream_flush(bed->user.stream);
	assert_int_equal(bed->user.closed, 0);
	sim_until(bed->loop, bed->user.closed == 1);
	assert_string_equal(bed->user.text, "413 too large");
	sim_while(bed->loop, 5, bed->user.closed == 1);
}

static void who_is_paused_hears_the_last_words_when_it_goes_on(void **state)
{
	struct stream_bed *bed = *state;

	connects(bed, &stream_bed_events, &bed->user);
	stream_pause(bed->user.stream);
	stream_bed_far_says(bed, "200 fine");
	close(bed->fd);
	bed->fd = -1;
	stream_bed_say(bed, 100 * 1024);
	stream_flush(bed->user.stream);
	sim_while(bed->loop, 5, bed->user.closed == 0 && bed->user.got == 0);
	stream_resume(bed->user.stream);
	sim_until(bed->loop, bed->user.closed == 1);
	assert_string_equal(bed->user.text, "200 fine");
	assert_int_equal(bed->user.why, REASON_RESET);
}

/* What it takes in parts, too: the rest waits until it goes on once more. */
static void last_words_are_taken_at_the_readers_pace(void **state)
{
	struct stream_bed *bed = *state;

	connects(bed, &stream_bed_events, &bed->user);
	bed->user.pauses_after_input = true;
	stream_bed_far_says(bed, "200");
	sim_until(bed->loop, bed->user.inputs == 1);
	stream_bed_far_says(bed, " fine");
	close(bed->fd);
	bed->fd = -1;
	stream_bed_say(bed, 100 * 1024);
	stream_flush(bed->user.stream);
	sim_while(bed->loop, 5, bed->user.closed == 0 && bed->user.got == 3);
	stream_resume(bed->user.stream);
	sim_until(bed->loop, bed->user.got == 8);
	sim_while(bed->loop, 5, bed->user.closed == 0); /* it has paused again */
	stream_resume(bed->user.stream);
	sim_until(bed->loop, bed->user.closed == 1);
	assert_string_equal(bed->user.text, "200 fine");
}

/* ---- writing */

static void finishing_flushes_all_and_drops_what_comes_after(void **state)
{
	enum { ALL = 4 * 100 * 1024 };
	struct stream_bed *bed = *state;
	size_t got = 0;

	stream_bed_plain(bed);
	stream_bed_narrow(bed);
	for (int i = 0; i < 4; i++)
		stream_bed_say(bed, 100 * 1024);
	stream_finish(bed->user.stream);
	assert_int_equal(stream_bed_say(bed, 1000), FLOW_GO);
	assert_false(stream_finished(bed->user.stream));
	stream_bed_is_idle(bed); /* the far end does not read */
	sim_until(bed->loop, (got += stream_bed_far_reads(bed)) >= ALL);
	sim_until(bed->loop, stream_finished(bed->user.stream));
	sim_until(bed->loop, recv(bed->fd, &(char){ 0 }, 1, 0) == 0);
	assert_int_equal(got, ALL);
	assert_int_equal(stream_sent(bed->user.stream), ALL);
	/* Reading goes on. */
	stream_bed_far_says(bed, "thanks");
	sim_until(bed->loop, strcmp(bed->user.text, "thanks") == 0);
}

static void drained_comes_once_for_each_stop(void **state)
{
	struct stream_bed *bed = *state;

	stream_bed_plain(bed);
	for (int round = 1; round <= 3; round++) {
		while (stream_bed_say(bed, 100 * 1024) == FLOW_GO)
			sim_turn(bed->loop);
		assert_true(stream_queued(bed->user.stream) > STREAM_HIGH_WATER);
		sim_while(bed->loop, 5, bed->user.drained == round - 1);
		sim_until(bed->loop, (stream_bed_far_reads(bed), bed->user.drained == round));
		assert_true(stream_queued(bed->user.stream) <= STREAM_LOW_WATER);
		stream_bed_far_reads(bed);
		sim_while(bed->loop, 5, bed->user.drained == round);
	}
}

/* KeyUpdates make the other side write; whoever sends them without end and reads nothing ends. */
static void a_peer_that_makes_it_write_and_does_not_read_ends(void **state)
{
	struct stream_bed *bed = *state;
	int n = 0;

	stream_bed_tls(bed);
	stream_bed_open(bed);
	stream_bed_narrow(bed);
	for (; n < 200000 && bed->user.closed == 0; n++) {
		if (SSL_get_key_update_type(bed->peer) == SSL_KEY_UPDATE_NONE)
			SSL_key_update(bed->peer, SSL_KEY_UPDATE_REQUESTED);
		if (SSL_do_handshake(bed->peer) != 1)
			sim_turn(bed->loop);
		else if (n % 64 == 0)
			assert_int_equal(loop_turn(bed->loop), 0);
		if (bed->user.closed == 0)
			assert_true(stream_queued(bed->user.stream) < 800 * 1024);
	}
	assert_int_equal(bed->user.closed, 1);
	assert_int_equal(bed->user.why, REASON_GLITCHES);
}

/* ---- Unix sockets: what is read at the far end would be an event, unless nobody asked for it */

/* Is the descriptor watched for room to write, as the kernel has it (proc(5), fdinfo)? */
static bool is_watched_for_output(int fd)
{
	unsigned found = 0, mask = 0;

	for (int i = 0; i < 100; i++) {
		char path[64], line[256];
		FILE *info;
		int of;

		snprintf(path, sizeof path, "/proc/self/fdinfo/%d", i);
		info = fopen(path, "re");
		while (info != NULL && fgets(line, sizeof line, info) != NULL)
			if (sscanf(line, "tfd: %d events: %x", &of, &mask) == 2 && of == fd)
				found = mask | EPOLLET; /* not 0 */
		if (info != NULL)
			fclose(info);
	}
	assert_true(found != 0);
	return (found & EPOLLOUT) != 0;
}

static void accepts_local(struct stream_bed *bed)
{
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	bed->user.loop = bed->loop;
	bed->user.stream = stream_accept(
	    bed->loop, fds[0], true, NULL, &stream_bed_events, &bed->user);
	assert_non_null(bed->user.stream);
	bed->fd = fds[1];
}

static void connects_local(struct stream_bed *bed)
{
	connects(bed, &stream_bed_events, &bed->user);
}

static void is_not_woken_by_what_is_read(struct stream_bed *bed)
{
	for (int i = 0; i < 3; i++) {
		stream_bed_say(bed, 100);
		stream_flush(bed->user.stream);
		assert_false(is_watched_for_output(stream_fd(bed->user.stream)));
		assert_int_equal(stream_bed_far_reads(bed), 100);
		stream_bed_far_says(bed, "x");
		sim_until(bed->loop, bed->user.got == (size_t)i + 1);
	}
}

static void a_far_end_that_reads_wakes_nobody(void **state)
{
	accepts_local(*state);
	is_not_woken_by_what_is_read(*state);
}

static void nor_where_the_stream_was_connected(void **state)
{
	connects_local(*state);
	is_not_woken_by_what_is_read(*state);
}

/* But for output that waits: twice, and after each time it is as before. */
static void what_waits_leaves_as_the_far_end_reads(struct stream_bed *bed)
{
	enum { ALL = 300 * 1024 };

	for (int round = 1; round <= 2; round++) {
		size_t got = 0, said = 0;

		for (; said < ALL; said += 100 * 1024)
			(void)stream_bed_say(bed, 100 * 1024);
		stream_flush(bed->user.stream);
		assert_true(stream_queued(bed->user.stream) > STREAM_HIGH_WATER);
		assert_true(is_watched_for_output(stream_fd(bed->user.stream)));
		sim_until(bed->loop, (got += stream_bed_far_reads(bed)) == said);
		assert_int_equal(bed->user.drained, round);
		is_not_woken_by_what_is_read(bed);
		bed->user.got = 0;
	}
}

static void what_waits_in_a_unix_socket_leaves(void **state)
{
	accepts_local(*state);
	stream_bed_narrow(*state);
	what_waits_leaves_as_the_far_end_reads(*state);
}

static void and_where_the_stream_was_connected(void **state)
{
	connects_local(*state);
	stream_bed_narrow(*state);
	what_waits_leaves_as_the_far_end_reads(*state);
}

/* What was written before its first turn fills it: it is open all the same, and hears what the far end says. */
static void a_unix_socket_is_open_though_it_is_full(void **state)
{
	struct stream_bed *bed = *state;
	char address[64];
	struct endpoint at;
	int listening;

	snprintf(address, sizeof address, "unix:/tmp/sslgw-edges.%d", (int)getpid());
	assert_int_equal(endpoint_parse(&at, address), 0);
	listening = listener_socket(&at, false);
	assert_true(listening >= 0);
	bed->user.loop = bed->loop;
	bed->user.stream = stream_connect(bed->loop, &at, NULL, &stream_bed_events, &bed->user);
	assert_non_null(bed->user.stream);
	stream_bed_narrow(bed);
	(void)stream_bed_say(bed, 100 * 1024);
	stream_flush(bed->user.stream);
	assert_true(stream_queued(bed->user.stream) > 0);
	sim_until(bed->loop, bed->user.opened == 1);
	bed->fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(bed->fd >= 0);
	stream_bed_far_says(bed, "413");
	sim_until(bed->loop, bed->user.got == 3);
	close(listening);
	unlink(address + 5);
}

/* A chain of certificates may be longer than what the kernel takes at once. */
static void a_long_flight_of_the_handshake_goes_on_as_it_is_read(void **state)
{
	struct stream_bed *bed = *state;
	SSL *ssl;
	int fds[2];

	for (int i = 0; i < 100; i++)
		assert_int_equal(
		    SSL_CTX_add1_chain_cert(bed->server, SSL_CTX_get0_certificate(bed->server)), 1);
	ssl = SSL_new(bed->server);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	SSL_set_accept_state(ssl);
	bed->peer = SSL_new(bed->client);
	SSL_set_fd(bed->peer, fds[1]);
	SSL_set_connect_state(bed->peer);
	bed->fd = fds[1];
	bed->user.loop = bed->loop;
	bed->user.stream = stream_accept(
	    bed->loop, fds[0], true, ssl, &stream_bed_events, &bed->user);
	assert_non_null(bed->user.stream);
	stream_bed_narrow(bed);
	stream_bed_open(bed);
}

int main(void)
{
#define STREAM_TEST(f) cmocka_unit_test_setup_teardown(f, stream_bed_setup, stream_bed_teardown)
	const struct CMUnitTest tests[] = {
		STREAM_TEST(a_large_answer_is_read_a_few_times_in_its_turn),
		STREAM_TEST(of_a_client_there_is_one_read_a_turn),
		STREAM_TEST(what_lies_behind_a_guess_that_was_right_is_unread),
		STREAM_TEST(what_is_left_unread_is_bounded_and_goes_on_when_consumed_later),
		STREAM_TEST(what_is_left_unread_is_found_where_it_lies),
		STREAM_TEST(a_pause_keeps_data_and_end_for_later),
		STREAM_TEST(a_pause_from_within_input_holds_at_once),
		STREAM_TEST(many_tiny_records_come_in_few_calls),
		STREAM_TEST(a_client_that_wants_small_records_gets_all),
		STREAM_TEST(the_end_comes_once_with_tls_too),
		STREAM_TEST(a_reset_behind_a_short_read_shows_to_who_expects_more),
		STREAM_TEST(a_write_that_meets_a_reset_tells_the_last_words_first),
		STREAM_TEST(who_is_paused_hears_the_last_words_when_it_goes_on),
		STREAM_TEST(last_words_are_taken_at_the_readers_pace),
		STREAM_TEST(finishing_flushes_all_and_drops_what_comes_after),
		STREAM_TEST(drained_comes_once_for_each_stop),
		STREAM_TEST(a_peer_that_makes_it_write_and_does_not_read_ends),
		STREAM_TEST(a_unix_socket_is_open_though_it_is_full),
		STREAM_TEST(a_long_flight_of_the_handshake_goes_on_as_it_is_read),
		STREAM_TEST(a_far_end_that_reads_wakes_nobody),
		STREAM_TEST(nor_where_the_stream_was_connected),
		STREAM_TEST(what_waits_in_a_unix_socket_leaves),
		STREAM_TEST(and_where_the_stream_was_connected),
	};

	return cmocka_run_group_tests_name("stream_edges", tests, NULL, NULL);
}
