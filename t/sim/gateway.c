/*
 * gateway.c: see gateway.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/counters.h"
#include "base/log.h"
#include "net/stream.h"
#include "gateway/origin/folder.h"
#include "t/sim/gateway.h"
#include "t/unit/client_at.h"

#include "base/poison.h"

static void tick(struct deadline *d)
{
	(void)d;
}

static int listen_on_loopback(char *address, size_t size)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	snprintf(address, size, "127.0.0.1:%d", ntohs(sin.sin_port));
	return fd;
}

struct sim_gateway *sim_gateway_new(size_t servers)
{
	struct sim_gateway *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	log_set(LOG_TARGET_STDERR, LOG_LEVEL_WARN);
	assert_true(servers <= SIM_SERVERS_MAX);
	for (size_t i = 0; i < servers; i++) {
		g->listeners[i] = listen_on_loopback(g->addresses[i], sizeof(g->addresses[i]));
		g->servers[i].address = g->addresses[i];
		g->servers[i].weight = 1;
	}
	g->pool = (struct pool_conf){ .name = (char *)(uintptr_t) "pool",
		.servers = { g->servers, servers },
		.connect_timeout = 1000,
		.answer_timeout = 2000,
		.idle_timeout = 4000,
		.idle_connections = 64,
		.queue = 8,
		.queue_timeout = 1000,
		.max_fails = 3,
		.fail_timeout = 10000 };
	g->conf.workers = 1;
	g->route = (struct route_conf){ .path = (char *)(uintptr_t) "/", .pool = g->pool.name };
	g->names[0] = (char *)(uintptr_t) "shop.example";
	g->site = (struct site_conf){ .name = g->names[0],
		.names = { g->names, 1 },
		.headers = 0,
		.routes = { &g->route, 1 } };
	g->conf.sites.at = &g->site;
	g->conf.sites.n = 1;
	g->conf.pools.at = &g->pool;
	g->conf.pools.n = 1;
	g->conf.timeouts.head = g->conf.timeouts.body = g->conf.timeouts.idle = 2000;
	g->conf.timeouts.write = 2000;
	g->conf.limits.head = 32 * 1024;
	g->conf.limits.fields = 100;
	return g;
}

static struct pool *pool_by_name(void *arg, const char *name)
{
	return pools_find(arg, name);
}

void sim_gateway_start(struct sim_gateway *g)
{
	struct worker *w = &g->worker;
	size_t n = 0;

	w->conf = &g->conf;
	w->loop = loop_new();
	assert_non_null(w->loop);
#define X(field, name) w->counters.field = &g->cells[n++];
	WORKER_COUNTERS(X)
#undef X
	for (int i = 0; i < REASON_N; i++)
		w->counters.reasons[i] = &g->cells[n++];
	assert_true(n <= sizeof(g->cells) / sizeof(g->cells[0]));
	w->pools = pools_new(w);
	assert_non_null(w->pools);
	w->folders = folders_new(w);
	assert_non_null(w->folders);
	w->sites = sites_new(&g->conf, pool_by_name, w->pools);
	assert_non_null(w->sites);
	w->exchanges = exchanges_new(w);
	assert_non_null(w->exchanges);
}

struct sim_gateway *sim_gateway_started(size_t servers)
{
	struct sim_gateway *g = sim_gateway_new(servers);

	sim_gateway_start(g);
	return g;
}

void sim_gateway_stop(struct sim_gateway *g)
{
	for (size_t i = 0; i < g->conns_n; i++)
		conn_close(&g->conns[i], REASON_CLOSE);
	sim_turns(g, 2);
	assert_int_equal(counter_get(g->worker.counters.requests_open), 0);
	folders_free(g->worker.folders);
	pools_free(g->worker.pools);
	assert_int_equal(counter_get(g->worker.counters.upstreams_open), 0);
	sites_free(g->worker.sites);
	exchanges_free(g->worker.exchanges);
	loop_free(g->worker.loop);
	for (size_t i = 0; i < g->pool.servers.n; i++)
		if (g->listeners[i] != -1)
			close(g->listeners[i]);
	free(g);
}

void sim_turns(struct sim_gateway *g, int n)
{
	while (n-- > 0) {
		struct deadline d = { 0 };

		deadline_set(g->worker.loop, &d, 0, tick);
		assert_int_equal(loop_turn(g->worker.loop), 0);
		deadline_clear(g->worker.loop, &d);
	}
}

void sim_until(struct sim_gateway *g, bool (*there)(void *), void *arg)
{
	uint64_t end = loop_now_ms(g->worker.loop) + SIM_TIMEOUT_MS;

	while (!there(arg)) {
		sim_turns(g, 1);
		if (loop_now_ms(g->worker.loop) > end)
			fail_msg("what was waited for did not come");
	}
}

/* ---- conn, faked */

static void conn_opened(void *arg)
{
	(void)arg;
}

static void conn_input(void *arg)
{
	struct conn *c = arg;

	c->front->ops->input(c->front);
}

static void conn_drained(void *arg)
{
	struct conn *c = arg;

	c->front->ops->drained(c->front);
}

static void conn_closed(void *arg, enum reason reason)
{
	conn_close(arg, reason);
}

static const struct stream_events conn_events = {
	.opened = conn_opened,
	.input = conn_input,
	.drained = conn_drained,
	.closed = conn_closed,
};

void conn_close(struct conn *c, enum reason reason)
{
	if (c->closed)
		return;
	c->closed = true;
	c->reason = reason;
	counter_add(c->gateway->worker.counters.reasons[reason], 1);
	c->front->ops->lost(c->front, reason);
	stream_close(c->stream);
}

struct stream *conn_stream(struct conn *c)
{
	return c->stream;
}

const struct client *conn_client(const struct conn *c)
{
	return &c->client;
}

void conn_asked(struct conn *c)
{
	(void)c;
}

struct worker *conn_worker(struct conn *c)
{
	return &c->gateway->worker;
}

void conn_idle(struct conn *c, bool idle)
{
	c->idle = idle;
}

int sim_client(struct sim_gateway *g, struct conn **out)
{
	struct conn *c = &g->conns[g->conns_n++];
	SSL *ssl = NULL;
	int pair[2];

	assert_true(g->conns_n <= SIM_CONNS_MAX);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	c->gateway = g;
	c->client.listener_mode = LISTENER_PLAIN;
	c->client.site = sites_default(g->worker.sites);
	client_at(&c->client, "192.0.2.7", 40000, "192.0.2.1", 443);
	if (g->tls != NULL) {
		ssl = SSL_new(g->tls);
		assert_non_null(ssl);
		SSL_set_accept_state(ssl);
	}
	c->stream = stream_accept(g->worker.loop, pair[0], true, ssl, &conn_events, c);
	assert_non_null(c->stream);
	c->front = front_http1_new(c);
	assert_non_null(c->front);
	if (out != NULL)
		*out = c;
	return pair[1];
}

/* ---- the ends that the test plays */

int sim_accept(struct sim_gateway *g, size_t server)
{
	uint64_t end = loop_now_ms(g->worker.loop) + SIM_TIMEOUT_MS;
	int fd, on = 1;

	while (
	    (fd = accept4(g->listeners[server], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) == -1) {
		assert_int_equal(errno, EAGAIN);
		sim_turns(g, 1);
		if (loop_now_ms(g->worker.loop) > end)
			fail_msg("nobody connected to back-end %zu", server);
	}
	/* What the test sends in two pieces is to come in two, and at once. */
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	return fd;
}

void sim_send(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

static ssize_t read_some(struct sim_gateway *g, int fd, char *buf, size_t max)
{
	uint64_t end = loop_now_ms(g->worker.loop) + SIM_TIMEOUT_MS;

	for (;;) {
		ssize_t n = recv(fd, buf, max, 0);

		if (n >= 0)
			return n;
		if (errno == ECONNRESET)
			return 0;
		assert_int_equal(errno, EAGAIN);
		sim_turns(g, 1);
		if (loop_now_ms(g->worker.loop) > end)
			return -1;
	}
}

void sim_expect(struct sim_gateway *g, int fd, const char *text)
{
	size_t len = strlen(text), got = 0;
	char *buf = malloc(len + 1);

	assert_non_null(buf);
	while (got < len) {
		ssize_t n = read_some(g, fd, buf + got, len - got);

		if (n <= 0 || memcmp(buf, text, got + (size_t)n) != 0) {
			buf[n > 0 ? got + (size_t)n : got] = '\0';
			fail_msg(
			    "expected\n%s\ngot%s\n%s", text, n == 0 ? " the end after" : "", buf);
		}
		got += (size_t)n;
	}
	free(buf);
}

size_t sim_read_head(struct sim_gateway *g, int fd, char *buf, size_t size)
{
	size_t got = 0;

	do {
		assert_true(got + 1 < size);
		if (read_some(g, fd, buf + got, 1) != 1) {
			buf[got] = '\0';
			fail_msg("the head did not end: %s", buf);
		}
		buf[++got] = '\0';
	} while (got < 4 || memcmp(buf + got - 4, "\r\n\r\n", 4) != 0);
	return got;
}

size_t sim_read_to_end(struct sim_gateway *g, int fd, char *buf, size_t size)
{
	size_t got = 0;
	ssize_t n;

	do {
		assert_true(got + 1 < size);
		n = read_some(g, fd, buf + got, size - 1 - got);
		buf[n > 0 ? got + (size_t)n : got] = '\0';
		if (n < 0)
			fail_msg("the end did not come after %s", buf);
		got += (size_t)n;
	} while (n > 0);
	return got;
}

bool sim_quiet(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

uint64_t sim_count(const struct sim_gateway *g, enum reason reason)
{
	return counter_get(g->worker.counters.reasons[reason]);
}

void sim_expect_page(struct sim_gateway *g, int fd, const char *first_line, bool closes)
{
	char head[1500];

	sim_read_head(g, fd, head, sizeof(head));
	assert_memory_equal(head, first_line, strlen(first_line));
	assert_non_null(strstr(head, "Content-Type: text/html"));
	assert_non_null(strstr(head, "\r\nDate: "));
	assert_true(closes == (strstr(head, "Connection: close") != NULL));
	if (closes)
		sim_read_to_end(g, fd, head, sizeof(head));
}
