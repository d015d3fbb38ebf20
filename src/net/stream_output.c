/*
 * stream_output.c: from the user's slices to the kernel. What a turn writes is gathered in the
 * loop's shared buffers, which belong to one stream at a time; at the turn's end, or when another
 * stream begins to write, it is made into records. If that is little it joins the batch of such
 * streams, else it is sent at once, and the batch before it. What the kernel does not take waits in
 * the stream's own queue (pend), and the user is told STOP above the high water.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "net/stream_private.h"

#include "base/poison.h"

enum {
	/* Above high water and what the user gave at once: a peer that makes us write (KeyUpdate
	 * requests) and reads nothing ends here. */
	STREAM_PEND_SPARE = 512 * 1024,
};

static void append_pend(struct stream *s, const uint8_t *data, size_t len)
{
	if (buffer_append(&s->pend, data, len) != 0) {
		stream_fail_later(s, REASON_MEMORY);
		return;
	}
	s->bufs->pending += len;
	if (buffer_len(&s->pend) > s->high_water + STREAM_PEND_SPARE + s->write_max)
		stream_fail_later(s, REASON_GLITCHES);
}

void stream_drop_output(struct stream *s)
{
	s->bufs->pending -= buffer_len(&s->pend);
	buffer_free(&s->pend);
}

void stream_set_bulk(struct stream *s)
{
	s->bulk = true;
}

void stream_set_high_water(struct stream *s, size_t high_water)
{
	s->high_water = high_water;
}

void stream_limit_output(struct loop *loop, size_t all)
{
	struct iobufs *bufs = loop_iobufs(loop);

	if (bufs != NULL)
		bufs->pending_max = all;
}

/* Sends the two slices, in order; what is not taken goes to pend. */
static void send_slices(struct stream *s, struct bytes a, struct bytes b)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)a.at, a.len },
		{ (void *)(uintptr_t)b.at, b.len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = b.len > 0 ? 2 : 1 };
	ssize_t n = 0;

	if (s->failure != REASON_NONE || a.len + b.len == 0)
		return;
	if (s->writable && buffer_len(&s->pend) == 0) {
		n = b.len > 0 ? sendmsg(s->fd, &msg, MSG_NOSIGNAL)
			      : send(s->fd, a.at, a.len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			stream_fail_later(
			    s, errno == ECONNRESET || errno == EPIPE ? REASON_RESET : REASON_IO);
			return;
		}
		if (n < 0)
			n = 0;
		s->sent += (uint64_t)n;
		if ((size_t)n < a.len + b.len) {
			s->writable = false;
			stream_watch_output(s, true);
		}
	}
	if ((size_t)n < a.len) {
		append_pend(s, a.at + n, a.len - (size_t)n);
		n = 0;
	} else {
		n -= (ssize_t)a.len;
	}
	if ((size_t)n < b.len)
		append_pend(s, b.at + n, b.len - (size_t)n);
}

void stream_send_batch(struct iobufs *bufs)
{
	int n = bufs->batch_n;

	bufs->batch_n = 0;
	for (int i = 0; i < n; i++) {
		const struct batched *b = &bufs->batch[i];

		if (b->len == 0) /* dropped; its stream may be gone */
			continue;
		b->stream->batched -= (uint16_t)b->len;
		send_slices(b->stream, bytes_of(bufs->out + b->at, b->len), (struct bytes){ 0 });
	}
	if (bufs->out_len == bufs->out_at) /* else the owner's bytes lie behind */
		bufs->out_len = bufs->out_at = 0;
}

/* The owner's bytes in out, and more of its that lies elsewhere. */
static void send_now(struct stream *s, struct bytes more)
{
	struct iobufs *bufs = s->bufs;
	struct bytes mine;

	stream_send_batch(bufs);
	mine = bytes_of(bufs->out + bufs->out_at, bufs->out_len - bufs->out_at);
	bufs->out_at = bufs->out_len = 0;
	send_slices(s, mine.len > 0 ? mine : more, mine.len > 0 ? more : (struct bytes){ 0 });
}

void stream_send_out(struct stream *s)
{
	if (s->bufs->out_len > s->bufs->out_at)
		send_now(s, (struct bytes){ 0 });
}

void stream_put_out(struct stream *s, const uint8_t *data, size_t len)
{
	struct iobufs *bufs = s->bufs;

	stream_own(s);
	while (len > 0) {
		size_t room = sizeof bufs->out - bufs->out_len, part = len < room ? len : room;

		memcpy(bufs->out + bufs->out_len, data, part);
		bufs->out_len += part;
		data += part;
		len -= part;
		if (bufs->out_len - bufs->out_at >= IOBUFS_OUT)
			stream_send_out(s);
	}
}

static void encrypt(struct stream *s, const uint8_t *data, size_t len)
{
	if (stream_tls_write(s, data, len) != 0)
		stream_fail_later(s, REASON_TLS);
}

static void flush_gather(struct stream *s)
{
	struct iobufs *bufs = s->bufs;
	size_t len = bufs->gather_len;

	bufs->gather_len = 0;
	if (len > 0 && s->failure == REASON_NONE)
		encrypt(s, bufs->gather, len);
}

/* Another stream is to write: the owner's output joins the batch, or leaves. */
static void disown(struct stream *s)
{
	struct iobufs *bufs = s->bufs;
	size_t len;

	if (s->ssl != NULL)
		flush_gather(s);
	bufs->owner = NULL;
	len = bufs->out_len - bufs->out_at;
	if (len == 0)
		return;
	if (len > IOBUFS_BATCH_EACH) {
		stream_send_out(s);
		return;
	}
	s->batched += (uint16_t)len;
	bufs->batch[bufs->batch_n++] = (struct batched){ s, bufs->out_at, len };
	bufs->out_at = bufs->out_len;
	if (bufs->batch_n == IOBUFS_BATCH || bufs->out_at > IOBUFS_BATCH_BYTES - IOBUFS_BATCH_EACH)
		stream_send_batch(bufs);
}

void stream_own(struct stream *s)
{
	struct iobufs *bufs = s->bufs;

	if (bufs->owner == s)
		return;
	if (bufs->owner != NULL)
		disown(bufs->owner);
	bufs->owner = s;
}

void stream_flush_all(struct stream *s)
{
	struct iobufs *bufs = s->bufs;

	if (s->batched > 0)
		stream_send_batch(bufs);
	if (bufs->owner != s)
		return;
	if (s->ssl != NULL)
		flush_gather(s);
	stream_send_out(s);
	bufs->owner = NULL;
}

void stream_flush_loop(struct iobufs *bufs)
{
	if (bufs->batch_n > 0)
		stream_send_batch(bufs);
	if (bufs->owner != NULL)
		stream_flush_all(bufs->owner);
}

/*
 * more: what follows may go into the same record as the end of these. Two records at once: from four on,
 * libssl has another way for CBC suites, with a buffer for all of them.
 */
static void write_tls(struct stream *s, struct bytes b, bool more)
{
	struct iobufs *bufs = s->bufs;

	while (b.len > 0 && s->failure == REASON_NONE) {
		size_t part = IOBUFS_GATHER - bufs->gather_len;

		if (part > b.len)
			part = b.len;
		if (part == IOBUFS_GATHER) { /* whole records of the slice: no copy */
			part = b.len < 2 * IOBUFS_GATHER ? b.len : 2 * IOBUFS_GATHER;
			if (more)
				part -= part % IOBUFS_GATHER;
			encrypt(s, b.at, part);
		} else {
			memcpy(bufs->gather + bufs->gather_len, b.at, part);
			bufs->gather_len += part;
			if (bufs->gather_len == IOBUFS_GATHER)
				flush_gather(s);
		}
		b = bytes_sub(b, part, b.len);
	}
}

static void write_plain(struct stream *s, struct bytes b)
{
	if (b.len >= IOBUFS_GATHER / 2) /* with what was gathered before, from where it lies */
		send_now(s, b);
	else
		stream_put_out(s, b.at, b.len);
}

size_t stream_queued(const struct stream *s)
{
	size_t n = buffer_len(&s->pend) + s->batched;

	if (s->bufs->owner == s)
		n += s->bufs->gather_len + s->bufs->out_len - s->bufs->out_at;
	return n;
}

static size_t high_water(const struct stream *s)
{
	return s->bufs->pending <= s->bufs->pending_max ? s->high_water : STREAM_LOW_WATER;
}

enum flow stream_write(struct stream *s, const struct iovec *iov, int n)
{
	size_t len = 0;

	if (s->state == STREAM_DEAD || s->failure != REASON_NONE || s->finish)
		return FLOW_GO;
	stream_own(s);
	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (len > s->write_max)
		s->write_max = len;
	for (int i = 0; i < n; i++) {
		struct bytes b = bytes_of(iov[i].iov_base, iov[i].iov_len);

		if (s->ssl != NULL)
			write_tls(s, b, i + 1 < n);
		else
			write_plain(s, b);
	}
	if (buffer_len(&s->pend) <= high_water(s))
		return FLOW_GO;
	s->stopped = true;
	return FLOW_STOP;
}

/* After the last byte: close_notify, then FIN. */
static void send_fin(struct stream *s)
{
	if (!s->finish || s->finish_sent || s->failure != REASON_NONE)
		return;
	if (buffer_len(&s->pend) > 0)
		return;
	s->finish_sent = true;
	shutdown(s->fd, SHUT_WR);
}

void stream_writable(struct stream *s)
{
	s->writable = true;
	if (buffer_len(&s->pend) > 0) {
		struct bytes b = buffer_bytes(&s->pend);
		ssize_t n = send(s->fd, b.at, b.len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			stream_fail_later(
			    s, errno == ECONNRESET || errno == EPIPE ? REASON_RESET : REASON_IO);
			return;
		}
		if (n < 0)
			n = 0;
		s->sent += (uint64_t)n;
		s->writable = (size_t)n == b.len;
		if (s->writable)
			stream_watch_output(s, false);
		buffer_consume(&s->pend, (size_t)n);
		s->bufs->pending -= (size_t)n;
	}
	send_fin(s);
	if (s->stopped && buffer_len(&s->pend) <= STREAM_LOW_WATER) {
		s->stopped = false;
		s->events->drained(s->arg);
	}
}

void stream_flush(struct stream *s)
{
	if (s->state != STREAM_DEAD)
		stream_flush_all(s);
}

void stream_drop(struct stream *s)
{
	struct iobufs *bufs = s->bufs;

	for (int i = 0; i < bufs->batch_n; i++)
		if (bufs->batch[i].stream == s)
			bufs->batch[i].len = 0;
	s->batched = 0;
	if (bufs->owner == s) {
		bufs->gather_len = 0;
		bufs->out_len = bufs->out_at;
		bufs->owner = NULL;
	}
	stream_drop_output(s);
}

static void say_end(struct stream *s)
{
	if (s->ssl == NULL || s->state != STREAM_OPEN || s->failure != REASON_NONE || s->finish)
		return;
	stream_own(s);
	flush_gather(s);
	stream_tls_shutdown(s);
}

void stream_say_end(struct stream *s)
{
	say_end(s);
	if (s->ssl != NULL && s->state == STREAM_OPEN)
		stream_tls_unbuffer(s);
}

void stream_finish(struct stream *s)
{
	if (s->state == STREAM_DEAD || s->finish)
		return;
	say_end(s);
	s->finish = true;
	stream_flush_all(s);
	send_fin(s);
}

/* What has come since the loop looked is no event yet. A FIN is no byte. */
static bool nothing_unread(const struct stream *s)
{
	char byte;

	return buffer_len(&s->rawbuf) == 0 && recv(s->fd, &byte, 1, MSG_PEEK) <= 0;
}

bool stream_finish_both(struct stream *s)
{
	bool silent;

	if (s->state == STREAM_DEAD || s->finish)
		return false;
	silent = nothing_unread(s); /* before the far end can answer the end with its own */
	say_end(s);
	s->finish = true;
	stream_flush_all(s);
	if (silent && s->failure == REASON_NONE && buffer_len(&s->pend) == 0) {
		if (s->ssl != NULL)
			stream_tls_unbuffer(s);
		return true;
	}
	send_fin(s);
	return false;
}

bool stream_finished(const struct stream *s)
{
	return s->finish_sent;
}

uint64_t stream_sent(const struct stream *s)
{
	return s->sent;
}
