/*
 * test_conn.c: a client's connection from accept to its one exit, with a front and a handshake that the
 * test scripts (they stand in for front_http1 and gateway/tls): who is told what, counted what, once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/counters.h"
#include "conn_bed.h"
#include "gateway/sites.h"

#include "base/poison.h"

/* ---- plain */

static void a_plain_connection_speaks_at_once(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 0);
	conn_bed_comes(bed, LISTENER_PLAIN);
	assert_int_equal(bed->fronts_n, 1);
	assert_string_equal(conn_client(bed->fronts[0].c)->peer_text, "192.0.2.7");
	assert_int_equal(conn_client(bed->fronts[0].c)->listener_mode, LISTENER_PLAIN);
	assert_int_equal(send(bed->clients[0], "GET", 3, 0), 3);
	sim_until(bed->worker.loop, bed->fronts[0].inputs == 1);
	assert_int_equal(counter_get(bed->worker.counters.connections), 1);
	assert_int_equal(conns_open(&bed->worker), 1);
	conn_close(bed->fronts[0].c, REASON_IDLE);
	assert_int_equal(bed->fronts[0].lost, 1);
	assert_int_equal(bed->fronts[0].why, REASON_IDLE);
	assert_int_equal(conn_bed_ended(bed, REASON_IDLE), 1);
	assert_int_equal(conn_bed_ended(bed, REASON_INTERNAL), 0);
	sim_until(bed->worker.loop, conn_bed_is_gone(bed->clients[0]));
	assert_int_equal(conns_open(&bed->worker), 0);
}

static void a_front_may_close_from_within_input(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 0);
	bed->closes_in_input = true;
	conn_bed_comes(bed, LISTENER_PLAIN);
	assert_int_equal(send(bed->clients[0], "GET", 3, 0), 3);
	sim_until(bed->worker.loop, conn_bed_is_gone(bed->clients[0]));
	assert_int_equal(bed->fronts[0].inputs, 1);
}

static void without_memory_for_a_front_it_closes(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 0);
	bed->no_memory = true;
	conn_bed_comes(bed, LISTENER_PLAIN);
	sim_until(bed->worker.loop, conn_bed_is_gone(bed->clients[0]));
	assert_int_equal(conn_bed_ended(bed, REASON_MEMORY), 1);
}

/* ---- the handshake */

static void after_the_handshake_it_speaks_and_is_counted(void **state)
{
	static const enum client_resumed how[] = { CLIENT_FULL, CLIENT_BY_TICKET, CLIENT_BY_CACHE };
	struct bed *bed = *state;
	struct worker_counters *n = &bed->worker.counters;

	conn_bed_start(bed, 0);
	for (int i = 0; i < 3; i++) {
		bed->resumed = how[i];
		conn_bed_speaks_tls(bed);
		assert_int_equal(bed->fronts_n, i);
		assert_int_equal(counter_get(n->handshakes_open), 1);
		sim_until(
		    bed->worker.loop, SSL_do_handshake(bed->peer) == 1 && bed->fronts_n == i + 1);
		assert_int_equal(counter_get(n->handshakes_open), 0);
		assert_int_equal(bed->freed, i + 1);
		SSL_free(bed->peer);
		bed->peer = NULL;
	}
	assert_int_equal(counter_get(n->handshakes_full), 1);
	assert_int_equal(counter_get(n->handshakes_resumed_ticket), 1);
	assert_int_equal(counter_get(n->handshakes_resumed_cache), 1);
	assert_int_equal(counter_get(n->handshakes_failed), 0);
}

static void a_handshake_that_takes_too_long_ends(void **state)
{
	static const enum stream_step steps[] = { STREAM_STEP_READ, STREAM_STEP_PAUSED };
	struct bed *bed = *state;

	bed->conf.timeouts.handshake = 30;
	conn_bed_start(bed, 0);
	for (size_t i = 0; i < 2; i++) {
		int client = conn_bed_comes(bed, LISTENER_TLS);

		bed->step = steps[i];
		send(bed->clients[client], "\x16\x03\x01", 3, 0);
		sim_until(bed->worker.loop, conn_bed_is_gone(bed->clients[client]));
		assert_int_equal(conn_bed_ended(bed, REASON_HANDSHAKE_TIMEOUT), i + 1);
		assert_int_equal(counter_get(bed->worker.counters.handshakes_failed), i + 1);
	}
	assert_int_equal(bed->fronts_n, 0);
}

static void one_that_waits_for_a_signature_fails_when_its_time_is_over(void **state)
{
	struct bed *bed = *state;

	bed->conf.timeouts.handshake = 30;
	conn_bed_start(bed, 0);
	for (int i = 0; i < 2; i++) {
		int client = conn_bed_comes(bed, LISTENER_TLS);

		bed->signing = true;
		bed->stubborn = i == 1;
		bed->expired = 0;
		bed->step = STREAM_STEP_PAUSED;
		send(bed->clients[client], "\x16\x03\x01", 3, 0);
		sim_until(bed->worker.loop, conn_bed_is_gone(bed->clients[client]));
		assert_int_equal(bed->expired, 1);
		assert_int_equal(conn_bed_ended(bed, REASON_HANDSHAKE_TIMEOUT), i + 1);
		assert_int_equal(counter_get(bed->worker.counters.handshakes_failed), i + 1);
	}
}

static void a_handshake_that_failed_has_no_deadline_any_more(void **state)
{
	struct bed *bed = *state;

	bed->conf.timeouts.handshake = 50;
	conn_bed_start(bed, 0);
	bed->step = STREAM_STEP_FAILED;
	bed->why = REASON_TLS;
	conn_bed_comes(bed, LISTENER_TLS);
	send(bed->clients[0], "\x16\x03\x01", 3, 0);
	sim_until(bed->worker.loop, conn_bed_ended(bed, REASON_TLS) == 1);
	/* Its memory is gone: under a sanitizer a look at it shows. */
	sim_while(bed->worker.loop, 100,
	    conn_bed_ended(bed, REASON_HANDSHAKE_TIMEOUT) == 0 &&
		counter_get(bed->worker.counters.handshakes_failed) == 1);
}

static void the_deadline_of_the_handshake_does_not_outlive_it(void **state)
{
	struct bed *bed = *state;

	bed->conf.timeouts.handshake = 300;
	conn_bed_start(bed, 0);
	conn_bed_speaks_tls(bed);
	sim_until(bed->worker.loop, SSL_do_handshake(bed->peer) == 1 && bed->fronts_n == 1);
	sim_while(bed->worker.loop, 400, bed->fronts[0].lost == 0);
}

static void plain_text_on_the_tls_port_is_told(void **state)
{
	static const char begins[] = "HTTP/1.1 400 Bad Request\r\n";
	struct bed *bed = *state;
	char got[512] = "";
	size_t len = 0;

	conn_bed_start(bed, 0);
	bed->step = STREAM_STEP_FAILED;
	bed->why = REASON_PLAIN_ON_TLS;
	conn_bed_comes(bed, LISTENER_TLS);
	send(bed->clients[0], "GET / HTTP/1.1\r\n\r\n", 18, 0);
	sim_until(bed->worker.loop, conn_bed_ended(bed, REASON_PLAIN_ON_TLS) == 1);
	for (ssize_t n; (n = recv(bed->clients[0], got + len, sizeof got - 1 - len, 0)) > 0;)
		len += (size_t)n;
	assert_memory_equal(got, begins, sizeof begins - 1);
	/* The length that it announces is that of its page. */
	assert_int_equal(strlen(strstr(got, "\r\n\r\n") + 4),
	    strtoul(strstr(got, "Content-Length: ") + 16, NULL, 10));
}

static void a_client_that_goes_in_the_handshake_leaves_nothing(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 0);
	bed->step = STREAM_STEP_PAUSED;
	conn_bed_comes(bed, LISTENER_TLS);
	send(bed->clients[0], "\x16\x03\x01", 3, 0);
	sim_turn(bed->worker.loop);
	shutdown(bed->clients[0], SHUT_RDWR);
	sim_while(bed->worker.loop, 20, bed->freed == 0);
	/* The worker ends meanwhile: see teardown. */
}

static void without_memory_after_the_handshake_it_closes(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 0);
	bed->no_memory = true;
	conn_bed_speaks_tls(bed);
	sim_until(bed->worker.loop,
	    SSL_do_handshake(bed->peer) == 1 && conn_bed_ended(bed, REASON_MEMORY) == 1);
}

/* RFC 8446, section 6.1: whoever ends an idle connection, and why ever, the client is told. */
static void an_idle_connection_ends_with_close_notify(void **state)
{
	static const enum reason why[] = { REASON_IDLE, REASON_CLOSE, REASON_DRAIN };
	struct bed *bed = *state;
	char byte;
	int n = -1;

	conn_bed_start(bed, 0);
	for (int i = 0; i < 4; i++) {
		bool idle = i < 3;

		conn_bed_speaks_tls(bed);
		sim_until(
		    bed->worker.loop, SSL_do_handshake(bed->peer) == 1 && bed->fronts_n == i + 1);
		conn_idle(bed->fronts[i].c, idle);
		conn_close(bed->fronts[i].c, idle ? why[i] : REASON_DRAIN);
		sim_until(bed->worker.loop, (n = SSL_read(bed->peer, &byte, 1)) <= 0 &&
						SSL_get_error(bed->peer, n) != SSL_ERROR_WANT_READ);
		/* In the midst of an answer it would say that this was all. */
		assert_int_equal(SSL_get_error(bed->peer, n) == SSL_ERROR_ZERO_RETURN, idle);
		SSL_free(bed->peer);
		bed->peer = NULL;
	}
}

static void key_update(struct bed *bed)
{
	assert_int_equal(SSL_key_update(bed->peer, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
	SSL_do_handshake(bed->peer);
}

static void key_updates_are_bounded(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 0);
	conn_bed_speaks_tls(bed);
	sim_until(bed->worker.loop, SSL_do_handshake(bed->peer) == 1 && bed->fronts_n == 1);
	for (int i = 0; i < 20; i++) {
		key_update(bed);
		sim_turn(bed->worker.loop);
	}
	assert_int_equal(bed->fronts[0].lost, 0);
	for (int i = 0; i < 200 && bed->fronts[0].lost == 0; i++) {
		key_update(bed);
		sim_turn(bed->worker.loop);
	}
	assert_int_equal(bed->fronts[0].lost, 1);
	assert_int_equal(bed->fronts[0].why, REASON_TLS_RENEGOTIATION);
}

/* ---- limits */

static void at_the_limit_the_longest_idle_makes_room(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 2);
	conn_bed_comes(bed, LISTENER_PLAIN);
	conn_bed_comes(bed, LISTENER_PLAIN);
	assert_true(conns_full(&bed->worker));
	conn_idle(bed->fronts[1].c, true);
	conn_idle(bed->fronts[0].c, true);
	conn_idle(bed->fronts[0].c, true); /* said twice, counted once */
	assert_false(conns_full(&bed->worker));
	conn_bed_comes(bed, LISTENER_PLAIN);
	assert_int_equal(bed->fronts[1].lost, 1);
	assert_int_equal(bed->fronts[1].why, REASON_LIMIT);
	assert_int_equal(bed->fronts_n, 3);
	conn_idle(bed->fronts[0].c, false); /* busy again */
	conn_bed_comes(bed, LISTENER_PLAIN);
	assert_int_equal(bed->fronts[0].lost, 0);
	assert_int_equal(bed->fronts_n, 3);
	assert_int_equal(conns_open(&bed->worker), 2);
	sim_until(bed->worker.loop, conn_bed_is_gone(bed->clients[3]));
	assert_int_equal(conn_bed_ended(bed, REASON_LIMIT), 2);
	assert_false(conns_close_idlest(&bed->worker));
}

/* Idle for us is not idle for a client that still reads its last answer. */
static void whose_answer_is_on_its_way_makes_room_last(void **state)
{
	struct bed *bed = *state;
	static char answer[1000000];
	struct iovec iov = { answer, sizeof(answer) };

	conn_bed_start(bed, 2);
	conn_bed_comes(bed, LISTENER_PLAIN);
	conn_bed_comes(bed, LISTENER_PLAIN);
	while (stream_write(conn_stream(bed->fronts[0].c), &iov, 1) == FLOW_GO)
		;
	conn_idle(bed->fronts[0].c, true);
	conn_idle(bed->fronts[1].c, true);
	conn_bed_comes(bed, LISTENER_PLAIN);
	assert_int_equal(bed->fronts[1].why, REASON_LIMIT);
	conn_bed_comes(bed, LISTENER_PLAIN);
	assert_int_equal(bed->fronts[0].why, REASON_LIMIT);
	assert_int_equal(conns_open(&bed->worker), 2);
}

/* ---- draining */

static void on_drained(void *arg)
{
	((struct bed *)arg)->drained++;
}

static void draining_ends_when_the_last_is_closed(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 0);
	conn_bed_comes(bed, LISTENER_PLAIN);
	bed->step = STREAM_STEP_READ;
	conn_bed_speaks_tls(bed);
	bed->worker.draining = true;
	conns_drain(&bed->worker, on_drained, bed);
	assert_int_equal(bed->fronts[0].drains, 1);
	conn_close(bed->fronts[0].c, REASON_DRAIN);
	sim_while(bed->worker.loop, 10, bed->drained == 0);
	/* Whoever was in its handshake is served, and told. */
	bed->step = STREAM_STEP_DONE;
	sim_until(bed->worker.loop, SSL_do_handshake(bed->peer) == 1 && bed->fronts_n == 2);
	assert_int_equal(bed->fronts[1].drains, 1);
	assert_int_equal(bed->drained, 0);
	conn_close(bed->fronts[1].c, REASON_DRAIN);
	assert_int_equal(bed->drained, 0); /* in a later turn */
	sim_until(bed->worker.loop, bed->drained == 1);
	sim_while(bed->worker.loop, 5, bed->drained == 1);
}

static void draining_nobody_ends_in_a_later_turn(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 0);
	conns_drain(&bed->worker, on_drained, bed);
	assert_int_equal(bed->drained, 0);
	sim_until(bed->worker.loop, bed->drained == 1);
}

int main(void)
{
#define CONN_TEST(f) cmocka_unit_test_setup_teardown(f, conn_bed_setup, conn_bed_teardown)
	const struct CMUnitTest tests[] = {
		CONN_TEST(a_plain_connection_speaks_at_once),
		CONN_TEST(a_front_may_close_from_within_input),
		CONN_TEST(without_memory_for_a_front_it_closes),
		CONN_TEST(after_the_handshake_it_speaks_and_is_counted),
		CONN_TEST(a_handshake_that_takes_too_long_ends),
		CONN_TEST(one_that_waits_for_a_signature_fails_when_its_time_is_over),
		CONN_TEST(a_handshake_that_failed_has_no_deadline_any_more),
		CONN_TEST(the_deadline_of_the_handshake_does_not_outlive_it),
		CONN_TEST(plain_text_on_the_tls_port_is_told),
		CONN_TEST(a_client_that_goes_in_the_handshake_leaves_nothing),
		CONN_TEST(without_memory_after_the_handshake_it_closes),
		CONN_TEST(an_idle_connection_ends_with_close_notify),
		CONN_TEST(key_updates_are_bounded),
		CONN_TEST(at_the_limit_the_longest_idle_makes_room),
		CONN_TEST(whose_answer_is_on_its_way_makes_room_last),
		CONN_TEST(draining_ends_when_the_last_is_closed),
		CONN_TEST(draining_nobody_ends_in_a_later_turn),
	};

	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
