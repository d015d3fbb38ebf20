/*
 * test_line.c: the line before a pool whose connections are all in use: who is next, and that nobody
 * waits for the sake of another who may not have what is free.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/counters.h"
#include "t/sim/gateway.h"

#include "base/poison.h"

/* Two servers with one connection each; a long wait, so that a test which passes has not waited. */
static struct sim_gateway *gateway(void)
{
	struct sim_gateway *g = sim_gateway_new(2);

	g->pool.max_connections = 1;
	g->pool.queue_timeout = 60000;
	g->pool.answer_timeout = 60000;
	sim_gateway_start(g);
	return g;
}

static int asks_as(struct sim_gateway *g, const char *path, struct conn **conn)
{
	int fd = sim_client(g, conn);
	char text[128];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: shop.example\r\n\r\n", path);
	sim_send(fd, text);
	sim_turns(g, 3);
	return fd;
}

static int asks(struct sim_gateway *g, const char *path)
{
	return asks_as(g, path, NULL);
}

/* The next request that this server gets is for that path. Its end of the connection. */
static int goes(struct sim_gateway *g, size_t server, const char *path)
{
	int fd = sim_accept(g, server);
	char head[1024], line[128];

	sim_read_head(g, fd, head, sizeof(head));
	snprintf(line, sizeof(line), "GET %s HTTP/1.1\r\n", path);
	assert_memory_equal(head, line, strlen(line));
	return fd;
}

/* A body that the connection's end ends: the next request needs a new one. */
static void answers(struct sim_gateway *g, int *backend, int client)
{
	char all[1024];

	sim_send(*backend,
	    "HTTP/1.1 200 OK\r\nDate: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
	close(*backend);
	sim_read_head(g, client, all, sizeof(all));
	assert_memory_equal(all, "HTTP/1.1 200", 12);
	sim_expect(g, client, "ok");
	*backend = -1;
}

static void who_may_not_have_what_is_free_holds_up_nobody(void **state)
{
	struct sim_gateway *g = gateway();
	int one, two, three, four, a, b;

	(void)state;
	one = asks(g, "/1");
	a = goes(g, 0, "/1");
	two = asks(g, "/2");
	b = goes(g, 1, "/2");
	close(b); /* it will not be asked there again, and the other one is in use */
	sim_turns(g, 5);
	assert_true(sim_quiet(two));
	three = asks(g, "/3");
	b = goes(g, 1, "/3");
	four = asks(g, "/4");
	assert_true(sim_quiet(four));
	answers(g, &b, three);
	b = goes(g, 1, "/4");
	answers(g, &a, one);
	a = goes(g, 0, "/2");
	answers(g, &a, two);
	answers(g, &b, four);
	assert_int_equal(counter_get(g->worker.counters.retries), 1);
	assert_int_equal(sim_count(g, REASON_QUEUE_TIMEOUT), 0);
	for (int i = 0; i < 4; i++)
		close((int[]){ one, two, three, four }[i]);
	sim_gateway_stop(g);
}

static void who_stands_in_line_gets_what_another_has_given_up(void **state)
{
	struct sim_gateway *g = gateway();
	int one, two, three, four, a, b;

	(void)state;
	one = asks(g, "/1");
	a = goes(g, 0, "/1");
	two = asks(g, "/2");
	b = goes(g, 1, "/2");
	three = asks(g, "/3");
	four = asks(g, "/4");
	close(b);
	b = goes(g, 1, "/3");
	/* Who tries again goes first where he may. */
	answers(g, &a, one);
	a = goes(g, 0, "/2");
	answers(g, &a, two);
	a = goes(g, 0, "/4");
	answers(g, &a, four);
	answers(g, &b, three);
	for (int i = 0; i < 4; i++)
		close((int[]){ one, two, three, four }[i]);
	sim_gateway_stop(g);
}

static void who_came_first_is_first(void **state)
{
	struct sim_gateway *g = gateway();
	int clients[6], backends[2];

	(void)state;
	for (int i = 0; i < 6; i++) {
		char path[8];

		snprintf(path, sizeof(path), "/%d", i);
		clients[i] = asks(g, path);
		if (i < 2)
			backends[i] = goes(g, (size_t)i, path);
	}
	for (int i = 0; i < 6; i++) {
		char path[8];

		answers(g, &backends[i % 2], clients[i]);
		snprintf(path, sizeof(path), "/%d", i + 2);
		if (i < 4)
			backends[i % 2] = goes(g, (size_t)i % 2, path);
		close(clients[i]);
	}
	sim_gateway_stop(g);
}

/* Of those who wait for one server, each gets his turn, and who leaves is forgotten. */
static void they_wait_for_what_they_may_have(void **state)
{
	struct sim_gateway *g = gateway();
	struct conn *conn;
	int one, gone, left, a, b;

	(void)state;
	one = asks(g, "/1");
	a = goes(g, 0, "/1");
	gone = asks_as(g, "/gone", &conn);
	b = goes(g, 1, "/gone");
	close(b);
	sim_turns(g, 5);
	left = asks(g, "/left");
	b = goes(g, 1, "/left");
	close(b);
	sim_turns(g, 5);
	close(gone);
	conn_close(conn, REASON_RESET);
	answers(g, &a, one);
	a = goes(g, 0, "/left");
	answers(g, &a, left);
	close(one);
	close(left);
	sim_gateway_stop(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_not_have_what_is_free_holds_up_nobody),
		cmocka_unit_test(who_stands_in_line_gets_what_another_has_given_up),
		cmocka_unit_test(who_came_first_is_first),
		cmocka_unit_test(they_wait_for_what_they_may_have),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
