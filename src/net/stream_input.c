/*
 * stream_input.c: from the kernel to the user's input(). One recv(2) at a time into the loop's shared
 * buffer; the user sees the bytes where they lie, and only what it leaves is copied. A read that
 * comes back short says that the kernel has no more, which saves the read that would only return
 * EAGAIN; the next bytes are a new edge.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "net/stream_private.h"

#include "base/poison.h"

struct bytes stream_input(const struct stream *s)
{
	return s->view;
}

void stream_consume(struct stream *s, size_t len)
{
	if (len > s->view.len)
		len = s->view.len;
	/* Within input() the bytes stay where they are until it returns. */
	if (!s->delivering) {
		buffer_consume(&s->inbuf, len);
		s->view = buffer_bytes(&s->inbuf);
		/* Where STREAM_INPUT_MAX had stopped the reading no edge comes for what lies there. */
		if (stream_wants_read(s))
			stream_go_on(s);
	} else {
		s->view = bytes_sub(s->view, len, s->view.len);
	}
}

bool stream_ended(const struct stream *s)
{
	return s->eof && s->view.len == 0;
}

bool stream_at_end(const struct stream *s)
{
	return s->eof;
}

bool stream_unread(const struct stream *s)
{
	return s->hangup || (s->readable && !s->expected);
}

bool stream_truncated(const struct stream *s)
{
	return s->eof && s->ssl != NULL && !s->clean_eof;
}

uint64_t stream_received(const struct stream *s)
{
	return s->received;
}

bool stream_wants_read(const struct stream *s)
{
	if (s->state == STREAM_HANDSHAKE)
		return !s->hs_paused && (s->readable || buffer_len(&s->rawbuf) > 0);
	return s->state == STREAM_OPEN && !s->paused && !s->eof && s->failure == REASON_NONE &&
	       (s->readable || buffer_len(&s->rawbuf) > 0) &&
	       buffer_len(&s->inbuf) < STREAM_INPUT_MAX;
}

ssize_t stream_recv(struct stream *s, void *buf, size_t max)
{
	ssize_t n = recv(s->fd, buf, max, 0);

	if (n > 0) {
		s->received += (uint64_t)n;
		s->expected = false; /* where it was full more may lie there: no guess */
		if ((size_t)n < max && !s->hangup)
			s->readable = false;
		return n;
	}
	if (n == 0) {
		s->readable = false;
		/* After a reset that a write was told of, this is all that is left of it. */
		if (s->failure != REASON_NONE)
			return -1;
		s->eof = true;
		return 0;
	}
	if (errno == EAGAIN || errno == EINTR) {
		s->readable = errno == EINTR;
		return -1;
	}
	s->readable = false;
	stream_fail(s, errno == ECONNRESET || errno == EPIPE ? REASON_RESET : REASON_IO);
	return -1;
}

/* Calls input() and keeps what it leaves. */
static void deliver(struct stream *s)
{
	size_t before = s->view.len;

	s->delivering = true;
	s->events->input(s->arg);
	s->delivering = false;
	if (s->state == STREAM_DEAD)
		return;
	if (buffer_len(&s->inbuf) > 0) {
		buffer_consume(&s->inbuf, before - s->view.len);
	} else if (s->view.len > 0 && buffer_append(&s->inbuf, s->view.at, s->view.len) != 0) {
		stream_fail(s, REASON_MEMORY);
		return;
	}
	s->view = buffer_bytes(&s->inbuf);
}

/* Room for the next plaintext: the shared buffer, or behind what is waiting already. */
static uint8_t *room_for(struct stream *s, size_t len)
{
	uint8_t *at;

	if (buffer_len(&s->inbuf) == 0)
		return s->bufs->plain;
	at = buffer_reserve(&s->inbuf, len);
	/* It may have moved, and the read may bring nothing. */
	s->view = buffer_bytes(&s->inbuf);
	return at;
}

static void took(struct stream *s, uint8_t *at, size_t len)
{
	if (at != s->bufs->plain) {
		buffer_added(&s->inbuf, len);
		s->view = buffer_bytes(&s->inbuf);
	} else {
		s->view = bytes_of(at, len);
	}
}

static void read_plain(struct stream *s)
{
	uint8_t *at = room_for(s, IOBUFS_READ);
	ssize_t n;

	if (at == NULL) {
		stream_fail(s, REASON_MEMORY);
		return;
	}
	n = stream_recv(s, at, IOBUFS_READ);
	if (n < 0)
		return;
	took(s, at, (size_t)n);
	deliver(s);
}

static void read_tls(struct stream *s, struct bytes raw)
{
	uint8_t *at = room_for(s, IOBUFS_PLAIN);
	enum reason why;
	size_t got;

	if (at == NULL) {
		stream_fail(s, REASON_MEMORY);
		return;
	}
	why = stream_tls_read(s, raw, at, IOBUFS_PLAIN, &got);
	took(s, at, got);
	if (got > 0 || s->eof) {
		deliver(s);
		if (s->state == STREAM_DEAD)
			return;
	}
	if (why != REASON_NONE)
		stream_fail(s, why);
}

static void step(struct stream *s, struct bytes raw)
{
	enum stream_step result;
	enum reason why;

	/* A step may take long. */
	stream_send_batch(s->bufs);
	result = stream_tls_step(s, raw, &why);
	if (s->state != STREAM_HANDSHAKE)
		return;
	switch (result) {
	case STREAM_STEP_DONE:
		s->state = STREAM_OPEN;
		s->events->opened(s->arg);
		/* The first request often comes with the client's Finished. */
		if (s->state == STREAM_OPEN && buffer_len(&s->rawbuf) > 0 && !s->paused)
			read_tls(s, (struct bytes){ 0 });
		return;
	case STREAM_STEP_PAUSED:
		s->hs_paused = true;
		return;
	case STREAM_STEP_FAILED:
		stream_fail(s, why);
		return;
	case STREAM_STEP_READ:
	case STREAM_STEP_WRITE:
		if (s->eof)
			stream_fail(s, REASON_CLOSE);
		return;
	}
}

void stream_read(struct stream *s)
{
	struct bytes raw = { 0 };

	if (s->ssl == NULL) {
		read_plain(s);
		return;
	}
	if (buffer_len(&s->rawbuf) == 0) {
		ssize_t n = stream_recv(s, s->bufs->in, IOBUFS_READ);

		if (n < 0)
			return;
		raw = bytes_of(s->bufs->in, (size_t)n);
	}
	if (s->state == STREAM_HANDSHAKE)
		step(s, raw);
	else
		read_tls(s, raw);
}

void stream_step(struct stream *s)
{
	step(s, (struct bytes){ 0 });
}

void stream_redeliver(struct stream *s)
{
	if (s->view.len > 0 || s->eof)
		deliver(s);
}
