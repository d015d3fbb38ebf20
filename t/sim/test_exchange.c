/*
 * test_exchange.c: an exchange between a scripted front and scripted origins: where a request goes, and
 * every order of the events, with exactly one done().
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
#include "t/sim/scripted.h"

#include "base/poison.h"

static void stop_is_followed_by_one_resume_each_way(void **state)
{
	struct scripted *b = scripted_new(1);
	struct upstream *up = &b->pool.ups[0];
	struct origin *o = &up->origin;

	(void)state;
	scripted_begin(b, SCRIPTED_POST);
	up->flow = FLOW_STOP;
	assert_int_equal(exchange_body(b->x, bytes_str("abc")), FLOW_STOP);
	o->events->drained(o->arg);
	assert_int_equal(b->resumed, 1);
	o->events->drained(o->arg);
	assert_int_equal(b->resumed, 1);
	up->flow = FLOW_GO;
	assert_int_equal(exchange_body(b->x, bytes_str("def")), FLOW_GO);
	exchange_end(b->x);
	scripted_says_head(b, 0, 200, BODY_LENGTH);
	b->flow = FLOW_STOP;
	assert_int_equal(o->events->body(o->arg, bytes_str("hi")), FLOW_STOP);
	exchange_drained(b->x);
	assert_int_equal(up->resumed, 1);
	o->events->end(o->arg, REASON_NONE);
	assert_int_equal(b->done, 1);
	assert_false(b->unread);
	scripted_free(b);
}

static void an_early_answer_says_that_the_request_is_unread(void **state)
{
	struct scripted *b = scripted_new(1);

	(void)state;
	scripted_begin(b, SCRIPTED_POST);
	(void)exchange_body(b->x, bytes_str("abc"));
	scripted_answers(b, 0);
	assert_true(b->unread);
	scripted_free(b);
}

static void the_client_may_go_at_any_time(void **state)
{
	(void)state;
	for (int when = 0; when < 6; when++) {
		struct scripted *b = scripted_new(1);
		struct exchange *x;
		struct upstream *up = &b->pool.ups[0];

		b->pool.none = when == 5;
		b->lose_at_head = when == 3;
		scripted_begin(b, SCRIPTED_POST);
		if (when >= 1)
			(void)exchange_body(b->x, bytes_str("abcdef"));
		if (when >= 2)
			exchange_end(b->x);
		if (when == 3 || when == 4)
			scripted_says_head(b, 0, 200, BODY_LENGTH);
		x = b->x;
		b->x = NULL;
		if (when != 3)
			exchange_lost(x, REASON_RESET);
		assert_true(up->cancelled == (when != 5));
		scripted_turn(b);
		scripted_turn(b);
		assert_int_equal(b->done, 0);
		assert_string_equal(b->told, when == 3 || when == 4 ? "200 " : "");
		scripted_free(b);
	}
}

static void interim_answers_pass_but_for_100(void **state)
{
	struct scripted *b = scripted_new(1);

	(void)state;
	scripted_begin(b, SCRIPTED_GET);
	scripted_says_head(b, 0, 103, BODY_NONE);
	scripted_says_head(b, 0, 100, BODY_NONE);
	scripted_says_head(b, 0, 102, BODY_NONE);
	scripted_says_head(b, 0, 204, BODY_NONE);
	b->pool.ups[0].origin.events->end(b->x, REASON_NONE);
	assert_string_equal(b->told, "103 102 204  end");
	scripted_free(b);
}

static void a_request_for_another_site_needs_the_same_client_rules(void **state)
{
	struct scripted *b = scripted_new(1);

	(void)state;
	scripted_begin(b, "GET /only HTTP/1.1\r\nHost: other.example\r\n\r\n");
	scripted_answers(b, 0);
	b->sites[1].client_certificate.verify = CLIENTCERT_REQUIRE;
	scripted_begin(b, "GET /only HTTP/1.1\r\nHost: OTHER.example:443\r\n\r\n");
	scripted_expect_page(b, 421);
	assert_int_equal(counter_get(b->worker.counters.reasons[REASON_MISDIRECTED]), 1);
	/* A name of nobody's is the connection's own site. */
	scripted_begin(b, "GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n");
	scripted_answers(b, 1);
	scripted_free(b);
}

static void a_path_without_route_is_a_404(void **state)
{
	struct scripted *b = scripted_new(1);

	(void)state;
	scripted_begin(b, "GET /onlyx HTTP/1.1\r\nHost: other.example\r\n\r\n");
	scripted_expect_page(b, 404);
	scripted_free(b);
}

static void a_redirect_listener_sends_known_names_to_https(void **state)
{
	static const struct {
		const char *request, *told;
	} cases[] = {
		{ "GET /a?b HTTP/1.1\r\nHost: Shop.EXAMPLE\r\n\r\n",
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
	struct scripted *b = scripted_new(1);

	(void)state;
	b->client.listener_mode = LISTENER_REDIRECT;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		scripted_begin(b, cases[i].request);
		scripted_turn(b);
		assert_string_equal(b->told, cases[i].told);
		assert_int_equal(b->done, 1);
	}
	scripted_begin(b, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
	scripted_expect_page(b, 404);
	scripted_begin(b, "GET / HTTP/1.0\r\n\r\n");
	scripted_expect_page(b, 404);
	b->listener.address = SCRIPTED_TEXT("*:443");
	scripted_begin(b, cases[0].request);
	scripted_turn(b);
	assert_string_equal(b->told, "301 https://shop.example/a?b  end");
	assert_int_equal(b->pool.taken, 0);
	scripted_free(b);
}

static void a_body_above_the_limit_is_a_413(void **state)
{
	struct scripted *b = scripted_new(1);

	(void)state;
	b->conf.limits.body = 5;
	scripted_begin(b, SCRIPTED_POST);
	scripted_expect_page(b, 413);
	scripted_begin(
	    b, "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n");
	(void)exchange_body(b->x, bytes_str("abcde"));
	assert_false(b->pool.ups[0].cancelled);
	(void)exchange_body(b->x, bytes_str("f"));
	assert_true(b->pool.ups[0].cancelled);
	scripted_expect_page(b, 413);
	scripted_begin(
	    b, "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n");
	scripted_says_head(b, 1, 200, BODY_LENGTH);
	(void)exchange_body(b->x, bytes_str("abcdef"));
	assert_string_equal(b->told, "200  abort body_size");
	assert_int_equal(b->done, 1);
	scripted_free(b);
}

static void a_refused_request_gets_a_page_and_closes(void **state)
{
	struct scripted *b = scripted_new(1);
	struct verdict verdict = { .status = 431, .reason = REASON_FIELDS };

	(void)state;
	b->x = exchange_refuse(&b->worker, &b->front, &b->client, NULL, &verdict);
	scripted_expect_page(b, 431);
	assert_memory_equal(b->told, "431 close ", 10);
	assert_non_null(strstr(b->told, " end"));
	scripted_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stop_is_followed_by_one_resume_each_way),
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
