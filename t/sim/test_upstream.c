/*
 * test_upstream.c: the connections to back-ends: opening, kept idle, given up; and what comes on them
 * out of turn.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/counters.h"
#include "net/buffers.h"
#include "t/sim/told.h"

#include "base/poison.h"

/* Retries have a budget: a back-end that closes without a word is not asked on kept ones again and again. */
static void a_server_that_closes_without_a_word_gets_new_connections(void **state)
{
	struct sim_gateway *g = told_gateway();
	unsigned stale = 0;
	struct told t;
	int backend;

	(void)state;
	for (int i = 0; i < 20; i++) {
		told_ask(&t, g);
		if (counter_get(g->worker.counters.upstreams_reused) > stale) {
			/* It went out, and nobody was there. */
			told_expect(&t, "failed backend_close");
			stale++;
			continue;
		}
		backend = sim_accept(g, 0);
		sim_expect(g, backend, TOLD_ASKED);
		sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
		told_expect(&t, "200 x end");
		/* It closes, and the next request is sent before that is known. */
		shutdown(backend, SHUT_WR);
		close(backend);
	}
	assert_int_equal(stale, 2);
	sim_gateway_stop(g);
}

static bool none_open(void *arg)
{
	return told_idle_ones(arg) == 0;
}

static void surplus_bytes_never_answer_the_next_request(void **state)
{
	struct sim_gateway *g = told_gateway();
	struct told t;
	int backend;
	char rest[64];

	(void)state;
	/* With the answer, */
	told_ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 "
			  "OK\r\nContent-Length: 4\r\n\r\nevil");
	told_expect(&t, "200 x end backend_surplus");
	assert_int_equal(told_idle_ones(g), 0);
	sim_read_to_end(g, backend, rest, sizeof(rest));
	close(backend);
	/* or later, on the idle connection, */
	told_ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	told_expect(&t, "200 x end");
	assert_int_equal(told_idle_ones(g), 1);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	sim_turns(g, 2);
	assert_int_equal(told_idle_ones(g), 0);
	assert_int_equal(sim_count(g, REASON_BACKEND_SURPLUS), 1);
	close(backend);
	/* or in the same turn as the next request, before a byte of that has left. */
	told_ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	told_expect(&t, "200 x end");
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	told_ask(&t, g);
	sim_until(g, told_is_over, &t);
	assert_null(strstr(t.text, "evil"));
	/* What is asked elsewhere since nothing was sent does not leave afterwards. */
	assert_int_equal(t.sent, 0);
	sim_read_to_end(g, backend, rest, sizeof(rest));
	assert_string_equal(rest, "");
	sim_gateway_stop(g);
	close(backend);
}

/* Others may be served, and take a kept connection, before it is read again. */
static void a_connection_that_is_not_read_to_its_end_is_not_kept(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 32726\r\n\r\n";
	struct sim_gateway *g = told_gateway();
	struct told t;
	char *whole = malloc(IOBUFS_READ + 5);
	int backend;

	(void)state;
	assert_non_null(whole);
	for (int i = 0; i < 2; i++) { /* its end comes with its answer */
		told_ask(&t, g);
		backend = sim_accept(g, 0);
		sim_expect(g, backend, TOLD_ASKED);
		sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
		close(backend);
		told_expect(&t, "200 x end");
		assert_int_equal(t.kept, 0);
	}
	/* An answer of just one read, and what looks like another. */
	told_ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	memset(whole, 'x', IOBUFS_READ);
	memcpy(whole, head, sizeof(head) - 1);
	memcpy(whole + IOBUFS_READ, "evil", 5);
	assert_int_equal(sizeof(head) - 1 + 32726, IOBUFS_READ);
	sim_send(backend, whole);
	told_expect(&t, "200  end");
	assert_int_equal(t.body_len, 32726);
	assert_int_equal(t.kept, 0);
	sim_gateway_stop(g);
	close(backend);
	free(whole);
}

static void an_idle_connection_goes_with_its_back_end(void **state)
{
	struct sim_gateway *g = told_gateway();
	struct told t;
	int backend;

	(void)state;
	told_ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	told_expect(&t, "200 x end");
	close(backend);
	sim_turns(g, 2);
	assert_int_equal(told_idle_ones(g), 0);
	sim_gateway_stop(g);
}

/* "timeout=1" is half a second to us; the configured four seconds would be too long. */
static void an_idle_connection_is_given_up_before_the_back_end_closes_it(void **state)
{
	struct sim_gateway *g = told_gateway();
	uint64_t before;
	struct told t;
	int backend;

	(void)state;
	told_ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	sim_send(backend,
	    "HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=1\r\nContent-Length: 1\r\n\r\nx");
	told_expect(&t, "200 x end");
	before = loop_now_ms(g->worker.loop);
	sim_until(g, none_open, g);
	assert_in_range(loop_now_ms(g->worker.loop) - before, 400, 900);
	sim_gateway_stop(g);
	close(backend);
}

static void only_so_many_idle_connections_are_kept(void **state)
{
	struct sim_gateway *g = told_gateway();
	static struct told t[70];
	static int backends[70];

	(void)state;
	for (int i = 0; i < 70; i++) {
		told_ask(&t[i], g);
		backends[i] = sim_accept(g, 0);
	}
	for (int i = 0; i < 70; i++) {
		sim_expect(g, backends[i], TOLD_ASKED);
		sim_send(backends[i], "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
		told_expect(&t[i], "200 x end");
	}
	assert_int_equal(told_idle_ones(g), 64);
	sim_gateway_stop(g);
	for (int i = 0; i < 70; i++)
		close(backends[i]);
}

static void a_connection_that_is_refused_fails_with_nothing_sent(void **state)
{
	struct sim_gateway *g = told_gateway();
	struct told t;

	(void)state;
	close(g->listeners[0]);
	g->listeners[0] = -1;
	told_ask(&t, g);
	assert_false(t.over);
	told_expect(&t, "failed connect");
	assert_int_equal(t.sent, 0);
	sim_gateway_stop(g);
}

/* A server whose queue of connections is full says nothing at all. */
static void opening_has_a_time_limit(void **state)
{
	struct sim_gateway *g = told_gateway();
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	struct told t;
	int full[4];

	(void)state;
	assert_int_equal(listen(g->listeners[0], 0), 0);
	assert_int_equal(getsockname(g->listeners[0], (struct sockaddr *)&sin, &len), 0);
	for (int i = 0; i < 4; i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(full[i], (struct sockaddr *)&sin, sizeof(sin));
	}
	told_ask(&t, g);
	told_expect(&t, "failed connect_timeout");
	assert_int_equal(t.sent, 0);
	assert_int_equal(told_idle_ones(g), 0);
	for (int i = 0; i < 4; i++)
		close(full[i]);
	sim_gateway_stop(g);
}

static void a_body_is_framed_and_waits_for_the_connection(void **state)
{
	struct origin_request r = {
		.head = bytes_str("POST / HTTP/1.1\r\n\r\n"), .body_follows = true, .chunked = true
	};
	struct sim_gateway *g = told_gateway();
	struct told t;
	int backend;

	(void)state;
	told_ask_with(&t, g, POOL_ANY, &r);
	assert_int_equal(t.origin->ops->body(t.origin, bytes_str("abc")), FLOW_STOP);
	backend = sim_accept(g, 0);
	sim_turns(g, 2);
	assert_int_equal(t.drained, 1);
	assert_int_equal(t.origin->ops->body(t.origin, bytes_str("0123456789abcdef")), FLOW_GO);
	t.origin->ops->end(t.origin);
	sim_expect(
	    g, backend, "POST / HTTP/1.1\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	told_expect(&t, "200 x end");
	assert_int_equal(told_idle_ones(g), 1);
	sim_gateway_stop(g);
	close(backend);
}

static void a_connection_that_is_owed_a_body_is_not_kept(void **state)
{
	struct origin_request r = { .head = bytes_str(TOLD_ASKED), .body_follows = true };
	struct sim_gateway *g = told_gateway();
	struct told t;
	int backend;

	(void)state;
	told_ask_with(&t, g, POOL_ANY, &r);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	told_expect(&t, "200 x end early_answer");
	assert_int_equal(told_idle_ones(g), 0);
	sim_gateway_stop(g);
	close(backend);
}

static void cancel_works_in_every_state(void **state)
{
	(void)state;
	for (int when = 0; when < 5; when++) {
		struct sim_gateway *g = told_gateway();
		struct told t;
		int backend;
		char rest[64];

		told_ask(&t, g);
		t.cancel_at_head = when == 2;
		t.cancel_at_body = when == 3;
		if (when == 0)
			told_cancel(&t);
		backend = sim_accept(g, 0);
		if (when > 0)
			sim_expect(g, backend, TOLD_ASKED);
		if (when == 1)
			told_cancel(&t);
		if (when > 1) {
			sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
			sim_turns(g, 2);
		}
		if (when == 4)
			told_cancel(&t);
		assert_true(t.over);
		sim_read_to_end(g, backend, rest, sizeof(rest));
		assert_int_equal(told_idle_ones(g), 0);
		sim_gateway_stop(g);
		close(backend);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(surplus_bytes_never_answer_the_next_request),
		cmocka_unit_test(a_server_that_closes_without_a_word_gets_new_connections),
		cmocka_unit_test(a_connection_that_is_not_read_to_its_end_is_not_kept),
		cmocka_unit_test(an_idle_connection_goes_with_its_back_end),
		cmocka_unit_test(an_idle_connection_is_given_up_before_the_back_end_closes_it),
		cmocka_unit_test(only_so_many_idle_connections_are_kept),
		cmocka_unit_test(a_connection_that_is_refused_fails_with_nothing_sent),
		cmocka_unit_test(opening_has_a_time_limit),
		cmocka_unit_test(a_body_is_framed_and_waits_for_the_connection),
		cmocka_unit_test(a_connection_that_is_owed_a_body_is_not_kept),
		cmocka_unit_test(cancel_works_in_every_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
