/*
 * front_http1_request.c: what the client sends: heads, bodies, and what comes after the last answer.
 */
#include "config.h"

#include "gateway/front/front_http1.h"

#include "base/poison.h"

static bool read_head(struct front_http1 *, struct bytes in);
static void begin(struct front_http1 *, struct head *, size_t used);
static bool read_body(struct front_http1 *, struct bytes in);
static bool read_chunked(struct front_http1 *, struct bytes in);
static bool read_tunnel(struct front_http1 *, struct bytes in);
static bool drop(struct front_http1 *, struct bytes in);
static bool offer(struct front_http1 *, struct bytes);
static void whole(struct front_http1 *);
static void ended(struct front_http1 *);

/* What comes in WHOLE is the next request: it waits, and so does the rest in the kernel. */
void front_read(struct front_http1 *f)
{
	bool more = true;

	while (more && !f->stopped) {
		struct bytes in = stream_input(f->stream);

		if (in.len == 0)
			break;
		switch (f->state) {
		case FRONT_IDLE:
		case FRONT_HEAD:
			/* Answers that nobody reads are no reason to make more of them. */
			if (f->full)
				front_stop(f);
			else
				more = read_head(f, in);
			break;
		case FRONT_BODY:
			more = f->chunked ? read_chunked(f, in) : read_body(f, in);
			break;
		case FRONT_TUNNEL:
			more = read_tunnel(f, in);
			break;
		case FRONT_LINGER:
			more = drop(f, in);
			break;
		case FRONT_WHOLE:
			front_stop(f);
			break;
		default:
			return;
		}
	}
	if (f->state == FRONT_HEAD || f->state == FRONT_BODY || f->state == FRONT_TUNNEL)
		stream_expect(f->stream);
	if (f->state != FRONT_OVER && !f->stopped && stream_at_end(f->stream))
		ended(f);
}

/* Whatever else is wrong with it, it gets no body (RFC 9110, section 9.3.2). */
static bool begins_with_head(const struct front_http1 *f)
{
	if (f->state != FRONT_IDLE && f->state != FRONT_HEAD)
		return false;
	return bytes_equal_str(bytes_sub(stream_input(f->stream), f->scan.first, 5), "HEAD ");
}

/* Bytes that make no request are answered, and nothing after them is read. */
void front_refuse(struct front_http1 *f, uint16_t status, enum reason reason)
{
	static const struct head head_only = { .method = { (const uint8_t *)"HEAD", 4 } };
	struct verdict verdict = { .status = status, .reason = reason };
	struct exchange *former = f->exchange;
	bool is_head = begins_with_head(f);

	if (former != NULL && f->head_given) {
		f->exchange = NULL;
		exchange_lost(former, reason);
		conn_close(f->conn, reason);
		return;
	}
	front_state_set(f, FRONT_WHOLE);
	f->keep_alive = f->last = false;
	if (former != NULL) { /* one line of the log, with what was asked */
		exchange_spoilt(former, status, reason);
		return;
	}
	f->head_given = f->broken = false;
	f->minor = 1;
	conn_asked(f->conn);
	f->exchange = exchange_refuse(
	    f->worker, &f->front, conn_client(f->conn), is_head ? &head_only : NULL, &verdict);
	if (f->exchange == NULL)
		conn_close(f->conn, REASON_MEMORY);
}

/* An empty line, which old clients send behind a body (RFC 9112, section 2.2), is no request yet. */
static void forgive(struct front_http1 *f)
{
	f->forgiven = true;
	f->scan = (struct head_scan){ 0 };
	stream_consume(f->stream, 2);
}

static bool read_head(struct front_http1 *f, struct bytes in)
{
	const struct head_limits *limits = exchanges_head_limits(f->worker->exchanges);
	struct head *head = exchanges_head(f->worker->exchanges);
	struct verdict verdict;
	size_t used;

	switch (head_request(in, limits, &f->scan, head, &used, &verdict)) {
	case PARSE_OK:
		begin(f, head, used);
		return f->state != FRONT_OVER;
	case PARSE_BAD:
		front_refuse(f, verdict.status, verdict.reason);
		return false;
	case PARSE_MORE:
		if (f->state == FRONT_IDLE && !f->forgiven && bytes_equal_str(in, "\r\n"))
			forgive(f);
		else if (f->state == FRONT_IDLE)
			front_state_set(f, FRONT_HEAD);
		break;
	}
	return false;
}

/* The head lies in the input until it is consumed: the exchange has built its own by then. */
static void begin(struct front_http1 *f, struct head *head, size_t used)
{
	bool waits = head->expect_100;
	enum body body = head->body;

	f->minor = head->minor;
	f->keep_alive = head->keep_alive;
	f->last = !head->keep_alive;
	f->head_given = f->broken = f->forgiven = false;
	f->framing = FRAMING_NONE;
	f->left = head->length;
	conn_asked(f->conn);
	f->exchange = exchange_begin(f->worker, &f->front, conn_client(f->conn), head);
	if (f->exchange == NULL) {
		conn_close(f->conn, REASON_MEMORY);
		return;
	}
	stream_consume(f->stream, used);
	if (body == BODY_NONE) {
		whole(f);
		return;
	}
	f->chunked = body == BODY_CHUNKED;
	f->body_got = f->body_ms = 0;
	if (f->chunked)
		chunk_init(&f->chunk, MESSAGE_REQUEST);
	front_state_set(f, FRONT_BODY);
	if (waits && stream_input(f->stream).len == 0 && exchange_wants_body(f->exchange))
		front_continue(f);
}

static bool read_body(struct front_http1 *f, struct bytes in)
{
	size_t len = in.len < FRONT_SLICE_BYTES ? in.len : FRONT_SLICE_BYTES;

	if (len > f->left)
		len = (size_t)f->left;
	f->left -= len;
	if (!offer(f, bytes_sub(in, 0, len)))
		return false;
	stream_consume(f->stream, len);
	if (f->left == 0)
		whole(f);
	return true;
}

static bool read_chunked(struct front_http1 *f, struct bytes in)
{
	const size_t before = in.len < FRONT_SLICE_BYTES ? in.len : FRONT_SLICE_BYTES;
	struct bytes rest = bytes_sub(in, 0, before), data = { NULL, 0 };
	struct verdict verdict;
	enum parse got = chunk_next(&f->chunk, &rest, &data, &verdict);

	if (got == PARSE_BAD) {
		front_refuse(f, verdict.status, verdict.reason);
		return false;
	}
	if (data.len > 0 && !offer(f, data))
		return false;
	stream_consume(f->stream, before - rest.len);
	if (f->chunk.done)
		whole(f);
	return true;
}

static bool read_tunnel(struct front_http1 *f, struct bytes in)
{
	bool stop = exchange_body(f->exchange, in) == FLOW_STOP;

	if (f->state != FRONT_TUNNEL)
		return false;
	stream_consume(f->stream, in.len);
	if (stop)
		front_stop(f);
	return true;
}

static bool drop(struct front_http1 *f, struct bytes in)
{
	if (in.len >= f->left) {
		conn_close(f->conn, REASON_DONE);
		return false;
	}
	f->left -= in.len;
	stream_consume(f->stream, in.len);
	return true;
}

/* A byte now and then keeps no connection: not counted is the time in which we did not read. */
static bool too_slow(struct front_http1 *f, size_t len)
{
	const struct gateway_conf *conf = f->worker->conf;

	f->body_ms += loop_now_ms(f->worker->loop) - f->body_since;
	f->body_got += len;
	return conf->limits.body_rate > 0 && f->body_ms > conf->timeouts.body &&
	       f->body_got / conf->limits.body_rate < f->body_ms / 1000;
}

/* False: the connection is over. */
static bool offer(struct front_http1 *f, struct bytes slice)
{
	if (too_slow(f, slice.len)) {
		f->late = true;
		front_refuse(f, 408, REASON_BODY_RATE);
		return false;
	}
	if (exchange_body(f->exchange, slice) == FLOW_STOP && f->state == FRONT_BODY) {
		front_stop(f);
		deadline_rest(f->worker->loop, &f->reading);
	} else if (f->state == FRONT_BODY) {
		front_state_set(f, FRONT_BODY);
	}
	return f->state == FRONT_BODY;
}

static void whole(struct front_http1 *f)
{
	front_state_set(f, FRONT_WHOLE);
	exchange_end(f->exchange);
}

/*
 * The client sends nothing more. What it has asked is still answered, if its end was no accident: on
 * TLS an end without close_notify is one.
 */
static void ended(struct front_http1 *f)
{
	switch (f->state) {
	case FRONT_IDLE:
		/* It may still be reading its last answer. */
		if (stream_queued(f->stream) > 0)
			front_linger(f);
		else
			conn_close(f->conn, REASON_CLOSE);
		break;
	case FRONT_LINGER:
		if (stream_queued(f->stream) == 0)
			conn_close(f->conn, REASON_DONE);
		break;
	case FRONT_WHOLE:
		f->keep_alive = false;
		if (stream_ssl(f->stream) != NULL && stream_truncated(f->stream))
			conn_close(f->conn, REASON_TRUNCATED);
		break;
	case FRONT_TUNNEL:
		/* Browsers say no goodbye to a side that has said its own, as a WebSocket's has. */
		if (stream_ssl(f->stream) != NULL && stream_truncated(f->stream) &&
		    !stream_finished(f->stream)) {
			conn_close(f->conn, REASON_TRUNCATED);
			break;
		}
		front_stop(f); /* the other way goes on */
		exchange_end(f->exchange);
		break;
	default:
		conn_close(f->conn, REASON_TRUNCATED);
	}
}
