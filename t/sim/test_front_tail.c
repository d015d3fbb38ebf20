/*
 * test_front_tail.c: the end of an answer that is complete for us and still on its way to a client
 * that reads slowly: whatever comes meanwhile, it is not cut off. And who is waited for after it.
 */
#include "config.h"

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

#include "t/sim/gateway.h"

#include "base/poison.h"

enum { TAIL = 60000 }; /* below the high water: nobody was told to stop */

/* A client that has asked and not read, and the answer, of which the most lies with us. */
static int with_tail(struct sim_gateway *g, struct conn **conn, bool half_close_first, int *backend)
{
	int client = sim_client(g, conn), small = 4096;
	static char body[TAIL + 1];

	assert_int_equal(
	    setsockopt(stream_fd((*conn)->stream), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
	    0);
	sim_send(client, SIM_GET);
	if (half_close_first)
		shutdown(client, SHUT_WR);
	*backend = sim_accept(g, 0);
	sim_expect(g, *backend, SIM_GET);
	sim_send(*backend, "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
	memset(body, 'x', TAIL);
	sim_send(*backend, body);
	sim_turns(g, 10);
	assert_true(stream_queued((*conn)->stream) > TAIL / 2);
	return client;
}

static void expect_all(struct sim_gateway *g, int client)
{
	static char body[TAIL + 2];
	char head[1024];

	sim_read_head(g, client, head, sizeof(head));
	assert_int_equal(sim_read_to_end(g, client, body, sizeof(body)), TAIL);
}

static bool is_closed(void *conn)
{
	return ((struct conn *)conn)->closed;
}

static void turn_for(struct sim_gateway *g, uint64_t ms)
{
	uint64_t end = loop_now_ms(g->worker.loop) + ms;

	while (loop_now_ms(g->worker.loop) < end)
		sim_turns(g, 1);
}

static void a_client_that_has_said_all_gets_all(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct sim_gateway *g = sim_gateway_started(1);
		struct conn *conn;
		int backend, client = with_tail(g, &conn, first == 1, &backend);

		if (first == 0)
			shutdown(client, SHUT_WR);
		turn_for(g, 20);
		expect_all(g, client);
		sim_until(g, is_closed, conn);
		assert_int_equal(sim_count(g, REASON_WRITE_TIMEOUT), 0);
		close(client);
		sim_gateway_stop(g);
		close(backend);
	}
}

static void the_idle_time_ends_no_answer(void **state)
{
	(void)state;
	for (int draining = 0; draining < 2; draining++) {
		struct sim_gateway *g = sim_gateway_new(1);
		struct conn *conn;
		int backend, client;

		g->conf.timeouts.idle = 50;
		sim_gateway_start(g);
		client = with_tail(g, &conn, false, &backend);
		if (draining == 1) {
			g->worker.draining = true;
			conn->front->ops->drain(conn->front);
		}
		turn_for(g, 120);
		expect_all(g, client);
		close(client);
		sim_gateway_stop(g);
		close(backend);
	}
}

/* Its end is the one of any client that takes nothing. */
static void a_tail_that_nobody_reads_ends_by_the_time_of_writing(void **state)
{
	(void)state;
	for (int half_close = 0; half_close < 2; half_close++) {
		struct sim_gateway *g = sim_gateway_new(1);
		struct conn *conn;
		int backend, client;

		g->conf.timeouts.idle = 50;
		g->conf.timeouts.write = 150;
		sim_gateway_start(g);
		client = with_tail(g, &conn, half_close == 1, &backend);
		sim_until(g, is_closed, conn);
		assert_int_equal(conn->reason, REASON_WRITE_TIMEOUT);
		close(client);
		sim_gateway_stop(g);
		close(backend);
	}
}

/* Bytes to a closed socket would be answered with a reset, and that may overtake the answer. */
static void a_client_is_waited_for_only_where_more_may_come(void **state)
{
#define CLOSING "Host: a\r\nConnection: close\r\n"
	static const struct {
		const char *request, *more; /* before the answer */
		bool seen; /* more: by the gateway, when the answer comes */
		bool drains;
		size_t len; /* of the answer */
		bool waited;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n" CLOSING "\r\n", "", false, false, 2, false },
		{ "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "", false, false, 2, false },
		{ "POST / HTTP/1.1\r\n" CLOSING "Content-Length: 2\r\n\r\nab", "", false, false, 2,
		    false },
		/* some add a line's end to a body */
		{ "POST / HTTP/1.1\r\n" CLOSING "Content-Length: 2\r\n\r\nab", "\r\n", true, false,
		    2, true },
		{ "POST / HTTP/1.1\r\n" CLOSING "Content-Length: 2\r\n\r\nab", "\r\n", false, false,
		    2, true },
		{ "POST / HTTP/1.1\r\n" CLOSING "Content-Length: 2\r\n\r\na", "", false, false, 2,
		    true },
		{ SIM_GET, "", false, true, 2, true },
		/* the end of more may still be on its way */
		{ "GET / HTTP/1.1\r\n" CLOSING "\r\n", "", false, false, 20000, true },
	};
	static char body[20001];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sim_gateway *g = sim_gateway_started(1);
		struct conn *conn;
		int client = sim_client(g, &conn), backend;
		char head[1024];

		sim_send(client, cases[i].request);
		backend = sim_accept(g, 0);
		sim_read_head(g, backend, head, sizeof(head));
		sim_send(client, cases[i].more);
		if (cases[i].seen)
			sim_turns(g, 3);
		g->worker.draining = cases[i].drains;
		snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
		    cases[i].len);
		sim_send(backend, head);
		memset(body, 'x', cases[i].len);
		body[cases[i].len] = '\0';
		sim_send(backend, body);
		sim_read_head(g, client, head, sizeof(head));
		assert_non_null(strstr(head, "\r\nConnection: close\r\n"));
		sim_expect(g, client, body);
		assert_int_equal(sim_read_to_end(g, client, head, sizeof(head)), 0);
		sim_turns(g, 3);
		assert_true(conn->closed == !cases[i].waited);
		shutdown(client, SHUT_WR);
		sim_until(g, is_closed, conn);
		assert_int_equal(conn->reason, REASON_DONE);
		close(client);
		sim_gateway_stop(g);
		close(backend);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_is_waited_for_only_where_more_may_come),
		cmocka_unit_test(a_client_that_has_said_all_gets_all),
		cmocka_unit_test(the_idle_time_ends_no_answer),
		cmocka_unit_test(a_tail_that_nobody_reads_ends_by_the_time_of_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
