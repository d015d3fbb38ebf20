/*
 * test_peers.c: the asking side against a scripted far end: every fault of a server, an ask cancelled
 * in every state, and callbacks that ask, cancel and free.
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

#include "net/peers.h"

#include "sim.h"

enum { ASKS_MAX = 128 };

struct bed;

/* One ask and what became of it. */
struct asked {
	struct bed *bed;
	struct ask *ask;
	int done_n;
	enum peers_result result;
	char answer[64];
	void (*then)(struct asked *); /* within done */
};

struct bed {
	struct loop *loop;
	struct peers *peers;
	struct peers_params params;
	struct sim_server server, other;
	struct asked asked[ASKS_MAX];
	bool asking; /* peers_ask is on the stack: done must not run */
	int up_n;
	enum peers_why why;
};

static size_t hello(void *arg, uint8_t *buf, size_t max)
{
	(void)arg;
	assert_true(max >= 6);
	memcpy(buf, "hello\n", 6);
	return 6;
}

static enum parse welcome(void *arg, struct bytes answer)
{
	(void)arg;
	return bytes_equal_str(answer, "welcome\n") ? PARSE_OK : PARSE_BAD;
}

static size_t ping(void *arg, uint8_t *buf, size_t max)
{
	(void)arg;
	assert_true(max >= 5);
	memcpy(buf, "ping\n", 5);
	return 5;
}

static void number(uint8_t *message, uint32_t id)
{
	struct writer w = writer_of(message + 1, 4);

	writer_u32(&w, id);
}

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	bed->loop = loop_new();
	assert_non_null(bed->loop);
	sim_server_init(&bed->server);
	bed->params = (struct peers_params){
		.name = "test service",
		.codec = &sim_lines,
		.deadline_ms = 5000,
		.in_flight_max = 100,
		.connect_ms = 3000,
		.owner = (uid_t)-1,
	};
	for (int i = 0; i < ASKS_MAX; i++)
		bed->asked[i].bed = bed;
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	peers_free(bed->peers);
	loop_free(bed->loop);
	sim_server_clear(&bed->server);
	free(bed);
	return 0;
}

static void up(void *arg)
{
	((struct bed *)arg)->up_n++;
}

/* With the server listening, unless the test wants it dead. */
static void start(struct bed *bed, bool listening)
{
	if (listening)
		sim_server_listen(&bed->server);
	bed->peers = peers_new(bed->loop, &bed->params);
	assert_non_null(bed->peers);
	peers_on_up(bed->peers, up, bed);
	assert_int_equal(peers_set(bed->peers, &bed->server.endpoint, 1), 0);
}

static void done(void *arg, enum peers_result result, struct bytes answer)
{
	struct asked *asked = arg;

	assert_false(asked->bed->asking);
	asked->done_n++;
	asked->result = result;
	assert_true(answer.len < sizeof(asked->answer));
	if (answer.len > 0)
		memcpy(asked->answer, answer.at, answer.len);
	asked->answer[answer.len] = '\0';
	if (asked->then != NULL)
		asked->then(asked);
}

static struct ask *ask_bytes(struct bed *bed, int i, struct bytes message, uint32_t deadline_ms)
{
	struct asked *asked = &bed->asked[i];

	bed->asking = true;
	asked->ask = peers_ask(bed->peers, message, (struct peers_choice){ PEERS_ANY, 0, 0 },
	    deadline_ms, done, asked, &bed->why);
	bed->asking = false;
	return asked->ask;
}

static void ask(struct bed *bed, int i, const char *text, uint32_t deadline_ms)
{
	assert_non_null(ask_bytes(bed, i, bytes_str(text), deadline_ms));
	assert_int_equal(bed->why, PEERS_ASKED);
}

static void connect_now(struct bed *bed)
{
	int n = bed->server.accepted_n, up_n = bed->up_n;

	peers_connect(bed->peers);
	sim_until(bed->loop, sim_server_accepted(&bed->server, n + 1));
	if (bed->params.hello == NULL)
		sim_until(bed->loop, bed->up_n > up_n);
}

static bool ended(struct bed *bed, int i, enum peers_result result)
{
	return bed->asked[i].done_n == 1 && bed->asked[i].result == result;
}

/* ---- answers */

static void answers_come_in_order_whatever_their_pieces(void **state)
{
	struct bed *bed = *state;
	const char *answers = "A\nBB\nCCC\n";

	start(bed, true);
	ask(bed, 0, "a\n", 0); /* queued: it connects by itself */
	ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 1));
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	ask(bed, 2, "c\n", 0);
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
	bed->params.number = number;
	start(bed, true);
	connect_now(bed);
	for (int i = 0; i < 3; i++)
		assert_non_null(ask_bytes(bed, i, bytes_of("\1....x", 6), i == 1 ? 40 : 0));
	sim_until(bed->loop, sim_server_len(&bed->server) == 18);
	memcpy(in, bed->server.in, 18);
	/* The third, then the first; the second is too late and its number is nobody's any more. */
	sim_until(bed->loop, ended(bed, 1, PEERS_DEADLINE));
	in[17] = 'c';
	sim_server_send(&bed->server, in + 12, 6);
	in[11] = 'b';
	sim_server_send(&bed->server, in + 6, 6);
	in[5] = 'a';
	sim_server_send(&bed->server, in, 6);
	sim_until(bed->loop, ended(bed, 0, PEERS_OK) && ended(bed, 2, PEERS_OK));
	assert_int_equal(bed->asked[0].answer[5], 'a');
	assert_int_equal(bed->asked[2].answer[5], 'c');
	/* The late one's slot is used again, under another number. */
	sim_server_take(&bed->server);
	assert_non_null(ask_bytes(bed, 3, bytes_of("\1....x", 6), 0));
	sim_until(bed->loop, sim_server_len(&bed->server) == 6);
	memcpy(out, bed->server.in, 6);
	for (int i = 0; i < 3; i++) /* one of them had its slot before */
		sim_server_send(&bed->server, in + i * 6, 6);
	sim_while(bed->loop, 20, bed->asked[3].done_n == 0);
	sim_server_send(&bed->server, out, 6);
	sim_until(bed->loop, ended(bed, 3, PEERS_OK));
	assert_int_equal(bed->server.accepted_n, 1);
}

static void a_number_that_cannot_be_ends_the_connection(void **state)
{
	struct bed *bed = *state;

	bed->params.codec = &sim_numbered;
	bed->params.number = number;
	start(bed, true);
	connect_now(bed);
	assert_non_null(ask_bytes(bed, 0, bytes_of("\1....x", 6), 0));
	sim_server_send(&bed->server, "\1\xff\xff\xff\xffx", 6);
	sim_until(bed->loop, ended(bed, 0, PEERS_PROTOCOL));
	sim_until(bed->loop, sim_server_sees_end(&bed->server));
}

/* ---- late, slow, silent */

static void a_late_answer_is_dropped_in_its_turn(void **state)
{
	struct bed *bed = *state;

	start(bed, true);
	connect_now(bed);
	ask(bed, 0, "a\n", 20);
	sim_until(bed->loop, ended(bed, 0, PEERS_DEADLINE));
	ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	sim_server_say(&bed->server, "late\n");
	sim_while(bed->loop, 20, bed->asked[1].done_n == 0);
	sim_server_say(&bed->server, "B\n");
	sim_until(bed->loop, ended(bed, 1, PEERS_OK));
	assert_string_equal(bed->asked[1].answer, "B\n");
	assert_int_equal(bed->asked[0].done_n, 1);
}

static void late_answers_end_the_connection_by_their_number(void **state)
{
	struct bed *bed = *state;

	start(bed, true);
	connect_now(bed);
	for (int i = 0; i < 64; i++)
		ask(bed, i, "a\n", 20);
	ask(bed, 64, "b\n", 0);
	sim_until(bed->loop, ended(bed, 64, PEERS_LOST));
	for (int i = 0; i < 64; i++)
		assert_true(ended(bed, i, PEERS_DEADLINE));
	assert_true(sim_server_sees_end(&bed->server));
}

static void three_missed_deadlines_end_a_silent_connection(void **state)
{
	struct bed *bed = *state;

	start(bed, true);
	connect_now(bed);
	ask(bed, 9, "z\n", 0);
	for (int i = 0; i < 3; i++) {
		assert_false(sim_server_sees_end(&bed->server));
		ask(bed, i, "a\n", 20);
		sim_until(bed->loop, ended(bed, i, PEERS_DEADLINE));
	}
	sim_until(bed->loop, ended(bed, 9, PEERS_LOST));
	/* And another connection is made, on which all is well. */
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
	sim_until(bed->loop, peers_usable(bed->peers) && bed->up_n == 2);
	ask(bed, 10, "y\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "y\n"));
	sim_server_say(&bed->server, "Y\n");
	sim_until(bed->loop, ended(bed, 10, PEERS_OK));
}

static void any_answer_starts_the_count_of_misses_anew(void **state)
{
	struct bed *bed = *state;

	start(bed, true);
	connect_now(bed);
	for (int i = 0; i < 4; i++) {
		ask(bed, 2 * i, "a\n", 20);
		sim_until(bed->loop, ended(bed, 2 * i, PEERS_DEADLINE));
		sim_server_say(&bed->server, "late\n");
		ask(bed, 2 * i + 1, "b\n", 0);
		sim_server_say(&bed->server, "B\n");
		sim_until(bed->loop, ended(bed, 2 * i + 1, PEERS_OK));
	}
	assert_false(sim_server_sees_end(&bed->server));
}

/* ---- dead, closing, lying */

static void a_dead_server_opens_the_breaker_and_is_used_again_when_it_is_back(void **state)
{
	struct bed *bed = *state;
	uint64_t back;
	int i;

	start(bed, false);
	for (i = 0; i < 50 && ask_bytes(bed, i, bytes_str("a\n"), 0) != NULL; i++)
		sim_until(bed->loop, ended(bed, i, PEERS_LOST));
	assert_in_range(i, 1, 5);
	assert_int_equal(bed->why, PEERS_BREAKER);
	assert_false(peers_usable(bed->peers));
	sim_while(bed->loop, 300, !peers_usable(bed->peers));
	sim_server_listen(&bed->server);
	back = sim_now_ms();
	sim_until(bed->loop, peers_usable(bed->peers));
	assert_true(sim_now_ms() - back < 2000);
	ask(bed, 60, "b\n", 0);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 1));
	sim_until(bed->loop, sim_server_got(&bed->server, "b\n"));
	sim_server_say(&bed->server, "B\n");
	sim_until(bed->loop, ended(bed, 60, PEERS_OK));
}

static void rubbish_ends_the_connection_and_what_was_asked_on_it(void **state)
{
	struct bed *bed = *state;

	start(bed, true);
	connect_now(bed);
	ask(bed, 0, "a\n", 0);
	ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	sim_server_say(&bed->server, "A\n!!!\n");
	sim_until(bed->loop, ended(bed, 1, PEERS_PROTOCOL));
	assert_true(ended(bed, 0, PEERS_OK));
	assert_true(sim_server_sees_end(&bed->server));
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
}

static void an_answer_that_never_ends_is_rubbish(void **state)
{
	struct bed *bed = *state;
	char *big = malloc(32768);

	assert_non_null(big);
	memset(big, 'x', 32768);
	start(bed, true);
	connect_now(bed);
	ask(bed, 0, "a\n", 0);
	for (int i = 0; i < 4; i++) {
		sim_server_send(&bed->server, big, 8192);
		sim_turn(bed->loop);
	}
	sim_until(bed->loop, ended(bed, 0, PEERS_PROTOCOL));
	free(big);
}

static void an_answer_that_nobody_asked_for_ends_the_connection(void **state)
{
	struct bed *bed = *state;

	start(bed, true);
	connect_now(bed);
	sim_server_say(&bed->server, "surprise\n");
	sim_until(bed->loop, sim_server_sees_end(&bed->server));
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
}

static void a_close_in_the_middle_of_an_answer_is_a_loss(void **state)
{
	struct bed *bed = *state;

	start(bed, true);
	connect_now(bed);
	ask(bed, 0, "a\n", 0);
	ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	sim_server_say(&bed->server, "A\nhal");
	sim_until(bed->loop, ended(bed, 0, PEERS_OK));
	sim_server_close(&bed->server);
	sim_until(bed->loop, ended(bed, 1, PEERS_LOST));
	assert_true(peers_usable(bed->peers));
	/* What is asked now waits for the next connection. */
	ask(bed, 2, "c\n", 0);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
	sim_until(bed->loop, sim_server_got(&bed->server, "c\n"));
	sim_server_say(&bed->server, "C\n");
	sim_until(bed->loop, ended(bed, 2, PEERS_OK));
}

static void the_socket_of_another_user_is_not_asked(void **state)
{
	struct bed *bed = *state;

	bed->params.owner = getuid() + 1;
	start(bed, true);
	ask(bed, 0, "secret\n", 0);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 1));
	sim_until(bed->loop, ended(bed, 0, PEERS_LOST));
	assert_int_equal(sim_server_len(&bed->server), 0);
	assert_true(sim_server_sees_end(&bed->server));
	assert_int_equal(bed->up_n, 0);
}

/* ---- welcome */

static void nothing_is_asked_before_the_welcome(void **state)
{
	struct bed *bed = *state;

	bed->params.hello = hello;
	bed->params.welcome = welcome;
	start(bed, true);
	connect_now(bed);
	ask(bed, 0, "a\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "hello\n"));
	sim_while(bed->loop, 20, sim_server_got(&bed->server, "hello\n"));
	assert_int_equal(bed->up_n, 0);
	sim_server_say(&bed->server, "welcome\n");
	sim_until(bed->loop, sim_server_got(&bed->server, "hello\na\n"));
	assert_int_equal(bed->up_n, 1);
	sim_server_say(&bed->server, "A\n");
	sim_until(bed->loop, ended(bed, 0, PEERS_OK));
}

static void who_is_not_welcome_asks_nothing(void **state)
{
	struct bed *bed = *state;

	bed->params.hello = hello;
	bed->params.welcome = welcome;
	start(bed, true);
	connect_now(bed);
	ask(bed, 0, "a\n", 0);
	sim_server_say(&bed->server, "go away\n");
	sim_until(bed->loop, ended(bed, 0, PEERS_PROTOCOL));
	assert_true(sim_server_got(&bed->server, "hello\n"));
	assert_int_equal(bed->up_n, 0);
}

static void a_welcome_that_does_not_come_ends_the_connection(void **state)
{
	struct bed *bed = *state;

	bed->params.hello = hello;
	bed->params.connect_ms = 50;
	start(bed, true);
	connect_now(bed);
	ask(bed, 0, "a\n", 0);
	sim_until(bed->loop, ended(bed, 0, PEERS_LOST));
	assert_true(sim_server_sees_end(&bed->server));
}

/* ---- cancel, free, ask in callbacks */

static void a_cancelled_ask_is_heard_of_no_more(void **state)
{
	struct bed *bed = *state;

	start(bed, true);
	ask(bed, 0, "queued\n", 0);
	ask(bed, 1, "a\n", 0);
	ask_cancel(bed->asked[0].ask);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 1));
	sim_until(bed->loop, sim_server_got(&bed->server, "a\n")); /* the queued one never left */
	ask(bed, 2, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	ask_cancel(bed->asked[1].ask);
	assert_int_equal(peers_in_flight(bed->peers), 1);
	sim_server_say(&bed->server, "A\nB\n");
	sim_until(bed->loop, ended(bed, 2, PEERS_OK));
	assert_string_equal(bed->asked[2].answer, "B\n");
	assert_int_equal(bed->asked[0].done_n, 0);
	assert_int_equal(bed->asked[1].done_n, 0);
	/* Cancelled and then lost. */
	ask(bed, 3, "c\n", 0);
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

	start(bed, true);
	connect_now(bed);
	bed->asked[0].then = bed->asked[2].then = bed->asked[4].then = cancel_next;
	ask(bed, 0, "a\n", 0);
	ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	sim_server_say(&bed->server, "A\nB\n");
	sim_until(bed->loop, ended(bed, 0, PEERS_OK));
	ask(bed, 2, "c\n", 0);
	ask(bed, 3, "d\n", 0);
	sim_server_close(&bed->server);
	sim_until(bed->loop, ended(bed, 2, PEERS_LOST));
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
	ask(bed, 4, "e\n", 20);
	ask(bed, 5, "f\n", 20);
	sim_until(bed->loop, ended(bed, 4, PEERS_DEADLINE));
	sim_while(bed->loop, 40, bed->asked[5].done_n == 0);
	assert_int_equal(bed->asked[1].done_n + bed->asked[3].done_n, 0);
	assert_int_equal(peers_in_flight(bed->peers), 0);
}

static void ask_again(struct asked *asked)
{
	asked->then = NULL;
	ask(asked->bed, (int)(asked - asked->bed->asked) + 10, "again\n", 0);
}

static void an_ask_at_anothers_loss_waits_for_the_next_connection(void **state)
{
	struct bed *bed = *state;

	start(bed, true);
	connect_now(bed);
	bed->asked[0].then = bed->asked[1].then = ask_again;
	ask(bed, 0, "a\n", 0);
	ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_got(&bed->server, "a\nb\n"));
	sim_server_close(&bed->server);
	sim_until(bed->loop, sim_server_accepted(&bed->server, 2));
	sim_until(bed->loop, sim_server_got(&bed->server, "again\nagain\n"));
	sim_server_say(&bed->server, "A\nB\n");
	sim_until(bed->loop, ended(bed, 10, PEERS_OK) && ended(bed, 11, PEERS_OK));
}

static void free_peers(struct asked *asked)
{
	struct peers *peers = asked->bed->peers;

	asked->bed->peers = NULL;
	peers_free(peers);
}

static void free_in(struct bed *bed, int i)
{
	start(bed, true);
	connect_now(bed);
	bed->asked[i].then = free_peers;
	for (int n = 0; n < 3; n++)
		ask(bed, n, "a\n", n == 1 ? 20 : 0);
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
		assert_true(ended(bed, n, PEERS_LOST));
}

static void no_ask_is_taken_while_peers_are_freed(void **state)
{
	struct bed *bed = *state;
	struct peers *peers;
	struct asked *asked = &bed->asked[0];

	start(bed, true);
	connect_now(bed);
	ask(bed, 0, "a\n", 0);
	ask(bed, 1, "b\n", 0);
	asked->then = free_peers; /* a second free, from within the first: nothing */
	peers = bed->peers;
	peers_free(peers);
	assert_true(ended(bed, 0, PEERS_LOST) && ended(bed, 1, PEERS_LOST));
}

/* ---- bounds */

static void what_is_in_flight_is_bounded(void **state)
{
	struct bed *bed = *state;

	bed->params.in_flight_max = 3;
	start(bed, true);
	for (int round = 0; round < 2; round++) {
		int at = round * 10;

		for (int i = 0; i < 3; i++) /* queued, then sent */
			ask(bed, at + i, "a\n", 0);
		assert_null(ask_bytes(bed, 50, bytes_str("a\n"), 0));
		assert_int_equal(bed->why, PEERS_FULL);
		sim_until(bed->loop, sim_server_accepted(&bed->server, 1));
		sim_until(bed->loop, sim_server_got(&bed->server, "a\na\na\n"));
		sim_server_take(&bed->server);
		sim_server_say(&bed->server, "A\n");
		sim_until(bed->loop, ended(bed, at, PEERS_OK));
		ask(bed, at + 3, "b\n", 0);
		sim_server_say(&bed->server, "A\nA\nB\n");
		sim_until(bed->loop, ended(bed, at + 3, PEERS_OK));
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
	start(bed, true);
	connect_now(bed);
	for (i = 0; i < ASKS_MAX; i++) {
		if (ask_bytes(bed, i, bytes_of(big, 30000), 0) == NULL)
			break;
		sim_turn(bed->loop);
	}
	assert_in_range(i, 2, ASKS_MAX - 1);
	assert_int_equal(bed->why, PEERS_FULL);
	/* It reads on: there is room again. */
	sim_until(bed->loop, (sim_server_take(&bed->server), sim_server_len(&bed->server), true) &&
				 ask_bytes(bed, i, bytes_of(big, 30000), 0) != NULL);
	free(big);
}

/* ---- probes and pings */

static void open_breaker(struct bed *bed)
{
	int i;

	for (i = 0; i < 5; i++)
		ask(bed, i, "a\n", 20);
	sim_until(bed->loop, bed->asked[4].done_n == 1);
	assert_false(peers_usable(bed->peers));
	sim_until(bed->loop, sim_server_got(&bed->server, "a\na\na\na\na\n"));
	sim_server_take(&bed->server);
}

static void a_spared_server_is_probed_with_copies_of_asks(void **state)
{
	struct bed *bed = *state;
	uint64_t end;
	size_t probes = 0;

	bed->params.ping = ping;
	start(bed, true);
	connect_now(bed);
	open_breaker(bed);
	end = sim_now_ms() + 2600;
	while (sim_now_ms() < end) {
		assert_null(ask_bytes(bed, 9, bytes_str("probe\n"), 0));
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

static void a_spared_server_is_pinged_when_nobody_asks(void **state)
{
	struct bed *bed = *state;
	uint64_t began;

	bed->params.ping = ping;
	start(bed, true);
	connect_now(bed);
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

	bed->params.ping = ping;
	bed->params.ping_ms = 40;
	bed->params.connect_ms = 300;
	start(bed, true);
	connect_now(bed);
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

	start(bed, true);
	connect_now(bed);
	for (int i = 0; i < 5; i++) {
		assert_true(peers_usable(bed->peers));
		bed->asked[i].then = blame;
		ask(bed, i, "a\n", 0);
		sim_server_say(&bed->server, "A\n");
		sim_until(bed->loop, ended(bed, i, PEERS_OK));
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
	start(bed, true);
	connect_now(bed);
	ask(bed, 0, "a\n", 0);
	twice[0] = twice[1] = other->endpoint; /* named twice: once */
	assert_int_equal(peers_set(bed->peers, twice, 2), 0);
	ask(bed, 1, "b\n", 0);
	sim_until(bed->loop, sim_server_accepted(other, 1));
	sim_until(bed->loop, sim_server_got(other, "b\n"));
	assert_true(sim_server_got(&bed->server, "a\n"));
	assert_false(sim_server_sees_end(&bed->server));
	sim_server_say(&bed->server, "A\n");
	sim_until(bed->loop, ended(bed, 0, PEERS_OK));
	sim_until(bed->loop, sim_server_sees_end(&bed->server));
	sim_server_say(other, "B\n");
	sim_until(bed->loop, ended(bed, 1, PEERS_OK));
	/* Both again; then none. */
	twice[1] = bed->server.endpoint;
	assert_int_equal(peers_set(bed->peers, twice, 2), 0);
	assert_int_equal(peers_set(bed->peers, NULL, 0), 0);
	sim_until(bed->loop, sim_server_sees_end(other));
	assert_null(ask_bytes(bed, 2, bytes_str("c\n"), 0));
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
	start(bed, true);
	both[0] = bed->server.endpoint;
	both[1] = other->endpoint;
	assert_int_equal(peers_set(bed->peers, both, 2), 0);
	for (int i = 0; i < 20; i++)
		assert_non_null(peers_ask(bed->peers, bytes_str("a\n"),
		    (struct peers_choice){ PEERS_RANK, (uint64_t)i * 0x9e3779b97f4a7c15u, 0 }, 0,
		    done, &bed->asked[i], &bed->why));
	for (int i = 0; i < 20; i++)
		assert_non_null(peers_ask(bed->peers, bytes_str("bb\n"),
		    (struct peers_choice){ PEERS_RANK, (uint64_t)i * 0x9e3779b97f4a7c15u, 1 }, 0,
		    done, &bed->asked[i + 20], &bed->why));
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
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(answers_come_in_order_whatever_their_pieces),
		T(numbered_answers_come_in_any_order),
		T(a_number_that_cannot_be_ends_the_connection),
		T(a_late_answer_is_dropped_in_its_turn),
		T(late_answers_end_the_connection_by_their_number),
		T(three_missed_deadlines_end_a_silent_connection),
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
		T(a_spared_server_is_pinged_when_nobody_asks),
		T(an_idle_connection_is_pinged_and_closed_when_it_is_silent),
		T(an_answer_that_is_blamed_counts_as_a_failure),
		T(a_server_that_leaves_answers_what_it_was_asked),
		T(a_name_keeps_to_its_server),
	};
#undef T

	return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
