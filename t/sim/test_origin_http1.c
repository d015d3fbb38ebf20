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
#include "t/sim/gateway.h"
#include "t/unit/hostile.h"

#include "base/poison.h"

/* What was told, as a line: "200 abc end", "103 200 failed backend_truncated begun". */
struct told {
	struct sim_gateway *g;
	struct origin *origin;
	char text[400];
	size_t body_len;
	unsigned drained, stop_after; /* bodies until STOP; 0: never */
	uint64_t sent;
	bool over;
	bool cancel_at_head, cancel_at_body;
};

static void tell(struct told *t, const char *text)
{
	assert_false(t->over);
	assert_true(strlcat(t->text, text, sizeof(t->text)) < sizeof(t->text));
}

static void cancel(struct told *t)
{
	t->origin->ops->cancel(t->origin, REASON_RESET);
	tell(t, "cancelled");
	t->over = true;
}

static void on_head(void *arg, const struct head *head)
{
	struct told *t = arg;
	char text[16];

	snprintf(text, sizeof(text), "%u ", head->status);
	tell(t, text);
	if (t->cancel_at_head)
		cancel(t);
}

static enum flow on_body(void *arg, struct bytes slice)
{
	struct told *t = arg;
	char text[256];

	assert_true(slice.len > 0);
	t->body_len += slice.len;
	if (t->body_len < 200) {
		snprintf(text, sizeof(text), "%.*s", (int)slice.len, (const char *)slice.at);
		tell(t, text);
	}
	if (t->cancel_at_body) {
		cancel(t);
		return FLOW_GO;
	}
	return t->stop_after > 0 && --t->stop_after == 0 ? FLOW_STOP : FLOW_GO;
}

static void on_end(void *arg)
{
	struct told *t = arg;

	tell(t, " end");
	t->over = true;
}

static void on_drained(void *arg)
{
	((struct told *)arg)->drained++;
}

static void on_failed(void *arg, enum reason reason, bool answer_begun, uint64_t sent)
{
	struct told *t = arg;

	tell(t, "failed ");
	tell(t, reason_name(reason));
	if (answer_begun)
		tell(t, " begun");
	t->sent = sent;
	t->over = true;
}

static const struct origin_events events = {
	.head = on_head,
	.body = on_body,
	.end = on_end,
	.drained = on_drained,
	.failed = on_failed,
};

#define ASKED "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

static void ask_with(
    struct told *t, struct sim_gateway *g, enum pool_want want, const struct origin_request *r)
{
	enum reason reason;
	struct upstream *up = pool_take(pools_find(g->worker.pools, "pool"), 0, want, &reason);

	assert_non_null(up);
	*t = (struct told){ .g = g };
	t->origin = upstream_origin(up, &events, t);
	t->origin->ops->start(t->origin, r);
}

static void ask(struct told *t, struct sim_gateway *g)
{
	struct origin_request r = { .head = bytes_str(ASKED) };

	ask_with(t, g, POOL_ANY, &r);
}

static bool is_over(void *arg)
{
	return ((struct told *)arg)->over;
}

static void expect_told(struct told *t, const char *text)
{
	sim_until(t->g, is_over, t);
	assert_string_equal(t->text, text);
}

static struct sim_gateway *started(void)
{
	struct sim_gateway *g = sim_gateway_new(1);

	g->pool.connect_timeout = g->pool.answer_timeout = 60;
	g->pool.idle_timeout = 4000;
	sim_gateway_start(g);
	return g;
}

static size_t idle_ones(struct sim_gateway *g)
{
	/* None is in use in these tests when this is asked. */
	return counter_get(g->worker.counters.upstreams_open);
}

/* ---- whole answers */

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
		struct sim_gateway *g = started();
		size_t len = strlen(whole[i].answer);
		int backend = -1;
		char piece[512];
		struct told t;

		for (size_t cut = 0; cut <= len; cut++) {
			ask(&t, g);
			if (backend == -1)
				backend = sim_accept(g, 0);
			sim_expect(g, backend, ASKED);
			snprintf(piece, sizeof(piece), "%.*s", (int)cut, whole[i].answer);
			if (cut > 0)
				sim_send(backend, piece);
			sim_turns(g, 1);
			assert_true(t.over == (cut == len));
			if (cut < len)
				sim_send(backend, whole[i].answer + cut);
			expect_told(&t, whole[i].told);
			assert_int_equal(idle_ones(g), whole[i].reused);
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
			g = started();
			ask(&t, g);
			backend = sim_accept(g, 0);
			sim_expect(g, backend, ASKED);
			snprintf(piece, sizeof(piece), "%.*s", (int)(cut % len), whole[i].answer);
			if (cut % len > 0)
				sim_send(backend, piece);
			sim_turns(g, 1);
			if (way == RESETS)
				setsockopt(backend, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
			if (way != SILENT)
				close(backend);
			sim_until(g, is_over, &t);
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
			assert_int_equal(t.sent, strlen(ASKED));
			assert_int_equal(idle_ones(g), 0);
			if (way == SILENT)
				close(backend);
			sim_gateway_stop(g);
		}
	}
}

static void an_answer_to_the_close_ends_with_it(void **state)
{
	struct sim_gateway *g = started();
	struct told t;
	int backend;

	(void)state;
	ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\n\r\nabc");
	sim_turns(g, 2);
	assert_false(t.over);
	close(backend);
	expect_told(&t, "200 abc end");
	sim_gateway_stop(g);
}

/* ---- wrong answers */

static struct sim_gateway *hostile_gateway;
static unsigned hostile_cases;

static void hostile_answer(const struct hostile_case *c)
{
	struct sim_gateway *g = hostile_gateway;
	bool head = strcmp(c->to_method, "HEAD") == 0;
	struct origin_request r = { .head = bytes_str(ASKED), .head_request = head };
	struct told t;
	int backend;

	/* Of an answer we read more than the corpus's limits. */
	if (c->request || c->to_upgrade[0] != '\0' || strstr(c->expect, "head_size") != NULL)
		return;
	ask_with(&t, g, POOL_NEW, &r);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, ASKED);
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
	hostile_gateway = started();
	assert_true(hostile_read(TOP_SRCDIR "/t/hostile", hostile_answer) > 0);
	assert_true(hostile_cases > 20);
	sim_gateway_stop(hostile_gateway);
}

static void a_flood_of_interim_answers_ends(void **state)
{
	struct sim_gateway *g = started();
	struct told t;
	int backend;

	(void)state;
	ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, ASKED);
	for (int i = 0; i < 17; i++)
		sim_send(backend, "HTTP/1.1 102 Processing\r\n\r\n");
	sim_until(g, is_over, &t);
	assert_non_null(strstr(t.text, "failed backend_interim begun"));
	sim_gateway_stop(g);
	close(backend);
}

static void a_101_that_nobody_asked_for_is_refused(void **state)
{
	struct sim_gateway *g = started();
	struct told t;
	int backend;

	(void)state;
	ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, ASKED);
	sim_send(backend,
	    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	expect_told(&t, "failed backend_upgrade begun");
	sim_gateway_stop(g);
	close(backend);
}

/* ---- bytes and ends out of turn */

static void surplus_bytes_never_answer_the_next_request(void **state)
{
	struct sim_gateway *g = started();
	struct told t;
	int backend;
	char rest[64];

	(void)state;
	/* With the answer, */
	ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 "
			  "OK\r\nContent-Length: 4\r\n\r\nevil");
	expect_told(&t, "200 x end");
	assert_int_equal(sim_count(g, REASON_BACKEND_SURPLUS), 1);
	sim_read_to_end(g, backend, rest, sizeof(rest));
	close(backend);
	/* or later, on the idle connection, */
	ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	expect_told(&t, "200 x end");
	assert_int_equal(idle_ones(g), 1);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	sim_turns(g, 2);
	assert_int_equal(idle_ones(g), 0);
	assert_int_equal(sim_count(g, REASON_BACKEND_SURPLUS), 2);
	close(backend);
	/* or in the same turn as the next request, before a byte of that has left. */
	ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	expect_told(&t, "200 x end");
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	ask(&t, g);
	sim_until(g, is_over, &t);
	assert_null(strstr(t.text, "evil"));
	sim_gateway_stop(g);
	close(backend);
}

static void an_idle_connection_goes_with_its_back_end(void **state)
{
	struct sim_gateway *g = started();
	struct told t;
	int backend;

	(void)state;
	ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	expect_told(&t, "200 x end");
	close(backend);
	sim_turns(g, 2);
	assert_int_equal(idle_ones(g), 0);
	sim_gateway_stop(g);
}

static bool none_open(void *arg)
{
	return idle_ones(arg) == 0;
}

/* "timeout=1" is half a second to us; the configured four seconds would be too long. */
static void an_idle_connection_is_given_up_before_the_back_end_closes_it(void **state)
{
	struct sim_gateway *g = started();
	uint64_t before;
	struct told t;
	int backend;

	(void)state;
	ask(&t, g);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, ASKED);
	sim_send(backend,
	    "HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=1\r\nContent-Length: 1\r\n\r\nx");
	expect_told(&t, "200 x end");
	before = loop_now_ms(g->worker.loop);
	sim_until(g, none_open, g);
	assert_in_range(loop_now_ms(g->worker.loop) - before, 400, 900);
	sim_gateway_stop(g);
	close(backend);
}

static void only_so_many_idle_connections_are_kept(void **state)
{
	struct sim_gateway *g = started();
	static struct told t[70];
	static int backends[70];

	(void)state;
	for (int i = 0; i < 70; i++) {
		ask(&t[i], g);
		backends[i] = sim_accept(g, 0);
	}
	for (int i = 0; i < 70; i++) {
		sim_expect(g, backends[i], ASKED);
		sim_send(backends[i], "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
		expect_told(&t[i], "200 x end");
	}
	assert_int_equal(idle_ones(g), 64);
	sim_gateway_stop(g);
	for (int i = 0; i < 70; i++)
		close(backends[i]);
}

/* ---- opening, asking, cancelling */

static void a_connection_that_is_refused_fails_with_nothing_sent(void **state)
{
	struct sim_gateway *g = started();
	struct told t;

	(void)state;
	close(g->listeners[0]);
	g->listeners[0] = -1;
	ask(&t, g);
	assert_false(t.over);
	expect_told(&t, "failed connect");
	assert_int_equal(t.sent, 0);
	sim_gateway_stop(g);
}

static void a_body_is_framed_and_waits_for_the_connection(void **state)
{
	struct origin_request r = {
		.head = bytes_str("POST / HTTP/1.1\r\n\r\n"), .body_follows = true, .chunked = true
	};
	struct sim_gateway *g = started();
	struct told t;
	int backend;

	(void)state;
	ask_with(&t, g, POOL_ANY, &r);
	assert_int_equal(t.origin->ops->body(t.origin, bytes_str("abc")), FLOW_STOP);
	backend = sim_accept(g, 0);
	sim_turns(g, 2);
	assert_int_equal(t.drained, 1);
	assert_int_equal(t.origin->ops->body(t.origin, bytes_str("0123456789abcdef")), FLOW_GO);
	t.origin->ops->end(t.origin);
	sim_expect(
	    g, backend, "POST / HTTP/1.1\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	expect_told(&t, "200 x end");
	assert_int_equal(idle_ones(g), 1);
	sim_gateway_stop(g);
	close(backend);
}

static void a_connection_that_is_owed_a_body_is_not_kept(void **state)
{
	struct origin_request r = { .head = bytes_str(ASKED), .body_follows = true };
	struct sim_gateway *g = started();
	struct told t;
	int backend;

	(void)state;
	ask_with(&t, g, POOL_ANY, &r);
	backend = sim_accept(g, 0);
	sim_expect(g, backend, ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	expect_told(&t, "200 x end");
	assert_int_equal(idle_ones(g), 0);
	sim_gateway_stop(g);
	close(backend);
}

/* While the client sends slowly, the back-end is not late. */
static void answering_is_timed_from_the_end_of_the_request(void **state)
{
	struct origin_request r = { .head = bytes_str(ASKED), .body_follows = true };
	struct sim_gateway *g = started();
	struct told t;
	int backend;

	(void)state;
	ask_with(&t, g, POOL_ANY, &r);
	backend = sim_accept(g, 0);
	sim_turns(g, 60);
	assert_false(t.over);
	t.origin->ops->end(t.origin);
	expect_told(&t, "failed answer_timeout");
	sim_gateway_stop(g);
	close(backend);
}

static void stop_holds_the_back_end_until_resume_and_no_deadline_runs(void **state)
{
	struct sim_gateway *g = started();
	struct told t;
	int backend;

	(void)state;
	ask(&t, g);
	t.stop_after = 1;
	backend = sim_accept(g, 0);
	sim_expect(g, backend, ASKED);
	sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
	sim_turns(g, 2);
	sim_send(backend, "cd");
	sim_turns(g, 60);
	assert_string_equal(t.text, "200 ab");
	t.origin->ops->resume(t.origin);
	expect_told(&t, "200 abcd end");
	assert_int_equal(idle_ones(g), 1);
	sim_gateway_stop(g);
	close(backend);
}

static void cancel_works_in_every_state(void **state)
{
	(void)state;
	for (int when = 0; when < 5; when++) {
		struct sim_gateway *g = started();
		struct told t;
		int backend;
		char rest[64];

		ask(&t, g);
		t.cancel_at_head = when == 2;
		t.cancel_at_body = when == 3;
		if (when == 0)
			cancel(&t);
		backend = sim_accept(g, 0);
		if (when > 0)
			sim_expect(g, backend, ASKED);
		if (when == 1)
			cancel(&t);
		if (when > 1) {
			sim_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
			sim_turns(g, 2);
		}
		if (when == 4)
			cancel(&t);
		assert_true(t.over);
		sim_read_to_end(g, backend, rest, sizeof(rest));
		assert_int_equal(idle_ones(g), 0);
		sim_gateway_stop(g);
		close(backend);
	}
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
		cmocka_unit_test(surplus_bytes_never_answer_the_next_request),
		cmocka_unit_test(an_idle_connection_goes_with_its_back_end),
		cmocka_unit_test(an_idle_connection_is_given_up_before_the_back_end_closes_it),
		cmocka_unit_test(only_so_many_idle_connections_are_kept),
		cmocka_unit_test(a_connection_that_is_refused_fails_with_nothing_sent),
		cmocka_unit_test(a_body_is_framed_and_waits_for_the_connection),
		cmocka_unit_test(a_connection_that_is_owed_a_body_is_not_kept),
		cmocka_unit_test(answering_is_timed_from_the_end_of_the_request),
		cmocka_unit_test(stop_holds_the_back_end_until_resume_and_no_deadline_runs),
		cmocka_unit_test(cancel_works_in_every_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
