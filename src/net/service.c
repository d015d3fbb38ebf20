/*
 * service.c: the answering side: its listeners, the bound on connections, drain and life. What goes
 * on within a connection is service_conn.c.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/service_private.h"

#include "base/poison.h"

enum {
	SERVICE_LOST_S = 30,
	SERVICE_TELL_MS = 60 * 1000, /* between two lines about failing accepts */
	/* Burst and rate together are what can begin in any one second. */
	SERVICE_HANDSHAKES_BURST = SERVICE_HANDSHAKES_S / 10,
	SERVICE_HANDSHAKES_RATE = SERVICE_HANDSHAKES_S - SERVICE_HANDSHAKES_BURST,
	SERVICE_REST_MS = 25,
};

struct service *service_new(struct loop *loop, const struct service_params *params, void *arg)
{
	struct service *service = calloc(1, sizeof(*service));

	if (service == NULL)
		return NULL;
	assert(params->stall_ms > 0 && params->conns_max > 0 && params->conn_calls_max > 0);
	service->loop = loop;
	service->params = params;
	service->arg = arg;
	TAILQ_INIT(&service->listeners);
	TAILQ_INIT(&service->conns);
	TAILQ_INIT(&service->waiting);
	TAILQ_INIT(&service->dead);
	TAILQ_INIT(&service->spare);
	bucket_init(&service->handshakes, SERVICE_HANDSHAKES_RATE, SERVICE_HANDSHAKES_BURST,
	    loop_now_ms(loop));
	return service;
}

/* ---- handshakes */

static void service_rested(struct deadline *deadline)
{
	struct service *service = CONTAINER_OF(deadline, struct service, rest);
	struct service_listener *listener;

	TAILQ_FOREACH (listener, &service->listeners, entry)
		listener_resume(listener->listener);
}

/* Who comes next waits in the listening queue, where it costs nothing. */
static void service_rest(struct service *service)
{
	struct service_listener *listener;

	TAILQ_FOREACH (listener, &service->listeners, entry)
		if (listener->tls != NULL)
			listener_pause(listener->listener);
	deadline_set(service->loop, &service->rest, SERVICE_REST_MS, service_rested);
}

/* A caller that has given up in the queue is no handshake: of a crowd that waits longer than it is
 * patient, those served would else be the ones who have left. */
static bool has_left(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return true;
	/* Its hello may lie before its end. Fails on Unix sockets. */
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_CLOSE_WAIT;
}

/* Handshakes that are not done may hold half of the places: the oldest goes for a new one, since an
 * honest one takes a few round trips. */
static void service_make_room(struct service *service)
{
	uint32_t max = service->params->conns_max / 2;
	struct service_conn *conn;

	if (service->opening_n < (max > 0 ? max : 1))
		return;
	TAILQ_FOREACH (conn, &service->conns, entry)
		if (conn->state == CONN_OPENING) {
			service_conn_close(conn);
			return;
		}
}

/* All places are taken: of strangers the one goes that has been here longest, else of those whose handshake is not done.
 * Calls in work are answered yet. */
static bool service_show_out(struct service *service)
{
	struct service_conn *conn, *opening = NULL;

	TAILQ_FOREACH (conn, &service->conns, entry) {
		if (conn->state == CONN_OPENING)
			opening = opening == NULL ? conn : opening;
		else if (conn->work_n == 0 && !service_knows(conn))
			break;
	}
	if (conn == NULL)
		conn = opening;
	if (conn != NULL)
		service_conn_close(conn);
	return conn != NULL;
}

/* The SSL of a connection that may begin its handshake; NULL: it may not. */
static SSL *service_begin(struct service *service, int fd, struct tlsctx *tls)
{
	if (has_left(fd))
		return NULL;
	(void)bucket_take(&service->handshakes, 1, loop_now_ms(service->loop));
	if (service->handshakes.level < 1000)
		service_rest(service);
	service_make_room(service);
	return tlsctx_ssl(tls);
}

/* ---- listeners */

static bool may_tell(struct service *service)
{
	uint64_t now = loop_now_ms(service->loop);

	if (service->told_ms != 0 && now - service->told_ms < SERVICE_TELL_MS)
		return false;
	service->told_ms = now;
	return true;
}

static void on_accepted(void *arg, struct listener *listener, int fd, const struct endpoint *peer)
{
	struct service_listener *from = arg;
	struct service *service = from->service;
	SSL *ssl = NULL;

	(void)listener;
	if (from->tls != NULL && (ssl = service_begin(service, fd, from->tls)) == NULL) {
		close(fd);
		return;
	}
	if (service->conns_n >= service->params->conns_max && !service_show_out(service)) {
		if (may_tell(service))
			log_warnx("service: all %u connections are in use: closed one that came",
			    service->params->conns_max);
		SSL_free(ssl);
		close(fd);
		return;
	}
	if (service_conn_new(service, fd, peer, ssl, from->tls) != 0)
		log_warnx("service: no memory for a connection");
}

static void on_accept_failed(void *arg, int err)
{
	if (may_tell(((struct service_listener *)arg)->service))
		log_warnx("service: cannot accept: %s: raise the descriptor limit", strerror(err));
}

/*
 * A caller that is cut off says no more, and nobody would notice: it is asked every SERVICE_LOST_S whether it is
 * there. Accepted sockets have this from the listening one. Fails on Unix sockets, which lose nobody.
 */
static void notice_the_lost(int fd)
{
	int on = 1, idle = SERVICE_LOST_S, between = SERVICE_LOST_S / 3, times = 3;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof between);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}

int service_listen(struct service *service, int fd, struct tlsctx *tls)
{
	struct service_listener *listener = calloc(1, sizeof(*listener));

	if (listener == NULL)
		return -1;
	notice_the_lost(fd);
	listener->service = service;
	listener->tls = tls;
	listener->listener = listener_new(
	    service->loop, fd, on_accepted, on_accept_failed, listener);
	if (listener->listener == NULL) {
		free(listener);
		return -1;
	}
	TAILQ_INSERT_TAIL(&service->listeners, listener, entry);
	return 0;
}

static void service_close_listeners(struct service *service)
{
	struct service_listener *listener;

	while ((listener = TAILQ_FIRST(&service->listeners)) != NULL) {
		TAILQ_REMOVE(&service->listeners, listener, entry);
		listener_free(listener->listener);
		free(listener);
	}
}

static void service_drained_later(struct later *later)
{
	struct service *service = CONTAINER_OF(later, struct service, later);
	void (*done)(void *) = service->drained;

	service->drained = NULL;
	if (done != NULL)
		done(service->drained_arg);
}

void service_check_drained(struct service *service)
{
	if (service->draining && service->conns_n == 0 && service->work_n == 0 &&
	    service->drained != NULL)
		loop_later(service->loop, &service->later, service_drained_later);
}

void service_drain(struct service *service, void (*done)(void *arg))
{
	struct service_conn *conn, *next;

	service->draining = true;
	service->drained = done;
	service->drained_arg = service->arg;
	service_close_listeners(service);
	TAILQ_FOREACH_SAFE (conn, &service->conns, entry, next)
		if (conn->state == CONN_OPENING)
			service_conn_close(conn);
		else
			service_conn_finish(conn);
	service_check_drained(service);
}

static void service_free_later(struct later *later)
{
	free(CONTAINER_OF(later, struct service, later));
}

void service_free(struct service *service)
{
	struct service_conn *conn;
	struct call *call;

	if (service == NULL)
		return;
	service_close_listeners(service);
	deadline_clear(service->loop, &service->rest);
	service->drained = NULL;
	while ((conn = TAILQ_FIRST(&service->conns)) != NULL ||
	       (conn = TAILQ_FIRST(&service->dead)) != NULL)
		service_conn_orphan(conn);
	while ((call = TAILQ_FIRST(&service->spare)) != NULL) {
		TAILQ_REMOVE(&service->spare, call, entry);
		free(call);
	}
	loop_later(service->loop, &service->later, service_free_later);
}

/* gone() may close others or free the service: each time from the start, past those that were asked. */
void service_recheck(
    struct service *service, bool (*keep)(void *arg, const struct identity *), void *arg)
{
	struct service_conn *conn;

	service->pass++;
	for (conn = TAILQ_FIRST(&service->conns); conn != NULL;) {
		if (conn->pass == service->pass || conn->state == CONN_OPENING) {
			conn = TAILQ_NEXT(conn, entry);
			continue;
		}
		conn->pass = service->pass;
		if (!keep(arg, &conn->identity))
			service_conn_close(conn);
		conn = TAILQ_FIRST(&service->conns);
	}
}

size_t service_connections(const struct service *service)
{
	return service->conns_n;
}
