/*
 * test_channel.c: two ends of a control channel in one loop: texts and descriptors arrive whole, in
 * order and once; what does not fit is refused; the end is told once; no descriptor is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proc/channel.h"
#include "sim.h"

#include "base/poison.h"

enum { SEEN_MAX = 8, LARGE = 30000 };

struct end {
	struct channel *channel;
	char *text[SEEN_MAX]; /* the first messages */
	int fds[SEEN_MAX][CHANNEL_FDS_MAX], fds_n[SEEN_MAX];
	int n, closed_n;
	int free_at; /* at the so-manieth message; 0: never */
	bool numbered; /* messages are "NUMBER ..." from 0 on; kept are none */
	bool drops; /* keeps nothing and looks at nothing */
	bool wrong;
};

struct bed {
	struct loop *loop;
	struct end a, b;
	int descriptors; /* open before */
};

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = -1; /* the folder's own */

	assert_non_null(dir);
	for (const struct dirent *d; (d = readdir(dir)) != NULL;)
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void message(void *arg, char *text, int *fds, int fds_n)
{
	struct end *e = arg;

	if (e->drops) {
		for (int i = 0; i < fds_n; i++)
			close(fds[i]);
	} else if (e->numbered) {
		e->wrong |= strtol(text, NULL, 10) != e->n;
		for (int i = 0; i < fds_n; i++) {
			e->wrong |= write(fds[i], text, 1) != 1;
			close(fds[i]);
		}
	} else {
		assert_in_range(e->n, 0, SEEN_MAX - 1);
		e->text[e->n] = strdup(text);
		e->fds_n[e->n] = fds_n;
		for (int i = 0; i < fds_n; i++)
			e->fds[e->n][i] = fds[i];
	}
	e->n++;
	if (e->n == e->free_at) {
		channel_free(e->channel);
		/* Its memory is there until the turn's end. */
		assert_int_equal(channel_send(e->channel, NULL, 0, "too late"), -1);
		channel_free(e->channel);
		e->channel = NULL;
	}
}

static void closed(void *arg)
{
	struct end *e = arg;

	e->closed_n++;
}

static const struct channel_events events = { message, closed };

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);
	int fds[2];

	assert_non_null(bed);
	bed->descriptors = open_descriptors();
	bed->loop = loop_new();
	assert_non_null(bed->loop);
	assert_int_equal(channel_pair(fds), 0);
	for (int i = 0; i < 2; i++) {
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
	}
	bed->a.channel = channel_new(bed->loop, fds[0], &events, &bed->a);
	bed->b.channel = channel_new(bed->loop, fds[1], &events, &bed->b);
	assert_non_null(bed->a.channel);
	assert_non_null(bed->b.channel);
	*state = bed;
	return 0;
}

static void end_clear(struct end *e)
{
	channel_free(e->channel);
	for (int i = 0; i < e->n && i < SEEN_MAX; i++) {
		free(e->text[i]);
		for (int k = 0; k < e->fds_n[i]; k++)
			close(e->fds[i][k]);
	}
}

static int teardown(void **state)
{
	struct bed *bed = *state;
	int left;

	end_clear(&bed->a);
	end_clear(&bed->b);
	loop_free(bed->loop);
	left = open_descriptors() - bed->descriptors;
	free(bed);
	assert_int_equal(left, 0);
	return 0;
}

/* Puts a plain socket in a's place: it sends what no channel would. */
static int raw_end(struct bed *bed)
{
	int fds[2];

	channel_free(bed->a.channel);
	channel_free(bed->b.channel);
	bed->a.channel = NULL;
	assert_int_equal(channel_pair(fds), 0);
	bed->b.channel = channel_new(bed->loop, fds[1], &events, &bed->b);
	assert_non_null(bed->b.channel);
	return fds[0];
}

static ssize_t raw_send(int fd, const char *text, size_t len, const int *fds, size_t fds_n)
{
	union {
		char room[CMSG_SPACE(16 * sizeof(int))];
		struct cmsghdr align;
	} control = { .room = { 0 } };
	struct iovec iov = { (void *)(uintptr_t)text, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	assert_in_range(fds_n, 1, 16);
	msg.msg_control = control.room;
	msg.msg_controllen = CMSG_SPACE(fds_n * sizeof(int));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(fds_n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, fds_n * sizeof(int));
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

/* ---- texts */

static void texts_arrive_whole_and_in_order_both_ways(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(channel_send(bed->a.channel, NULL, 0, "listen %d %s", 3, "tls"), 0);
	assert_int_equal(channel_send(bed->a.channel, NULL, 0, "stop"), 0);
	assert_int_equal(channel_send(bed->b.channel, NULL, 0, "ready"), 0);
	sim_until(bed->loop, bed->b.n == 2 && bed->a.n == 1);
	assert_string_equal(bed->b.text[0], "listen 3 tls");
	assert_string_equal(bed->b.text[1], "stop");
	assert_string_equal(bed->a.text[0], "ready");
	assert_int_equal(bed->b.fds_n[0], 0);
	assert_int_equal(bed->a.closed_n + bed->b.closed_n, 0);
}

static void nothing_is_told_from_within_a_send(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(channel_send(bed->a.channel, NULL, 0, "x"), 0);
	assert_int_equal(bed->b.n, 0);
	sim_until(bed->loop, bed->b.n == 1);
}

static void the_longest_text_passes_and_one_more_byte_is_refused(void **state)
{
	struct bed *bed = *state;
	char *text = malloc(CHANNEL_TEXT_MAX + 2);

	assert_non_null(text);
	memset(text, 'x', CHANNEL_TEXT_MAX + 1);
	text[CHANNEL_TEXT_MAX + 1] = '\0';
	assert_int_equal(channel_send(bed->a.channel, NULL, 0, "%s", text), -1);
	text[CHANNEL_TEXT_MAX] = '\0';
	assert_int_equal(channel_send(bed->a.channel, NULL, 0, "%s", text), 0);
	sim_until(bed->loop, bed->b.n == 1);
	assert_string_equal(bed->b.text[0], text);
	free(text);
}

static void an_empty_text_is_refused(void **state)
{
	struct bed *bed = *state;

	/* The other end would take it for the end. */
	assert_int_equal(channel_send(bed->a.channel, NULL, 0, "%s", ""), -1);
	sim_while(bed->loop, 20, bed->b.closed_n == 0 && bed->b.n == 0);
}

/* ---- descriptors */

static void descriptors_pass_and_the_senders_stay_its_own(void **state)
{
	struct bed *bed = *state;
	int one[2], two[2], pass[2];
	char byte;

	assert_int_equal(pipe(one), 0);
	assert_int_equal(pipe(two), 0);
	pass[0] = one[1];
	pass[1] = two[1];
	assert_int_equal(channel_send(bed->a.channel, pass, 2, "two"), 0);
	sim_until(bed->loop, bed->b.n == 1);
	assert_int_equal(bed->b.fds_n[0], 2);
	for (int i = 0; i < 2; i++) {
		assert_int_not_equal(bed->b.fds[0][i], pass[i]);
		assert_true(fcntl(bed->b.fds[0][i], F_GETFD) & FD_CLOEXEC);
		assert_int_equal(write(bed->b.fds[0][i], i == 0 ? "1" : "2", 1), 1);
	}
	assert_int_equal(read(one[0], &byte, 1), 1);
	assert_int_equal(byte, '1');
	assert_int_equal(read(two[0], &byte, 1), 1);
	assert_int_equal(byte, '2');
	for (int i = 0; i < 2; i++)
		assert_int_equal(close(one[i]) + close(two[i]), 0);
}

static void as_many_descriptors_pass_as_may_and_no_more(void **state)
{
	struct bed *bed = *state;
	int fds[CHANNEL_FDS_MAX + 1];

	for (int i = 0; i <= CHANNEL_FDS_MAX; i++)
		fds[i] = 0;
	assert_int_equal(channel_send(bed->a.channel, fds, CHANNEL_FDS_MAX + 1, "five"), -1);
	assert_int_equal(channel_send(bed->a.channel, fds, CHANNEL_FDS_MAX, "four"), 0);
	sim_until(bed->loop, bed->b.n == 1);
	assert_string_equal(bed->b.text[0], "four");
	assert_int_equal(bed->b.fds_n[0], CHANNEL_FDS_MAX);
}

static void a_descriptor_that_is_none_is_refused(void **state)
{
	struct bed *bed = *state;
	int none = 1 << 20;

	assert_int_equal(channel_send(bed->a.channel, &none, 1, "none"), -1);
	assert_int_equal(channel_send(bed->a.channel, NULL, 0, "next"), 0);
	sim_until(bed->loop, bed->b.n == 1);
	assert_string_equal(bed->b.text[0], "next");
}

/* ---- a full socket */

static int fill(struct bed *bed, const char *filler)
{
	int n = 0;

	while (n < 10000 && channel_send(bed->a.channel, NULL, 0, "%d %s", n, filler) == 0)
		n++;
	return n;
}

static char *filler_new(void)
{
	char *text = malloc(LARGE + 1);

	assert_non_null(text);
	memset(text, 'x', LARGE);
	text[LARGE] = '\0';
	return text;
}

static void what_the_socket_does_not_take_waits_in_order_and_within_bounds(void **state)
{
	struct bed *bed = *state;
	char *filler = filler_new();
	int n;

	bed->b.numbered = true;
	n = fill(bed, filler);
	assert_in_range(n, 200, 400); /* far more than a socket holds, and bounded */
	assert_int_equal(channel_send(bed->a.channel, NULL, 0, "%d %s", n, filler), -1);
	sim_until(bed->loop, bed->b.n == n);
	assert_false(bed->b.wrong);
	/* There is room again, and the order is kept over the seam. */
	assert_int_equal(channel_send(bed->a.channel, NULL, 0, "%d", n), 0);
	sim_until(bed->loop, bed->b.n == n + 1);
	sim_while(bed->loop, 10, bed->b.n == n + 1);
	assert_false(bed->b.wrong);
	free(filler);
}

/* Ten thousand names are told to a new worker at once. */
static void short_texts_wait_by_the_thousand(void **state)
{
	struct bed *bed = *state;

	bed->b.numbered = true;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(channel_send(bed->a.channel, NULL, 0,
				     "%d resolved backend-%d.example.com 60 10.0.0.1", i, i),
		    0);
	sim_until(bed->loop, bed->b.n == 10000);
	assert_false(bed->b.wrong);
	/* What has left counts no more: so much again, and more than the bound in all. */
	for (int round = 0; round < 3; round++) {
		char *filler = filler_new();
		int before = bed->b.n, n = before;

		while (channel_send(bed->a.channel, NULL, 0, "%d %s", n, filler) == 0)
			n++;
		assert_in_range(n - before, 200, 400);
		sim_until(bed->loop, bed->b.n == n);
		free(filler);
	}
}

static void descriptors_that_wait_are_bounded(void **state)
{
	struct bed *bed = *state;
	char *filler = filler_new();
	int n = 0, fd = 0;

	bed->b.numbered = true;
	for (; n < 40; n++)
		assert_int_equal(channel_send(bed->a.channel, NULL, 0, "%d %s", n, filler), 0);
	while (n < 1000 && channel_send(bed->a.channel, &fd, 1, "%d", n) == 0)
		n++;
	assert_int_equal(n, 40 + 256);
	assert_int_equal(channel_send(bed->a.channel, NULL, 0, "%d", n), 0);
	bed->b.numbered = false; /* closes them unwritten */
	bed->b.drops = true;
	sim_until(bed->loop, bed->b.n == n + 1);
	free(filler);
}

static void a_short_text_does_not_overtake_those_that_wait(void **state)
{
	struct bed *bed = *state;
	char *filler = filler_new();

	bed->b.numbered = true;
	for (int i = 0; i < 100; i++)
		assert_int_equal(channel_send(bed->a.channel, NULL, 0, "%d%s%s", i,
				     i % 2 ? " " : "", i % 2 ? filler : ""),
		    0);
	sim_until(bed->loop, bed->b.n == 100);
	assert_false(bed->b.wrong);
	free(filler);
}

static void what_waits_goes_first_though_there_is_room_again(void **state)
{
	struct bed *bed = *state;
	char *filler = filler_new(), *got = malloc(CHANNEL_TEXT_MAX);
	int fds[2], n, next = 0;
	ssize_t len;

	assert_non_null(got);
	channel_free(bed->a.channel);
	channel_free(bed->b.channel);
	bed->b.channel = NULL;
	assert_int_equal(channel_pair(fds), 0);
	bed->a.channel = channel_new(bed->loop, fds[0], &events, &bed->a);
	assert_non_null(bed->a.channel);
	for (n = 0; n < 100; n++)
		assert_int_equal(channel_send(bed->a.channel, NULL, 0, "%d %s", n, filler), 0);
	/* Room is made without a turn of the sender's loop, which has not sent what waits yet. */
	for (; next < 2; next++) {
		assert_true(recv(fds[1], got, CHANNEL_TEXT_MAX, 0) > 0);
		assert_int_equal(strtol(got, NULL, 10), next);
	}
	assert_int_equal(channel_send(bed->a.channel, NULL, 0, "%d", n), 0);
	while (next <= n) {
		len = recv(fds[1], got, CHANNEL_TEXT_MAX, 0);
		if (len > 0)
			assert_int_equal(strtol(got, NULL, 10), next++);
		else
			sim_turn(bed->loop);
	}
	close(fds[1]);
	free(filler);
	free(got);
}

static void descriptors_wait_too_though_the_sender_closes_its_own(void **state)
{
	struct bed *bed = *state;
	char *filler = filler_new(), got[64];
	int pipes[2], n = 0;

	bed->b.numbered = true;
	assert_int_equal(pipe(pipes), 0);
	for (; n < 40; n++) {
		int fd = dup(pipes[1]);

		assert_int_equal(channel_send(bed->a.channel, &fd, 1, "%d %s", n, filler), 0);
		close(fd);
	}
	sim_until(bed->loop, bed->b.n == n);
	assert_false(bed->b.wrong);
	assert_int_equal(read(pipes[0], got, sizeof got), n);
	close(pipes[0]);
	close(pipes[1]);
	free(filler);
}

static void freeing_closes_what_waits(void **state)
{
	struct bed *bed = *state;
	char *filler = filler_new();

	/* Their duplicates are counted at the end of every test. */
	for (int i = 0; i < 40; i++)
		assert_int_equal(channel_send(bed->a.channel, &(int){ 0 }, 1, "%s", filler), 0);
	channel_free(bed->a.channel);
	bed->a.channel = NULL;
	channel_free(bed->b.channel);
	bed->b.channel = NULL;
	sim_while(bed->loop, 5, bed->a.closed_n + bed->b.closed_n == 0);
	free(filler);
}

/* ---- the end */

static void the_end_is_told_once_after_the_last_message(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(channel_send(bed->a.channel, &(int){ 0 }, 1, "last"), 0);
	channel_free(bed->a.channel);
	bed->a.channel = NULL;
	sim_until(bed->loop, bed->b.closed_n > 0);
	assert_int_equal(bed->b.n, 1);
	assert_string_equal(bed->b.text[0], "last");
	sim_while(bed->loop, 30, bed->b.closed_n == 1);
	assert_int_equal(bed->a.closed_n, 0); /* who freed it is told nothing */
}

static void sending_to_who_is_gone_fails_without_a_signal(void **state)
{
	struct bed *bed = *state;

	channel_free(bed->a.channel);
	bed->a.channel = NULL;
	assert_int_equal(channel_send(bed->b.channel, NULL, 0, "anyone?"), -1);
	sim_until(bed->loop, bed->b.closed_n == 1);
	assert_int_equal(channel_send(bed->b.channel, NULL, 0, "anyone?"), -1);
}

static void the_end_comes_to_who_has_messages_waiting(void **state)
{
	struct bed *bed = *state;
	char *filler = filler_new();

	fill(bed, filler);
	channel_free(bed->b.channel);
	bed->b.channel = NULL;
	sim_until(bed->loop, bed->a.closed_n == 1);
	sim_while(bed->loop, 20, bed->a.closed_n == 1);
	free(filler);
}

static void freeing_from_within_a_message_ends_it(void **state)
{
	struct bed *bed = *state;

	bed->b.free_at = 2;
	for (int i = 0; i < 4; i++)
		assert_int_equal(channel_send(bed->a.channel, &(int){ 0 }, 1, "%d", i), 0);
	sim_until(bed->loop, bed->a.closed_n == 1);
	assert_int_equal(bed->b.n, 2);
	assert_int_equal(bed->b.closed_n, 0);
}

/* ---- what no channel sends */

static void a_message_that_is_too_long_is_dropped_whole(void **state)
{
	struct bed *bed = *state;
	char *text = malloc(CHANNEL_TEXT_MAX + 1);
	int raw = raw_end(bed);

	assert_non_null(text);
	memset(text, 'x', CHANNEL_TEXT_MAX + 1);
	assert_int_equal(
	    raw_send(raw, text, CHANNEL_TEXT_MAX + 1, &(int){ 0 }, 1), CHANNEL_TEXT_MAX + 1);
	assert_int_equal(send(raw, "next", 4, 0), 4);
	sim_until(bed->loop, bed->b.n == 1);
	assert_string_equal(bed->b.text[0], "next");
	assert_int_equal(bed->b.fds_n[0], 0);
	close(raw);
	free(text);
}

static void too_many_descriptors_leave_none_behind(void **state)
{
	struct bed *bed = *state;
	int fds[10] = { 0 }, raw = raw_end(bed);

	assert_int_equal(raw_send(raw, "ten", 3, fds, 10), 3);
	sim_until(bed->loop, bed->b.n == 1);
	assert_string_equal(bed->b.text[0], "ten");
	assert_in_range(bed->b.fds_n[0], 0, CHANNEL_FDS_MAX);
	close(raw);
}

static void a_text_ends_where_it_was_sent_to_end(void **state)
{
	struct bed *bed = *state;
	int raw = raw_end(bed);

	/* A longer one before it has left its bytes in the buffer. */
	assert_int_equal(send(raw, "something long", 14, 0), 14);
	assert_int_equal(send(raw, "ab", 2, 0), 2);
	assert_int_equal(send(raw, "a\0b", 3, 0), 3);
	sim_until(bed->loop, bed->b.n == 3);
	assert_string_equal(bed->b.text[1], "ab");
	assert_string_equal(bed->b.text[2], "a");
	close(raw);
}

int main(void)
{
#define CHANNEL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CHANNEL_TEST(texts_arrive_whole_and_in_order_both_ways),
		CHANNEL_TEST(nothing_is_told_from_within_a_send),
		CHANNEL_TEST(the_longest_text_passes_and_one_more_byte_is_refused),
		CHANNEL_TEST(an_empty_text_is_refused),
		CHANNEL_TEST(descriptors_pass_and_the_senders_stay_its_own),
		CHANNEL_TEST(as_many_descriptors_pass_as_may_and_no_more),
		CHANNEL_TEST(a_descriptor_that_is_none_is_refused),
		CHANNEL_TEST(what_the_socket_does_not_take_waits_in_order_and_within_bounds),
		CHANNEL_TEST(a_short_text_does_not_overtake_those_that_wait),
		CHANNEL_TEST(short_texts_wait_by_the_thousand),
		CHANNEL_TEST(descriptors_that_wait_are_bounded),
		CHANNEL_TEST(what_waits_goes_first_though_there_is_room_again),
		CHANNEL_TEST(descriptors_wait_too_though_the_sender_closes_its_own),
		CHANNEL_TEST(freeing_closes_what_waits),
		CHANNEL_TEST(the_end_is_told_once_after_the_last_message),
		CHANNEL_TEST(sending_to_who_is_gone_fails_without_a_signal),
		CHANNEL_TEST(the_end_comes_to_who_has_messages_waiting),
		CHANNEL_TEST(freeing_from_within_a_message_ends_it),
		CHANNEL_TEST(a_message_that_is_too_long_is_dropped_whole),
		CHANNEL_TEST(too_many_descriptors_leave_none_behind),
		CHANNEL_TEST(a_text_ends_where_it_was_sent_to_end),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
