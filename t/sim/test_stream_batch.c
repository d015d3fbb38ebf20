/*
 * test_stream_batch.c: what many streams write in one turn leaves together: when the batch is full, before
 * anything larger and before a handshake's step, and at the end of the turn; each stream's in its order, and nothing is lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/buffers.h"
#include "stream_bed.h"

#include "base/poison.h"

enum { STREAMS = 40 };

struct crowd {
	struct stream_bed *bed; /* for those that speak TLS */
	struct user users[STREAMS];
	int fds[STREAMS]; /* the far ends */
	struct later script;
	uint8_t block[65536];
};

static struct crowd *crowd; /* of the script that runs */

static int crowd_setup(void **state)
{
	void *bed;

	crowd = calloc(1, sizeof *crowd);
	assert_non_null(crowd);
	assert_int_equal(stream_bed_setup(&bed), 0);
	crowd->bed = bed;
	for (int i = 0; i < STREAMS; i++) {
		struct user *u = &crowd->users[i];
		int fds[2];

		stream_bed_pair(fds);
		u->loop = crowd->bed->loop;
		u->stream = stream_accept(u->loop, fds[0], false, NULL, &stream_bed_events, u);
		assert_non_null(u->stream);
		crowd->fds[i] = fds[1];
	}
	sim_turn(crowd->bed->loop);
	*state = crowd;
	return 0;
}

static int crowd_teardown(void **state)
{
	void *bed = crowd->bed;

	(void)state;
	for (int i = 0; i < STREAMS; i++) {
		if (crowd->users[i].closed == 0 && crowd->users[i].closes_in == 0)
			stream_close(crowd->users[i].stream);
		if (crowd->fds[i] != -1)
			close(crowd->fds[i]);
	}
	stream_bed_teardown(&bed);
	free(crowd);
	return 0;
}

/* Runs within a turn. */
static void in_a_turn(void (*script)(struct later *))
{
	loop_later(crowd->bed->loop, &crowd->script, script);
	assert_int_equal(loop_turn(crowd->bed->loop), 0);
}

static void writes(int i, const char *text, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)text, len };

	(void)stream_write(crowd->users[i].stream, &iov, 1);
}

static void says(int i, const char *text)
{
	writes(i, text, strlen(text));
}

/* All that has come at the far end: of a few segments it is there at once, on a loopback. */
static size_t far_got(int i)
{
	ssize_t n = recv(crowd->fds[i], crowd->block, sizeof crowd->block - 1, 0);

	crowd->block[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static bool heard(int i, const char *text)
{
	return far_got(i) == strlen(text) && strcmp((const char *)crowd->block, text) == 0;
}

/* ---- when it leaves */

static void a_few_say_something(struct later *later)
{
	(void)later;
	for (int i = 0; i < 5; i++)
		says(i, "little");
	for (int i = 0; i < 5; i++) {
		assert_int_equal(far_got(i), 0);
		assert_int_equal(stream_queued(crowd->users[i].stream), 6);
		assert_int_equal(stream_sent(crowd->users[i].stream), 0);
	}
}

static void what_many_write_leaves_at_the_end_of_the_turn(void **state)
{
	(void)state;
	in_a_turn(a_few_say_something);
	for (int i = 0; i < 5; i++) {
		assert_true(heard(i, "little"));
		assert_int_equal(stream_queued(crowd->users[i].stream), 0);
		assert_int_equal(stream_sent(crowd->users[i].stream), 6);
	}
}

static void what_is_written_between_turns_leaves_with_the_next(void **state)
{
	(void)state;
	a_few_say_something(NULL);
	assert_int_equal(loop_turn(crowd->bed->loop), 0); /* does not sleep */
	for (int i = 0; i < 5; i++)
		assert_true(heard(i, "little"));
}

static void never_passes(struct deadline *deadline)
{
	(void)deadline;
	fail();
}

/* Nor does a turn sleep over a batch that nobody's output lies behind. */
static void a_batch_alone_is_reason_enough_for_a_turn(void **state)
{
	struct loop *loop = crowd->bed->loop;
	struct deadline deadline = { 0 };

	(void)state;
	says(0, "little");
	says(1, "");
	stream_flush(crowd->users[1].stream);
	assert_true(heard(0, ""));
	deadline_set(loop, &deadline, 1000, never_passes);
	assert_int_equal(loop_turn(loop), 0);
	assert_true(heard(0, "little"));
	deadline_clear(loop, &deadline);
}

static void all_say_something(struct later *later)
{
	(void)later;
	for (int i = 0; i < STREAMS; i++) {
		says(i, "little");
		/* The last one's bytes are no part of the batch yet. */
		assert_int_equal(far_got(0), i == IOBUFS_BATCH ? strlen("little") : 0);
	}
	for (int i = 1; i < STREAMS; i++)
		assert_true(heard(i, i < IOBUFS_BATCH ? "little" : ""));
}

static void a_full_batch_leaves(void **state)
{
	(void)state;
	in_a_turn(all_say_something);
	for (int i = IOBUFS_BATCH; i < STREAMS; i++)
		assert_true(heard(i, "little"));
}

static void all_say_as_much_as_fits(struct later *later)
{
	static const char much[IOBUFS_BATCH_EACH];
	size_t before = 0;

	(void)later;
	for (int i = 0; i < STREAMS; i++) {
		size_t lies = 0;

		writes(i, much, sizeof much);
		for (int k = 0; k <= i; k++)
			lies += stream_queued(crowd->users[k].stream);
		assert_true(lies <= IOBUFS_BATCH_BYTES + IOBUFS_BATCH_EACH);
		assert_true(lies > 0);
		if (lies < before)
			before = SIZE_MAX; /* it has left before the end of the turn */
		else if (before != SIZE_MAX)
			before = lies;
	}
	assert_true(before == SIZE_MAX);
}

static void a_batch_is_bounded_in_bytes(void **state)
{
	(void)state;
	in_a_turn(all_say_as_much_as_fits);
	for (int i = 0; i < STREAMS; i++)
		assert_int_equal(far_got(i), IOBUFS_BATCH_EACH);
}

static void one_says_much(struct later *later)
{
	static const char much[IOBUFS_BATCH_EACH + 1];

	(void)later;
	says(0, "before");
	writes(1, much, sizeof much);
	says(2, "behind");
	/* Its own bytes went as soon as another one wrote, and those before it. */
	assert_true(heard(0, "before"));
	assert_int_equal(far_got(1), sizeof much);
	says(3, "last");
	assert_true(heard(2, ""));
}

static void more_than_a_little_leaves_alone_and_the_batch_before_it(void **state)
{
	(void)state;
	in_a_turn(one_says_much);
	assert_true(heard(2, "behind"));
	assert_true(heard(3, "last"));
}

/* A large slice goes from where it lies. */
static void one_gives_a_slice(struct later *later)
{
	static const char much[IOBUFS_GATHER];

	(void)later;
	says(0, "before");
	says(1, "head ");
	writes(1, much, sizeof much);
	assert_true(heard(0, "before"));
	assert_int_equal(far_got(1), 5 + sizeof much);
	assert_memory_equal(crowd->block, "head ", 5);
}

static void a_large_slice_leaves_behind_its_head_and_the_batch(void **state)
{
	(void)state;
	in_a_turn(one_gives_a_slice);
}

static void two_speak(struct later *later)
{
	(void)later;
	says(0, "before");
	says(1, "behind");
	assert_true(heard(0, ""));
}

static void the_first_was_heard(struct later *later)
{
	(void)later;
	assert_true(heard(0, "before"));
}

static void nothing_waits_for_a_handshake(void **state)
{
	struct stream_bed *bed = crowd->bed;
	struct later look = { 0 };
	int steps;

	(void)state;
	stream_bed_tls(bed);
	bed->user.pauses_in_steps = 1;
	stream_bed_peer_is_done(bed);
	sim_until(bed->loop, bed->user.steps == 1);
	steps = bed->user.steps;
	/* All in one turn, in this order. */
	loop_later(bed->loop, &crowd->script, two_speak);
	stream_wake(bed->user.stream);
	loop_later(bed->loop, &look, the_first_was_heard);
	assert_int_equal(loop_turn(bed->loop), 0);
	assert_true(bed->user.steps > steps);
	stream_bed_open(bed);
}

/* ---- order, and ends */

static void one_speaks_twice(struct later *later)
{
	(void)later;
	says(0, "first ");
	says(1, "between");
	says(0, "second ");
	says(1, ", again");
	says(0, "third");
}

static void each_stream_keeps_its_order(void **state)
{
	(void)state;
	in_a_turn(one_speaks_twice);
	assert_true(heard(0, "first second third"));
	assert_true(heard(1, "between, again"));
}

/* The batch leaves while bytes of another stream lie behind it, and a new batch begins behind those. */
static void one_ends_among_others(struct later *later)
{
	(void)later;
	says(0, "zero");
	says(1, "one");
	says(2, "two");
	crowd->users[0].closes_in = CLOSED; /* it is: not once more at the end */
	stream_close(crowd->users[0].stream);
	assert_true(heard(0, "zero"));
	assert_int_equal(recv(crowd->fds[0], crowd->block, 1, 0), 0);
	assert_true(heard(1, "one"));
	assert_true(heard(2, ""));
	assert_int_equal(stream_queued(crowd->users[2].stream), 3);
	says(3, "three");
	says(4, "four");
	stream_finish(crowd->users[3].stream);
	assert_true(heard(3, "three"));
	assert_int_equal(recv(crowd->fds[3], crowd->block, 1, 0), 0);
	says(5, "five");
	stream_flush(crowd->users[4].stream);
	assert_true(heard(4, "four"));
	assert_true(heard(5, ""));
}

static void who_ends_or_flushes_takes_the_batch_along(void **state)
{
	(void)state;
	in_a_turn(one_ends_among_others);
	assert_true(heard(2, "two"));
	assert_true(heard(5, "five"));
}

/* Over and over: the place behind a batch that has left is used again. */
static void they_end_each_other(struct later *later)
{
	static const char much[IOBUFS_BATCH_EACH] = "much";
	int last = STREAMS - 1;

	(void)later;
	for (int i = 0; i < 200; i++) {
		writes(i % last, much, sizeof much);
		says(last, "x");
		stream_flush(crowd->users[i % last].stream);
		assert_int_equal(far_got(i % last), sizeof much);
		assert_memory_equal(crowd->block, much, sizeof much);
	}
}

static void flushes_without_end_stay_within_bounds(void **state)
{
	size_t got = 0;

	(void)state;
	in_a_turn(they_end_each_other);
	/* So many segments may take a while. */
	sim_until(crowd->bed->loop, (got += far_got(STREAMS - 1)) == 200);
}

/* Their streams are gone before the turn's end sends the batch. */
static void two_take_back_what_they_said(struct later *later)
{
	(void)later;
	says(0, "not ");
	says(1, "one");
	says(0, "this");
	says(2, "two");
	says(3, "nor this");
	for (int i = 0; i <= 3; i += 3) {
		stream_drop(crowd->users[i].stream);
		assert_int_equal(stream_queued(crowd->users[i].stream), 0);
		crowd->users[i].closes_in = CLOSED;
		stream_close(crowd->users[i].stream);
		assert_int_equal(recv(crowd->fds[i], crowd->block, 1, 0), 0);
	}
	says(4, "four");
}

static void what_is_dropped_never_leaves(void **state)
{
	(void)state;
	in_a_turn(two_take_back_what_they_said);
	assert_true(heard(1, "one"));
	assert_true(heard(2, "two"));
	assert_true(heard(4, "four"));
}

static void one_meets_a_reset(struct later *later)
{
	struct linger now = { 1, 0 };

	(void)later;
	setsockopt(crowd->fds[1], SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(crowd->fds[1]);
	crowd->fds[1] = -1;
	for (int i = 0; i < 4; i++)
		says(i, "little");
	assert_int_equal(crowd->users[1].closed, 0);
}

static void a_reset_of_one_is_no_other_ones_business(void **state)
{
	(void)state;
	in_a_turn(one_meets_a_reset);
	assert_true(heard(0, "little"));
	assert_true(heard(2, "little"));
	assert_true(heard(3, "little"));
	sim_until(crowd->bed->loop, crowd->users[1].closed == 1);
	assert_int_equal(crowd->users[1].why, REASON_RESET);
}

/* One whose far end does not read has a queue of its own, which nothing overtakes. */
static void what_joins_the_batch_comes_behind_the_streams_own_queue(void **state)
{
	struct stream *slow = crowd->users[0].stream;
	static const char block[100 * 1024];
	struct iovec iov = { (void *)(uintptr_t)block, sizeof block };
	size_t all = 0, got = 0, queued;

	(void)state;
	while (stream_queued(slow) == 0) {
		(void)stream_write(slow, &iov, 1);
		all += sizeof block;
		stream_flush(slow);
	}
	queued = stream_queued(slow);
	in_a_turn(one_speaks_twice);
	assert_int_equal(stream_queued(slow), queued + strlen("first second third"));
	assert_true(heard(1, "between, again"));
	while (got < all + strlen("first second third")) {
		size_t n = far_got(0);

		got += n;
		if (got == all + strlen("first second third"))
			assert_true(n >= 5 && memcmp(crowd->block + n - 5, "third", 5) == 0);
		sim_turn(crowd->bed->loop);
	}
}

int main(void)
{
#define CROWD_TEST(f) cmocka_unit_test_setup_teardown(f, crowd_setup, crowd_teardown)
	const struct CMUnitTest tests[] = {
		CROWD_TEST(what_many_write_leaves_at_the_end_of_the_turn),
		CROWD_TEST(what_is_written_between_turns_leaves_with_the_next),
		CROWD_TEST(a_batch_alone_is_reason_enough_for_a_turn),
		CROWD_TEST(a_full_batch_leaves),
		CROWD_TEST(a_batch_is_bounded_in_bytes),
		CROWD_TEST(more_than_a_little_leaves_alone_and_the_batch_before_it),
		CROWD_TEST(a_large_slice_leaves_behind_its_head_and_the_batch),
		CROWD_TEST(nothing_waits_for_a_handshake),
		CROWD_TEST(each_stream_keeps_its_order),
		CROWD_TEST(who_ends_or_flushes_takes_the_batch_along),
		CROWD_TEST(flushes_without_end_stay_within_bounds),
		CROWD_TEST(what_is_dropped_never_leaves),
		CROWD_TEST(a_reset_of_one_is_no_other_ones_business),
		CROWD_TEST(what_joins_the_batch_comes_behind_the_streams_own_queue),
	};

	return cmocka_run_group_tests_name("stream_batch", tests, NULL, NULL);
}
