/*
 * front_http1_answer.c: what the client gets: the answer's head with this connection's framing, its
 * body as it comes, and what follows its end.
 */
#include "config.h"

#include <stddef.h>

#include "gateway/exchange/fields.h"
#include "gateway/front/front_http1.h"
#include "http/write.h"

#include "base/poison.h"

static void head(struct front *, const struct answer *);
static enum flow body(struct front *, struct bytes);
static void end(struct front *);
static void broken(struct front *, enum reason);
static void resume(struct front *);
static void done(struct front *, struct exchange *);
static void write_framing(struct front_http1 *, struct writer *, const struct answer *);
static void send_bytes(struct front_http1 *, const struct iovec *, int n);
static void writing_passed(struct deadline *);

const struct front_ops front_http1_ops = {
	.name = "http1",
	.head = head,
	.body = body,
	.end = end,
	.abort = broken,
	.resume = resume,
	.done = done,
};

static struct front_http1 *front_of(struct front *front)
{
	return CONTAINER_OF(front, struct front_http1, front);
}

void front_continue(struct front_http1 *f)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec iov = { (void *)(uintptr_t)text, sizeof(text) - 1 };

	send_bytes(f, &iov, 1);
}

/* Reads on where it had to wait: for the body that the exchange did not take, or the next request. */
void front_write_drained(struct front_http1 *f)
{
	f->full = false;
	deadline_clear(f->worker->loop, &f->writing);
	if (f->exchange != NULL)
		exchange_drained(f->exchange);
	else if (f->state == FRONT_IDLE || f->state == FRONT_HEAD)
		front_go_on(f);
}

static void head(struct front *front, const struct answer *answer)
{
	struct front_http1 *f = front_of(front);
	struct writer w = exchanges_writer(f->worker->exchanges);
	bool interim = answer->status < 200 && answer->body != ANSWER_TUNNEL;
	struct iovec iov;

	if (interim && f->minor == 0)
		return;
	if (!write_status_phrase(&w, answer->status, answer->phrase))
		write_status_line(&w, answer->status);
	fields_write(&w, answer->fields, answer->fields_n);
	if (!interim) {
		f->head_given = true;
		/* A request that is not complete yet would be read as the next one. */
		if (answer->close || f->state != FRONT_WHOLE || f->draining || f->worker->draining)
			f->keep_alive = false;
		write_framing(f, &w, answer);
	}
	write_end(&w);
	if (!w.ok) {
		f->broken = true;
		return;
	}
	iov = (struct iovec){ w.base, writer_len(&w) };
	send_bytes(f, &iov, 1);
	if (f->framing == FRAMING_TUNNEL) {
		/* What the client sent without waiting for this answer comes in the next turn. */
		front_state_set(f, FRONT_TUNNEL);
		front_stop(f);
		front_go_on(f);
	}
}

static void write_framing(struct front_http1 *f, struct writer *w, const struct answer *answer)
{
	f->framing = FRAMING_NONE;
	if (answer->body == ANSWER_TUNNEL) {
		f->framing = FRAMING_TUNNEL;
		f->keep_alive = false;
		FIELDS_WRITE_ONE(w, "Connection", bytes_str("upgrade"));
		FIELDS_WRITE_ONE(w, "Upgrade", answer->upgrade_to);
		return;
	}
	if (answer->body == ANSWER_LENGTH) {
		f->framing = FRAMING_PLAIN;
		FIELDS_WRITE_NUMBER(w, "Content-Length", answer->length);
	} else if (answer->body == ANSWER_UNKNOWN_LENGTH && f->minor > 0) {
		f->framing = FRAMING_CHUNKED;
		FIELDS_WRITE_ONE(w, "Transfer-Encoding", bytes_str("chunked"));
	} else if (answer->body == ANSWER_UNKNOWN_LENGTH) {
		f->framing = FRAMING_PLAIN;
		f->keep_alive = false;
	} else if (answer->has_length && answer->status != 204) {
		FIELDS_WRITE_NUMBER(w, "Content-Length", answer->length);
	}
	if (!f->keep_alive)
		FIELDS_WRITE_ONE(w, "Connection", bytes_str("close"));
	else if (f->minor == 0)
		FIELDS_WRITE_ONE(w, "Connection", bytes_str("keep-alive"));
}

static enum flow body(struct front *front, struct bytes slice)
{
	struct front_http1 *f = front_of(front);
	char size[CHUNK_HEAD_MAX];
	struct iovec iov[3];
	int n = 0;

	if (f->framing == FRAMING_NONE || slice.len == 0 || f->broken)
		return f->full ? FLOW_STOP : FLOW_GO;
	if (f->framing == FRAMING_CHUNKED)
		iov[n++] = (struct iovec){ size, chunk_head_write(size, slice.len) };
	iov[n++] = (struct iovec){ (void *)(uintptr_t)slice.at, slice.len };
	if (f->framing == FRAMING_CHUNKED)
		iov[n++] = (struct iovec){ (void *)(uintptr_t) "\r\n", 2 };
	send_bytes(f, iov, n);
	return f->full ? FLOW_STOP : FLOW_GO;
}

static void end(struct front *front)
{
	struct front_http1 *f = front_of(front);
	struct iovec iov = { (void *)(uintptr_t)CHUNK_LAST, sizeof(CHUNK_LAST) - 1 };

	if (f->framing == FRAMING_TUNNEL)
		stream_finish(f->stream);
	else if (f->framing == FRAMING_CHUNKED && !f->broken)
		send_bytes(f, &iov, 1);
}

/* A client sees that from the missing end: of the length, the last chunk, or the close_notify. */
static void broken(struct front *front, enum reason reason)
{
	(void)reason;
	front_of(front)->broken = true;
}

static void resume(struct front *front)
{
	struct front_http1 *f = front_of(front);

	if (!f->stopped)
		return;
	f->stopped = false;
	stream_resume(f->stream);
	/* The STOP may have been about the last of the body. */
	if (f->state == FRONT_BODY)
		front_state_set(f, FRONT_BODY);
}

static void done(struct front *front, struct exchange *x)
{
	struct front_http1 *f = front_of(front);

	if (f->state == FRONT_OVER || f->exchange != x)
		return;
	f->exchange = NULL;
	if (f->broken) {
		conn_close(f->conn, REASON_DONE);
	} else if (!f->keep_alive) {
		front_linger(f);
	} else {
		front_state_set(f, FRONT_IDLE);
		if (!f->full)
			front_go_on(f);
	}
}

static void send_bytes(struct front_http1 *f, const struct iovec *iov, int n)
{
	if (stream_write(f->stream, iov, n) != FLOW_STOP || f->full)
		return;
	f->full = true;
	f->sent_armed = stream_sent(f->stream);
	deadline_set(f->worker->loop, &f->writing, f->worker->conf->timeouts.write, writing_passed);
}

/* A slow client may be as slow as it likes, as long as it reads at all. */
static void writing_passed(struct deadline *d)
{
	struct front_http1 *f = CONTAINER_OF(d, struct front_http1, writing);

	if (stream_sent(f->stream) == f->sent_armed) {
		conn_close(f->conn, REASON_WRITE_TIMEOUT);
		return;
	}
	f->sent_armed = stream_sent(f->stream);
	deadline_set(f->worker->loop, &f->writing, f->worker->conf->timeouts.write, writing_passed);
}
