/*
 * test_front_flow.c: a client's connection when one side is slow, silent, gone or early: what is held
 * is bounded, and every state ends.
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

#include "base/counters.h"
#include "gateway/front/front_http1.h"
#include "t/sim/gateway.h"

#include "base/poison.h"

static bool is_closed(void *conn)
{
	return ((struct conn *)conn)->closed;
}

static void an_early_answer_is_passed_on_and_the_rest_of_the_request_dropped(void **state)
{
	struct sim_gateway *g = sim_gateway_started(1);
	struct conn *conn;
	int client = sim_client(g, &conn), backend;
	char head[1024], rest[64];

	(void)state;
	sim_send(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n1234567890");
	backend = sim_accept(g, 0);
	sim_read_head(g, backend, head, sizeof(head));
	sim_expect(g, backend, "1234567890");
	sim_send(backend, "HTTP/1.1 403 No\r\nDate: x\r\nContent-Length: 2\r\n\r\nno");
	sim_expect(g, client,
	    "HTTP/1.1 403 No\r\nDate: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
	/* The back-end's connection is owed a body and is not used again. */
	assert_int_equal(sim_read_to_end(g, backend, rest, sizeof(rest)), 0);
	sim_send(client, "1234567890");
	assert_int_equal(sim_read_to_end(g, client, rest, sizeof(rest)), 0);
	sim_turns(g, 2);
	assert_false(conn->closed);
	shutdown(client, SHUT_WR);
	sim_turns(g, 5);
	assert_true(conn->closed);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

/* The reset that follows its answer may be met by our writing first. */
static void an_answer_is_not_lost_to_the_reset_after_it(void **state)
{
	static char block[65536];

	(void)state;
	for (int round = 0; round < 30; round++) {
		struct sim_gateway *g = sim_gateway_started(1);
		int client = sim_client(g, NULL), backend;
		char head[1024];

		sim_send(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
		backend = sim_accept(g, 0);
		sim_read_head(g, backend, head, sizeof(head));
		for (int i = 0; i < round; i++) {
			(void)send(client, block, sizeof(block), MSG_NOSIGNAL);
			sim_turns(g, 1);
		}
		/* Now the one, now the other is first in the loop's turn. */
		if (round % 4 == 1)
			(void)send(client, block, sizeof(block), MSG_NOSIGNAL);
		sim_send(backend, "HTTP/1.1 413 No\r\nDate: x\r\nContent-Length: 2\r\n\r\nno");
		if (round % 2 == 0)
			(void)send(client, block, sizeof(block), MSG_NOSIGNAL);
		close(backend);
		if (round % 3 == 0)
			(void)send(client, block, sizeof(block), MSG_NOSIGNAL);
		sim_expect(g, client,
		    "HTTP/1.1 413 No\r\nDate: x\r\nContent-Length: 2\r\nConnection: "
		    "close\r\n\r\nno");
		close(client);
		sim_gateway_stop(g);
	}
}

static void lingering_ends_after_so_many_bytes(void **state)
{
	struct sim_gateway *g = sim_gateway_started(1);
	struct conn *conn;
	int client = sim_client(g, &conn);
	static char block[65536], rest[4096];
	ssize_t sent = 0, n;

	(void)state;
	memset(block, 'x', sizeof(block));
	sim_send(client, "BAD\r\n\r\n");
	sim_read_to_end(g, client, rest, sizeof(rest));
	for (int i = 0; i < 100000 && !conn->closed; i++) {
		n = send(client, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);
		sent += n > 0 ? n : 0;
		sim_turns(g, 1);
	}
	assert_true(conn->closed);
	assert_in_range(sent, FRONT_LINGER_BYTES, FRONT_LINGER_BYTES + (4 << 20));
	close(client);
	sim_gateway_stop(g);
}

static void silence_ends_by_its_deadline(void **state)
{
	static const struct {
		const char *sent, *line;
		enum reason reason;
	} cases[] = {
		{ "", NULL, REASON_IDLE },
		{ "GET / HT", "HTTP/1.1 408 ", REASON_HEAD_TIMEOUT },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na", "HTTP/1.1 408 ",
		    REASON_BODY_TIMEOUT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sim_gateway *g = sim_gateway_new(1);
		struct conn *conn;
		int client;

		g->conf.timeouts.idle = g->conf.timeouts.head = g->conf.timeouts.body = 50;
		sim_gateway_start(g);
		client = sim_client(g, &conn);
		sim_send(client, cases[i].sent);
		if (cases[i].line != NULL)
			sim_expect_page(g, client, cases[i].line, true);
		else
			sim_until(g, is_closed, conn);
		assert_int_equal(sim_count(g, cases[i].reason), 1);
		close(client);
		sim_gateway_stop(g);
	}
}

/* What the gateway holds of an answer that nobody reads is bounded; then the client's deadline ends it. */
static void a_client_that_stops_reading_stops_the_back_end(void **state)
{
	struct sim_gateway *g = sim_gateway_new(1);
	struct conn *conn;
	int client, backend, small = 4096;
	static char block[65536];
	char head[1024];
	size_t sent = 0;
	ssize_t n;

	(void)state;
	g->conf.timeouts.write = 150;
	sim_gateway_start(g);
	client = sim_client(g, &conn);
	assert_int_equal(
	    setsockopt(stream_fd(conn->stream), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	sim_send(client, SIM_GET);
	backend = sim_accept(g, 0);
	assert_int_equal(setsockopt(backend, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	sim_expect(g, backend, SIM_GET);
	sim_send(backend, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 100000000\r\n\r\n");
	for (int quiet = 0; quiet < 20; sim_turns(g, 1)) {
		n = send(backend, block, sizeof(block), MSG_NOSIGNAL);
		quiet = n > 0 ? 0 : quiet + 1;
		sent += n > 0 ? (size_t)n : 0;
		assert_true(sent < 16 * 1024 * 1024);
	}
	assert_true(stream_queued(conn->stream) <= STREAM_HIGH_WATER + STREAM_READ_MAX + 1024);
	sim_read_head(g, client, head, sizeof(head));
	sim_until(g, is_closed, conn);
	assert_int_equal(conn->reason, REASON_WRITE_TIMEOUT);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

static void a_slow_client_gets_all_of_it(void **state)
{
	struct sim_gateway *g = sim_gateway_new(1);
	struct conn *conn;
	enum { TOTAL = 3000000 };
	static char block[65536];
	size_t sent = 0, got = 0;
	int client, backend;
	char head[1024];
	ssize_t n;

	(void)state;
	g->conf.timeouts.write = 200;
	sim_gateway_start(g);
	client = sim_client(g, &conn);
	sim_send(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	backend = sim_accept(g, 0);
	sim_read_head(g, backend, head, sizeof(head));
	sim_send(backend, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 3000000\r\n\r\n");
	sim_read_head(g, client, head, sizeof(head));
	while (got < TOTAL) {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (char)((sent + i) % 251);
		n = sent == TOTAL ? 0
				  : send(backend, block,
					sizeof(block) < TOTAL - sent ? sizeof(block) : TOTAL - sent,
					MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		sim_turns(g, 1);
		n = recv(client, block, 30000, 0);
		assert_true(n != 0);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(block[i], (char)((got + (size_t)i) % 251));
		got += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(sim_read_to_end(g, client, head, sizeof(head)), 0);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

/* The last answer may take longer to leave than what we would wait for the client's own end. */
static void the_last_answer_is_not_cut_short_by_lingering(void **state)
{
	struct sim_gateway *g = sim_gateway_new(1);
	struct conn *conn;
	enum { TOTAL = 60000 };
	static char body[TOTAL + 1];
	int client, backend, small = 4096;
	uint64_t end;
	char head[1024];

	(void)state;
	g->conf.timeouts.write = 10000;
	sim_gateway_start(g);
	client = sim_client(g, &conn);
	assert_int_equal(
	    setsockopt(stream_fd(conn->stream), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	sim_send(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	backend = sim_accept(g, 0);
	sim_read_head(g, backend, head, sizeof(head));
	sim_send(backend, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 60000\r\n\r\n");
	memset(body, 'x', TOTAL);
	sim_send(backend, body);
	end = loop_now_ms(g->worker.loop) + 2200;
	while (loop_now_ms(g->worker.loop) < end)
		sim_turns(g, 1);
	assert_false(conn->closed);
	sim_read_head(g, client, head, sizeof(head));
	sim_expect(g, client, body);
	assert_int_equal(sim_read_to_end(g, client, head, sizeof(head)), 0);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

static void a_back_end_that_stops_reading_stops_the_client(void **state)
{
	struct sim_gateway *g = sim_gateway_started(1);
	struct conn *conn;
	enum { TOTAL = 20000000 };
	static char block[65536];
	size_t sent = 0, got = 0;
	int client = sim_client(g, &conn), backend;
	char head[1024];
	ssize_t n;

	(void)state;
	sim_send(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n");
	backend = sim_accept(g, 0);
	sim_read_head(g, backend, head, sizeof(head));
	for (int quiet = 0; quiet < 20; sim_turns(g, 1)) {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (char)((sent + i) % 251);
		n = send(client, block, sizeof(block), MSG_NOSIGNAL);
		quiet = n > 0 ? 0 : quiet + 1;
		sent += n > 0 ? (size_t)n : 0;
		assert_true(sent < TOTAL);
	}
	while (got < TOTAL) {
		n = recv(backend, block, sizeof(block), 0);
		assert_true(n != 0);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(block[i], (char)((got + (size_t)i) % 251));
		got += n > 0 ? (size_t)n : 0;
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (char)((sent + i) % 251);
		n = sent == TOTAL ? 0
				  : send(client, block,
					sizeof(block) < TOTAL - sent ? sizeof(block) : TOTAL - sent,
					MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		sim_turns(g, 1);
	}
	sim_send(backend, SIM_OK);
	sim_expect(g, client, SIM_OK);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

/* All of it goes out at once, while the connection to the back-end opens. */
static void a_body_of_the_whole_request_buffer_reaches_the_back_end(void **state)
{
	struct sim_gateway *g = sim_gateway_new(1);
	enum { TOTAL = 1000000 };
	static char block[TOTAL], got[TOTAL];
	size_t sent = 0, n = 0;
	char head[1024];
	int client, backend;
	ssize_t some;

	(void)state;
	g->conf.limits.request_buffer = 1024 * 1024;
	sim_gateway_start(g);
	client = sim_client(g, NULL);
	for (size_t i = 0; i < TOTAL; i++)
		block[i] = (char)(i % 251);
	sim_send(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
	for (; sent < TOTAL; sim_turns(g, 1)) {
		some = send(client, block + sent, TOTAL - sent, MSG_NOSIGNAL);
		sent += some > 0 ? (size_t)some : 0;
	}
	backend = sim_accept(g, 0);
	sim_read_head(g, backend, head, sizeof(head));
	for (; n < TOTAL; sim_turns(g, 1)) {
		some = recv(backend, got + n, TOTAL - n, 0);
		assert_true(some != 0);
		n += some > 0 ? (size_t)some : 0;
	}
	assert_memory_equal(got, block, TOTAL);
	sim_send(backend, SIM_OK);
	sim_expect(g, client, SIM_OK);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

static void a_client_that_is_gone_ends_its_request_at_the_back_end(void **state)
{
	struct sim_gateway *g = sim_gateway_started(1);
	struct conn *conn;
	int client = sim_client(g, &conn), backend;
	char rest[64];

	(void)state;
	sim_send(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
	backend = sim_accept(g, 0);
	sim_read_head(g, backend, rest, sizeof(rest));
	close(client);
	assert_int_equal(sim_read_to_end(g, backend, rest, sizeof(rest)), 1);
	assert_true(conn->closed);
	assert_int_equal(conn->reason, REASON_TRUNCATED);
	sim_gateway_stop(g);
	close(backend);
}

static void a_client_that_has_said_all_still_gets_its_answer(void **state)
{
	struct sim_gateway *g = sim_gateway_started(1);
	int client = sim_client(g, NULL), backend;
	char rest[64];

	(void)state;
	sim_send(client, SIM_GET);
	shutdown(client, SHUT_WR);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, SIM_GET);
	sim_turns(g, 3);
	sim_send(backend, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok");
	sim_expect(g, client,
	    "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
	assert_int_equal(sim_read_to_end(g, client, rest, sizeof(rest)), 0);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

static void a_truncated_answer_is_not_passed_on_as_whole(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 10\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct sim_gateway *g = sim_gateway_started(1);
		int client = sim_client(g, NULL), backend;
		char text[1024];

		sim_send(client, SIM_GET);
		backend = sim_accept(g, 0);
		sim_expect(g, backend, SIM_GET);
		sim_send(backend, answers[i]);
		close(backend);
		sim_read_to_end(g, client, text, sizeof(text));
		assert_non_null(strstr(text, "abc"));
		assert_null(strstr(text, "\r\n0\r\n\r\n"));
		assert_int_equal(sim_count(g, REASON_BACKEND_TRUNCATED), 1);
		/* At once, not when it had been idle for long enough. */
		assert_int_equal(sim_count(g, REASON_IDLE), 0);
		close(client);
		sim_gateway_stop(g);
	}
}

static void draining_answers_one_more_request_and_closes(void **state)
{
	struct sim_gateway *g = sim_gateway_started(1);
	struct conn *conn;
	int client = sim_client(g, &conn), backend;
	char rest[64];

	(void)state;
	sim_send(client, SIM_GET);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, SIM_GET);
	sim_send(backend, SIM_OK);
	sim_expect(g, client, SIM_OK);
	g->worker.draining = true;
	conn->front->ops->drain(conn->front);
	sim_turns(g, 2);
	assert_false(conn->closed);
	sim_send(client, SIM_GET);
	sim_expect(g, backend, SIM_GET);
	sim_send(backend, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 0\r\n\r\n");
	sim_expect(g, client,
	    "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	assert_int_equal(sim_read_to_end(g, client, rest, sizeof(rest)), 0);
	assert_int_equal(sim_read_to_end(g, backend, rest, sizeof(rest)), 0);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

/* Answers that nobody reads are no reason to make more of them. */
static void a_client_that_asks_and_reads_nothing_is_not_served_on(void **state)
{
	static char answer[40000];

	(void)state;
	/* All requests at once, or one after the other. */
	for (int at_once = 0; at_once < 2; at_once++) {
		struct sim_gateway *g = sim_gateway_started(1);
		struct conn *conn;
		int client = sim_client(g, &conn), backend = -1, small = 4096, n;

		assert_int_equal(setsockopt(stream_fd(conn->stream), SOL_SOCKET, SO_SNDBUF, &small,
				     sizeof(small)),
		    0);
		n = snprintf(answer, sizeof(answer),
		    "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 30000\r\n\r\n");
		memset(answer + n, 'x', 30000);
		for (int i = 0; at_once && i < 100; i++)
			sim_send(client, SIM_GET);
		for (n = 0; n < 20; n++) {
			if (!at_once)
				sim_send(client, SIM_GET);
			if (n == 0)
				backend = sim_accept(g, 0);
			sim_turns(g, 3);
			if (sim_quiet(backend))
				break;
			sim_expect(g, backend, SIM_GET);
			sim_send(backend, answer);
			sim_turns(g, 3);
		}
		assert_true(n < 6);
		for (; n > 0; n--)
			sim_expect(g, client, answer);
		sim_expect(g, backend, SIM_GET);
		close(client);
		sim_gateway_stop(g);
		close(backend);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_early_answer_is_passed_on_and_the_rest_of_the_request_dropped),
		cmocka_unit_test(an_answer_is_not_lost_to_the_reset_after_it),
		cmocka_unit_test(lingering_ends_after_so_many_bytes),
		cmocka_unit_test(silence_ends_by_its_deadline),
		cmocka_unit_test(a_client_that_stops_reading_stops_the_back_end),
		cmocka_unit_test(a_slow_client_gets_all_of_it),
		cmocka_unit_test(the_last_answer_is_not_cut_short_by_lingering),
		cmocka_unit_test(a_back_end_that_stops_reading_stops_the_client),
		cmocka_unit_test(a_body_of_the_whole_request_buffer_reaches_the_back_end),
		cmocka_unit_test(a_client_that_is_gone_ends_its_request_at_the_back_end),
		cmocka_unit_test(a_client_that_has_said_all_still_gets_its_answer),
		cmocka_unit_test(a_truncated_answer_is_not_passed_on_as_whole),
		cmocka_unit_test(draining_answers_one_more_request_and_closes),
		cmocka_unit_test(a_client_that_asks_and_reads_nothing_is_not_served_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
