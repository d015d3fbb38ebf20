/*
 * stream.c: the life of a stream and its events. The descriptor is registered once, edge-triggered, for both ways (a
 * Unix socket for writing only while output waits); flags remember what the kernel said. All work is done from two
 * places: the event's callback, for what was connected to, and the turn that the stream has with loop_later (what has
 * to be done soon) or loop_ready (what can wait in line: what accepted streams have to say, and what is left after one
 * read of those with large answers). Neither is within a call of the user's, so a callback of the user's is never
 * nested in a call of its own.
 */
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/stream_private.h"

#include "base/poison.h"

static void turn_cb(struct later *later);

void stream_again(struct stream *s)
{
	if (s->state == STREAM_DEAD)
		return;
	loop_later_cancel(&s->turn); /* it may wait in line */
	loop_later(s->loop, &s->turn, turn_cb);
}

void stream_go_on(struct stream *s)
{
	if (s->state == STREAM_DEAD)
		return;
	if (s->bulk)
		loop_ready(s->loop, &s->turn, turn_cb);
	else
		loop_later(s->loop, &s->turn, turn_cb);
}

void stream_fail(struct stream *s, enum reason why)
{
	if (s->state == STREAM_DEAD)
		return;
	/* An alert, or the answer before the error, may still lie in the shared buffer. */
	stream_flush_all(s);
	loop_later_cancel(&s->turn);
	s->failure = why;
	s->events->closed(s->arg, why);
}

void stream_fail_later(struct stream *s, enum reason why)
{
	if (s->state == STREAM_DEAD || s->failure != REASON_NONE)
		return;
	s->failure = why;
	stream_again(s);
}

static void connected(struct stream *s)
{
	int err = 0;
	socklen_t len = sizeof err;

	/* connect(2) has said so of a Unix socket; an error would be one of what was sent since. */
	if (!s->local && (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0 || err != 0)) {
		stream_fail(s, REASON_CONNECT);
		return;
	}
	if (s->ssl != NULL) {
		s->state = STREAM_HANDSHAKE;
		stream_step(s);
		return;
	}
	s->state = STREAM_OPEN;
	s->events->opened(s->arg);
}

/* What the flags allow now. Then others get their turn before this one goes on. */
static void work(struct stream *s, int reads)
{
	if (s->state == STREAM_CONNECTING) {
		if (!s->writable && !s->hangup && !s->local)
			return;
		connected(s);
	}
	if ((s->state == STREAM_OPEN || s->state == STREAM_HANDSHAKE) && s->writable &&
	    (buffer_len(&s->pend) > 0 || s->finish))
		stream_writable(s);
	if (s->state != STREAM_DEAD && stream_wants_read(s))
		stream_read(s);
	if (s->state != STREAM_DEAD && s->expected && stream_wants_read(s)) {
		s->expected = false;
		stream_read(s);
	}
	/* What a read brought leaves before the next one: the buffers that both went through are in the caches still. */
	while (--reads > 0 && s->state == STREAM_OPEN && stream_wants_read(s)) {
		loop_took(s->loop);
		if (s->bufs->owner != NULL)
			stream_flush_all(s->bufs->owner);
		stream_read(s);
	}
	if (s->state != STREAM_DEAD && stream_wants_read(s))
		stream_go_on(s);
}

static void event_cb(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	if (what & (EV_READ | EV_CLOSED)) {
		s->readable = true;
		s->expected = false; /* it is no guess any more */
	}
	if (what & EV_CLOSED)
		s->hangup = true;
	if (what & EV_WRITE)
		s->writable = true;
	/* Who was accepted asks for something; who was connected to brings what was asked for. */
	if (s->accepted || (s->bulk && loop_later_is_queued(&s->turn)))
		stream_go_on(s);
	else if (s->failure == REASON_NONE)
		work(s, 1);
}

/* A write met a reset: what the other side had said before it lies there still. */
static void last_words(struct stream *s)
{
	uint64_t before;

	do {
		before = s->received;
		stream_read(s);
	} while (s->state == STREAM_OPEN && !s->paused && !s->eof && s->received != before &&
		 buffer_len(&s->inbuf) < STREAM_INPUT_MAX);
}

/* Who was connected to brings what was asked for: it is heard out as fast as that is taken. */
static void failed_turn(struct stream *s)
{
	bool broken = s->failure == REASON_RESET || s->failure == REASON_IO;

	if (broken && s->resumed && !s->accepted && !s->paused) {
		s->resumed = false;
		stream_redeliver(s);
	}
	if (broken && s->state == STREAM_OPEN && !s->paused && !s->eof)
		last_words(s);
	if (broken && s->state == STREAM_OPEN && s->paused && !s->accepted)
		return;
	if (s->state != STREAM_DEAD)
		s->events->closed(s->arg, s->failure);
}

static void turn_cb(struct later *later)
{
	struct stream *s = CONTAINER_OF(later, struct stream, turn);

	if (s->failure != REASON_NONE) {
		failed_turn(s);
		return;
	}
	if (s->woken) {
		s->woken = false;
		if (s->state == STREAM_HANDSHAKE)
			stream_step(s);
	}
	if (s->state == STREAM_OPEN && s->resumed) {
		s->resumed = false;
		if (!s->paused)
			stream_redeliver(s);
	}
	if (s->state != STREAM_DEAD && s->failure == REASON_NONE)
		work(s, s->bulk && !s->accepted ? STREAM_READS : 1);
}

static int watch(struct stream *s, bool output)
{
	short what = EV_READ | EV_CLOSED | EV_ET | EV_PERSIST;

	if (output || !s->local)
		what |= EV_WRITE;
	event_assign(&s->event, loop_base(s->loop), s->fd, what, event_cb, s);
	return event_add(&s->event, NULL);
}

void stream_watch_output(struct stream *s, bool on)
{
	if (!s->local)
		return;
	event_del(&s->event);
	if (watch(s, on) != 0)
		stream_fail_later(s, REASON_MEMORY);
}

/* fd and ssl are closed on failure. */
static struct stream *stream_new(
    struct loop *loop, int fd, bool local, SSL *ssl, const struct stream_events *events, void *arg)
{
	struct stream *s = calloc(1, sizeof *s);

	if (s == NULL)
		goto fail;
	s->loop = loop;
	s->bufs = loop_iobufs(loop);
	s->fd = fd;
	s->local = local;
	s->ssl = ssl;
	s->events = events;
	s->arg = arg;
	s->high_water = STREAM_HIGH_WATER;
	if (s->bufs == NULL || (ssl != NULL && stream_tls_attach(s) != 0))
		goto fail;
	if (watch(s, false) != 0)
		goto fail;
	return s;
fail:
	free(s);
	SSL_free(ssl);
	close(fd);
	return NULL;
}

static void set_nodelay(int fd)
{
	int one = 1;

	/* Output is gathered here, so Nagle's wait would only delay the last part. Fails on Unix sockets. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

struct stream *stream_accept(
    struct loop *loop, int fd, bool local, SSL *ssl, const struct stream_events *events, void *arg)
{
	struct stream *s = stream_new(loop, fd, local, ssl, events, arg);

	if (s == NULL)
		return NULL;
	/* Its first edge comes from the registration, so even this state is reached in a later turn. */
	s->state = ssl != NULL ? STREAM_HANDSHAKE : STREAM_OPEN;
	s->writable = true;
	s->accepted = s->bulk = true;
	if (ssl != NULL && !SSL_is_server(ssl)) /* the side that speaks first */
		stream_wake(s);
	return s;
}

struct stream *stream_connect(struct loop *loop, const struct endpoint *to, SSL *ssl,
    const struct stream_events *events, void *arg)
{
	int fd = socket(to->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool local = to->addr.ss_family == AF_UNIX;
	struct stream *s;

	if (fd < 0) {
		SSL_free(ssl);
		return NULL;
	}
	if (!local)
		set_nodelay(fd);
	/* Registered before connect(2), a descriptor reports a hang-up at once: connect first. */
	if (connect(fd, (const struct sockaddr *)&to->addr, to->len) != 0 && errno != EINPROGRESS) {
		s = stream_new(loop, fd, local, ssl, events, arg);
		if (s != NULL)
			stream_fail_later(s, REASON_CONNECT);
		return s;
	}
	s = stream_new(loop, fd, local, ssl, events, arg);
	if (s != NULL && local) { /* it is connected, and no event says so */
		s->writable = true;
		stream_again(s);
	}
	return s;
}

/* libevent reports EPOLLERR as readable and writable, without EV_CLOSED: hangup is not set then. */
void stream_expect(struct stream *s)
{
	if (s->readable || s->eof)
		return;
	s->readable = true;
	s->expected = true;
}

void stream_pause(struct stream *s)
{
	s->paused = true;
}

void stream_resume(struct stream *s)
{
	if (!s->paused)
		return;
	s->paused = false;
	if (s->view.len == 0 && !s->eof && s->failure == REASON_NONE && !stream_wants_read(s))
		return;
	s->resumed = true;
	stream_go_on(s);
}

void stream_wake(struct stream *s)
{
	s->hs_paused = false;
	s->woken = true;
	stream_again(s);
}

static void gone_cb(struct later *later)
{
	struct stream *s = CONTAINER_OF(later, struct stream, turn);

	stream_tls_free(s);
	buffer_free(&s->inbuf);
	buffer_free(&s->rawbuf);
	stream_drop_output(s);
	free(s);
}

void stream_close(struct stream *s)
{
	if (s == NULL || s->state == STREAM_DEAD)
		return;
	stream_flush_all(s);
	s->state = STREAM_DEAD;
	s->view = (struct bytes){ 0 };
	event_del(&s->event);
	close(s->fd);
	s->fd = -1;
	loop_later_cancel(&s->turn);
	loop_later(s->loop, &s->turn, gone_cb);
}

SSL *stream_ssl(const struct stream *s)
{
	return s->ssl;
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}
