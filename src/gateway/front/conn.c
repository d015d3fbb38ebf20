/*
 * conn.c: from accept to conn_close(). Its order: limits, then (where a proxy is before us) the header
 * that says who the client is and (TLS) the handshake, both within the handshake's deadline, then the
 * front that speaks the client's protocol. Closing tells the front, ends the handshake
 * wherever it is, closes the stream; the memory goes after the turn.
 */
#include "gateway/front/conn.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/log.h"
#include "gateway/exchange/accesslog.h"
#include "gateway/front/clients.h"
#include "gateway/front/hearsay.h"
#include "gateway/sites.h"
#include "gateway/tls/handshake.h"
#include "gateway/trusted.h"
#include "gateway/worker.h"
#include "net/proxied.h"

#include "base/poison.h"

enum {
	CONN_FDS_RESERVED = 64, /* listeners, logs, services */
	CONN_FDS_EACH = 2, /* the client's and the back-end's */
	/* Handshake messages after the handshake (KeyUpdate, refused renegotiations): each costs key
	 * derivations, and no client needs more. Lasting connections earn one for each MiB. */
	CONN_POST_HANDSHAKE_MAX = 96, /* steps of libssl's state machine: up to 3 for a KeyUpdate */
	CONN_POST_HANDSHAKE_BYTES = 1024 * 1024,
	CONN_IDLE_LOOKS = 16,
	CONN_EXPIRED_MS = 1000, /* for the alert of a handshake whose time is over */
};

struct conn {
	struct worker *worker;
	struct stream *stream; /* NULL: before that */
	struct front_conn *front; /* NULL: handshake */
	struct handshake *handshake; /* NULL: plain, or done */
	bool closed, idle;
	bool asked; /* had a request */
	TAILQ_ENTRY(conn) idle_link; /* oldest first */
	struct client client;
	TAILQ_ENTRY(conn) link; /* all */
	struct proxied *proxied; /* the PROXY header is awaited on fd; else NULL */
	int fd; /* until the stream has it; -1 */
	unsigned post_handshake; /* messages */
	struct clients_one *one; /* its share of limits; NULL: not counted */
	struct deadline deadline; /* of PROXY header and handshake */
	struct later gone, glitch;
};

struct conns {
	TAILQ_HEAD(conns_all, conn) all;
	TAILQ_HEAD(conns_idle, conn) idle;
	size_t open, max;
	struct clients *clients; /* by address */
	bool local_told; /* to back-ends, in a PROXY header */
	void (*drained)(void *arg);
	void *drained_arg;
	struct later drained_later;
	struct worker *worker;
};

static const char plain_on_tls[] = "HTTP/1.1 400 Bad Request\r\n"
				   "Content-Type: text/plain\r\n"
				   "Content-Length: 53\r\n"
				   "Connection: close\r\n"
				   "\r\n"
				   "This port speaks HTTPS: use https:// in the address.\n";

struct conns *conns_new(struct worker *worker)
{
	struct conns *conns = calloc(1, sizeof *conns);
	struct rlimit limit;

	if (conns == NULL)
		return NULL;
	TAILQ_INIT(&conns->all);
	TAILQ_INIT(&conns->idle);
	conns->worker = worker;
	conns->clients = clients_new((uint64_t)worker->conf->limits.connections_per_client,
	    worker->conf->limits.handshakes_per_client);
	if (conns->clients == NULL) {
		free(conns);
		return NULL;
	}
	conns->max = (size_t)worker->conf->limits.connections;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
		size_t fits = limit.rlim_cur > CONN_FDS_RESERVED + 2
				  ? (limit.rlim_cur - CONN_FDS_RESERVED) / CONN_FDS_EACH
				  : 1;

		if (conns->max == 0 || conns->max > fits)
			conns->max = fits;
	}
	if (conns->max == 0)
		conns->max = 100000;
	for (size_t i = 0; i < worker->conf->pools.n; i++)
		conns->local_told |= worker->conf->pools.at[i].proxy_protocol != 0;
	return conns;
}

static void tell_drained(struct later *later)
{
	struct conns *conns = CONTAINER_OF(later, struct conns, drained_later);

	if (conns->open == 0 && conns->drained != NULL)
		conns->drained(conns->drained_arg);
}

void conns_free(struct conns *conns)
{
	struct conn *c;

	if (conns == NULL)
		return;
	conns->drained = NULL;
	while ((c = TAILQ_FIRST(&conns->all)) != NULL)
		conn_close(c, REASON_DRAIN);
	loop_later_cancel(&conns->drained_later);
	clients_free(conns->clients);
	free(conns);
}

static void gone_cb(struct later *later)
{
	struct conn *c = CONTAINER_OF(later, struct conn, gone);

	if (c->client.cert != NULL)
		clientcert_free(c->client.cert);
	hearsay_free(c->client.hearsay);
	free((void *)(uintptr_t)c->client.sni);
	free(c);
}

void conn_idle(struct conn *c, bool idle)
{
	struct conns *conns = c->worker->conns;

	if (c->idle == idle || c->closed)
		return;
	c->idle = idle;
	if (idle)
		TAILQ_INSERT_TAIL(&conns->idle, c, idle_link);
	else
		TAILQ_REMOVE(&conns->idle, c, idle_link);
}

void conn_close(struct conn *c, enum reason why)
{
	struct worker *w = c->worker;
	struct conns *conns = w->conns;
	bool idle = c->idle;

	if (c->closed)
		return;
	conn_idle(c, false);
	c->closed = true;
	deadline_clear(w->loop, &c->deadline);
	loop_later_cancel(&c->glitch);
	if (c->handshake != NULL) {
		struct endpoint peer = endpoint_whole(&c->client.peer);
		char text[ENDPOINT_TEXT_MAX];

		counter_add(w->counters.handshakes_failed, 1);
		counter_sub(w->counters.handshakes_open, 1);
		log_debug("%s: handshake ended: %s", endpoint_text(&peer, text, sizeof text),
		    reason_text(why));
		handshake_free(c->handshake);
		c->handshake = NULL;
	}
	proxied_cancel(c->proxied);
	c->proxied = NULL;
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
	if (c->front != NULL) {
		struct front_conn *front = c->front;

		c->front = NULL;
		front->ops->lost(front, why);
	}
	clients_leave(conns->clients, c->one, loop_now_ms(w->loop));
	c->one = NULL;
	if (!c->asked)
		accesslog_connection(w->log, &c->client, why);
	/* Elsewhere it would say that an answer is complete. */
	if (idle)
		stream_say_end(c->stream);
	stream_close(c->stream);
	counter_add(w->counters.reasons[why < REASON_N ? why : REASON_INTERNAL], 1);
	counter_sub(w->counters.connections_open, 1);
	TAILQ_REMOVE(&conns->all, c, link);
	conns->open--;
	if (conns->open == 0 && conns->drained != NULL)
		loop_later(w->loop, &conns->drained_later, tell_drained);
	loop_later(w->loop, &c->gone, gone_cb);
}

/* ---- the stream's events */

static void speak(struct conn *c)
{
	c->front = front_http1_new(c);
	if (c->front == NULL)
		conn_close(c, REASON_MEMORY);
	else if (c->worker->draining)
		c->front->ops->drain(c->front);
}

static void count_handshake(struct conn *c)
{
	struct worker_counters *n = &c->worker->counters;

	counter_sub(n->handshakes_open, 1);
	switch (c->client.resumed) {
	case CLIENT_FULL:
		counter_add(n->handshakes_full, 1);
		break;
	case CLIENT_BY_TICKET:
		counter_add(n->handshakes_resumed_ticket, 1);
		break;
	case CLIENT_BY_CACHE:
		counter_add(n->handshakes_resumed_cache, 1);
		break;
	}
}

static void glitch_cb(struct later *later)
{
	conn_close(CONTAINER_OF(later, struct conn, glitch), REASON_TLS_RENEGOTIATION);
}

/* Called by libssl from within reads and writes of this connection: it is closed after the turn. */
static void on_info(const SSL *ssl, int where, int ret)
{
	struct conn *c = SSL_get_app_data(ssl);

	(void)ret;
	if (!(where & SSL_CB_LOOP) || c == NULL || c->closed)
		return;
	if (++c->post_handshake >
	    CONN_POST_HANDSHAKE_MAX + stream_received(c->stream) / CONN_POST_HANDSHAKE_BYTES)
		loop_later(c->worker->loop, &c->glitch, glitch_cb);
}

static void on_opened(void *arg)
{
	struct conn *c = arg;

	if (c->handshake != NULL) {
		if (handshake_client(c->handshake, &c->client) != 0) {
			conn_close(c, REASON_MEMORY);
			return;
		}
		handshake_free(c->handshake);
		c->handshake = NULL;
		deadline_clear(c->worker->loop, &c->deadline);
		count_handshake(c);
		SSL_set_app_data(stream_ssl(c->stream), c);
		SSL_set_info_callback(stream_ssl(c->stream), on_info);
	}
	if (c->front == NULL)
		speak(c);
}

static void on_input(void *arg)
{
	struct conn *c = arg;

	if (c->front != NULL)
		c->front->ops->input(c->front);
}

static void on_drained(void *arg)
{
	struct conn *c = arg;

	if (c->front != NULL)
		c->front->ops->drained(c->front);
}

static void on_closed(void *arg, enum reason why)
{
	struct conn *c = arg;

	if (why == REASON_PLAIN_ON_TLS)
		(void)!send(stream_fd(c->stream), plain_on_tls, sizeof plain_on_tls - 1,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
	conn_close(c, why);
}

static enum stream_step on_handshake(void *arg, SSL *ssl, enum reason *why)
{
	struct conn *c = arg;

	(void)ssl;
	return handshake_step(c->handshake, why);
}

static const struct stream_events conn_events = { on_opened, on_input, on_drained, on_closed,
	on_handshake };

static void on_wake(void *arg)
{
	struct conn *c = arg;

	stream_wake(c->stream);
}

static void too_long(struct deadline *deadline)
{
	struct conn *c = CONTAINER_OF(deadline, struct conn, deadline);

	if (c->handshake != NULL && handshake_expire(c->handshake))
		deadline_set(c->worker->loop, &c->deadline, CONN_EXPIRED_MS, too_long);
	else
		conn_close(c, REASON_HANDSHAKE_TIMEOUT);
}

/* ---- accepting */

/* 0: there is room. At the limit the longest idle connection makes it. */
static int admit(struct worker *w)
{
	if (w->conns->open < w->conns->max || conns_close_idlest(w))
		return 0;
	counter_add(w->counters.reasons[REASON_LIMIT], 1);
	return -1;
}

/* A listener on all addresses does not say to which one of them the client came. */
static void find_local(struct conn *c, const struct endpoint *listener)
{
	struct endpoint local = { .len = sizeof(local.addr) };

	if (c->worker->conns->local_told && endpoint_is_any(listener) &&
	    getsockname(c->fd, (struct sockaddr *)&local.addr, &local.len) == 0)
		c->client.local = endpoint_brief(&local);
}

static void set_addresses(struct conn *c, const struct endpoint *peer, const struct endpoint *local)
{
	c->client.peer = endpoint_brief(peer);
	endpoint_host_text(peer, c->client.peer_text, sizeof c->client.peer_text);
	c->client.local = endpoint_brief(local);
	c->client.trusted = trusted_holds(c->worker->trusted, peer);
}

static struct conn *conn_new(
    struct worker *w, int mode, int fd, const struct endpoint *peer, const struct endpoint *local)
{
	struct conn *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->worker = w;
	c->fd = fd;
	set_addresses(c, peer, local);
	find_local(c, local);
	c->client.listener_mode = mode;
	c->client.site = sites_default(w->sites);
	c->client.verify = "NONE";
	TAILQ_INSERT_TAIL(&w->conns->all, c, link);
	w->conns->open++;
	counter_add(w->counters.connections, 1);
	counter_add(w->counters.connections_open, 1);
	return c;
}

/* The descriptor becomes a stream: whatever came before the client's own bytes has been read. 0, -1. */
static int open_stream(struct conn *c)
{
	int fd = c->fd;
	SSL *ssl = NULL;

	if (c->client.listener_mode == LISTENER_TLS) {
		c->handshake = handshake_new(c->worker, &c->client, on_wake, c, &ssl);
		if (c->handshake == NULL)
			return -1;
		counter_add(c->worker->counters.handshakes_open, 1);
		/* On failure the stream frees the SSL, which the handshake still needs for its own end. */
		SSL_up_ref(ssl);
	}
	c->fd = -1;
	c->stream = stream_accept(
	    c->worker->loop, fd, c->client.peer.family == AF_UNIX, ssl, &conn_events, c);
	if (c->stream == NULL && c->handshake != NULL) {
		handshake_free(c->handshake);
		c->handshake = NULL;
		counter_sub(c->worker->counters.handshakes_open, 1);
	}
	SSL_free(ssl);
	if (c->stream == NULL)
		return -1;
	stream_set_high_water(c->stream, c->worker->conf->limits.response_buffer);
	return 0;
}

/* Who the client is stands. */
static void begin(struct conn *c)
{
	struct worker *w = c->worker;
	struct endpoint peer = endpoint_whole(&c->client.peer);
	enum reason why = REASON_NONE;

	if (!c->client.trusted)
		why = clients_enter(w->conns->clients, &peer, loop_now_ms(w->loop), &c->one);
	if (why != REASON_NONE) {
		conn_close(c, why);
		return;
	}
	if (open_stream(c) != 0) {
		conn_close(c, REASON_MEMORY);
		return;
	}
	if (c->handshake != NULL) {
		if (!deadline_is_set(&c->deadline))
			deadline_set(c->worker->loop, &c->deadline,
			    c->worker->conf->timeouts.handshake, too_long);
		return;
	}
	deadline_clear(c->worker->loop, &c->deadline);
	speak(c);
}

static void on_proxied(void *arg, enum reason why, const struct proxied_addresses *said)
{
	struct conn *c = arg;

	c->proxied = NULL;
	if (why != REASON_NONE) {
		if (why == REASON_PROXY_HEADER)
			log_info("%s: %s", c->client.peer_text, reason_text(why));
		conn_close(c, why);
		return;
	}
	if (!said->local)
		set_addresses(c, &said->from, &said->to);
	if (said->has_tlvs && (c->client.hearsay = hearsay_new(&said->tlvs)) == NULL) {
		conn_close(c, REASON_MEMORY);
		return;
	}
	begin(c);
}

/* Anybody could write such a header: only a proxy that we know is asked for it. */
static void await_header(struct conn *c)
{
	if (!c->client.trusted) {
		log_debug("%s: %s", c->client.peer_text, reason_text(REASON_PROXY_UNTRUSTED));
		conn_close(c, REASON_PROXY_UNTRUSTED);
		return;
	}
	c->proxied = proxied_read(c->worker->loop, c->fd, on_proxied, c);
	if (c->proxied == NULL)
		conn_close(c, REASON_MEMORY);
	else
		deadline_set(
		    c->worker->loop, &c->deadline, c->worker->conf->timeouts.handshake, too_long);
}

void conn_accept(
    struct worker *w, int kind, int fd, const struct endpoint *peer, const struct endpoint *local)
{
	struct conn *c;

	if (admit(w) != 0) {
		close(fd);
		return;
	}
	c = conn_new(w, kind & LISTENER_MODE, fd, peer, local);
	if (c == NULL) {
		counter_add(w->counters.reasons[REASON_MEMORY], 1);
		close(fd);
	} else if (kind & LISTENER_PROXIED) {
		await_header(c);
	} else {
		begin(c);
	}
}

void conns_drain(struct worker *w, void (*drained)(void *arg), void *arg)
{
	struct conns *conns = w->conns;
	struct conn *c, *next;

	conns->drained = drained;
	conns->drained_arg = arg;
	for (c = TAILQ_FIRST(&conns->all); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->front != NULL)
			c->front->ops->drain(c->front);
	}
	if (conns->open == 0)
		loop_later(w->loop, &conns->drained_later, tell_drained);
}

size_t conns_open(const struct worker *w)
{
	return w->conns->open;
}

bool conns_full(const struct worker *w)
{
	return w->conns->open >= w->conns->max - w->conns->max / 20 && TAILQ_EMPTY(&w->conns->idle);
}

bool conns_close_idlest(struct worker *w)
{
	struct conn *c = TAILQ_FIRST(&w->conns->idle), *next = c;

	if (c == NULL)
		return false;
	/* One that has its last answer whole, if there is one among the first. */
	for (int i = 0; i < CONN_IDLE_LOOKS && next != NULL; i++) {
		if (stream_queued(next->stream) == 0) {
			c = next;
			break;
		}
		next = TAILQ_NEXT(next, idle_link);
	}
	conn_close(c, REASON_LIMIT);
	return true;
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
	c->asked = true;
}

struct worker *conn_worker(struct conn *c)
{
	return c->worker;
}
