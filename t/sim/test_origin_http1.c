/*
 * test_origin_http1.c: a back-end that the test plays, and what the exchange's side is told of it:
 * answers at every byte boundary, half ones, wrong ones, late ones, too many.
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
#include "t/sim/told.h"
#include "t/unit/hostile.h"

#include "base/poison.h"

static const struct {
	const char *answer, *told;
	bool reused; /* the connection, afterwards */
} whole[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200 hello end", true },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200  end", true },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	    "200 hello end", true },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n", "200  end",
	    true },
	{ "HTTP/1.1 204 No\r\n\r\n", "204  end", true },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "304  end", true },
	{ "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	    "103 200 x end", true },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "200 x end", false },
	{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", "200 x end",
	    true },
	{ "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", "200 x end",
	    false },
};

static void an_answer_may_come_in_any_two_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		struct sim_gateway *g = told_gateway();
		size_t len = strlen(whole[i].answer);
		int backend = -1;
		char piece[512];
		struct told t;

		for (size_t cut = 0; cut <= len; cut++) {
			told_ask(&t, g);
			if (backend == -1)
				backend = sim_accept(g, 0);
			sim_expect(g, backend, TOLD_ASKED);
			snprintf(piece, sizeof(piece), "%.*s", (int)cut, whole[i].answer);
			if (cut > 0)
				sim_send(backend, piece);
			sim_turns(g, 1);
			assert_true(t.over == (cut == len));
			if (cut < len)
				sim_send(backend, whole[i].answer + cut);
			told_expect(&t, whole[i].told);
			assert_int_equal(told_idle_ones(g), whole[i].reused);
			if (!whole[i].reused) {
				assert_int_equal(
				    sim_read_to_end(g, backend, piece, sizeof(piece)), 0);
				close(backend);
				backend = -1;
			}
		}
		sim_gateway_stop(g);
		if (backend != -1)
			close(backend);
	}
}

/* Wherever the back-end stops, closed or reset or just silent, it is told as what it is. */
static void half_an_answer_is_never_a_whole_one(void **state)
{
	enum { CLOSES, RESETS, SILENT, WAYS };
	char piece[512];

	(void)state;
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		size_t len = strlen(whole[i].answer);

		for (size_t cut = 0; cut < len * WAYS; cut++) {
			struct linger linger = { 1, 0 };
			struct sim_gateway *g;
			const char *failed;
			struct told t;
			int backend, way = (int)(cut / len);

			/* These take their time: a few places are enough. */
			if ((way == SILENT && cut % 29 != 0) || (way == RESETS && cut % 5 != 0))
				continue;
			g = told_gateway();
			told_ask(&t, g);
			backend = sim_accept(g, 0);
			sim_expect(g, backend, TOLD_ASKED);
			snprintf(piece, sizeof(piece), "%.*s", (int)(cut % len), whole[i].answer);
			if (cut % len > 0)
				sim_send(backend, piece);
			/* Else the bytes and the reset are seen as one event. */
			if (cut % 2 == 0)
				sim_turns(g, 1);
			if (way == RESETS)
				setsockopt(backend, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
			if (way != SILENT)
				close(backend);
			sim_until(g, told_is_over, &t);
			assert_null(strstr(t.text, " end"));
			failed = strstr(t.text, "failed ");
			assert_non_null(failed);
			if (way == SILENT)
				assert_memory_equal(failed + 7, "answer_timeout", 14);
			else if (way == RESETS)
				assert_memory_equal(failed + 7, "backend_reset", 13);
			else
				assert_string_equal(failed + 7,
				    cut % len == 0 ? "backend_close" : "backend_truncated begun");
			assert_true((strstr(failed, "begun") != NULL) == (cut % len > 0));
			assert_int_equal(t.sent, strlen(TOLD_ASKED));
			assert_int_equal(told_idle_ones(g), 0);
			if (way == SILENT)
				close(backend);
			sim_gateway_stop(g);
		}
	}
}

static void an_answer_to_the_close_ends_with_it(void **state)
{
	struct sim_gateway *g = told_gateway();
	struct told t;
	int backend;

	(void)state;
	told_ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\n\r\nabc");
	sim_turns(g, 2);
	assert_false(t.over);
	close(backend);
	told_expect(&t, "200 abc end");
	sim_gateway_stop(g);
}

static struct sim_gateway *hostile_gateway;
static unsigned hostile_cases;

static void hostile_answer(const struct hostile_case *c)
{
	struct sim_gateway *g = hostile_gateway;
	bool head = strcmp(c->to_method, "HEAD") == 0;
	struct origin_request r = { .head = bytes_str(TOLD_ASKED), .head_request = head };
	struct told t;
	int backend;

	if (c->request || c->to_upgrade[0] != '\0')
		return;
	told_ask_with(&t, g, POOL_NEW, &r);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	if (c->len > 0)
		assert_int_equal(send(backend, c->text, c->len, MSG_NOSIGNAL), (ssize_t)c->len);
	sim_turns(g, 3);
	if (strncmp(c->expect, "502 ", 4) == 0) {
		char failed[128];

		if (!t.over)
			fail_msg("%s:%d: %s: not refused: %s", c->file, c->line, c->name, t.text);
		snprintf(failed, sizeof(failed), "failed %s", c->expect + 4);
		if (strstr(t.text, failed) == NULL)
			fail_msg(
			    "%s:%d: %s: %s, not %s", c->file, c->line, c->name, t.text, failed);
		assert_null(strstr(t.text, " end"));
	} else if (strncmp(c->expect, "ok", 2) == 0 && strstr(c->expect, "to_close") == NULL) {
		/* An interim answer alone is not the end. */
		if (t.over == (t.text[0] == '1' && strlen(t.text) == 4) ||
		    strstr(t.text, "failed") != NULL)
			fail_msg("%s:%d: %s: not passed: %s", c->file, c->line, c->name, t.text);
	}
	if (!t.over)
		t.origin->ops->cancel(t.origin, REASON_RESET);
	close(backend);
	hostile_cases++;
}

static void no_hostile_answer_passes(void **state)
{
	(void)state;
	hostile_gateway = told_gateway();
	assert_true(hostile_read(TOP_SRCDIR "/t/hostile", hostile_answer) > 0);
	assert_true(hostile_cases > 20);
	sim_gateway_stop(hostile_gateway);
}

static void a_flood_of_interim_answers_ends(void **state)
{
	struct sim_gateway *g = told_gateway();
	struct told t;
	int backend;

	(void)state;
	told_ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	for (int i = 0; i < 17; i++)
		sim_send(backend, "HTTP/1.1 102 Processing\r\n\r\n");
	sim_until(g, told_is_over, &t);
	assert_non_null(strstr(t.text, "failed backend_interim begun"));
	sim_gateway_stop(g);
	close(backend);
}

static void a_101_that_nobody_asked_for_is_refused(void **state)
{
	struct sim_gateway *g = told_gateway();
	struct told t;
	int backend;

	(void)state;
	told_ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	sim_send(backend,
	    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	told_expect(&t, "failed backend_upgrade begun");
	sim_gateway_stop(g);
	close(backend);
}

/* While the client sends slowly, the back-end is not late. */
static void answering_is_timed_from_the_end_of_the_request(void **state)
{
	struct origin_request r = { .head = bytes_str(TOLD_ASKED), .body_follows = true };
	struct sim_gateway *g = told_gateway();
	struct told t;
	int backend;

	(void)state;
	told_ask_with(&t, g, POOL_ANY, &r);
	backend = sim_accept(g, 0);
	sim_turns(g, 60);
	assert_false(t.over);
	t.origin->ops->end(t.origin);
	told_expect(&t, "failed answer_timeout");
	sim_gateway_stop(g);
	close(backend);
}

static void stop_holds_the_back_end_until_resume_and_no_deadline_runs(void **state)
{
	struct sim_gateway *g = told_gateway();
	struct told t;
	int backend;

	(void)state;
	told_ask(&t, g);
	t.stop_after = 1;
	backend = sim_accept(g, 0);
	sim_expect(g, backend, TOLD_ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
	sim_turns(g, 2);
	sim_send(backend, "cd");
	sim_turns(g, 60);
	assert_string_equal(t.text, "200 ab");
	t.origin->ops->resume(t.origin);
	told_expect(&t, "200 abcd end");
	assert_int_equal(told_idle_ones(g), 1);
	sim_gateway_stop(g);
	close(backend);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_may_come_in_any_two_pieces),
		cmocka_unit_test(half_an_answer_is_never_a_whole_one),
		cmocka_unit_test(an_answer_to_the_close_ends_with_it),
		cmocka_unit_test(no_hostile_answer_passes),
		cmocka_unit_test(a_flood_of_interim_answers_ends),
		cmocka_unit_test(a_101_that_nobody_asked_for_is_refused),
		cmocka_unit_test(answering_is_timed_from_the_end_of_the_request),
		cmocka_unit_test(stop_holds_the_back_end_until_resume_and_no_deadline_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
