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
#include "gateway/front/conn.h"
#include "gateway/sites.h"
#include "gateway/tls/handshake.h"
#include "gateway/worker.h"
#include "stream_bed.h"

#include "base/poison.h"

enum { CLIENTS_MAX = 8 };

struct fake_front {
	struct front_conn conn;
	struct conn *c;
	int inputs, drained, lost, drains;
	enum reason why;
};

struct bed {
	struct worker worker;
	struct gateway_conf conf;
	_Atomic uint64_t cells[256];
	SSL_CTX *server, *client;
	struct fake_front fronts[CLIENTS_MAX];
	int fronts_n;
	int clients[CLIENTS_MAX], clients_n;
	SSL *peer;
	struct conn *newest;
	/* the fake handshake */
	enum stream_step step; /* DONE: a real one; else what each step comes to */
	enum reason why;
	enum client_resumed resumed;
	bool signing, stubborn; /* waits for a signature; goes on waiting when its time is over */
	int handshakes, freed, expired;
	bool no_memory; /* for fronts, and for the client's facts */
	bool closes_in_input;
	int drained;
};

/* The fakes are called without a context. */
static struct bed *the_bed(struct worker *w)
{
	return CONTAINER_OF(w, struct bed, worker);
}

/* ---- in place of gateway/tls */

struct handshake {
	struct bed *bed;
	SSL *ssl;
	void (*wake)(void *);
	void *arg;
};

struct handshake *handshake_new(struct worker *w, void (*wake)(void *arg), void *arg, SSL **ssl)
{
	struct handshake *hs = calloc(1, sizeof *hs);

	*hs = (struct handshake){ the_bed(w), SSL_new(the_bed(w)->server), wake, arg };
	SSL_set_accept_state(hs->ssl);
	SSL_up_ref(hs->ssl);
	*ssl = hs->ssl;
	hs->bed->handshakes++;
	return hs;
}

enum stream_step handshake_step(struct handshake *hs, enum reason *why)
{
	int ret;

	*why = hs->bed->why;
	if (hs->bed->step != STREAM_STEP_DONE)
		return hs->bed->step;
	ret = SSL_do_handshake(hs->ssl);
	return ret == 1 ? STREAM_STEP_DONE : STREAM_STEP_READ;
}

/* One that waits for a signature is woken, and fails; a stubborn one stays as it is. */
bool handshake_expire(struct handshake *hs)
{
	struct bed *bed = hs->bed;

	if (!bed->signing || bed->expired > 0)
		return false;
	bed->expired++;
	if (!bed->stubborn)
		bed->step = STREAM_STEP_FAILED;
	bed->why = REASON_HANDSHAKE_TIMEOUT;
	hs->wake(hs->arg);
	return true;
}

int handshake_client(struct handshake *hs, struct client *client)
{
	client->resumed = hs->bed->resumed;
	return hs->bed->no_memory ? -1 : 0;
}

void handshake_free(struct handshake *hs)
{
	if (hs == NULL)
		return;
	hs->bed->freed++;
	SSL_free(hs->ssl);
	free(hs);
}

void clientcert_free(const struct clientcert *cert)
{
	(void)cert;
}

const struct site *sites_default(const struct sites *sites)
{
	(void)sites;
	return NULL;
}

/* ---- in place of front_http1 */

static void front_input(struct front_conn *conn)
{
	struct fake_front *f = CONTAINER_OF(conn, struct fake_front, conn);
	struct stream *s = conn_stream(f->c);

	f->inputs++;
	stream_consume(s, stream_input(s).len);
	if (the_bed(conn_worker(f->c))->closes_in_input)
		conn_close(f->c, REASON_CLOSE);
}

static void front_drained(struct front_conn *conn)
{
	CONTAINER_OF(conn, struct fake_front, conn)->drained++;
}

static void front_lost(struct front_conn *conn, enum reason why)
{
	struct fake_front *f = CONTAINER_OF(conn, struct fake_front, conn);

	f->lost++;
	f->why = why;
	conn_close(f->c, REASON_INTERNAL); /* once more has no effect */
}

static void front_drain(struct front_conn *conn)
{
	struct fake_front *f = CONTAINER_OF(conn, struct fake_front, conn);

	f->drains++;
}

static const struct front_conn_ops front_ops = { front_input, front_drained, front_lost,
	front_drain };

struct front_conn *front_http1_new(struct conn *c)
{
	struct bed *bed = the_bed(conn_worker(c));
	struct fake_front *f = &bed->fronts[bed->fronts_n];

	if (bed->no_memory)
		return NULL;
	bed->fronts_n++;
	f->conn.ops = &front_ops;
	f->c = c;
	return &f->conn;
}

/* ---- the bed */

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);
	struct stream_bed *streams;
	size_t n = 0;

	assert_non_null(bed);
	assert_int_equal(stream_bed_setup((void **)&streams), 0);
	bed->server = streams->server;
	bed->client = streams->client;
	streams->server = streams->client = NULL;
	stream_bed_teardown((void **)&streams);
	bed->conf.timeouts.handshake = 5000;
	bed->worker.conf = &bed->conf;
	bed->worker.loop = loop_new();
	assert_non_null(bed->worker.loop);
#define X(field, name) bed->worker.counters.field = &bed->cells[n++];
	WORKER_COUNTERS(X)
#undef X
	for (int i = 0; i < REASON_N; i++)
		bed->worker.counters.reasons[i] = &bed->cells[n++];
	*state = bed;
	return 0;
}

static void start(struct bed *bed, size_t limit)
{
	bed->conf.limits.connections = limit;
	bed->worker.conns = conns_new(&bed->worker);
	assert_non_null(bed->worker.conns);
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	SSL_free(bed->peer);
	for (int i = 0; i < bed->clients_n; i++)
		close(bed->clients[i]);
	conns_free(bed->worker.conns);
	loop_free(bed->worker.loop);
	assert_int_equal(counter_get(bed->worker.counters.connections_open), 0);
	assert_int_equal(counter_get(bed->worker.counters.handshakes_open), 0);
	assert_int_equal(bed->handshakes, bed->freed);
	for (int i = 0; i < bed->fronts_n; i++)
		assert_int_equal(bed->fronts[i].lost, 1);
	SSL_CTX_free(bed->server);
	SSL_CTX_free(bed->client);
	free(bed);
	return 0;
}

/* A client comes: its number. */
static int comes(struct bed *bed, int mode)
{
	struct endpoint peer, local;
	int fds[2];

	assert_int_equal(endpoint_parse(&peer, "192.0.2.7:1234"), 0);
	assert_int_equal(endpoint_parse(&local, "192.0.2.1:443"), 0);
	stream_bed_pair(fds);
	conn_accept(&bed->worker, mode, fds[0], &peer, &local);
	bed->clients[bed->clients_n] = fds[1];
	return bed->clients_n++;
}

static int speaks_tls(struct bed *bed)
{
	int n = comes(bed, LISTENER_TLS);

	bed->peer = SSL_new(bed->client);
	SSL_set_fd(bed->peer, bed->clients[n]);
	SSL_set_connect_state(bed->peer);
	return n;
}

static uint64_t ended(const struct bed *bed, enum reason why)
{
	return counter_get(bed->worker.counters.reasons[why]);
}

static bool is_gone(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* ---- plain */

static void a_plain_connection_speaks_at_once(void **state)
{
	struct bed *bed = *state;

	start(bed, 0);
	comes(bed, LISTENER_PLAIN);
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
	assert_int_equal(ended(bed, REASON_IDLE), 1);
	assert_int_equal(ended(bed, REASON_INTERNAL), 0);
	sim_until(bed->worker.loop, is_gone(bed->clients[0]));
	assert_int_equal(conns_open(&bed->worker), 0);
}

static void a_front_may_close_from_within_input(void **state)
{
	struct bed *bed = *state;

	start(bed, 0);
	bed->closes_in_input = true;
	comes(bed, LISTENER_PLAIN);
	assert_int_equal(send(bed->clients[0], "GET", 3, 0), 3);
	sim_until(bed->worker.loop, is_gone(bed->clients[0]));
	assert_int_equal(bed->fronts[0].inputs, 1);
}

static void without_memory_for_a_front_it_closes(void **state)
{
	struct bed *bed = *state;

	start(bed, 0);
	bed->no_memory = true;
	comes(bed, LISTENER_PLAIN);
	sim_until(bed->worker.loop, is_gone(bed->clients[0]));
	assert_int_equal(ended(bed, REASON_MEMORY), 1);
}

/* ---- the handshake */

static void after_the_handshake_it_speaks_and_is_counted(void **state)
{
	static const enum client_resumed how[] = { CLIENT_FULL, CLIENT_BY_TICKET, CLIENT_BY_CACHE };
	struct bed *bed = *state;
	struct worker_counters *n = &bed->worker.counters;

	start(bed, 0);
	for (int i = 0; i < 3; i++) {
		bed->resumed = how[i];
		speaks_tls(bed);
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
	start(bed, 0);
	for (size_t i = 0; i < 2; i++) {
		int client = comes(bed, LISTENER_TLS);

		bed->step = steps[i];
		send(bed->clients[client], "\x16\x03\x01", 3, 0);
		sim_until(bed->worker.loop, is_gone(bed->clients[client]));
		assert_int_equal(ended(bed, REASON_HANDSHAKE_TIMEOUT), i + 1);
		assert_int_equal(counter_get(bed->worker.counters.handshakes_failed), i + 1);
	}
	assert_int_equal(bed->fronts_n, 0);
}

static void one_that_waits_for_a_signature_fails_when_its_time_is_over(void **state)
{
	struct bed *bed = *state;

	bed->conf.timeouts.handshake = 30;
	start(bed, 0);
	for (int i = 0; i < 2; i++) {
		int client = comes(bed, LISTENER_TLS);

		bed->signing = true;
		bed->stubborn = i == 1;
		bed->expired = 0;
		bed->step = STREAM_STEP_PAUSED;
		send(bed->clients[client], "\x16\x03\x01", 3, 0);
		sim_until(bed->worker.loop, is_gone(bed->clients[client]));
		assert_int_equal(bed->expired, 1);
		assert_int_equal(ended(bed, REASON_HANDSHAKE_TIMEOUT), i + 1);
		assert_int_equal(counter_get(bed->worker.counters.handshakes_failed), i + 1);
	}
}

static void a_handshake_that_failed_has_no_deadline_any_more(void **state)
{
	struct bed *bed = *state;

	bed->conf.timeouts.handshake = 50;
	start(bed, 0);
	bed->step = STREAM_STEP_FAILED;
	bed->why = REASON_TLS;
	comes(bed, LISTENER_TLS);
	send(bed->clients[0], "\x16\x03\x01", 3, 0);
	sim_until(bed->worker.loop, ended(bed, REASON_TLS) == 1);
	/* Its memory is gone: under a sanitizer a look at it shows. */
	sim_while(bed->worker.loop, 100,
	    ended(bed, REASON_HANDSHAKE_TIMEOUT) == 0 &&
		counter_get(bed->worker.counters.handshakes_failed) == 1);
}

static void the_deadline_of_the_handshake_does_not_outlive_it(void **state)
{
	struct bed *bed = *state;

	bed->conf.timeouts.handshake = 300;
	start(bed, 0);
	speaks_tls(bed);
	sim_until(bed->worker.loop, SSL_do_handshake(bed->peer) == 1 && bed->fronts_n == 1);
	sim_while(bed->worker.loop, 400, bed->fronts[0].lost == 0);
}

static void plain_text_on_the_tls_port_is_told(void **state)
{
	static const char begins[] = "HTTP/1.1 400 Bad Request\r\n";
	struct bed *bed = *state;
	char got[512] = "";
	size_t len = 0;

	start(bed, 0);
	bed->step = STREAM_STEP_FAILED;
	bed->why = REASON_PLAIN_ON_TLS;
	comes(bed, LISTENER_TLS);
	send(bed->clients[0], "GET / HTTP/1.1\r\n\r\n", 18, 0);
	sim_until(bed->worker.loop, ended(bed, REASON_PLAIN_ON_TLS) == 1);
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

	start(bed, 0);
	bed->step = STREAM_STEP_PAUSED;
	comes(bed, LISTENER_TLS);
	send(bed->clients[0], "\x16\x03\x01", 3, 0);
	sim_turn(bed->worker.loop);
	shutdown(bed->clients[0], SHUT_RDWR);
	sim_while(bed->worker.loop, 20, bed->freed == 0);
	/* The worker ends meanwhile: see teardown. */
}

static void without_memory_after_the_handshake_it_closes(void **state)
{
	struct bed *bed = *state;

	start(bed, 0);
	bed->no_memory = true;
	speaks_tls(bed);
	sim_until(
	    bed->worker.loop, SSL_do_handshake(bed->peer) == 1 && ended(bed, REASON_MEMORY) == 1);
}

static void key_update(struct bed *bed)
{
	assert_int_equal(SSL_key_update(bed->peer, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
	SSL_do_handshake(bed->peer);
}

static void key_updates_are_bounded(void **state)
{
	struct bed *bed = *state;

	start(bed, 0);
	speaks_tls(bed);
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

	start(bed, 2);
	comes(bed, LISTENER_PLAIN);
	comes(bed, LISTENER_PLAIN);
	assert_true(conns_full(&bed->worker));
	conn_idle(bed->fronts[1].c, true);
	conn_idle(bed->fronts[0].c, true);
	conn_idle(bed->fronts[0].c, true); /* said twice, counted once */
	assert_false(conns_full(&bed->worker));
	comes(bed, LISTENER_PLAIN);
	assert_int_equal(bed->fronts[1].lost, 1);
	assert_int_equal(bed->fronts[1].why, REASON_LIMIT);
	assert_int_equal(bed->fronts_n, 3);
	conn_idle(bed->fronts[0].c, false); /* busy again */
	comes(bed, LISTENER_PLAIN);
	assert_int_equal(bed->fronts[0].lost, 0);
	assert_int_equal(bed->fronts_n, 3);
	assert_int_equal(conns_open(&bed->worker), 2);
	sim_until(bed->worker.loop, is_gone(bed->clients[3]));
	assert_int_equal(ended(bed, REASON_LIMIT), 2);
	assert_false(conns_close_idlest(&bed->worker));
}

/* ---- draining */

static void on_drained(void *arg)
{
	((struct bed *)arg)->drained++;
}

static void draining_ends_when_the_last_is_closed(void **state)
{
	struct bed *bed = *state;

	start(bed, 0);
	comes(bed, LISTENER_PLAIN);
	bed->step = STREAM_STEP_READ;
	speaks_tls(bed);
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

	start(bed, 0);
	conns_drain(&bed->worker, on_drained, bed);
	assert_int_equal(bed->drained, 0);
	sim_until(bed->worker.loop, bed->drained == 1);
}

int main(void)
{
#define CONN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
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
		CONN_TEST(key_updates_are_bounded),
		CONN_TEST(at_the_limit_the_longest_idle_makes_room),
		CONN_TEST(draining_ends_when_the_last_is_closed),
		CONN_TEST(draining_nobody_ends_in_a_later_turn),
	};

	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
