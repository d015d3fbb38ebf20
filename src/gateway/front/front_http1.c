/*
 * front_http1.c: see front_http1.h. Its end is always conn_close(), which calls lost(): there the
 * exchange is told, and the memory goes after the turn, so that what is on the stack may look at
 * the state once more.
 */
#include "config.h"

#include "gateway/front/front_http1.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/poison.h"

static void input(struct front_conn *);
static void drained(struct front_conn *);
static void lost(struct front_conn *, enum reason);
static void drain(struct front_conn *);
static void linger_writing(struct front_http1 *);
static void linger_passed(struct front_http1 *);
static void reading_passed(struct deadline *);
static void gone(struct later *);

static const struct front_conn_ops conn_ops = {
	.input = input,
	.drained = drained,
	.lost = lost,
	.drain = drain,
};

/* What a state may become. Any may be OVER. */
static const unsigned next_states[FRONT_STATE_N] = {
	[FRONT_IDLE] = 1u << FRONT_HEAD | 1u << FRONT_BODY | 1u << FRONT_WHOLE | 1u << FRONT_LINGER,
	[FRONT_HEAD] = 1u << FRONT_BODY | 1u << FRONT_WHOLE,
	[FRONT_BODY] = 1u << FRONT_BODY | 1u << FRONT_WHOLE | 1u << FRONT_LINGER,
	[FRONT_WHOLE] = 1u << FRONT_IDLE | 1u << FRONT_LINGER | 1u << FRONT_TUNNEL,
	[FRONT_TUNNEL] = 1u << FRONT_LINGER,
	[FRONT_LINGER] = 1u << FRONT_LINGER,
};

struct front_conn *front_http1_new(struct conn *conn)
{
	struct front_http1 *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->half.ops = &conn_ops;
	f->front.ops = &front_http1_ops;
	f->conn = conn;
	f->worker = conn_worker(conn);
	f->stream = conn_stream(conn);
	f->state = FRONT_WHOLE;
	front_state_set(f, FRONT_IDLE);
	return &f->half;
}

/* The one place where the state changes: with it, what the connection waits for, and how long. */
void front_state_set(struct front_http1 *f, enum front_state state)
{
	const struct gateway_conf *conf = f->worker->conf;
	uint64_t ms = 0;

	assert(state == FRONT_OVER || (next_states[f->state] & 1u << state) != 0);
	if ((state == FRONT_IDLE) != (f->state == FRONT_IDLE) && state != FRONT_OVER)
		conn_idle(f->conn, state == FRONT_IDLE);
	f->state = state;
	switch (state) {
	case FRONT_IDLE:
		ms = f->draining && conf->timeouts.idle > FRONT_DRAIN_IDLE_MS ? FRONT_DRAIN_IDLE_MS
									      : conf->timeouts.idle;
		break;
	case FRONT_HEAD:
		ms = conf->timeouts.head;
		break;
	case FRONT_BODY:
		f->body_since = loop_now_ms(f->worker->loop);
		ms = conf->timeouts.body;
		break;
	case FRONT_LINGER:
		f->flushing = false;
		ms = f->late ? FRONT_LINGER_LATE_MS : FRONT_LINGER_MS;
		break;
	case FRONT_OVER:
		deadline_clear(f->worker->loop, &f->reading);
		return;
	default:
		deadline_rest(f->worker->loop, &f->reading);
		return;
	}
	deadline_set(f->worker->loop, &f->reading, ms, reading_passed);
}

/*
 * A client that itself said that it asks no more, and of which nothing is unread, has nothing to send but its
 * close_notify, after the answer. What we have written has to be little: of more, a part may be on its way for long,
 * and whatever still came would destroy it.
 */
static bool ends_at_once(struct front_http1 *f)
{
	return f->last && f->state == FRONT_WHOLE && stream_input(f->stream).len == 0 &&
	       stream_sent(f->stream) + stream_queued(f->stream) <= FRONT_AT_ONCE_BYTES &&
	       stream_finish_both(f->stream);
}

/*
 * Flushes, says that nothing more comes, and reads on for a while: bytes to a closed socket are answered
 * with a reset, which may overtake the answer (RFC 9112, section 9.6).
 */
void front_linger(struct front_http1 *f)
{
	if (ends_at_once(f)) {
		conn_close(f->conn, REASON_DONE);
		return;
	}
	f->left = FRONT_LINGER_BYTES;
	front_state_set(f, FRONT_LINGER);
	stream_finish(f->stream);
	if (stream_queued(f->stream) > 0)
		linger_writing(f);
	front_go_on(f);
}

/* No more input for now; what has come stays in the stream. */
void front_stop(struct front_http1 *f)
{
	f->stopped = true;
	stream_pause(f->stream);
}

/* The input that waited comes in the next turn; if there was no stop, it is here. */
void front_go_on(struct front_http1 *f)
{
	if (f->stopped) {
		f->stopped = false;
		stream_resume(f->stream);
	} else {
		front_read(f);
	}
}

/* The last answer has not left yet: that may take as long as the client takes some of it. */
static void linger_writing(struct front_http1 *f)
{
	f->flushing = true;
	f->sent_armed = stream_sent(f->stream);
	f->sent_since = loop_now_ms(f->worker->loop);
	deadline_set(f->worker->loop, &f->reading, FRONT_FLUSH_MS, reading_passed);
}

static void linger_passed(struct front_http1 *f)
{
	uint64_t waited = loop_now_ms(f->worker->loop) - f->sent_since;

	if (stream_queued(f->stream) == 0 && f->flushing && !stream_at_end(f->stream))
		front_state_set(f, FRONT_LINGER); /* only now the far end can be awaited */
	else if (stream_queued(f->stream) == 0)
		conn_close(f->conn, REASON_DONE);
	else if (stream_sent(f->stream) != f->sent_armed)
		linger_writing(f);
	else if (waited >= f->worker->conf->timeouts.write)
		conn_close(f->conn, REASON_WRITE_TIMEOUT);
	else
		deadline_set(f->worker->loop, &f->reading, FRONT_FLUSH_MS, reading_passed);
}

static struct front_http1 *front_of(struct front_conn *half)
{
	return CONTAINER_OF(half, struct front_http1, half);
}

static void input(struct front_conn *half)
{
	front_read(front_of(half));
}

static void drained(struct front_conn *half)
{
	front_write_drained(front_of(half));
}

static void lost(struct front_conn *half, enum reason reason)
{
	struct front_http1 *f = front_of(half);
	struct exchange *x = f->exchange;

	if (f->state == FRONT_OVER)
		return;
	front_state_set(f, FRONT_OVER);
	deadline_clear(f->worker->loop, &f->writing);
	f->exchange = NULL;
	if (x != NULL)
		exchange_lost(x, reason);
	loop_later(f->worker->loop, &f->gone, gone);
}

/* A request that is just on its way to us is still answered. */
static void drain(struct front_conn *half)
{
	struct front_http1 *f = front_of(half);

	f->draining = true;
	if (f->state == FRONT_IDLE)
		deadline_set(f->worker->loop, &f->reading,
		    f->worker->conf->timeouts.idle < FRONT_DRAIN_IDLE_MS
			? f->worker->conf->timeouts.idle
			: FRONT_DRAIN_IDLE_MS,
		    reading_passed);
}

static void reading_passed(struct deadline *d)
{
	struct front_http1 *f = CONTAINER_OF(d, struct front_http1, reading);

	if (f->state != FRONT_LINGER)
		f->late = true;
	switch (f->state) {
	case FRONT_IDLE:
		/* The end of the last answer may still be on its way to a slow client. */
		if (stream_queued(f->stream) > 0)
			front_linger(f);
		else
			conn_close(f->conn, f->draining ? REASON_DRAIN : REASON_IDLE);
		break;
	case FRONT_HEAD:
		front_refuse(f, 408, REASON_HEAD_TIMEOUT);
		break;
	case FRONT_BODY:
		front_refuse(f, 408, REASON_BODY_TIMEOUT);
		break;
	case FRONT_LINGER:
		linger_passed(f);
		break;
	default:
		break;
	}
}

static void gone(struct later *later)
{
	free(CONTAINER_OF(later, struct front_http1, gone));
}
