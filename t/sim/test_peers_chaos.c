/*
 * test_peers_chaos.c: askers and servers that do what they like, in an order that a seed gives: late
 * answers, rubbish, hangs, ends, copies, cancelled asks, sets that change. Each ask ends once, and gets
 * the answer to its own question or none.
 *
 *	test_peers_chaos [SEED [ROUNDS]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/peers.h"
#include "net/service.h"
#include "sim.h"

#include "base/poison.h"

enum { SERVERS = 4, ASKS = 600, CALLS = 4096, STEPS = 250, ROUNDS = 8, TEXT = 24, HEAD = 5 };

struct chaos;

struct server {
	struct chaos *chaos;
	struct sim_server at;
	struct service *service; /* NULL: nobody listens */
	unsigned mood; /* of 10: 0 is well */
};

struct pending {
	struct call *call; /* NULL: answered */
	struct deadline deadline;
	struct chaos *chaos;
	char text[TEXT];
	size_t len;
};

struct question {
	struct chaos *chaos;
	struct ask *ask; /* NULL: over, cancelled, or never was */
	char text[TEXT];
	size_t len;
	int done_n;
	bool cancelled;
};

struct chaos {
	struct loop *loop;
	uint64_t random;
	struct service_params service_params;
	struct peers_params params;
	struct peers *peers;
	struct server servers[SERVERS];
	struct question asked[ASKS];
	struct pending pending[CALLS];
	int asked_n, pending_n, good_n;
	bool ending;
};

static unsigned chance(struct chaos *c, unsigned n)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return (unsigned)((c->random >> 20) % n);
}

/* ---- servers */

static void reply(struct call *call, const char *text, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)text, len };

	call_reply(call, &iov, 1);
}

static void pending_passed(struct deadline *d)
{
	struct pending *p = CONTAINER_OF(d, struct pending, deadline);
	struct call *call = p->call;

	p->call = NULL;
	reply(call, p->text, p->len);
}

static void on_call(void *arg, struct call *call, struct bytes request)
{
	struct server *s = arg;
	struct chaos *c = s->chaos;
	struct pending *p;
	unsigned what = chance(c, 10);

	assert_in_range(request.len, 1, TEXT);
	if (what >= s->mood) {
		reply(call, (const char *)request.at, request.len);
	} else if (what == 0 && chance(c, 3) == 0) {
		reply(call, "!\xff!!!!!\n", 8);
	} else if (what == 0) {
		call_close(call);
	} else {
		assert_true(c->pending_n < CALLS);
		p = &c->pending[c->pending_n++];
		*p = (struct pending){ .call = call, .chaos = c, .len = request.len };
		memcpy(p->text, request.at, request.len);
		/* Some never: see the end of the round. */
		if (chance(c, 5) != 0)
			deadline_set(c->loop, &p->deadline, chance(c, 120), pending_passed);
	}
}

static void server_start(struct server *s)
{
	sim_server_listen(&s->at);
	s->service = service_new(s->chaos->loop, &s->chaos->service_params, s);
	assert_non_null(s->service);
	assert_int_equal(service_listen(s->service, s->at.listen_fd, NULL), 0);
	s->at.listen_fd = -1;
}

static void server_stop(struct server *s)
{
	service_free(s->service);
	s->service = NULL;
	sim_server_stop(&s->at);
}

/* ---- askers */

static void ask(struct chaos *);
static void disturb(struct chaos *);

static void on_done(void *arg, enum peers_result result, struct bytes answer)
{
	struct question *q = arg;
	struct chaos *c = q->chaos;
	size_t head = c->params.codec->ordered ? 0 : HEAD;

	assert_false(q->cancelled);
	assert_int_equal(q->done_n++, 0);
	if (result == PEERS_OK) {
		assert_int_equal(answer.len, q->len);
		assert_memory_equal(answer.at + head, q->text + head, q->len - head);
		c->good_n++;
		if (chance(c, 50) == 0)
			peers_blame(c->peers, q->ask);
	}
	q->ask = NULL;
	if (c->ending)
		return;
	if (chance(c, 4) == 0)
		ask(c);
	if (chance(c, 20) == 0)
		disturb(c);
}

static void ask(struct chaos *c)
{
	struct peers_choice choice = { .by = chance(c, 2) == 0 ? PEERS_ANY : PEERS_RANK,
		.hash = chance(c, 7),
		.rank = (uint8_t)chance(c, 2),
		.hedge = chance(c, 3) != 0,
		.avoid = chance(c, 3) == 0 ? chance(c, 16) : 0 };
	struct question *q;
	enum peers_why why;

	if (c->asked_n == ASKS)
		return;
	q = &c->asked[c->asked_n];
	q->chaos = c;
	if (c->params.codec->ordered)
		q->len = (size_t)snprintf(q->text, sizeof(q->text), "q%d\n", c->asked_n);
	else
		q->len = HEAD + (size_t)snprintf(
				    q->text + HEAD, sizeof(q->text) - HEAD, "q%d", c->asked_n);
	if (!c->params.codec->ordered)
		q->text[0] = (char)(q->len - HEAD);
	c->asked_n++;
	q->ask = peers_ask(
	    c->peers, bytes_of(q->text, q->len), choice, 5 + chance(c, 100), on_done, q, &why);
	if (q->ask == NULL)
		q->done_n = 1;
}

static void cancel_one(struct chaos *c)
{
	struct question *q = &c->asked[chance(c, (unsigned)c->asked_n + 1) % ASKS];

	if (q->ask == NULL)
		return;
	q->cancelled = true;
	q->done_n = 1;
	ask_cancel(q->ask);
	q->ask = NULL;
}

static void change_set(struct chaos *c)
{
	struct endpoint at[SERVERS];
	size_t n = 0;

	for (int i = 0; i < SERVERS; i++)
		if (chance(c, 4) != 0)
			at[n++] = c->servers[i].at.endpoint;
	assert_int_equal(peers_set(c->peers, at, n), 0);
}

static void disturb(struct chaos *c)
{
	struct server *s = &c->servers[chance(c, SERVERS)];

	switch (chance(c, 8)) {
	case 0:
		change_set(c);
		break;
	case 1:
		if (s->service != NULL)
			server_stop(s);
		break;
	case 2:
	case 3:
		if (s->service == NULL)
			server_start(s);
		break;
	case 4:
	case 5:
		s->mood = chance(c, 3) == 0 ? chance(c, 11) : 0;
		break;
	default:
		cancel_one(c);
	}
}

static size_t ping(void *arg, uint8_t *buf, size_t max)
{
	const struct chaos *c = arg;
	const char *text = c->params.codec->ordered ? "ping\n" : "\4....ping";
	size_t len = c->params.codec->ordered ? 5 : 9;

	assert_true(max >= len);
	memcpy(buf, text, len);
	return len;
}

static void number(uint8_t *message, uint32_t id)
{
	struct writer w = writer_of(message + 1, 4);

	writer_u32(&w, id);
}

static void start(struct chaos *c, const struct frame_codec *codec)
{
	c->loop = loop_new();
	assert_non_null(c->loop);
	c->service_params = (struct service_params){ .codec = codec,
		.conns_max = 64,
		.calls_max = 10 + chance(c, 500),
		.conn_calls_max = 5 + chance(c, 500),
		.stall_ms = 200,
		.call = on_call };
	c->params = (struct peers_params){ .name = "test service",
		.codec = codec,
		.deadline_ms = 50,
		.in_flight_max = 2 + chance(c, 100),
		.connections_max = (uint16_t)chance(c, 4),
		.hedge_permille = (uint16_t)chance(c, 1000),
		.connect_ms = 100,
		.ping_ms = 20 + chance(c, 100),
		.owner = (uid_t)-1,
		.ping = ping,
		.number = number,
		.arg = c };
	for (int i = 0; i < SERVERS; i++) {
		c->servers[i].chaos = c;
		sim_server_init(&c->servers[i].at);
		server_start(&c->servers[i]);
	}
	c->peers = peers_new(c->loop, &c->params);
	assert_non_null(c->peers);
	change_set(c);
}

static void stop(struct chaos *c)
{
	c->ending = true;
	peers_free(c->peers);
	for (int i = 0; i < c->asked_n; i++)
		assert_int_equal(c->asked[i].done_n, 1);
	for (int i = 0; i < SERVERS; i++)
		service_free(c->servers[i].service);
	for (int i = 0; i < c->pending_n; i++)
		if (c->pending[i].call != NULL) {
			deadline_clear(c->loop, &c->pending[i].deadline);
			reply(c->pending[i].call, "x\n", 2);
		}
	loop_free(c->loop);
	for (int i = 0; i < SERVERS; i++)
		sim_server_clear(&c->servers[i].at);
}

static void round_of(uint64_t seed, const struct frame_codec *codec)
{
	struct chaos *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->random = seed * 0x9e3779b97f4a7c15ULL + 1;
	start(c, codec);
	for (int i = 0; i < STEPS; i++) {
		for (unsigned n = chance(c, 6); n > 0; n--)
			ask(c);
		if (chance(c, 3) == 0)
			disturb(c);
		sim_turn(c->loop);
	}
	assert_true(c->good_n > 0);
	stop(c);
	free(c);
}

static uint64_t first_seed = 1;
static int rounds = ROUNDS;

static void rounds_of(const struct frame_codec *codec)
{
	for (int i = 0; i < rounds; i++) {
		if (rounds != ROUNDS)
			fprintf(stderr, "%s, seed %llu\n", codec->name,
			    (unsigned long long)(first_seed + (uint64_t)i));
		round_of(first_seed + (uint64_t)i, codec);
	}
}

static void answers_by_number_meet_their_questions(void **state)
{
	(void)state;
	rounds_of(&sim_numbered);
}

static void answers_in_order_meet_their_questions(void **state)
{
	(void)state;
	rounds_of(&sim_lines);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_by_number_meet_their_questions),
		cmocka_unit_test(answers_in_order_meet_their_questions),
	};

	log_set(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	if (argc > 1)
		first_seed = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		rounds = (int)strtol(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
