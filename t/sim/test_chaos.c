/*
 * test_chaos.c: clients and back-ends that do what they like, in an order that a seed gives: pieces,
 * pipelines, half ends, resets, answers before their time, bytes that nobody asked for. Nobody gets what
 * was meant for another, everything ends, and where all are honest everybody gets all.
 *
 *	test_chaos [SEED [ROUNDS]]
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
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
#include "t/sim/player.h"

#include "base/poison.h"

enum {
	CLIENTS = 6,
	BACKENDS = 64,
	REQUESTS_MAX = 6, /* of a client */
	OUT_MAX = 256 * 1024,
	IN_MAX = 2 * 1024 * 1024,
	STEPS_MAX = 6000,
	ROUNDS = 40,
};

struct asked {
	char method[8];
	bool tunnel;
	size_t body; /* of the answer */
};

struct chaos_client {
	struct player p;
	struct conn *conn;
	struct asked asked[REQUESTS_MAX];
	size_t asked_n;
	bool misbehaves;
};

struct chaos_backend {
	struct player p;
	size_t parsed; /* of in */
	bool tunnel;
};

struct chaos {
	struct sim_gateway *g;
	uint64_t random;
	bool honest;
	SSL_CTX *tls; /* of clients; NULL: plain */
	struct chaos_client clients[CLIENTS];
	struct chaos_backend backends[BACKENDS];
	size_t backends_n;
};

/* ---- chance and text */

static unsigned chance(struct chaos *c, unsigned n)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return (unsigned)((c->random >> 20) % n);
}

/* A mark as often as it takes: "[c3.2]" is the third client's second request. */
static void add_body(struct text *t, size_t client, size_t request, size_t len)
{
	char mark[32];
	size_t n = (size_t)snprintf(mark, sizeof(mark), "[c%zu.%zu]", client, request);

	for (size_t i = 0; i < len; i += n)
		text_add(t, mark, len - i < n ? len - i : n);
}

static void add_chunked(struct chaos *c, struct text *t, size_t client, size_t request, size_t len)
{
	while (len > 0) {
		size_t part = 1 + chance(c, 9000);

		part = part < len ? part : len;
		text_addf(t, "%zx%s\r\n", part, chance(c, 4) == 0 ? ";x=y" : "");
		add_body(t, client, request, part);
		text_add(t, "\r\n", 2);
		len -= part;
	}
	text_addf(t, "0\r\n%s\r\n", chance(c, 4) == 0 ? "Trailer-Field: x\r\n" : "");
}

static void send_some(struct chaos *c, struct player *p)
{
	size_t left = p->out.len - p->out.sent, part;
	ssize_t n;

	if (p->fd == -1 || left == 0)
		return;
	part = chance(c, 3) == 0 ? left : 1 + chance(c, chance(c, 2) == 0 ? 40 : 20000);
	n = player_put(p, p->out.at + p->out.sent, part < left ? part : left);
	if (n > 0)
		p->out.sent += (size_t)n;
	else if (errno != EAGAIN)
		player_gone(p);
}

/* False: its end. */
static bool read_some(struct chaos *c, struct player *p)
{
	static char buf[32768];
	ssize_t n;

	if (p->fd == -1)
		return false;
	n = player_get(p, buf, 1 + chance(c, sizeof(buf)));
	if (n > 0)
		text_add(&p->in, buf, (size_t)n);
	assert_true(p->in.len < IN_MAX);
	return n > 0 || (n == -1 && errno == EAGAIN);
}

/* ---- clients */

static void request_add(struct chaos *c, size_t who)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "OPTIONS" };
	struct chaos_client *cl = &c->clients[who];
	struct asked *a = &cl->asked[cl->asked_n];
	struct text *t = &cl->p.out;
	size_t body = chance(c, 2) == 0 ? chance(c, 100) : chance(c, 60000);
	bool old = !c->honest && chance(c, 12) == 0;

	snprintf(a->method, sizeof(a->method), "%s", methods[chance(c, 5)]);
	a->body = chance(c, 3) == 0 ? chance(c, 90000) : chance(c, 500);
	text_addf(t, "%s /c%zu.%zu?%zu HTTP/1.%d\r\nHost: shop.example\r\n", a->method, who,
	    cl->asked_n, a->body, old ? 0 : 1);
	if (old)
		text_addf(t, "Connection: keep-alive\r\n");
	if (!old && chance(c, 10) == 0 && strcmp(a->method, "GET") == 0) {
		a->tunnel = true;
		text_addf(t, "Connection: upgrade\r\nUpgrade: echo\r\n\r\n");
	} else if (strcmp(a->method, "POST") == 0 || strcmp(a->method, "PUT") == 0) {
		if (!old && chance(c, 3) == 0)
			text_addf(t, "Expect: 100-continue\r\n");
		if (!old && chance(c, 2) == 0) {
			text_addf(t, "Transfer-Encoding: chunked\r\n\r\n");
			add_chunked(c, t, who, cl->asked_n, body);
		} else {
			text_addf(t, "Content-Length: %zu\r\n\r\n", body);
			add_body(t, who, cl->asked_n, body);
		}
	} else {
		text_addf(t, "\r\n");
	}
	cl->asked_n++;
}

static void client_start(struct chaos *c, size_t who)
{
	struct chaos_client *cl = &c->clients[who];
	int small = 4096 << (int)chance(c, 6);
	size_t n = 1 + chance(c, REQUESTS_MAX);

	cl->p.fd = sim_client(c->g, &cl->conn);
	if (c->tls != NULL) {
		cl->p.ssl = SSL_new(c->tls);
		SSL_set_fd(cl->p.ssl, cl->p.fd);
		SSL_set_connect_state(cl->p.ssl);
	}
	if (chance(c, 2) == 0)
		setsockopt(
		    stream_fd(cl->conn->stream), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (size_t i = 0; i < n && (i == 0 || !cl->asked[i - 1].tunnel); i++)
		request_add(c, who);
	if (!c->honest && chance(c, 8) == 0)
		text_addf(&cl->p.out, "NONSENSE\r\n\r\n");
	cl->misbehaves = !c->honest && chance(c, 3) == 0;
}

static void client_step(struct chaos *c, struct chaos_client *cl)
{
	struct player *p = &cl->p;

	if (p->fd == -1)
		return;
	if (chance(c, 3) != 0)
		send_some(c, p);
	/* A client may have said all before it has got anything. */
	if (p->fd != -1 && !p->finished && p->out.sent == p->out.len && chance(c, 20) == 0)
		player_finish(p);
	if (cl->misbehaves && chance(c, 150) == 0)
		player_reset(p);
	else if (cl->misbehaves && chance(c, 150) == 0)
		player_gone(p);
	else if (chance(c, 3) != 0 && !read_some(c, p))
		player_gone(p);
}

/* ---- back-ends */

static void answer_add(
    struct chaos *c, struct text *t, size_t who, size_t nth, size_t len, bool head, bool *closes)
{
	unsigned framing = chance(c, 5);

	for (unsigned i = chance(c, 8) == 0 ? 1 + chance(c, 3) : 0; i > 0; i--)
		text_addf(t, "HTTP/1.1 103 Early Hints\r\nLink: [c%zu.%zu]\r\n\r\n", who, nth);
	text_addf(t, "HTTP/1.1 200 OK\r\nX-Mark: [c%zu.%zu]\r\n", who, nth);
	*closes = framing == 4;
	if (framing == 3)
		text_addf(t, "Connection: close\r\n");
	if (framing == 4)
		text_addf(t, "Connection: close\r\n\r\n");
	else if (framing == 0)
		text_addf(t, "Transfer-Encoding: chunked\r\n\r\n");
	else
		text_addf(t, "Content-Length: %zu\r\n\r\n", len);
	if (head)
		return;
	if (framing == 0)
		add_chunked(c, t, who, nth, len);
	else
		add_body(t, who, nth, len);
}

static void spoil(struct chaos *c, struct chaos_backend *b, bool closes)
{
	switch (chance(c, 8)) {
	case 0:
		b->p.out.len -= chance(c, (unsigned)(b->p.out.len - b->p.out.sent) + 1);
		b->p.closing = true;
		break;
	case 1:
		if (!closes)
			text_addf(&b->p.out, "SURPLUS SURPLUS\r\n\r\n");
		break;
	case 2:
		if (!closes)
			text_addf(&b->p.out, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nSURPLUS");
		break;
	case 3:
		b->p.closing = true;
		break;
	default:
		break;
	}
}

/* The next whole request in what has come; or, not to be waited for, what there is of it. */
static void backend_answer(struct chaos *c, struct chaos_backend *b, bool early)
{
	char *at = b->p.in.at + b->parsed, *end, *body, method[16];
	size_t who, nth, len, left;
	bool closes = false;

	if (b->p.in.len == b->parsed || (end = strstr(at, "\r\n\r\n")) == NULL)
		return;
	if (sscanf(at, "%15s /c%zu.%zu?%zu HTTP/1.1", method, &who, &nth, &len) != 4)
		fail_msg("a back-end got %.80s", at);
	body = end + 4;
	left = b->p.in.len - (size_t)(body - b->p.in.at);
	if (memmem(at, (size_t)(end - at), "Transfer-Encoding", 17) != NULL) {
		end = strstr(body, "0\r\n\r\n");
		while (end != NULL && end != body && end[-1] != '\n')
			end = strstr(end + 1, "0\r\n\r\n");
		if (end == NULL && !early)
			return;
		b->parsed = end == NULL ? b->p.in.len : (size_t)(end + 5 - b->p.in.at);
	} else {
		const char *field = memmem(at, (size_t)(end - at), "Content-Length: ", 16);
		size_t length = field != NULL ? strtoul(field + 16, NULL, 10) : 0;

		if (left < length && !early)
			return;
		b->parsed = (size_t)(body - b->p.in.at) + (length < left ? length : left);
	}
	if (memmem(at, (size_t)(body - at), "Upgrade: echo", 13) != NULL && chance(c, 3) != 0) {
		text_addf(&b->p.out,
		    "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n"
		    "X-Mark: [c%zu.%zu]\r\n\r\n",
		    who, nth);
		add_body(&b->p.out, who, nth, len);
		b->tunnel = b->p.closing = true;
		return;
	}
	answer_add(c, &b->p.out, who, nth, len, strcmp(method, "HEAD") == 0, &closes);
	b->p.closing |= closes || early;
	if (!c->honest && chance(c, 3) == 0)
		spoil(c, b, closes);
}

static void backend_step(struct chaos *c, struct chaos_backend *b)
{
	struct player *p = &b->p;

	if (p->fd == -1)
		return;
	if (chance(c, 4) != 0 && !read_some(c, p) && p->out.sent == p->out.len) {
		player_gone(p);
		return;
	}
	if (!p->closing && p->out.sent == p->out.len)
		backend_answer(c, b, !c->honest && chance(c, 30) == 0);
	if (!c->honest && chance(c, 400) == 0)
		player_reset(p);
	if (chance(c, 3) != 0)
		send_some(c, p);
	if (p->fd != -1 && p->closing && p->out.sent == p->out.len && chance(c, 4) == 0)
		player_gone(p);
}

static void accept_all(struct chaos *c)
{
	for (size_t s = 0; s < c->g->pool.servers.n; s++) {
		int fd = accept4(c->g->listeners[s], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		int small = 4096 << (int)chance(c, 6);

		if (fd == -1)
			continue;
		if (c->backends_n == BACKENDS || (!c->honest && chance(c, 20) == 0)) {
			close(fd);
			continue;
		}
		if (chance(c, 3) == 0)
			setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		c->backends[c->backends_n++].p.fd = fd;
	}
}

/* ---- what must hold */

/* Marks of its own only, in the order in which it asked. */
static void check_client(struct chaos *c, size_t who)
{
	const char *at = c->clients[who].p.in.at;
	size_t last = 0, nth;

	if (at == NULL)
		return;
	assert_null(strstr(at, "SURPLUS"));
	for (; (at = strstr(at, "[c")) != NULL; at++) {
		if (strnlen(at, 6) < 6 || at[3] != '.' || at[5] != ']')
			continue; /* cut by a chunk's end */
		nth = (size_t)(at[4] - '0');
		assert_int_equal(at[2] - '0', who);
		assert_true(nth >= last && nth < c->clients[who].asked_n);
		last = nth;
	}
}

/* Each of its requests was answered, and to the end. */
static void check_answers(struct chaos *c, size_t who)
{
	const struct chaos_client *cl = &c->clients[who];
	const char *at = cl->p.in.at;
	size_t n = 0, whole = 0;

	assert_non_null(at);
	for (const char *a = at; (a = strstr(a, "\r\nX-Mark: ")) != NULL; a++)
		n++;
	if (n != cl->asked_n) {
		fprintf(
		    stderr, "in: %.600s\n----\nout: %.3000s\n----\n", cl->p.in.at, cl->p.out.at);
		fail_msg("client %zu: %zu answers to %zu requests; out %zu of %zu, in %zu, tls %d, "
			 "finished %d, end %s",
		    who, n, cl->asked_n, cl->p.out.sent, cl->p.out.len, cl->p.in.len,
		    c->tls != NULL, cl->p.finished, reason_name(cl->conn->reason));
	}
	for (size_t i = 0; i < cl->asked_n; i++)
		whole += strcmp(cl->asked[i].method, "HEAD") == 0 ? 0 : cl->asked[i].body;
	assert_true(cl->p.in.len >= whole);
}

static bool all_over(struct chaos *c)
{
	bool over = true;

	for (size_t i = 0; i < CLIENTS; i++)
		over &= c->clients[i].p.fd == -1;
	return over;
}

static void settings(struct chaos *c)
{
	struct sim_gateway *g = c->g;

	g->conf.limits.request_buffer = chance(c, 3) == 0 ? 0 : 1u << (8 + chance(c, 9));
	g->route.stream = chance(c, 4) == 0;
	if (chance(c, 3) == 0)
		g->pool.max_connections = 1 + (int64_t)chance(c, 3);
	g->pool.queue = 64;
	g->pool.queue_timeout = 20000;
	g->pool.max_fails = 0;
	g->pool.idle_connections = (int64_t)chance(c, 4);
	g->conf.timeouts.tunnel = 5000;
	g->conf.timeouts.head = g->conf.timeouts.body = g->conf.timeouts.write = 20000;
	g->conf.timeouts.idle = c->honest ? 20000 : 50;
	g->pool.answer_timeout = g->pool.connect_timeout = 20000;
	if (!c->honest && chance(c, 3) == 0)
		g->conf.limits.body = 1 + chance(c, 30000);
	if (!c->honest && chance(c, 3) == 0)
		g->pool.max_fails = 1;
	if (!c->honest && chance(c, 2) == 0) {
		g->conf.timeouts.head = g->conf.timeouts.body = 30;
		g->conf.timeouts.write = 30;
		g->pool.answer_timeout = 20;
		g->pool.queue_timeout = 20;
	}
}

/* What an operator and the checks of servers do meanwhile. */
static void operate(struct chaos *c)
{
	struct sim_gateway *g = c->g;

	if (chance(c, 100) == 0)
		pools_health(
		    g->worker.pools, 0, chance(c, (unsigned)g->pool.servers.n), chance(c, 2) == 0);
	if (chance(c, 600) != 0 || g->worker.draining)
		return;
	g->worker.draining = true;
	for (size_t i = 0; i < g->conns_n; i++)
		if (!g->conns[i].closed)
			g->conns[i].front->ops->drain(g->conns[i].front);
}

static void tls_start(struct chaos *c)
{
	int version = chance(c, 3) == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;

	if (chance(c, 3) == 0)
		return;
	c->g->tls = player_server_tls();
	c->tls = SSL_CTX_new(TLS_client_method());
	assert_non_null(c->tls);
	SSL_CTX_set_max_proto_version(c->tls, version);
	SSL_CTX_set_mode(
	    c->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void round_of(uint64_t seed, bool honest)
{
	struct chaos *c = calloc(1, sizeof(*c));
	int step;

	assert_non_null(c);
	c->random = seed * 0x9e3779b97f4a7c15ULL + 1;
	c->honest = honest;
	c->g = sim_gateway_new(1 + chance(c, 3));
	settings(c);
	tls_start(c);
	sim_gateway_start(c->g);
	for (size_t i = 0; i < CLIENTS; i++)
		client_start(c, i);
	for (step = 0; step < STEPS_MAX && !all_over(c); step++) {
		accept_all(c);
		for (size_t i = 0; i < CLIENTS; i++)
			client_step(c, &c->clients[i]);
		for (size_t i = 0; i < c->backends_n; i++)
			backend_step(c, &c->backends[i]);
		if (!c->honest)
			operate(c);
		sim_turns(c->g, 1);
	}
	for (size_t i = 0; i < CLIENTS; i++) {
		check_client(c, i);
		if (honest)
			check_answers(c, i);
		player_clear(&c->clients[i].p);
	}
	for (size_t i = 0; i < c->backends_n; i++)
		player_clear(&c->backends[i].p);
	SSL_CTX_free(c->g->tls);
	SSL_CTX_free(c->tls);
	sim_gateway_stop(c->g);
	free(c);
}

static uint64_t first_seed = 1;
static int rounds = ROUNDS;

static void all_get_all_where_all_are_honest(void **state)
{
	(void)state;
	for (int i = 0; i < rounds; i++) {
		if (rounds != ROUNDS)
			fprintf(stderr, "honest, seed %llu\n",
			    (unsigned long long)(first_seed + (uint64_t)i));
		round_of(first_seed + (uint64_t)i, true);
	}
}

static void nobody_gets_what_is_anothers(void **state)
{
	(void)state;
	for (int i = 0; i < rounds; i++) {
		if (rounds != ROUNDS)
			fprintf(stderr, "chaos, seed %llu\n",
			    (unsigned long long)(first_seed + (uint64_t)i));
		round_of(first_seed + (uint64_t)i, false);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_get_all_where_all_are_honest),
		cmocka_unit_test(nobody_gets_what_is_anothers),
	};

	signal(SIGPIPE, SIG_IGN); /* of libssl's writes */
	if (argc > 1)
		first_seed = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		rounds = (int)strtol(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
