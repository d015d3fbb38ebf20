/*
 * conn_bed.c: see conn_bed.h.
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
#include "gateway/exchange/accesslog.h"
#include "gateway/sites.h"
#include "gateway/trusted.h"

#include "base/poison.h"

/* The fakes are called without a context. */
struct bed *the_bed(struct worker *w)
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

struct handshake *handshake_new(
    struct worker *w, const struct client *client, void (*wake)(void *arg), void *arg, SSL **ssl)
{
	struct handshake *hs = calloc(1, sizeof *hs);

	(void)client;
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

void accesslog_connection(struct accesslog *log, const struct client *client, enum reason why)
{
	(void)log;
	(void)client;
	(void)why;
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

int conn_bed_setup(void **state)
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

void conn_bed_start(struct bed *bed, size_t limit)
{
	bed->conf.limits.connections = limit;
	bed->worker.conns = conns_new(&bed->worker);
	assert_non_null(bed->worker.conns);
}

int conn_bed_teardown(void **state)
{
	struct bed *bed = *state;

	SSL_free(bed->peer);
	for (int i = 0; i < bed->clients_n; i++)
		close(bed->clients[i]);
	conns_free(bed->worker.conns);
	trusted_free(bed->worker.trusted);
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
int conn_bed_comes(struct bed *bed, int mode)
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

int conn_bed_speaks_tls(struct bed *bed)
{
	int n = conn_bed_comes(bed, LISTENER_TLS);

	bed->peer = SSL_new(bed->client);
	SSL_set_fd(bed->peer, bed->clients[n]);
	SSL_set_connect_state(bed->peer);
	return n;
}

uint64_t conn_bed_ended(const struct bed *bed, enum reason why)
{
	return counter_get(bed->worker.counters.reasons[why]);
}

bool conn_bed_is_gone(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	return n == 0 || (n < 0 && errno != EAGAIN);
}
