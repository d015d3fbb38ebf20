/*
 * test_exchange_retry.c: when a request goes to a back-end again, and what goes: its head, and the body
 * as far as it is held.
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
#include "gateway/exchange/exchange_private.h"
#include "t/sim/scripted.h"

#include "base/poison.h"

#define SCRIPTED_PUT "PUT / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 6\r\n\r\n"

static void a_request_that_reached_nobody_goes_to_each_other_server_once(void **state)
{
	struct scripted *b = scripted_new(3);

	(void)state;
	scripted_begin(b, SCRIPTED_POST);
	(void)exchange_body(b->x, bytes_str("abc"));
	scripted_fails(b, 0, REASON_CONNECT, false, 0);
	assert_string_equal(b->pool.ups[1].body, "abc");
	(void)exchange_body(b->x, bytes_str("def"));
	exchange_end(b->x);
	scripted_fails(b, 1, REASON_CONNECT, false, 0);
	assert_string_equal(b->pool.ups[2].head, b->pool.ups[0].head);
	assert_string_equal(b->pool.ups[2].body, "abcdef");
	assert_true(b->pool.ups[2].ended);
	assert_int_equal(b->pool.tried[1], 1);
	assert_int_equal(b->pool.tried[2], 3);
	scripted_fails(b, 2, REASON_CONNECT_TIMEOUT, false, 0);
	scripted_expect_page(b, 504);
	assert_int_equal(b->pool.taken, 3);
	assert_int_equal(counter_get(b->worker.counters.retries), 2);
	scripted_free(b);
}

static void a_post_is_never_sent_twice(void **state)
{
	(void)state;
	for (int reused = 0; reused < 2; reused++) {
		struct scripted *b = scripted_new(3);

		b->pool.ups[0].reused = reused;
		scripted_begin(b, SCRIPTED_POST);
		/* It would not meet a back-end that is just closing an old connection, if it can help it. */
		assert_int_equal(b->pool.wants[0], POOL_FRESH);
		(void)exchange_body(b->x, bytes_str("abcdef"));
		exchange_end(b->x);
		scripted_fails(b, 0, REASON_BACKEND_CLOSE, false, 1);
		scripted_expect_page(b, 502);
		assert_int_equal(b->pool.taken, 1);
		scripted_free(b);
	}
}

static void a_stale_connection_is_replaced_by_a_new_one(void **state)
{
	(void)state;
	for (uint64_t sent = 0; sent < 2; sent++) {
		struct scripted *b = scripted_new(1);

		b->pool.ups[0].reused = true;
		scripted_begin(b, sent == 0 ? SCRIPTED_POST : SCRIPTED_GET);
		if (sent == 0) {
			(void)exchange_body(b->x, bytes_str("abcdef"));
			exchange_end(b->x);
		}
		scripted_fails(b, 0, REASON_BACKEND_CLOSE, false, sent);
		assert_int_equal(b->pool.wants[1], POOL_NEW);
		assert_int_equal(b->pool.tried[1], 0);
		scripted_answers(b, 1);
		scripted_free(b);
	}
}

static void after_a_byte_of_an_answer_there_is_no_other_try(void **state)
{
	struct scripted *b = scripted_new(3);

	(void)state;
	scripted_begin(b, SCRIPTED_GET);
	scripted_fails(b, 0, REASON_BACKEND_TRUNCATED, true, 50);
	scripted_expect_page(b, 502);
	scripted_begin(b, SCRIPTED_GET);
	scripted_says_head(b, 1, 200, BODY_LENGTH);
	scripted_fails(b, 1, REASON_BACKEND_TRUNCATED, true, 50);
	assert_string_equal(b->told, "200  abort backend_truncated");
	assert_int_equal(b->done, 1);
	assert_int_equal(b->pool.taken, 2);
	scripted_free(b);
}

static void a_body_beyond_what_is_held_goes_once(void **state)
{
	struct scripted *b = scripted_new(3);
	static char big[17000];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	for (int over = 0; over < 2; over++) {
		scripted_begin(b,
		    "PUT / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n");
		(void)exchange_body(b->x, bytes_of(big, 16000));
		(void)exchange_body(b->x, bytes_of(big, 384 + (size_t)over));
		exchange_end(b->x);
		if (over == 0) {
			scripted_fails(b, 0, REASON_BACKEND_CLOSE, false, 20000);
			assert_int_equal(b->pool.ups[1].body_len, 16384);
			assert_true(b->pool.ups[1].chunked);
			scripted_answers(b, 1);
		} else {
			scripted_fails(b, 2, REASON_BACKEND_CLOSE, false, 0);
			scripted_expect_page(b, 502);
		}
	}
	scripted_free(b);
}

/* All that is kept has a bound; whose body it leaves no room for goes on at once, and once. */
static void bodies_beyond_what_may_be_kept_go_on_at_once(void **state)
{
	struct scripted *b = scripted_new(3);
	struct exchanges *all = b->worker.exchanges;

	(void)state;
	all->gather_max = 4096;
	all->held_n_max = 1;
	scripted_begin(b, SCRIPTED_PUT);
	(void)exchange_body(b->x, bytes_str("abc"));
	assert_int_equal(b->pool.taken, 0);
	all->held_n_max = 0; /* another one has its place */
	(void)exchange_body(b->x, bytes_str("def"));
	exchange_end(b->x);
	assert_string_equal(b->pool.ups[0].body, "abcdef");
	scripted_fails(b, 0, REASON_CONNECT, false, 0);
	assert_string_equal(b->pool.ups[1].body, "abcdef");
	scripted_answers(b, 1);
	assert_int_equal(all->held_n, 0);
	assert_int_equal(counter_get(b->worker.counters.bodies_not_kept), 0);

	scripted_begin(b, SCRIPTED_PUT);
	(void)exchange_body(b->x, bytes_str("abc"));
	assert_string_equal(b->pool.ups[2].body, "abc");
	(void)exchange_body(b->x, bytes_str("def"));
	exchange_end(b->x);
	assert_string_equal(b->pool.ups[2].body, "abcdef");
	scripted_fails(b, 2, REASON_CONNECT, false, 0);
	scripted_expect_page(b, 502);
	assert_int_equal(b->pool.taken, 3);
	assert_int_equal(all->held_n, 0);
	assert_int_equal(counter_get(b->worker.counters.bodies_not_kept), 1);
	scripted_free(b);
}

static void retries_have_a_budget(void **state)
{
	struct scripted *b = scripted_new(2);
	unsigned retried = 0;

	(void)state;
	for (int i = 0; i < 30; i++) {
		b->pool.taken = 0;
		b->pool.ups[0].reused = true;
		scripted_begin(b, SCRIPTED_GET);
		scripted_fails(b, 0, REASON_BACKEND_CLOSE, false, 10);
		if (b->pool.taken == 2) {
			retried++;
			scripted_answers(b, 1);
		} else {
			scripted_expect_page(b, 502);
		}
	}
	assert_int_equal(retried, 10);
	scripted_free(b);
}

static void no_server_is_a_503(void **state)
{
	struct scripted *b = scripted_new(2);

	(void)state;
	b->pool.none = true;
	scripted_begin(b, SCRIPTED_GET);
	scripted_expect_page(b, 503);
	assert_int_equal(counter_get(b->worker.counters.reasons[REASON_NO_SERVER]), 1);
	/* But when one was there and failed, that is what is said. */
	b->pool.none = false;
	scripted_begin(b, SCRIPTED_GET);
	b->pool.none = true;
	scripted_fails(b, 0, REASON_ANSWER_TIMEOUT, false, 10);
	scripted_expect_page(b, 504);
	scripted_free(b);
}

/* The front stays stopped over another try, and goes on when that one takes more. */
static void stop_outlives_a_failed_try(void **state)
{
	struct scripted *b = scripted_new(2);

	(void)state;
	scripted_begin(b, SCRIPTED_POST);
	b->pool.ups[0].flow = b->pool.ups[1].flow = FLOW_STOP;
	assert_int_equal(exchange_body(b->x, bytes_str("abc")), FLOW_STOP);
	scripted_fails(b, 0, REASON_CONNECT, false, 0);
	assert_int_equal(b->resumed, 0);
	b->pool.ups[1].origin.events->drained(b->x);
	assert_int_equal(b->resumed, 1);
	exchange_lost(b->x, REASON_RESET);
	b->x = NULL;
	assert_true(b->pool.ups[1].cancelled);
	scripted_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_that_reached_nobody_goes_to_each_other_server_once),
		cmocka_unit_test(a_post_is_never_sent_twice),
		cmocka_unit_test(a_stale_connection_is_replaced_by_a_new_one),
		cmocka_unit_test(after_a_byte_of_an_answer_there_is_no_other_try),
		cmocka_unit_test(a_body_beyond_what_is_held_goes_once),
		cmocka_unit_test(bodies_beyond_what_may_be_kept_go_on_at_once),
		cmocka_unit_test(retries_have_a_budget),
		cmocka_unit_test(no_server_is_a_503),
		cmocka_unit_test(stop_outlives_a_failed_try),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
