/*
 * test_stream.c: streams against each other over socketpairs, plain and TLS: what is written
 * arrives, backpressure holds, ends and failures are told once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/buffers.h"
#include "net/stream.h"

#include "base/poison.h"

enum { TEST_DEADLINE_MS = 10000 };

struct end {
	struct stream *stream;
	struct loop *loop;
	uint64_t got, sum;
	int opened, ended, drained, closed, stops;
	enum reason why;
	bool echo, hold;
	size_t to_send; /* bytes still to be written, as flow allows */
	uint8_t next;
	bool stop_at_end; /* stops the loop when the end is read */
};

struct bed {
	struct loop *loop;
	struct deadline deadline;
	SSL_CTX *server, *client;
};

static void pump(struct end *e)
{
	uint8_t block[1000];

	while (e->to_send > 0) {
		size_t n = e->to_send < sizeof block ? e->to_send : sizeof block;
		struct iovec iov = { block, n };

		for (size_t i = 0; i < n; i++)
			block[i] = e->next++;
		e->to_send -= n;
		if (stream_write(e->stream, &iov, 1) == FLOW_STOP) {
			e->stops++;
			break;
		}
	}
	if (e->to_send == 0 && !e->echo && !e->hold)
		stream_finish(e->stream);
}

static void opened(void *arg)
{
	struct end *e = arg;

	e->opened++;
	if (e->to_send > 0)
		pump(e);
}

static void input(void *arg)
{
	struct end *e = arg;
	struct bytes in = stream_input(e->stream);

	for (size_t i = 0; i < in.len; i++)
		e->sum = e->sum * 31 + in.at[i];
	e->got += in.len;
	if (e->echo && in.len > 0) {
		struct iovec iov = { (void *)(uintptr_t)in.at, in.len };

		if (stream_write(e->stream, &iov, 1) == FLOW_STOP) {
			e->stops++;
			stream_pause(e->stream);
		}
	}
	stream_consume(e->stream, in.len);
	if (stream_ended(e->stream)) {
		e->ended++;
		if (e->echo)
			stream_finish(e->stream);
		if (e->stop_at_end)
			loop_stop(e->loop);
	}
}

static void drained(void *arg)
{
	struct end *e = arg;

	e->drained++;
	if (e->echo)
		stream_resume(e->stream);
	else
		pump(e);
}

static void closed(void *arg, enum reason why)
{
	struct end *e = arg;

	e->closed++;
	e->why = why;
	stream_close(e->stream);
	loop_stop(e->loop);
}

static const struct stream_events events = { opened, input, drained, closed, NULL };

static void too_late(struct deadline *deadline)
{
	(void)deadline;
	fail_msg("the test did not end by its deadline");
}

static SSL_CTX *server_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	X509_set_pubkey(cert, key);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_sign(cert, key, EVP_sha256());
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);

	bed->loop = loop_new();
	deadline_set(bed->loop, &bed->deadline, TEST_DEADLINE_MS, too_late);
	bed->server = server_ctx();
	bed->client = SSL_CTX_new(TLS_client_method());
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	deadline_clear(bed->loop, &bed->deadline);
	loop_free(bed->loop);
	SSL_CTX_free(bed->server);
	SSL_CTX_free(bed->client);
	free(bed);
	return 0;
}

static void open_pair(struct bed *bed, struct end *server, struct end *client, bool tls)
{
	int fds[2];
	SSL *ssl = NULL, *peer = NULL;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	if (tls) {
		ssl = SSL_new(bed->server);
		SSL_set_accept_state(ssl);
		peer = SSL_new(bed->client);
		SSL_set_connect_state(peer);
	}
	server->loop = client->loop = bed->loop;
	server->stream = stream_accept(bed->loop, fds[0], true, ssl, &events, server);
	client->stream = stream_accept(bed->loop, fds[1], true, peer, &events, client);
	assert_non_null(server->stream);
	assert_non_null(client->stream);
}

static void echo_arrives(struct bed *bed, bool tls)
{
	enum { SIZE = 5 * 1000 * 1000 };
	struct end server = { .echo = true }, client = { .to_send = SIZE, .stop_at_end = true };
	uint64_t sum = 0;

	open_pair(bed, &server, &client, tls);
	if (!tls)
		pump(&client);
	loop_run(bed->loop);
	for (size_t i = 0; i < SIZE; i++)
		sum = sum * 31 + (uint8_t)i;
	assert_int_equal(client.got, SIZE);
	assert_true(client.sum == sum);
	assert_int_equal(server.got, SIZE);
	assert_int_equal(server.ended, 1);
	assert_int_equal(client.closed + server.closed, 0);
	assert_int_equal(client.stops, client.drained);
	assert_true(client.stops > 0);
	assert_false(stream_truncated(client.stream));
	stream_close(server.stream);
	stream_close(client.stream);
}

static void test_plain_echo_arrives_whole(void **state)
{
	echo_arrives(*state, false);
}

static void test_tls_echo_arrives_whole(void **state)
{
	echo_arrives(*state, true);
}

static void test_a_paused_reader_stops_the_writer(void **state)
{
	struct bed *bed = *state;
	struct end server = { .hold = true }, client = { .to_send = 50 * 1000 * 1000 };

	for (int tls = 0; tls < 2; tls++) {
		server = (struct end){ .hold = true };
		client = (struct end){ .to_send = 50 * 1000 * 1000 };
		open_pair(bed, &server, &client, tls);
		stream_pause(server.stream);
		if (!tls)
			pump(&client);
		while (client.stops == 0) {
			loop_turn(bed->loop);
		}
		assert_true(stream_queued(client.stream) <= STREAM_HIGH_WATER + 70 * 1000);
		assert_int_equal(server.got, 0);
		stream_close(server.stream);
		stream_close(client.stream);
	}
}

/* What waits in a stream when its user is told to stop, with a reader that takes nothing. */
static size_t queued_at_stop(struct bed *bed, size_t high_water, size_t all)
{
	struct end server = { .hold = true }, client = { .hold = true };
	size_t queued;

	open_pair(bed, &server, &client, false);
	stream_pause(server.stream);
	stream_set_high_water(client.stream, high_water);
	stream_limit_output(bed->loop, all);
	client.to_send = 50 * 1000 * 1000;
	client.hold = false;
	pump(&client);
	while (client.stops == 0)
		loop_turn(bed->loop);
	queued = stream_queued(client.stream);
	stream_close(server.stream);
	stream_close(client.stream);
	while (loop_turn(bed->loop) == 0 && loop_iobufs(bed->loop)->pending > 0)
		continue;
	return queued;
}

static void test_the_high_water_is_settable_and_all_output_is_limited(void **state)
{
	struct bed *bed = *state;

	assert_in_range(queued_at_stop(bed, 1 << 20, SIZE_MAX), 1 << 20, (1 << 20) + 70 * 1000);
	assert_in_range(queued_at_stop(bed, 1 << 20, 200000), 200000, 200000 + 70 * 1000);
	assert_in_range(
	    queued_at_stop(bed, 1 << 20, 0), STREAM_LOW_WATER, STREAM_LOW_WATER + 70 * 1000);
	assert_in_range(queued_at_stop(bed, 1 << 20, SIZE_MAX), 1 << 20, (1 << 20) + 70 * 1000);
}

static void test_a_missing_close_notify_shows(void **state)
{
	struct bed *bed = *state;
	struct end server = { .hold = true, .stop_at_end = true },
		   client = { .to_send = 10, .hold = true };

	open_pair(bed, &server, &client, true);
	client.hold = true;
	while (server.opened == 0 || client.opened == 0) {
		loop_turn(bed->loop);
	}
	stream_flush(client.stream);
	shutdown(stream_fd(client.stream), SHUT_WR);
	loop_run(bed->loop);
	assert_int_equal(server.ended, 1);
	assert_int_equal(server.got, 10);
	assert_true(stream_truncated(server.stream));
	stream_close(server.stream);
	stream_close(client.stream);
}

static void test_rubbish_in_the_handshake_fails_it(void **state)
{
	struct bed *bed = *state;
	struct end server = { .hold = true };
	int fds[2];
	SSL *ssl = SSL_new(bed->server);

	SSL_set_accept_state(ssl);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	server.loop = bed->loop;
	server.stream = stream_accept(bed->loop, fds[0], true, ssl, &events, &server);
	assert_int_equal(write(fds[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
	loop_run(bed->loop);
	assert_int_equal(server.closed, 1);
	assert_int_equal(server.why, REASON_TLS);
	assert_int_equal(server.opened, 0);
	close(fds[1]);
}

static void test_the_alert_of_a_failed_handshake_is_sent(void **state)
{
	struct bed *bed = *state;
	struct end server = { .hold = true, .loop = bed->loop };
	static const uint8_t no_hello[] = { 22, 3, 1, 0, 4, 1, 0, 0, 0 };
	uint8_t answer[64];
	int fds[2];
	SSL *ssl = SSL_new(bed->server);

	SSL_set_accept_state(ssl);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	server.stream = stream_accept(bed->loop, fds[0], true, ssl, &events, &server);
	assert_int_equal(write(fds[1], no_hello, sizeof no_hello), sizeof no_hello);
	loop_run(bed->loop);
	assert_int_equal(server.closed, 1);
	assert_true(read(fds[1], answer, sizeof answer) >= 7);
	assert_int_equal(answer[0], 21); /* alert */
	close(fds[1]);
}

static void test_a_refused_connect_is_told_later(void **state)
{
	struct bed *bed = *state;
	struct end client = { .hold = true, .loop = bed->loop };
	struct endpoint nowhere;

	assert_int_equal(endpoint_parse(&nowhere, "127.0.0.1:1"), 0);
	client.stream = stream_connect(bed->loop, &nowhere, NULL, &events, &client);
	assert_int_equal(client.closed, 0);
	loop_run(bed->loop);
	assert_int_equal(client.closed, 1);
	assert_int_equal(client.why, REASON_CONNECT);
	client = (struct end){ .hold = true, .loop = bed->loop };
	assert_int_equal(endpoint_parse(&nowhere, "unix:/nowhere/at/all"), 0);
	client.stream = stream_connect(bed->loop, &nowhere, NULL, &events, &client);
	assert_int_equal(client.closed, 0);
	loop_run(bed->loop);
	assert_int_equal(client.why, REASON_CONNECT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain_echo_arrives_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tls_echo_arrives_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_paused_reader_stops_the_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_the_high_water_is_settable_and_all_output_is_limited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_missing_close_notify_shows, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_rubbish_in_the_handshake_fails_it, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_the_alert_of_a_failed_handshake_is_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_refused_connect_is_told_later, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
