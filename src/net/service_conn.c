/*
 * service_conn.c: one connection of the answering side. It cuts its input into messages by the codec;
 * each becomes a call, and answers leave as they come or, where the codec is ordered, each in its
 * turn. One bad message ends one connection. Invariants: a call is replied to exactly once, also when
 * its caller is gone by then; a connection's memory stays until its last call is over.
 */
#include <assert.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/service_private.h"

#include "base/poison.h"

enum {
	SERVICE_BAD_MAX = 512, /* bytes of the last answer to bytes that are no message */
	SERVICE_SPARE_CALLS = 1024, /* kept for reuse */
	SERVICE_EXPIRED_S = 60, /* an expired caller that is never idle has so long */
};

static const struct {
	const char *name;
	enum conn_deadline deadline;
} conn_states[CONN_STATES_N] = {
#define X(id, name, deadline) [id] = { name, deadline },
	CONN_STATES(X)
#undef X
};

static void conn_settle(struct service_conn *);
static void conn_free_later(struct later *);

/* ---- calls */

static struct call *call_new(struct service_conn *conn, enum call_state state)
{
	struct service *service = conn->service;
	struct call *call = TAILQ_FIRST(&service->spare);

	if (call != NULL) {
		TAILQ_REMOVE(&service->spare, call, entry);
		service->spare_n--;
		memset(call, 0, sizeof(*call));
	} else if ((call = calloc(1, sizeof(*call))) == NULL) {
		return NULL;
	}
	call->conn = conn;
	call->state = state;
	TAILQ_INSERT_TAIL(&conn->calls, call, entry);
	conn->calls_n++;
	if (state == CALL_WORK) {
		conn->work_n++;
		service->work_n++;
	}
	return call;
}

/* Reads on in the next turn, if nothing else stands against it. */
static void conn_wake(struct service_conn *conn)
{
	if (!conn->is_paused || conn->is_waiting || conn->is_blocked ||
	    conn->calls_n >= conn->service->params->conn_calls_max)
		return;
	conn->is_paused = false;
	stream_resume(conn->stream);
}

/* The first connection that waits for a place reads on; it wakes the next one when it has read. */
static void service_place_free(struct service *service)
{
	struct service_conn *conn = TAILQ_FIRST(&service->waiting);

	if (conn == NULL || service->work_n >= service->params->calls_max)
		return;
	TAILQ_REMOVE(&service->waiting, conn, waiting);
	conn->is_waiting = false;
	conn_wake(conn);
}

static void call_answered(struct call *call)
{
	struct service_conn *conn = call->conn;

	assert(call->state == CALL_WORK);
	conn->work_n--;
	if (conn->service != NULL) {
		conn->service->work_n--;
		service_place_free(conn->service);
		service_check_drained(conn->service);
	}
}

static void call_free(struct call *call)
{
	struct service_conn *conn = call->conn;
	struct service *service = conn->service;

	TAILQ_REMOVE(&conn->calls, call, entry);
	conn->calls_n--;
	free(call->held);
	if (service != NULL && service->spare_n < SERVICE_SPARE_CALLS) {
		TAILQ_INSERT_HEAD(&service->spare, call, entry);
		service->spare_n++;
	} else {
		free(call);
	}
	if (conn->state != CONN_DEAD)
		conn_wake(conn);
	else if (conn->calls_n == 0)
		loop_later(conn->loop, &conn->later, conn_free_later);
}

struct identity *call_identity(struct call *call)
{
	return &call->conn->identity;
}

void *call_user(const struct call *call)
{
	return call->user;
}

void call_set_user(struct call *call, void *user)
{
	call->user = user;
}

/* ---- a connection's states */

static void conn_deadline_passed(struct deadline *deadline)
{
	service_conn_close(CONTAINER_OF(deadline, struct service_conn, deadline));
}

/* Asked until it is so: who may not ask any more is put out by service_recheck(). */
bool service_knows(struct service_conn *conn)
{
	const struct service *service = conn->service;

	if (!conn->is_known)
		conn->is_known = service->params->known == NULL ||
				 service->params->known(service->arg, &conn->identity);
	return conn->is_known;
}

static void conn_set_state(struct service_conn *conn, enum conn_state state)
{
	enum conn_deadline deadline = conn_states[state].deadline;
	uint32_t ms = 0;

	assert(conn->state != CONN_DEAD);
	assert(conn->state != CONN_LINGER || state == CONN_DEAD);
	assert(conn->state != CONN_CLOSING || state == CONN_LINGER || state == CONN_DEAD);
	/* Idle begins anew with each message; a stall does not with each byte. */
	if (state == conn->state && state != CONN_IDLE)
		return;
	if (conn->state == CONN_OPENING)
		conn->service->opening_n--;
	if (state == CONN_OPENING)
		conn->service->opening_n++;
	conn->state = state;
	if (deadline != DEADLINE_NONE)
		ms = deadline == DEADLINE_IDLE && service_knows(conn)
			 ? conn->service->params->idle_ms
			 : conn->service->params->stall_ms;
	if (ms != 0)
		deadline_set(conn->loop, &conn->deadline, ms, conn_deadline_passed);
	else
		deadline_clear(conn->loop, &conn->deadline);
}

static void conn_free_later(struct later *later)
{
	struct service_conn *conn = CONTAINER_OF(later, struct service_conn, later);

	assert(conn->calls_n == 0);
	if (conn->service != NULL)
		TAILQ_REMOVE(&conn->service->dead, conn, entry);
	free(conn);
}

static void conn_stop_waiting(struct service_conn *conn)
{
	if (conn->is_waiting)
		TAILQ_REMOVE(&conn->service->waiting, conn, waiting);
	conn->is_waiting = false;
}

/* Takes the connection out of the world; what is left are calls in work. */
static void conn_detach(struct service_conn *conn)
{
	struct service *service = conn->service;
	struct call *call, *next;

	conn_set_state(conn, CONN_DEAD);
	stream_close(conn->stream);
	conn->stream = NULL;
	conn_stop_waiting(conn);
	TAILQ_REMOVE(&service->conns, conn, entry);
	TAILQ_INSERT_TAIL(&service->dead, conn, entry);
	service->conns_n--;
	service_place_free(service);
	conn->calls_n++; /* the last of these frees must not free conn */
	TAILQ_FOREACH_SAFE (call, &conn->calls, entry, next)
		if (call->state != CALL_WORK)
			call_free(call);
	conn->calls_n--;
}

void service_conn_close(struct service_conn *conn)
{
	struct service *service = conn->service;
	struct call *call;

	if (conn->state == CONN_DEAD)
		return;
	conn_detach(conn);
	/* gone() may reply to any of them, or free the service: so each time from the start. */
	conn->calls_n++;
	for (call = TAILQ_FIRST(&conn->calls); call != NULL && conn->service != NULL;) {
		if (call->told) {
			call = TAILQ_NEXT(call, entry);
			continue;
		}
		call->told = true;
		if (service->params->gone != NULL)
			service->params->gone(service->arg, call);
		call = TAILQ_FIRST(&conn->calls);
	}
	if (--conn->calls_n == 0)
		loop_later(conn->loop, &conn->later, conn_free_later);
	service_check_drained(service);
}

/* The last bytes leave; closed when the other side has closed too, or stalls. */
static void conn_linger(struct service_conn *conn)
{
	conn_set_state(conn, CONN_LINGER);
	stream_finish(conn->stream);
	if (!stream_at_end(conn->stream))
		return;
	stream_flush(conn->stream);
	if (stream_finished(conn->stream))
		service_conn_close(conn);
}

/* No more is read; when the answers that are owed have left, it closes. */
void service_conn_finish(struct service_conn *conn)
{
	if (conn->state >= CONN_CLOSING)
		return;
	conn_set_state(conn, CONN_CLOSING);
	conn_stop_waiting(conn);
	if (conn->is_paused) { /* to see the end, and to drop what comes */
		conn->is_paused = false;
		stream_resume(conn->stream);
	}
	conn_settle(conn);
}

/* A connection ends with the certificate that it was let in by. */
static bool conn_is_expired(const struct service_conn *conn, int64_t grace_s)
{
	return conn->identity.tls &&
	       (int64_t)loop_wall(conn->loop) > conn->peer.not_after + grace_s;
}

/* Which state do the facts amount to? */
static void conn_settle(struct service_conn *conn)
{
	if (conn->is_reading || conn->state == CONN_LINGER || conn->state == CONN_DEAD)
		return;
	if (conn->state == CONN_CLOSING) {
		if (conn->calls_n == 0)
			conn_linger(conn);
	} else if (conn->is_blocked) {
		conn_set_state(conn, CONN_BLOCKED);
	} else if (conn->is_paused) {
		conn_set_state(conn, CONN_WORKING);
	} else if (stream_input(conn->stream).len > 0) {
		conn_set_state(conn, CONN_PARTIAL);
	} else if (conn->calls_n > 0) {
		conn_set_state(conn, CONN_WORKING);
	} else if (conn_is_expired(conn, 0)) { /* here no answer is lost by it */
		service_conn_finish(conn);
	} else {
		conn_set_state(conn, CONN_IDLE);
	}
}

/* ---- answers */

static void conn_write(struct service_conn *conn, const struct iovec *iov, int n)
{
	if (n == 0 || conn->state == CONN_LINGER)
		return;
	if (stream_write(conn->stream, iov, n) == FLOW_STOP)
		conn->is_blocked = true;
}

static int call_hold(struct call *call, const struct iovec *iov, int n)
{
	size_t len = 0, at = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (len == 0)
		return 0;
	call->held = malloc(len);
	if (call->held == NULL)
		return -1;
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len > 0)
			memcpy(call->held + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	call->held_len = len;
	return 0;
}

/* Sends what is at its turn. A CALL_LAST ends the connection; those behind it are not answered. */
static void conn_send_turns(struct service_conn *conn)
{
	struct call *call;

	while ((call = TAILQ_FIRST(&conn->calls)) != NULL && call->state != CALL_WORK) {
		struct iovec iov = { call->held, call->held_len };
		bool last = call->state == CALL_LAST;

		if (call->held_len > 0)
			conn_write(conn, &iov, 1);
		call_free(call);
		if (last) {
			conn_linger(conn);
			break;
		}
	}
}

static void call_done(struct call *call, const struct iovec *iov, int n, bool last)
{
	struct service_conn *conn = call->conn;
	bool ordered;

	call_answered(call);
	call->state = last ? CALL_LAST : CALL_HELD;
	if (conn->state == CONN_DEAD) {
		call_free(call);
		return;
	}
	ordered = conn->service->params->codec->ordered;
	if (ordered && call != TAILQ_FIRST(&conn->calls)) {
		if (call_hold(call, iov, n) != 0)
			service_conn_close(
			    conn); /* no memory for one answer: none of the later ones fits */
		return;
	}
	conn_write(conn, iov, n);
	call_free(call);
	if (last && ordered && conn->state != CONN_LINGER)
		conn_linger(conn);
	else if (last)
		service_conn_finish(conn);
	else if (ordered && conn->state != CONN_LINGER) /* behind the last, nobody has a turn */
		conn_send_turns(conn);
	conn_settle(conn);
}

void call_reply(struct call *call, const struct iovec *iov, int n)
{
	call_done(call, iov, n, false);
}

void call_reply_last(struct call *call, const struct iovec *iov, int n)
{
	call_done(call, iov, n, true);
}

void call_close(struct call *call)
{
	call_done(call, NULL, 0, true);
}

/* ---- messages */

/* Bytes that are no message: one last answer, in its turn, then the close. */
static void conn_bad(struct service_conn *conn, struct bytes in)
{
	const struct service_params *params = conn->service->params;
	uint8_t buf[SERVICE_BAD_MAX];
	struct iovec iov = { buf, 0 };
	struct call *call;

	if (params->bad != NULL)
		iov.iov_len = params->bad(conn->service->arg, in, buf, sizeof(buf));
	assert(iov.iov_len <= sizeof(buf));
	if (!params->codec->ordered) {
		conn_write(conn, &iov, iov.iov_len > 0);
		service_conn_finish(conn);
		return;
	}
	call = call_new(conn, CALL_LAST);
	if (call == NULL || call_hold(call, &iov, 1) != 0) {
		service_conn_close(conn);
		return;
	}
	service_conn_finish(conn);
	conn_send_turns(conn);
}

/* Stops the stream where the connection may not read on. */
static bool conn_may_read(struct service_conn *conn)
{
	struct service *service = conn->service;

	if (conn->state >= CONN_CLOSING)
		return false;
	if (!conn->is_blocked && conn->calls_n < service->params->conn_calls_max) {
		if (service->work_n < service->params->calls_max ||
		    stream_input(conn->stream).len == 0)
			return true;
		if (!conn->is_waiting)
			TAILQ_INSERT_TAIL(&service->waiting, conn, waiting);
		conn->is_waiting = true;
	}
	if (!conn->is_paused)
		stream_pause(conn->stream);
	conn->is_paused = true;
	return false;
}

/* One message out of the input. False: there is none, or the connection is gone. */
static bool conn_read_message(struct service_conn *conn)
{
	const struct service_params *params = conn->service->params;
	struct bytes in = stream_input(conn->stream);
	struct call *call;
	size_t len = 0, max = params->codec->max;
	uint32_t id;
	enum parse r;

	if (in.len == 0)
		return false;
	if (conn_is_expired(conn, SERVICE_EXPIRED_S)) {
		service_conn_close(conn);
		return false;
	}
	if (params->message_max != NULL)
		max = params->message_max(conn->service->arg, &conn->identity);
	r = params->next != NULL ? params->next(conn->service->arg, in, &len)
				 : params->codec->next(in, &len, &id);
	if (r == PARSE_MORE && in.len < max)
		return false;
	if (r != PARSE_OK || len > max) {
		conn_bad(conn, in);
		return false;
	}
	call = call_new(conn, CALL_WORK);
	if (call == NULL) {
		service_conn_close(conn);
		return false;
	}
	params->call(conn->service->arg, call, bytes_sub(in, 0, len));
	if (conn->state == CONN_DEAD)
		return false;
	stream_consume(conn->stream, len);
	if (conn->state == CONN_PARTIAL) /* the stall was that message's */
		conn_set_state(conn, CONN_WORKING);
	return true;
}

static void conn_drop_input(struct service_conn *conn)
{
	stream_consume(conn->stream, stream_input(conn->stream).len);
	/* Both ends have said all: nothing to linger for. */
	if (conn->state == CONN_LINGER && stream_ended(conn->stream) &&
	    stream_finished(conn->stream))
		service_conn_close(conn);
}

static void conn_read(struct service_conn *conn)
{
	struct service *service = conn->service;

	conn->is_reading = true;
	while (conn_may_read(conn) && conn_read_message(conn))
		;
	conn->is_reading = false;
	if (conn->state == CONN_DEAD)
		return;
	if (conn->state >= CONN_CLOSING)
		conn_drop_input(conn);
	else if (!conn->is_paused && stream_at_end(conn->stream)) {
		/* The caller has left: its calls go; what was answered leaves yet. */
		stream_consume(conn->stream, stream_input(conn->stream).len);
		if (conn->work_n > 0)
			service_conn_close(conn);
		else
			service_conn_finish(conn);
	}
	if (conn->state != CONN_DEAD)
		conn_settle(conn);
	service_place_free(service);
}

/* ---- the stream's events */

static void on_opened(void *arg)
{
	struct service_conn *conn = arg;

	if (conn->tls != NULL && service_identify_tls(conn) != 0) {
		service_conn_close(conn);
		return;
	}
	if (conn->state == CONN_OPENING)
		conn_set_state(conn, CONN_IDLE);
	conn_settle(conn);
}

static void on_input(void *arg)
{
	conn_read(arg);
}

static void on_drained(void *arg)
{
	struct service_conn *conn = arg;

	conn->is_blocked = false;
	if (conn->state < CONN_CLOSING) {
		conn_wake(conn);
		conn_settle(conn);
	}
}

static void on_closed(void *arg, enum reason reason)
{
	struct service_conn *conn = arg;

	if (conn->state == CONN_OPENING && reason == REASON_TLS)
		service_refused(conn);
	service_conn_close(conn);
}

static const struct stream_events conn_events = {
	.opened = on_opened,
	.input = on_input,
	.drained = on_drained,
	.closed = on_closed,
};

int service_conn_new(
    struct service *service, int fd, const struct endpoint *peer, SSL *ssl, struct tlsctx *tls)
{
	struct service_conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL) {
		SSL_free(ssl);
		close(fd);
		return -1;
	}
	conn->service = service;
	conn->loop = service->loop;
	TAILQ_INIT(&conn->calls);
	conn->tls = tls;
	service_identify(conn, fd, peer);
	conn->stream = stream_accept(
	    service->loop, fd, conn->identity.local, ssl, &conn_events, conn);
	if (conn->stream == NULL) { /* fd and ssl are closed */
		free(conn);
		return -1;
	}
	TAILQ_INSERT_TAIL(&service->conns, conn, entry);
	service->conns_n++;
	conn->state = CONN_IDLE;
	conn_set_state(conn, ssl != NULL ? CONN_OPENING : CONN_IDLE);
	return 0;
}

void service_conn_orphan(struct service_conn *conn)
{
	struct service *service = conn->service;

	if (conn->state != CONN_DEAD)
		conn_detach(conn);
	TAILQ_REMOVE(&service->dead, conn, entry);
	conn->service = NULL;
	if (conn->calls_n == 0)
		loop_later(conn->loop, &conn->later, conn_free_later);
}
