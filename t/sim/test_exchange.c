/*
 * test_exchange.c: an exchange between a scripted front and scripted origins: where a request goes,
 * when it goes again, and every order of the events, with exactly one done(). The pool is faked here:
 * each take is noted, and hands out the next origin.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/counters.h"
#include "gateway/exchange/exchange.h"
#include "gateway/origin/pool.h"
#include "gateway/sites.h"
#include "gateway/worker.h"

#include "base/poison.h"

#define S(text) ((char *)(uintptr_t)(text))

/* ---- the scripted origin, and the pool that hands it out */

struct upstream {
	struct origin origin;
	unsigned server;
	bool reused, chunked, body_follows, ended, cancelled, taken;
	unsigned resumed;
	char head[4096], body[70000];
	size_t body_len;
	enum flow flow;
};

struct pool {
	struct pool_conf conf;
	struct upstream ups[8];
	size_t taken, servers;
	enum pool_want wants[8];
	uint64_t tried[8];
	bool none;
};

static void origin_start(struct origin *o, const struct origin_request *r)
{
	struct upstream *up = (struct upstream *)o;

	assert_true(r->head.len < sizeof(up->head));
	memcpy(up->head, r->head.at, r->head.len);
	up->head[r->head.len] = '\0';
	up->chunked = r->chunked;
	up->body_follows = r->body_follows;
}

static enum flow origin_body(struct origin *o, struct bytes slice)
{
	struct upstream *up = (struct upstream *)o;

	assert_true(up->body_follows && !up->ended && !up->cancelled);
	assert_true(up->body_len + slice.len < sizeof(up->body));
	memcpy(up->body + up->body_len, slice.at, slice.len);
	up->body_len += slice.len;
	up->body[up->body_len] = '\0';
	return up->flow;
}

static void origin_end(struct origin *o)
{
	struct upstream *up = (struct upstream *)o;

	assert_true(up->body_follows && !up->ended && !up->cancelled);
	up->ended = true;
}

static void origin_resume(struct origin *o)
{
	((struct upstream *)o)->resumed++;
}

static void origin_cancel(struct origin *o, enum reason reason)
{
	struct upstream *up = (struct upstream *)o;

	(void)reason;
	assert_false(up->cancelled);
	up->cancelled = true;
}

static const struct origin_ops origin_ops = {
	.name = "scripted",
	.start = origin_start,
	.body = origin_body,
	.end = origin_end,
	.resume = origin_resume,
	.cancel = origin_cancel,
};

struct upstream *pool_take(struct pool *p, uint64_t tried, enum pool_want want, enum reason *reason)
{
	struct upstream *up;

	if (p->none) {
		*reason = REASON_NO_SERVER;
		return NULL;
	}
	up = &p->ups[p->taken];
	assert_true(p->taken < 8);
	p->wants[p->taken] = want;
	p->tried[p->taken++] = tried;
	return up;
}

struct origin *upstream_origin(struct upstream *up, const struct origin_events *events, void *arg)
{
	up->origin = (struct origin){ &origin_ops, events, arg };
	return &up->origin;
}

unsigned upstream_server_index(const struct upstream *up)
{
	return up->server;
}

bool upstream_reused(const struct upstream *up)
{
	return up->reused;
}

const char *upstream_server_text(const struct upstream *up)
{
	(void)up;
	return "";
}

size_t pool_servers_n(const struct pool *p)
{
	return p->servers;
}

const struct pool_conf *pool_conf(const struct pool *p)
{
	return &p->conf;
}

/* ---- the scripted front */

struct bench {
	struct front front;
	struct worker worker;
	struct gateway_conf conf;
	struct site_conf sites[2];
	struct route_conf routes[2];
	char *names[2][1];
	struct listener_conf listener;
	_Atomic uint64_t cells[256];
	struct pool pool;
	struct client client;
	struct head head;
	struct exchange *x;
	/* What was told. */
	char told[8192];
	size_t body_len;
	unsigned resumed, done;
	bool unread; /* exchange_request_unread() at done */
	enum flow flow;
	bool lose_at_head;
};

static struct bench *bench_of(struct front *front)
{
	return (struct bench *)front;
}

static void tell(struct bench *b, struct bytes text)
{
	size_t len = strlen(b->told);

	assert_int_equal(b->done, 0);
	if (text.len > sizeof(b->told) - 1 - len)
		text.len = sizeof(b->told) - 1 - len;
	memcpy(b->told + len, text.at, text.len);
	b->told[len + text.len] = '\0';
}

static void front_head(struct front *front, const struct answer *a)
{
	struct bench *b = bench_of(front);
	char line[300];

	snprintf(line, sizeof(line), "%u%s ", a->status, a->close ? " close" : "");
	tell(b, bytes_str(line));
	for (size_t i = 0; i < a->fields_n; i++) {
		if (bytes_equal_str(a->fields[i].name, "Location")) {
			tell(b, a->fields[i].value);
			tell(b, bytes_str(" "));
		}
	}
	if (b->lose_at_head) {
		struct exchange *x = b->x;

		b->x = NULL;
		exchange_lost(x, REASON_RESET);
	}
}

static enum flow front_body(struct front *front, struct bytes slice)
{
	struct bench *b = bench_of(front);

	b->body_len += slice.len;
	if (slice.len < 100)
		tell(b, slice);
	return b->flow;
}

static void front_end(struct front *front)
{
	tell(bench_of(front), bytes_str(" end"));
}

static void front_abort(struct front *front, enum reason reason)
{
	tell(bench_of(front), bytes_str(" abort "));
	tell(bench_of(front), bytes_str(reason_name(reason)));
}

static void front_resume(struct front *front)
{
	bench_of(front)->resumed++;
}

static void front_done(struct front *front, struct exchange *x)
{
	struct bench *b = bench_of(front);

	assert_ptr_equal(b->x, x);
	b->unread = exchange_request_unread(x);
	b->x = NULL;
	b->done++;
}

static const struct front_ops front_ops = {
	.name = "scripted",
	.head = front_head,
	.body = front_body,
	.end = front_end,
	.abort = front_abort,
	.resume = front_resume,
	.done = front_done,
};

static struct pool *pool_by_name(void *arg, const char *name)
{
	(void)name;
	return arg;
}

static struct bench *bench_new(size_t servers)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct worker *w = &b->worker;
	size_t n = 0;

	assert_non_null(b);
	b->front.ops = &front_ops;
	b->pool.servers = servers;
	b->pool.conf.connect_timeout = 1000;
	for (unsigned i = 0; i < 8; i++)
		b->pool.ups[i].server = i;
	b->names[0][0] = S("shop.example");
	b->names[1][0] = S("other.example");
	b->routes[0] = (struct route_conf){ S("/"), S("p") };
	b->routes[1] = (struct route_conf){ S("/only"), S("p") };
	for (int i = 0; i < 2; i++) {
		b->sites[i].name = b->names[i][0];
		b->sites[i].names.at = b->names[i];
		b->sites[i].names.n = 1;
		b->sites[i].routes.at = &b->routes[i];
		b->sites[i].routes.n = 1;
	}
	b->listener.address = S("*:8443");
	b->conf.listeners.at = &b->listener;
	b->conf.listeners.n = 1;
	b->conf.sites.at = b->sites;
	b->conf.sites.n = 2;
	w->conf = &b->conf;
	w->loop = loop_new();
#define X(field, name) w->counters.field = &b->cells[n++];
	WORKER_COUNTERS(X)
#undef X
	for (int i = 0; i < REASON_N; i++)
		w->counters.reasons[i] = &b->cells[n++];
	w->sites = sites_new(&b->conf, pool_by_name, &b->pool);
	w->exchanges = exchanges_new(w);
	assert_true(w->loop != NULL && w->sites != NULL && w->exchanges != NULL);
	b->client.site = sites_default(w->sites);
	memcpy(b->client.sni, "shop.example", 13);
	assert_int_equal(endpoint_of_ip(&b->client.peer, "192.0.2.7", 40000), 0);
	assert_int_equal(endpoint_of_ip(&b->client.local, "192.0.2.1", 443), 0);
	return b;
}

static void tick(struct deadline *d)
{
	(void)d;
}

static void turn(struct bench *b)
{
	struct deadline d = { 0 };

	deadline_set(b->worker.loop, &d, 0, tick);
	assert_int_equal(loop_turn(b->worker.loop), 0);
	deadline_clear(b->worker.loop, &d);
}

static void bench_free(struct bench *b)
{
	assert_null(b->x);
	assert_int_equal(counter_get(b->worker.counters.requests_open), 0);
	turn(b);
	exchanges_free(b->worker.exchanges);
	sites_free(b->worker.sites);
	loop_free(b->worker.loop);
	free(b);
}

static void begin(struct bench *b, const char *request)
{
	static const struct head_limits limits = { 32768, 16384, 100 };
	struct head_scan scan = { 0 };
	struct verdict verdict;
	size_t used;

	assert_int_equal(
	    head_request(bytes_str(request), &limits, &scan, &b->head, &used, &verdict), PARSE_OK);
	b->told[0] = '\0';
	b->done = 0;
	b->x = exchange_begin(&b->worker, &b->front, &b->client, &b->head);
	assert_non_null(b->x);
	assert_string_equal(b->told, "");
	if (b->head.body == BODY_NONE)
		exchange_end(b->x);
	/* It has its own copy. */
	memset(&b->head, 0xff, sizeof(b->head));
}

#define GET "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 6\r\n\r\n"

/* ---- what an origin says */

static void fails(struct bench *b, unsigned up, enum reason reason, bool begun, uint64_t sent)
{
	struct origin *o = &b->pool.ups[up].origin;

	o->events->failed(o->arg, reason, begun, sent);
}

static void says_head(struct bench *b, unsigned up, unsigned status, enum body body)
{
	struct origin *o = &b->pool.ups[up].origin;

	head_init(&b->head);
	b->head.status = (uint16_t)status;
	b->head.body = body;
	o->events->head(o->arg, &b->head);
}

static void answers(struct bench *b, unsigned up)
{
	struct origin *o = &b->pool.ups[up].origin;

	says_head(b, up, 200, BODY_LENGTH);
	assert_int_equal(o->events->body(o->arg, bytes_str("hi")), b->flow);
	o->events->end(o->arg);
	assert_string_equal(b->told, "200 hi end");
	assert_int_equal(b->done, 1);
}

static void expect_page(struct bench *b, unsigned status)
{
	char line[16];

	assert_int_equal(b->done, 0);
	turn(b);
	snprintf(line, sizeof(line), "%u ", status);
	assert_memory_equal(b->told, line, 4);
	assert_int_equal(b->done, 1);
}

/* ---- another try */

static void a_request_that_reached_nobody_goes_to_each_other_server_once(void **state)
{
	struct bench *b = bench_new(3);

	(void)state;
	begin(b, POST);
	(void)exchange_body(b->x, bytes_str("abc"));
	fails(b, 0, REASON_CONNECT, false, 0);
	assert_string_equal(b->pool.ups[1].body, "abc");
	(void)exchange_body(b->x, bytes_str("def"));
	exchange_end(b->x);
	fails(b, 1, REASON_CONNECT, false, 0);
	assert_string_equal(b->pool.ups[2].head, b->pool.ups[0].head);
	assert_string_equal(b->pool.ups[2].body, "abcdef");
	assert_true(b->pool.ups[2].ended);
	assert_int_equal(b->pool.tried[1], 1);
	assert_int_equal(b->pool.tried[2], 3);
	fails(b, 2, REASON_CONNECT_TIMEOUT, false, 0);
	expect_page(b, 504);
	assert_int_equal(b->pool.taken, 3);
	assert_int_equal(counter_get(b->worker.counters.retries), 2);
	bench_free(b);
}

static void a_post_is_never_sent_twice(void **state)
{
	(void)state;
	for (int reused = 0; reused < 2; reused++) {
		struct bench *b = bench_new(3);

		b->pool.ups[0].reused = reused;
		begin(b, POST);
		/* It would not meet a back-end that is just closing an old connection, if it can help it. */
		assert_int_equal(b->pool.wants[0], POOL_FRESH);
		(void)exchange_body(b->x, bytes_str("abcdef"));
		exchange_end(b->x);
		fails(b, 0, REASON_BACKEND_CLOSE, false, 1);
		expect_page(b, 502);
		assert_int_equal(b->pool.taken, 1);
		bench_free(b);
	}
}

static void a_stale_connection_is_replaced_by_a_new_one(void **state)
{
	(void)state;
	for (uint64_t sent = 0; sent < 2; sent++) {
		struct bench *b = bench_new(1);

		b->pool.ups[0].reused = true;
		begin(b, sent == 0 ? POST : GET);
		if (sent == 0) {
			(void)exchange_body(b->x, bytes_str("abcdef"));
			exchange_end(b->x);
		}
		fails(b, 0, REASON_BACKEND_CLOSE, false, sent);
		assert_int_equal(b->pool.wants[1], POOL_NEW);
		assert_int_equal(b->pool.tried[1], 0);
		answers(b, 1);
		bench_free(b);
	}
}

static void after_a_byte_of_an_answer_there_is_no_other_try(void **state)
{
	struct bench *b = bench_new(3);

	(void)state;
	begin(b, GET);
	fails(b, 0, REASON_BACKEND_TRUNCATED, true, 50);
	expect_page(b, 502);
	begin(b, GET);
	says_head(b, 1, 200, BODY_LENGTH);
	fails(b, 1, REASON_BACKEND_TRUNCATED, true, 50);
	assert_string_equal(b->told, "200  abort backend_truncated");
	assert_int_equal(b->done, 1);
	assert_int_equal(b->pool.taken, 2);
	bench_free(b);
}

static void a_body_beyond_what_is_held_goes_once(void **state)
{
	struct bench *b = bench_new(3);
	static char big[17000];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	for (int over = 0; over < 2; over++) {
		begin(b,
		    "PUT / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n");
		(void)exchange_body(b->x, bytes_of(big, 16000));
		(void)exchange_body(b->x, bytes_of(big, 384 + (size_t)over));
		exchange_end(b->x);
		if (over == 0) {
			fails(b, 0, REASON_BACKEND_CLOSE, false, 20000);
			assert_int_equal(b->pool.ups[1].body_len, 16384);
			assert_true(b->pool.ups[1].chunked);
			answers(b, 1);
		} else {
			fails(b, 2, REASON_BACKEND_CLOSE, false, 0);
			expect_page(b, 502);
		}
	}
	bench_free(b);
}

static void retries_have_a_budget(void **state)
{
	struct bench *b = bench_new(2);
	unsigned retried = 0;

	(void)state;
	for (int i = 0; i < 30; i++) {
		b->pool.taken = 0;
		b->pool.ups[0].reused = true;
		begin(b, GET);
		fails(b, 0, REASON_BACKEND_CLOSE, false, 10);
		if (b->pool.taken == 2) {
			retried++;
			answers(b, 1);
		} else {
			expect_page(b, 502);
		}
	}
	assert_int_equal(retried, 10);
	bench_free(b);
}

static void no_server_is_a_503(void **state)
{
	struct bench *b = bench_new(2);

	(void)state;
	b->pool.none = true;
	begin(b, GET);
	expect_page(b, 503);
	assert_int_equal(counter_get(b->worker.counters.reasons[REASON_NO_SERVER]), 1);
	/* But when one was there and failed, that is what is said. */
	b->pool.none = false;
	begin(b, GET);
	b->pool.none = true;
	fails(b, 0, REASON_ANSWER_TIMEOUT, false, 10);
	expect_page(b, 504);
	bench_free(b);
}

/* ---- flow */

static void stop_is_followed_by_one_resume_each_way(void **state)
{
	struct bench *b = bench_new(1);
	struct upstream *up = &b->pool.ups[0];
	struct origin *o = &up->origin;

	(void)state;
	begin(b, POST);
	up->flow = FLOW_STOP;
	assert_int_equal(exchange_body(b->x, bytes_str("abc")), FLOW_STOP);
	o->events->drained(o->arg);
	assert_int_equal(b->resumed, 1);
	o->events->drained(o->arg);
	assert_int_equal(b->resumed, 1);
	up->flow = FLOW_GO;
	assert_int_equal(exchange_body(b->x, bytes_str("def")), FLOW_GO);
	exchange_end(b->x);
	says_head(b, 0, 200, BODY_LENGTH);
	b->flow = FLOW_STOP;
	assert_int_equal(o->events->body(o->arg, bytes_str("hi")), FLOW_STOP);
	exchange_drained(b->x);
	assert_int_equal(up->resumed, 1);
	o->events->end(o->arg);
	assert_int_equal(b->done, 1);
	assert_false(b->unread);
	bench_free(b);
}

/* The front stays stopped over another try, and goes on when that one takes more. */
static void stop_outlives_a_failed_try(void **state)
{
	struct bench *b = bench_new(2);

	(void)state;
	begin(b, POST);
	b->pool.ups[0].flow = b->pool.ups[1].flow = FLOW_STOP;
	assert_int_equal(exchange_body(b->x, bytes_str("abc")), FLOW_STOP);
	fails(b, 0, REASON_CONNECT, false, 0);
	assert_int_equal(b->resumed, 0);
	b->pool.ups[1].origin.events->drained(b->x);
	assert_int_equal(b->resumed, 1);
	exchange_lost(b->x, REASON_RESET);
	b->x = NULL;
	assert_true(b->pool.ups[1].cancelled);
	bench_free(b);
}

static void an_early_answer_says_that_the_request_is_unread(void **state)
{
	struct bench *b = bench_new(1);

	(void)state;
	begin(b, POST);
	(void)exchange_body(b->x, bytes_str("abc"));
	answers(b, 0);
	assert_true(b->unread);
	bench_free(b);
}

static void the_client_may_go_at_any_time(void **state)
{
	(void)state;
	for (int when = 0; when < 6; when++) {
		struct bench *b = bench_new(1);
		struct exchange *x;
		struct upstream *up = &b->pool.ups[0];

		b->pool.none = when == 5;
		b->lose_at_head = when == 3;
		begin(b, POST);
		if (when >= 1)
			(void)exchange_body(b->x, bytes_str("abcdef"));
		if (when >= 2)
			exchange_end(b->x);
		if (when == 3 || when == 4)
			says_head(b, 0, 200, BODY_LENGTH);
		x = b->x;
		b->x = NULL;
		if (when != 3)
			exchange_lost(x, REASON_RESET);
		assert_true(up->cancelled == (when != 5));
		turn(b);
		turn(b);
		assert_int_equal(b->done, 0);
		assert_string_equal(b->told, when == 3 || when == 4 ? "200 " : "");
		bench_free(b);
	}
}

static void interim_answers_pass_but_for_100(void **state)
{
	struct bench *b = bench_new(1);

	(void)state;
	begin(b, GET);
	says_head(b, 0, 103, BODY_NONE);
	says_head(b, 0, 100, BODY_NONE);
	says_head(b, 0, 102, BODY_NONE);
	says_head(b, 0, 204, BODY_NONE);
	b->pool.ups[0].origin.events->end(b->x);
	assert_string_equal(b->told, "103 102 204  end");
	bench_free(b);
}

/* ---- where it goes */

static void a_request_for_another_site_needs_the_same_client_rules(void **state)
{
	struct bench *b = bench_new(1);

	(void)state;
	begin(b, "GET /only HTTP/1.1\r\nHost: other.example\r\n\r\n");
	answers(b, 0);
	b->sites[1].client_certificate.verify = CLIENTCERT_REQUIRE;
	begin(b, "GET /only HTTP/1.1\r\nHost: OTHER.example:443\r\n\r\n");
	expect_page(b, 421);
	assert_int_equal(counter_get(b->worker.counters.reasons[REASON_MISDIRECTED]), 1);
	/* A name of nobody's is the connection's own site. */
	begin(b, "GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n");
	answers(b, 1);
	bench_free(b);
}

static void a_path_without_route_is_a_404(void **state)
{
	struct bench *b = bench_new(1);

	(void)state;
	begin(b, "GET /onlyx HTTP/1.1\r\nHost: other.example\r\n\r\n");
	expect_page(b, 404);
	bench_free(b);
}

static void a_redirect_listener_sends_known_names_to_https(void **state)
{
	static const struct {
		const char *request, *told;
	} cases[] = {
		{ "GET /a?b HTTP/1.1\r\nHost: shop.example\r\n\r\n",
		    "301 https://shop.example:8443/a?b  end" },
		{ "HEAD /a HTTP/1.1\r\nHost: shop.example:80\r\n\r\n",
		    "301 https://shop.example:8443/a  end" },
		{ "DELETE / HTTP/1.1\r\nHost: other.example\r\n\r\n",
		    "308 https://other.example:8443/  end" },
		{ "GET http://other.example HTTP/1.1\r\nHost: other.example\r\n\r\n",
		    "301 https://other.example:8443/  end" },
		{ "OPTIONS * HTTP/1.1\r\nHost: other.example\r\n\r\n",
		    "308 https://other.example:8443/  end" },
	};
	struct bench *b = bench_new(1);

	(void)state;
	b->client.listener_mode = LISTENER_REDIRECT;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(b, cases[i].request);
		turn(b);
		assert_string_equal(b->told, cases[i].told);
		assert_int_equal(b->done, 1);
	}
	begin(b, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
	expect_page(b, 404);
	begin(b, "GET / HTTP/1.0\r\n\r\n");
	expect_page(b, 404);
	b->listener.address = S("*:443");
	begin(b, cases[0].request);
	turn(b);
	assert_string_equal(b->told, "301 https://shop.example/a?b  end");
	assert_int_equal(b->pool.taken, 0);
	bench_free(b);
}

static void a_body_above_the_limit_is_a_413(void **state)
{
	struct bench *b = bench_new(1);

	(void)state;
	b->conf.limits.body = 5;
	begin(b, POST);
	expect_page(b, 413);
	begin(b, "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n");
	(void)exchange_body(b->x, bytes_str("abcde"));
	assert_false(b->pool.ups[0].cancelled);
	(void)exchange_body(b->x, bytes_str("f"));
	assert_true(b->pool.ups[0].cancelled);
	expect_page(b, 413);
	begin(b, "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n");
	says_head(b, 1, 200, BODY_LENGTH);
	(void)exchange_body(b->x, bytes_str("abcdef"));
	assert_string_equal(b->told, "200  abort body_size");
	assert_int_equal(b->done, 1);
	bench_free(b);
}

static void a_refused_request_gets_a_page_and_closes(void **state)
{
	struct bench *b = bench_new(1);
	struct verdict verdict = { .status = 431, .reason = REASON_FIELDS };

	(void)state;
	b->x = exchange_refuse(&b->worker, &b->front, &b->client, NULL, &verdict);
	expect_page(b, 431);
	assert_memory_equal(b->told, "431 close ", 10);
	assert_non_null(strstr(b->told, " end"));
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_that_reached_nobody_goes_to_each_other_server_once),
		cmocka_unit_test(a_post_is_never_sent_twice),
		cmocka_unit_test(a_stale_connection_is_replaced_by_a_new_one),
		cmocka_unit_test(after_a_byte_of_an_answer_there_is_no_other_try),
		cmocka_unit_test(a_body_beyond_what_is_held_goes_once),
		cmocka_unit_test(retries_have_a_budget),
		cmocka_unit_test(no_server_is_a_503),
		cmocka_unit_test(stop_is_followed_by_one_resume_each_way),
		cmocka_unit_test(stop_outlives_a_failed_try),
		cmocka_unit_test(an_early_answer_says_that_the_request_is_unread),
		cmocka_unit_test(the_client_may_go_at_any_time),
		cmocka_unit_test(interim_answers_pass_but_for_100),
		cmocka_unit_test(a_request_for_another_site_needs_the_same_client_rules),
		cmocka_unit_test(a_path_without_route_is_a_404),
		cmocka_unit_test(a_redirect_listener_sends_known_names_to_https),
		cmocka_unit_test(a_body_above_the_limit_is_a_413),
		cmocka_unit_test(a_refused_request_gets_a_page_and_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
