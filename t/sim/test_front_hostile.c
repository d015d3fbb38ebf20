/*
 * test_front_hostile.c: the corpus of hostile requests through a whole front: what is refused gets its
 * status and a closed connection, and a back-end never sees it as a whole request.
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
#include "t/unit/hostile.h"

#include "base/poison.h"

enum { GOT_MAX = 128 * 1024 };

static void feed(struct sim_gateway *g, int client, const struct hostile_case *c, size_t piece)
{
	for (size_t at = 0; at < c->len;) {
		size_t len = piece < c->len - at ? piece : c->len - at;
		ssize_t n = send(client, c->text + at, len, MSG_NOSIGNAL);

		/* Refused before its end. */
		if (n == -1)
			return;
		at += (size_t)n;
		sim_turns(g, 1);
	}
}

static void expect_refused(
    struct sim_gateway *g, const struct hostile_case *c, int client, int *backend)
{
	static char answer[GOT_MAX], request[GOT_MAX];
	char line[32];

	sim_read_to_end(g, client, answer, sizeof(answer));
	snprintf(line, sizeof(line), "HTTP/1.1 %.3s ", c->expect);
	if (strncmp(answer, line, strlen(line)) != 0)
		fail_msg("%s:%d: %s: %.60s", c->file, c->line, c->name, answer);
	assert_non_null(strstr(answer, "Connection: close"));
	if (counter_get(g->worker.counters.upstreams_opened) == 0)
		return;
	/* Its body was what was wrong: the back-end may have the head, but no end. */
	*backend = sim_accept(g, 0);
	sim_read_to_end(g, *backend, request, sizeof(request));
	if (request[0] != '\0' && strstr(request, "Transfer-Encoding: chunked") == NULL)
		fail_msg("%s:%d: %s: passed: %s", c->file, c->line, c->name, request);
	assert_null(strstr(request, "\r\n0\r\n\r\n"));
}

static void check(const struct hostile_case *c, size_t piece)
{
	static char request[GOT_MAX];
	struct sim_gateway *g = sim_gateway_new(1);
	struct conn *conn;
	int client, backend = -1;

	sim_gateway_start(g);
	client = sim_client(g, &conn);
	feed(g, client, c, piece);
	if (c->expect[0] >= '4' && c->expect[0] <= '5') {
		expect_refused(g, c, client, &backend);
	} else if (strncmp(c->expect, "ok", 2) == 0) {
		if (counter_get(g->worker.counters.requests) == 0)
			fail_msg("%s:%d: %s: not passed", c->file, c->line, c->name);
		backend = sim_accept(g, 0);
		sim_read_head(g, backend, request, sizeof(request));
	} else {
		sim_turns(g, 3);
		assert_true(sim_quiet(client));
	}
	close(client);
	sim_gateway_stop(g);
	if (backend != -1)
		close(backend);
}

static void check_whole(const struct hostile_case *c)
{
	if (c->request)
		check(c, 32 * 1024);
}

/* Not byte by byte: that is what t/unit/test_hostile does. */
static void check_in_pieces(const struct hostile_case *c)
{
	if (c->request && c->len < 2000 && c->line % 3 == 0)
		check(c, 1 + c->len / 3);
}

static void no_hostile_request_passes(void **state)
{
	(void)state;
	assert_true(hostile_read(TOP_SRCDIR "/t/hostile", check_whole) > 100);
}

static void nor_in_pieces(void **state)
{
	(void)state;
	assert_true(hostile_read(TOP_SRCDIR "/t/hostile", check_in_pieces) > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_hostile_request_passes),
		cmocka_unit_test(nor_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
