/*
 * test_feed.c: a plan's key files through a key service that the test plays, and the names that wait
 * for workers: in order, a few at a time, told once, and every end of the other side is one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/master/downs.h"
#include "gateway/master/feed.h"
#include "gateway/master/names.h"
#include "proc/channel.h"
#include "sim.h"

#include "base/poison.h"

#define SKI "000102030405060708090a0b0c0d0e0f10111213"

enum { FILES = 70 };

struct bed {
	struct loop *loop;
	struct channel *channel;
	int service; /* the other end */
	struct gateway_conf conf;
	struct listener_conf listener;
	struct plan plan;
	char *files[FILES];
	struct feed feed;
	/* what fed() was told */
	int fed_n;
	const char *error;
	size_t n;
	char key_errors[FILES][64];
	uint8_t ski[FILES][CERT_SKI_LEN];
	char pem[64];
	bool again; /* begins another pass from within */
};

static void fed(
    void *arg, const char *error, const struct plan_key *keys, size_t n, const char *pem)
{
	struct bed *bed = arg;

	bed->fed_n++;
	bed->error = error;
	bed->n = n;
	for (size_t i = 0; i < n; i++) {
		strlcpy(bed->key_errors[i], keys[i].error != NULL ? keys[i].error : "",
		    sizeof bed->key_errors[i]);
		memcpy(bed->ski[i], keys[i].ski, CERT_SKI_LEN);
	}
	strlcpy(bed->pem, pem != NULL ? pem : "", sizeof bed->pem);
	if (bed->again) {
		bed->again = false;
		feed_begin(&bed->feed, bed->loop, bed->channel, &bed->plan, fed, bed);
	}
}

static void message(void *arg, char *text, int *fds, int fds_n)
{
	struct bed *bed = arg;

	for (int i = 0; i < fds_n; i++)
		close(fds[i]);
	feed_message(&bed->feed, text);
}

static void closed(void *arg)
{
	struct bed *bed = arg;

	channel_free(bed->channel);
	bed->channel = NULL;
	feed_lost(&bed->feed, "the key service ended");
}

static const struct channel_events events = { message, closed };

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);
	int fds[2];

	assert_non_null(bed);
	bed->loop = loop_new();
	assert_int_equal(channel_pair(fds), 0);
	bed->channel = channel_new(bed->loop, fds[0], &events, bed);
	bed->service = fds[1];
	bed->listener.address = (char *)(uintptr_t) "192.0.2.5:443";
	bed->conf.listeners.at = &bed->listener;
	bed->conf.listeners.n = 1;
	bed->plan.conf = &bed->conf;
	bed->plan.key_files = bed->files;
	for (size_t i = 0; i < FILES; i++)
		bed->files[i] = (char *)(uintptr_t) "/dev/null";
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	feed_clear(&bed->feed);
	channel_free(bed->channel);
	if (bed->service >= 0)
		close(bed->service);
	loop_free(bed->loop);
	free(bed);
	return 0;
}

/* The next question, and how many descriptors came with it, which are closed; false: none. */
static bool asked(struct bed *bed, char *text, size_t size, int *fds)
{
	char control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { text, size - 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control };
	ssize_t n = recvmsg(bed->service, &msg, MSG_DONTWAIT);

	*fds = 0;
	if (n < 0)
		return false;
	text[n] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		close(*(int *)(void *)CMSG_DATA(c));
		(*fds)++;
	}
	return true;
}

static void answer(struct bed *bed, const char *text)
{
	assert_int_equal(send(bed->service, text, strlen(text), 0), strlen(text));
}

static void expect(struct bed *bed, const char *want)
{
	char text[512];
	int fds;

	assert_true(asked(bed, text, sizeof text, &fds));
	assert_string_equal(text, want);
	assert_int_equal(fds, strncmp(want, "key ", 4) == 0);
}

/* The service begins the pass, whichever it is. */
static void begun(struct bed *bed)
{
	char text[64], said[80];
	int fds;

	assert_true(asked(bed, text, sizeof text, &fds));
	assert_int_equal(strncmp(text, "keys-begin ", 11), 0);
	snprintf(said, sizeof said, "keys-begun %s", text + 11);
	answer(bed, said);
}

static void begin(struct bed *bed, size_t files)
{
	bed->plan.key_files_n = files;
	feed_begin(&bed->feed, bed->loop, bed->channel, &bed->plan, fed, bed);
	begun(bed);
}

static void each_file_is_asked_for_and_answered_in_order(void **state)
{
	struct bed *bed = *state;

	bed->files[1] = (char *)(uintptr_t) "/dev/zero";
	begin(bed, 3);
	expect(bed, "key /dev/null");
	expect(bed, "key /dev/zero");
	expect(bed, "key /dev/null");
	answer(bed, "key /dev/null ok " SKI " ec");
	answer(bed, "key /dev/zero error no key in it");
	sim_while(bed->loop, 5, bed->fed_n == 0);
	answer(bed, "key /dev/null ok " SKI " rsa");
	sim_until(bed->loop, bed->fed_n == 1);
	assert_null(bed->error);
	assert_int_equal(bed->n, 3);
	assert_string_equal(bed->key_errors[0], "");
	assert_string_equal(bed->key_errors[1], "no key in it");
	assert_int_equal(bed->ski[2][1], 1);
	assert_int_equal(bed->ski[2][19], 0x13);
	/* What comes late is nobody's. */
	answer(bed, "key /dev/null ok " SKI " rsa");
	sim_while(bed->loop, 5, bed->fed_n == 1);
}

static void files_that_cannot_be_opened_are_answered_in_their_turn(void **state)
{
	struct bed *bed = *state;

	bed->files[0] = bed->files[2] = (char *)(uintptr_t) "/nowhere/at/all";
	begin(bed, 3);
	expect(bed, "key /dev/null");
	answer(bed, "key /dev/null ok " SKI " ec");
	sim_until(bed->loop, bed->fed_n == 1);
	assert_string_equal(bed->key_errors[0], strerror(ENOENT));
	assert_string_equal(bed->key_errors[1], "");
	assert_string_equal(bed->key_errors[2], strerror(ENOENT));
}

static void a_few_are_under_way_at_a_time(void **state)
{
	struct bed *bed = *state;
	int under_way = 0, most = 0, answered = 0, fds;
	char text[512];

	begin(bed, FILES);
	while (answered < FILES) {
		while (asked(bed, text, sizeof text, &fds))
			under_way++;
		most = under_way > most ? under_way : most;
		answer(bed, "key /dev/null ok " SKI " ec");
		answered++;
		under_way--;
		sim_turn(bed->loop);
	}
	sim_until(bed->loop, bed->fed_n == 1);
	assert_int_equal(most, FEED_UNDER_WAY);
	assert_int_equal(bed->n, FILES);
}

static void nothing_to_read_is_told_in_a_later_turn(void **state)
{
	struct bed *bed = *state;

	begin(bed, 0);
	assert_int_equal(bed->fed_n, 0);
	sim_until(bed->loop, bed->fed_n == 1);
	assert_null(bed->error);
}

static void another_pass_may_begin_from_within(void **state)
{
	struct bed *bed = *state;

	bed->again = true;
	begin(bed, 1);
	expect(bed, "key /dev/null");
	answer(bed, "key /dev/null ok " SKI " ec");
	sim_until(bed->loop, bed->fed_n == 1);
	begun(bed);
	expect(bed, "key /dev/null");
	answer(bed, "key /dev/null error changed");
	sim_until(bed->loop, bed->fed_n == 2);
	assert_string_equal(bed->key_errors[0], "changed");
}

static void answers_to_a_former_pass_are_nobodys(void **state)
{
	struct bed *bed = *state;
	char text[64], said[80];
	int fds;

	bed->files[0] = (char *)(uintptr_t) "/dev/zero";
	begin(bed, 2);
	expect(bed, "key /dev/zero");
	expect(bed, "key /dev/null");
	/* Another one begins before they are answered. */
	bed->files[0] = (char *)(uintptr_t) "/dev/null";
	feed_begin(&bed->feed, bed->loop, bed->channel, &bed->plan, fed, bed);
	assert_true(asked(bed, text, sizeof text, &fds));
	answer(bed, "key /dev/zero ok " SKI " ec");
	answer(bed, "key /dev/null error of the former");
	snprintf(said, sizeof said, "keys-begun %s", text + 11);
	answer(bed, said);
	answer(bed, "key /dev/null ok " SKI " ec");
	answer(bed, "key /dev/null ok " SKI " ec");
	sim_until(bed->loop, bed->fed_n == 1);
	assert_null(bed->error);
	assert_string_equal(bed->key_errors[0], "");
	assert_string_equal(bed->key_errors[1], "");
}

static void an_answer_that_makes_no_sense_ends_the_pass(void **state)
{
	static const char *const wrong[] = { "key /dev/zero ok " SKI " ec", "key /dev/nul",
		"key /dev/nullok" };
	struct bed *bed = *state;

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		begin(bed, 1);
		expect(bed, "key /dev/null");
		answer(bed, wrong[i]);
		sim_until(bed->loop, bed->fed_n == (int)i + 1);
		assert_non_null(bed->error);
		assert_int_equal(bed->n, 0);
	}
	/* A short or odd number is an error of that key only. */
	begin(bed, 1);
	answer(bed, "key /dev/null ok 0001 ec");
	sim_until(bed->loop, bed->fed_n == 4);
	assert_null(bed->error);
	assert_string_not_equal(bed->key_errors[0], "");
}

static void the_end_of_the_service_ends_the_pass(void **state)
{
	struct bed *bed = *state;

	begin(bed, 2);
	close(bed->service);
	bed->service = -1;
	sim_until(bed->loop, bed->fed_n == 1);
	assert_string_equal(bed->error, "the key service ended");
	/* And without one none begins. */
	feed_begin(&bed->feed, bed->loop, bed->channel, &bed->plan, fed, bed);
	sim_until(bed->loop, bed->fed_n == 2);
	assert_non_null(bed->error);
}

static void a_pair_is_asked_for_with_the_names_of_the_machine(void **state)
{
	struct bed *bed = *state;
	char text[1500];
	int fds;

	bed->conf.selfsigned = true;
	begin(bed, 0);
	assert_true(asked(bed, text, sizeof text, &fds));
	assert_memory_equal(text, "selfsigned localhost 127.0.0.1 ::1", 34);
	assert_non_null(strstr(text, " 192.0.2.5"));
	sim_while(bed->loop, 5, bed->fed_n == 0);
	answer(bed, "selfsigned -----BEGIN");
	sim_until(bed->loop, bed->fed_n == 1);
	assert_null(bed->error);
	assert_string_equal(bed->pem, "-----BEGIN");
}

/* ---- names */

static void the_last_line_of_each_name_is_told_to_who_comes_later(void **state)
{
	struct bed *bed = *state;
	struct names names = { 0 };

	names_keep(&names, "a.example 60 10.0.0.1");
	names_keep(&names, "b.example 60 10.0.0.2");
	names_keep(&names, "A.example 30 10.0.0.3 10.0.0.4");
	names_keep(&names, "a.example.org 60 10.0.0.5");
	names_tell(&names, NULL);
	names_tell(&names, bed->channel);
	expect(bed, "resolved A.example 30 10.0.0.3 10.0.0.4");
	expect(bed, "resolved b.example 60 10.0.0.2");
	expect(bed, "resolved a.example.org 60 10.0.0.5");
	names_clear(&names);
	names_tell(&names, bed->channel);
	sim_turn(bed->loop);
	assert_int_equal(recv(bed->service, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
}

static void names_are_bounded_and_the_oldest_goes(void **state)
{
	struct names names = { 0 };
	char line[64];

	(void)state;
	for (int i = 0; i < NAMES_MAX + 3; i++) {
		snprintf(line, sizeof line, "%d.example 60 10.0.0.1", i);
		names_keep(&names, line);
	}
	assert_int_equal(names.n, NAMES_MAX);
	assert_string_equal(names.lines[0], "3.example 60 10.0.0.1");
	assert_string_equal(names.lines[NAMES_MAX - 1], line);
	names_clear(&names);
}

static void servers_that_are_down_are_told_to_who_comes_later_until_they_are_up(void **state)
{
	struct bed *bed = *state;
	struct downs downs = { 0 };
	char line[64];

	downs_keep(&downs, "up pool 10.0.0.9:80");
	downs_keep(&downs, "down pool 10.0.0.1:80");
	downs_keep(&downs, "down pool 10.0.0.2:80");
	downs_keep(&downs, "down other pool 10.0.0.1:80");
	downs_keep(&downs, "down pool 10.0.0.1:80");
	downs_keep(&downs, "up pool 10.0.0.1:80");
	assert_int_equal(downs.n, 2);
	downs_tell(&downs, NULL);
	downs_tell(&downs, bed->channel);
	expect(bed, "health down other pool 10.0.0.1:80");
	expect(bed, "health down pool 10.0.0.2:80");
	for (int i = 0; i < DOWNS_MAX + 3; i++) {
		snprintf(line, sizeof line, "down pool %d", i);
		downs_keep(&downs, line);
	}
	assert_int_equal(downs.n, DOWNS_MAX);
	downs_clear(&downs);
	downs_tell(&downs, bed->channel);
	sim_turn(bed->loop);
	assert_int_equal(recv(bed->service, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
}

int main(void)
{
#define FEED_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		FEED_TEST(each_file_is_asked_for_and_answered_in_order),
		FEED_TEST(files_that_cannot_be_opened_are_answered_in_their_turn),
		FEED_TEST(a_few_are_under_way_at_a_time),
		FEED_TEST(nothing_to_read_is_told_in_a_later_turn),
		FEED_TEST(another_pass_may_begin_from_within),
		FEED_TEST(answers_to_a_former_pass_are_nobodys),
		FEED_TEST(an_answer_that_makes_no_sense_ends_the_pass),
		FEED_TEST(the_end_of_the_service_ends_the_pass),
		FEED_TEST(a_pair_is_asked_for_with_the_names_of_the_machine),
		FEED_TEST(the_last_line_of_each_name_is_told_to_who_comes_later),
		FEED_TEST(names_are_bounded_and_the_oldest_goes),
		FEED_TEST(servers_that_are_down_are_told_to_who_comes_later_until_they_are_up),
	};

	return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
