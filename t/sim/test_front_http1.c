/*
 * test_front_http1.c: a client's connection over a socket pair, through a real exchange and origin to
 * a back-end that the test plays.
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
#include "t/sim/gateway.h"

#include "base/poison.h"

static void a_get_passes_and_both_connections_live_on(void **state)
{
	struct sim_gateway *g = sim_gateway_started(1);
	int client = sim_client(g, NULL), backend = -1;

	(void)state;
	for (int i = 0; i < 3; i++) {
		sim_send(client, SIM_GET);
		if (backend == -1)
			backend = sim_accept(g, 0);
		sim_expect(g, backend, SIM_GET);
		sim_send(backend, SIM_OK);
		sim_expect(g, client, SIM_OK);
	}
	assert_int_equal(counter_get(g->worker.counters.upstreams_opened), 1);
	assert_int_equal(counter_get(g->worker.counters.requests), 3);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	struct sim_gateway *g = sim_gateway_started(1);
	int client = sim_client(g, NULL), backend;
	char text[96];

	(void)state;
	sim_send(client,
	    "GET /0 HTTP/1.1\r\nHost: a\r\n\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
	    "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyzGET /3 HTTP/1.1\r\n");
	backend = sim_accept(g, 0);
	for (int i = 0; i < 4; i++) {
		if (i == 3)
			sim_send(client, "Host: a\r\n\r\n");
		snprintf(text, sizeof(text),
		    i == 2 ? "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz"
			   : "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n",
		    i);
		sim_expect(g, backend, text);
		assert_true(sim_quiet(backend));
		snprintf(text, sizeof(text),
		    "HTTP/1.1 20%d OK\r\nDate: x\r\nContent-Length: 1\r\n\r\n%d", i == 0 ? 0 : 3,
		    i);
		sim_send(backend, text);
		sim_expect(g, client, text);
	}
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

/* RFC 9110, section 6.6.1. */
static void an_answer_without_a_date_gets_one(void **state)
{
	static char name[] = "date", *names[] = { name };
	char head[512];

	(void)state;
	for (int removed = 0; removed < 2; removed++) {
		struct sim_gateway *g = sim_gateway_new(1);
		int client, backend;
		const char *date;

		if (removed == 1)
			g->route.fields.answer_remove = (struct conf_strings){ names, 1 };
		sim_gateway_start(g);
		client = sim_client(g, NULL);
		sim_send(client, SIM_GET);
		backend = sim_accept(g, 0);
		sim_expect(g, backend, SIM_GET);
		sim_send(backend, "HTTP/1.1 204 Bare\r\nX: y\r\n\r\n");
		sim_read_head(g, client, head, sizeof(head));
		date = strstr(head, "\r\nDate: ");
		assert_int_equal(date != NULL, removed == 0);
		if (date != NULL)
			assert_memory_equal(strchr(date + 2, '\r') - 4, " GMT", 4);
		close(client);
		sim_gateway_stop(g);
		close(backend);
	}
}

static void a_request_may_come_byte_by_byte(void **state)
{
	static const char post[] =
	    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3;x=y\r\nabc\r\n0\r\nTrailer: z\r\n\r\n";
	struct sim_gateway *g = sim_gateway_started(1);
	int client = sim_client(g, NULL), backend;
	char byte[2] = "";

	(void)state;
	for (size_t i = 0; i < sizeof(post) - 1; i++) {
		byte[0] = post[i];
		sim_send(client, byte);
		sim_turns(g, 1);
	}
	backend = sim_accept(g, 0);
	sim_expect(g, backend,
	    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n");
	sim_send(backend, SIM_OK);
	sim_expect(g, client, SIM_OK);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

#define DATED "HTTP/1.1 200 OK\r\nDate: x\r\n"

static void answers_get_the_framing_that_the_client_understands(void **state)
{
	static const struct {
		const char *request, *answer, *expected;
		bool ends; /* the client's connection */
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		    DATED "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		    DATED "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
		    DATED "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		    DATED "Connection: close\r\n\r\nabc", true },
		{ "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
		    DATED "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		    DATED "Connection: close\r\n\r\nabc", true },
		{ "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
		    "HTTP/1.1 200 Fine\r\nDate: x\r\nContent-Length: 3\r\n\r\nabc",
		    "HTTP/1.1 200 Fine\r\nDate: x\r\nContent-Length: 3\r\nConnection: "
		    "keep-alive\r\n\r\nabc",
		    false },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		    DATED "Content-Length: 3\r\n\r\nabc",
		    DATED "Content-Length: 3\r\nConnection: close\r\n\r\nabc", true },
		{ "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", DATED "Content-Length: 30\r\n\r\n",
		    DATED "Content-Length: 30\r\n\r\n", false },
		{ "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", DATED "Transfer-Encoding: chunked\r\n\r\n",
		    DATED "\r\n", false },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n",
		    "HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		    "HTTP/1.1 304 Not Modified\r\nDate: x\r\nContent-Length: 77\r\nETag: x\r\n\r\n",
		    "HTTP/1.1 304 Not Modified\r\nDate: x\r\nETag: x\r\nContent-Length: 77\r\n\r\n",
		    false },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", DATED "Content-Length: 0\r\n\r\n",
		    DATED "Content-Length: 0\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		    DATED
		    "A: 1\r\nConnection: Keep-Alive, B\r\nKeep-Alive: timeout=5\r\nB: "
		    "2\r\nUpgrade: h2c\r\nC: 3\r\nX-Request-ID: mine\r\nContent-Length: 0\r\n\r\n",
		    DATED "A: 1\r\nC: 3\r\nX-Request-ID: mine\r\nContent-Length: 0\r\n\r\n",
		    false },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" DATED
		    "Content-Length: 0\r\n\r\n",
		    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" DATED "Content-Length: 0\r\n\r\n",
		    false },
		{ "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
		    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" DATED "Content-Length: 0\r\n\r\n",
		    DATED "Content-Length: 0\r\nConnection: close\r\n\r\n", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sim_gateway *g = sim_gateway_started(1);
		int client = sim_client(g, NULL), backend;
		char head[1024], rest[64];

		sim_send(client, cases[i].request);
		backend = sim_accept(g, 0);
		sim_read_head(g, backend, head, sizeof(head));
		sim_send(backend, cases[i].answer);
		sim_expect(g, client, cases[i].expected);
		if (cases[i].ends) {
			assert_int_equal(sim_read_to_end(g, client, rest, sizeof(rest)), 0);
		} else {
			sim_turns(g, 2);
			assert_true(sim_quiet(client));
			assert_true(g->conns[0].idle);
		}
		close(client);
		sim_gateway_stop(g);
		close(backend);
	}
}

static void an_answer_that_lasts_to_the_close_is_chunked_for_the_client(void **state)
{
	struct sim_gateway *g = sim_gateway_started(1);
	int client = sim_client(g, NULL), backend;

	(void)state;
	sim_send(client, SIM_GET);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, SIM_GET);
	sim_send(backend, "HTTP/1.0 200 OK\r\nDate: x\r\n\r\nab");
	sim_expect(g, client,
	    "HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
	close(backend);
	sim_expect(g, client, "0\r\n\r\n");
	sim_send(client, SIM_GET);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, SIM_GET);
	sim_send(backend, SIM_OK);
	sim_expect(g, client, SIM_OK);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

static void expect_is_answered_here_where_the_body_is_awaited(void **state)
{
	struct sim_gateway *g = sim_gateway_new(1);
	int client, backend;

	(void)state;
	g->conf.limits.request_buffer = 4096;
	sim_gateway_start(g);
	client = sim_client(g, NULL);
	sim_send(client,
	    "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	sim_expect(g, client, "HTTP/1.1 100 Continue\r\n\r\n");
	sim_send(client, "hi");
	backend = sim_accept(g, 0);
	sim_expect(g, backend, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
	sim_send(backend, SIM_OK);
	sim_expect(g, client, SIM_OK);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

/* A second 100, or one that comes late, is nobody's. */
static void expect_is_the_servers_where_the_body_is_not_awaited(void **state)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct sim_gateway *g = sim_gateway_started(1);
	int client = sim_client(g, NULL), backend;

	(void)state;
	sim_send(client,
	    "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	backend = sim_accept(g, 0);
	sim_expect(g, backend,
	    "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	sim_send(backend, go_on);
	sim_expect(g, client, go_on);
	sim_send(backend, go_on);
	sim_send(client, "hi");
	sim_expect(g, backend, "hi");
	sim_send(backend, go_on);
	sim_send(backend, SIM_OK);
	sim_expect(g, client, SIM_OK);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

/* The body is not sent by a client that waits: it would be a waste to ask for it. */
static void expect_of_a_request_that_is_refused_gets_no_100(void **state)
{
	struct sim_gateway *g = sim_gateway_new(1);
	int client;

	(void)state;
	g->conf.limits.body = 10;
	sim_gateway_start(g);
	client = sim_client(g, NULL);
	sim_send(client,
	    "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
	sim_expect_page(g, client, "HTTP/1.1 413 ", true);
	close(client);
	sim_gateway_stop(g);
}

static void what_is_no_request_is_answered_and_nothing_after_it_read(void **state)
{
	static const struct {
		const char *request, *line;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
		  "chunked\r\n\r\n" SIM_GET,
		    "HTTP/1.1 400 " },
		{ "GET / HTTP/1.1\nHost: a\n\n" SIM_GET, "HTTP/1.1 400 " },
		{ "GET / HTTP/3.0\r\nHost: a\r\n\r\n" SIM_GET, "HTTP/1.1 505 " },
		{ "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n" SIM_GET, "HTTP/1.1 405 " },
		{ "GET / HTTP/1.1\r\n\r\n" SIM_GET, "HTTP/1.1 400 " },
		{ "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n" SIM_GET, "HTTP/1.1 417 " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sim_gateway *g = sim_gateway_started(1);
		int client = sim_client(g, NULL);

		sim_send(client, cases[i].request);
		sim_expect_page(g, client, cases[i].line, true);
		assert_int_equal(counter_get(g->worker.counters.upstreams_opened), 0);
		close(client);
		sim_gateway_stop(g);
	}
}

/* What was answered before says nothing about this request. */
static void a_bad_request_after_a_good_one_is_answered_too(void **state)
{
	struct sim_gateway *g = sim_gateway_started(1);
	int client = sim_client(g, NULL), backend;

	(void)state;
	sim_send(client, SIM_GET);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, SIM_GET);
	sim_send(backend, SIM_OK);
	sim_expect(g, client, SIM_OK);
	sim_send(client, "GET / HTTP/1.1\r\n\r\n");
	sim_expect_page(g, client, "HTTP/1.1 400 ", true);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

static void a_bad_chunk_ends_the_request_at_the_back_end_too(void **state)
{
	struct sim_gateway *g = sim_gateway_started(1);
	int client = sim_client(g, NULL), backend;
	char head[1024], rest[64];

	(void)state;
	sim_send(
	    client, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	backend = sim_accept(g, 0);
	sim_read_head(g, backend, head, sizeof(head));
	sim_expect(g, backend, "3\r\nabc\r\n");
	sim_send(client, "3 zzz\r\nabc\r\n0\r\n\r\n" SIM_GET);
	sim_expect_page(g, client, "HTTP/1.1 400 ", true);
	assert_int_equal(sim_read_to_end(g, backend, rest, sizeof(rest)), 0);
	assert_int_equal(sim_count(g, REASON_CHUNK), 1);
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_get_passes_and_both_connections_live_on),
		cmocka_unit_test(pipelined_requests_are_answered_in_order),
		cmocka_unit_test(an_answer_without_a_date_gets_one),
		cmocka_unit_test(a_request_may_come_byte_by_byte),
		cmocka_unit_test(answers_get_the_framing_that_the_client_understands),
		cmocka_unit_test(an_answer_that_lasts_to_the_close_is_chunked_for_the_client),
		cmocka_unit_test(expect_is_answered_here_where_the_body_is_awaited),
		cmocka_unit_test(expect_is_the_servers_where_the_body_is_not_awaited),
		cmocka_unit_test(expect_of_a_request_that_is_refused_gets_no_100),
		cmocka_unit_test(what_is_no_request_is_answered_and_nothing_after_it_read),
		cmocka_unit_test(a_bad_request_after_a_good_one_is_answered_too),
		cmocka_unit_test(a_bad_chunk_ends_the_request_at_the_back_end_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
