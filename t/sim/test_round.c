/*
 * test_round.c: the rounds in which a key service asks its peers: each is asked, and a round ends
 * whatever they do. The peers are scripted ends over Unix sockets.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "keysvc/exchange.h"
#include "wire/keyless.h"

#include "sim.h"

#include "base/poison.h"

enum { PEERS = 2 };

struct fixture {
	struct loop *loop;
	struct sim_server peer[PEERS];
	struct exchange *exchange;
	unsigned answers[PEERS], done;
	char said[PEERS][16];
	bool refuse, again;
};

static bool on_answered(void *arg, size_t peer, struct bytes payload)
{
	struct fixture *f = arg;

	assert_true(peer < PEERS && payload.len < sizeof(f->said[0]));
	memcpy(f->said[peer], payload.at, payload.len);
	f->answers[peer]++;
	return !f->refuse;
}

static void on_done(void *arg)
{
	struct fixture *f = arg;

	f->done++;
	if (f->again)
		assert_true(exchange_ask(f->exchange));
	f->again = false;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct endpoint endpoints[PEERS];
	struct exchange_params params = {
		.peers = endpoints, .n = PEERS, .answered = on_answered, .done = on_done, .arg = f
	};

	f->loop = loop_new();
	for (size_t i = 0; i < PEERS; i++) {
		sim_server_init(&f->peer[i]);
		endpoints[i] = f->peer[i].endpoint;
	}
	f->exchange = exchange_new(f->loop, &params);
	assert_non_null(f->exchange);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	exchange_free(f->exchange);
	for (size_t i = 0; i < PEERS; i++)
		sim_server_clear(&f->peer[i]);
	loop_free(f->loop);
	free(f);
	return 0;
}

/* The question that lies there; its id. */
static uint32_t question(struct fixture *f, size_t i)
{
	struct keyless k;
	enum keyless_error error;
	size_t len;
	uint32_t id;

	sim_until(f->loop, sim_server_accepted(&f->peer[i], 1));
	sim_until(f->loop, sim_server_len(&f->peer[i]) >= KEYLESS_HEADER_LEN);
	assert_int_equal(
	    keyless_next(bytes_of(f->peer[i].in, f->peer[i].in_len), &len, &id), PARSE_OK);
	assert_int_equal(keyless_parse(bytes_of(f->peer[i].in, len), &k, &error), PARSE_OK);
	assert_true(bytes_equal_str(k.function, KEYLESS_FN_GENERATIONS));
	assert_int_equal(k.payload.len, 0);
	sim_server_take(&f->peer[i]);
	return id;
}

static void answer(struct fixture *f, size_t i, uint32_t id, uint8_t opcode, const char *payload)
{
	struct keyless k = { .id = id, .opcode = opcode, .payload = bytes_str(payload) };
	uint8_t buf[128];

	sim_server_send(&f->peer[i], buf, keyless_build(&k, false, buf, sizeof(buf)));
}

static void every_peer_is_asked_once_a_round(void **state)
{
	struct fixture *f = *state;
	uint32_t id[PEERS];

	for (size_t i = 0; i < PEERS; i++)
		sim_server_listen(&f->peer[i]);
	assert_true(exchange_ask(f->exchange));
	assert_false(exchange_ask(f->exchange)); /* one is under way */
	for (size_t i = 0; i < PEERS; i++)
		id[i] = question(f, i);
	answer(f, 1, id[1], KEYLESS_ANSWER, "second");
	sim_until(f->loop, f->answers[1] == 1);
	assert_int_equal(f->done, 0);
	f->again = true; /* from within done() */
	answer(f, 0, id[0], KEYLESS_ANSWER, "first");
	sim_until(f->loop, f->done == 1);
	assert_string_equal(f->said[0], "first");
	assert_string_equal(f->said[1], "second");
	answer(f, 0, question(f, 0), KEYLESS_ANSWER, "again");
	answer(f, 1, question(f, 1), KEYLESS_ANSWER, "again");
	sim_until(f->loop, f->done == 2);
	assert_int_equal(f->answers[0] + f->answers[1], 4);
}

static void round_ends_without_those_that_are_not_there(void **state)
{
	struct fixture *f = *state;

	sim_server_listen(&f->peer[1]);
	assert_true(exchange_ask(f->exchange));
	answer(f, 1, question(f, 1), KEYLESS_ANSWER, "here");
	sim_until(f->loop, f->done == 1);
	assert_int_equal(f->answers[0], 0);
	assert_int_equal(f->answers[1], 1);
}

static void silent_peer_is_not_waited_for_for_ever(void **state)
{
	struct fixture *f = *state;
	uint64_t began = sim_now_ms();

	sim_server_listen(&f->peer[0]);
	assert_true(exchange_ask(f->exchange));
	question(f, 0);
	sim_until(f->loop, f->done == 1);
	assert_in_range(sim_now_ms() - began, EXCHANGE_MS - 100, 2 * EXCHANGE_MS);
	assert_int_equal(f->answers[0], 0);
}

static void refusal_and_nonsense_are_no_answers(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < PEERS; i++)
		sim_server_listen(&f->peer[i]);
	assert_true(exchange_ask(f->exchange));
	answer(f, 0, question(f, 0), KEYLESS_ERROR, "\005"); /* its policy: not you */
	answer(f, 1, question(f, 1), KEYLESS_PONG, "what");
	sim_until(f->loop, f->done == 1);
	assert_int_equal(f->answers[0] + f->answers[1], 0);
	f->refuse = true; /* a payload that the user of the exchange finds senseless */
	assert_true(exchange_ask(f->exchange));
	answer(f, 0, question(f, 0), KEYLESS_ANSWER, "rubbish");
	answer(f, 1, question(f, 1), KEYLESS_ANSWER, "rubbish");
	sim_until(f->loop, f->done == 2);
	assert_int_equal(f->answers[0] + f->answers[1], 2);
}

static void nothing_is_called_after_the_end(void **state)
{
	struct fixture *f = *state;

	sim_server_listen(&f->peer[0]);
	assert_true(exchange_ask(f->exchange));
	question(f, 0);
	exchange_free(f->exchange);
	f->exchange = NULL;
	sim_while(f->loop, 50, f->done == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_peer_is_asked_once_a_round, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    round_ends_without_those_that_are_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    silent_peer_is_not_waited_for_for_ever, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    refusal_and_nonsense_are_no_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_called_after_the_end, setup, teardown),
	};

	log_init("test_round");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
