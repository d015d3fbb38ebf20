/*
 * origin_http1.c: see origin_http1.h. The request goes out as it was built; the answer is read by
 * http/head and http/chunk, which refuse whatever two readers could understand differently.
 *
 * The upstream is given back before events->end or ->failed is called, since those may take it for
 * the next request at once: nothing is touched after either.
 */
#include "config.h"

#include "gateway/origin/origin_http1.h"

#include <assert.h>
#include <stddef.h>

#include "base/counters.h"
#include "gateway/origin/upstream.h"
#include "gateway/worker.h"

#include "base/poison.h"

/* What a reader of the answer came to. */
enum step {
	STEP_ON, /* go on with the rest of the input */
	STEP_MORE, /* not enough input */
	STEP_OVER, /* finished, failed or cancelled: nothing here may be touched any more */
};

static void start(struct origin *, const struct origin_request *);
static enum flow body(struct origin *, struct bytes);
static void end(struct origin *);
static void resume(struct origin *);
static void cancel(struct origin *, enum reason);
static enum step read_head(struct origin_http1 *, struct bytes in);
static enum step read_interim(struct origin_http1 *, const struct head *, size_t used);
static enum step read_switch(struct origin_http1 *, const struct head *, size_t used);
static enum step read_length(struct origin_http1 *, struct bytes in);
static enum step read_chunked(struct origin_http1 *, struct bytes in);
static enum step read_to_close(struct origin_http1 *, struct bytes in);
static bool offer(struct origin_http1 *, struct bytes);
static void read_end(struct origin_http1 *);
static void tunnel_ended(struct origin_http1 *);
static void tell_worked(struct origin_http1 *);
static enum step finish(struct origin_http1 *);
static enum step fail(struct origin_http1 *, enum reason);
static void go_on(struct origin_http1 *);
static void arm(struct origin_http1 *);
static void passed(struct deadline *);
static void flush_passed(struct origin_http1 *);
static void state_set(struct origin_http1 *, enum origin_http1_state);
static void keep_alive_read(struct upstream *, const struct head *);
static void timeout_read(struct upstream *, struct bytes digits);

static const struct origin_ops ops = {
	.name = "http1",
	.start = start,
	.body = body,
	.end = end,
	.resume = resume,
	.cancel = cancel,
};

/* By state; each takes what it can of the input. */
static enum step (*const readers[ORIGIN_HTTP1_STATE_N])(struct origin_http1 *, struct bytes) = {
	[ORIGIN_HEAD] = read_head,
	[ORIGIN_LENGTH] = read_length,
	[ORIGIN_CHUNKED] = read_chunked,
	[ORIGIN_TO_CLOSE] = read_to_close,
	[ORIGIN_TUNNEL] = read_to_close,
};

/* What http/head needs to know of the request. */
static const struct head request_get = { .method = { (const uint8_t *)"GET", 3 } };
static const struct head request_head = { .method = { (const uint8_t *)"HEAD", 4 } };

static const unsigned next_states[ORIGIN_HTTP1_STATE_N] = {
	[ORIGIN_FREE] = 1u << ORIGIN_HEAD,
	[ORIGIN_HEAD] = 1u << ORIGIN_LENGTH | 1u << ORIGIN_CHUNKED | 1u << ORIGIN_TO_CLOSE |
			1u << ORIGIN_TUNNEL | 1u << ORIGIN_FREE,
	[ORIGIN_LENGTH] = 1u << ORIGIN_FREE,
	[ORIGIN_CHUNKED] = 1u << ORIGIN_FREE,
	[ORIGIN_TO_CLOSE] = 1u << ORIGIN_FREE,
	[ORIGIN_TUNNEL] = 1u << ORIGIN_FREE,
};

static struct upstream *upstream_of(struct origin_http1 *h)
{
	return CONTAINER_OF(h, struct upstream, http1);
}

static struct origin_http1 *http1_of(struct origin *origin)
{
	return CONTAINER_OF(origin, struct origin_http1, origin);
}

void origin_http1_init(struct origin_http1 *h)
{
	h->origin.ops = &ops;
	h->state = ORIGIN_FREE;
}

/* ---- the request */

static void start(struct origin *origin, const struct origin_request *request)
{
	struct origin_http1 *h = http1_of(origin);
	struct stream *stream = upstream_of(h)->stream;
	struct iovec iov = { (void *)(uintptr_t)request->head.at, request->head.len };

	state_set(h, ORIGIN_HEAD);
	h->scan = (struct head_scan){ 0 };
	h->sent_before = stream_sent(stream);
	h->interims = 0;
	h->head_request = request->head_request;
	h->chunked = request->chunked;
	h->asked = !request->body_follows;
	h->upgrade_to = request->upgrade_to;
	h->keep = h->paused = h->stopped = h->ended = false;
	h->full = stream_write(stream, &iov, 1) == FLOW_STOP;
	arm(h);
}

/* While the connection opens one slice is enough: it can be sent again should that fail. */
static enum flow body(struct origin *origin, struct bytes slice)
{
	struct origin_http1 *h = http1_of(origin);
	struct upstream *up = upstream_of(h);
	char size[CHUNK_HEAD_MAX];
	struct iovec iov[3];
	int n = 0;

	if (slice.len == 0)
		return FLOW_GO;
	if (h->chunked)
		iov[n++] = (struct iovec){ size, chunk_head_write(size, slice.len) };
	iov[n++] = (struct iovec){ (void *)(uintptr_t)slice.at, slice.len };
	if (h->chunked)
		iov[n++] = (struct iovec){ (void *)(uintptr_t) "\r\n", 2 };
	if (stream_write(up->stream, iov, n) == FLOW_STOP)
		h->full = true;
	h->stopped = h->full || up->state == UPSTREAM_CONNECTING;
	arm(h);
	return h->stopped ? FLOW_STOP : FLOW_GO;
}

static void end(struct origin *origin)
{
	struct origin_http1 *h = http1_of(origin);
	struct iovec iov = { (void *)(uintptr_t)CHUNK_LAST, sizeof(CHUNK_LAST) - 1 };

	h->asked = true;
	if (h->chunked)
		(void)stream_write(upstream_of(h)->stream, &iov, 1);
	if (h->state == ORIGIN_TUNNEL)
		stream_finish(upstream_of(h)->stream);
	arm(h);
}

static void resume(struct origin *origin)
{
	struct origin_http1 *h = http1_of(origin);

	if (!h->paused)
		return;
	h->paused = false;
	stream_resume(upstream_of(h)->stream);
	arm(h);
}

static void cancel(struct origin *origin, enum reason reason)
{
	struct origin_http1 *h = http1_of(origin);

	(void)reason;
	state_set(h, ORIGIN_FREE);
	upstream_release(upstream_of(h), UPSTREAM_CLOSE);
}

/* ---- the answer */

void origin_http1_opened(struct origin_http1 *h)
{
	if (h->state == ORIGIN_FREE)
		return;
	/* The limit on opening ends, the one on answering begins. */
	deadline_rest(upstream_of(h)->worker->loop, &upstream_of(h)->deadline);
	arm(h);
	if (!h->full)
		go_on(h);
}

void origin_http1_drained(struct origin_http1 *h)
{
	h->full = false;
	if (h->state != ORIGIN_FREE)
		go_on(h);
}

static void go_on(struct origin_http1 *h)
{
	if (!h->stopped)
		return;
	h->stopped = false;
	arm(h);
	h->origin.events->drained(h->origin.arg);
}

void origin_http1_input(struct origin_http1 *h)
{
	struct upstream *up = upstream_of(h);
	enum step step = STEP_ON;

	if (h->state == ORIGIN_FREE)
		return;
	while (step == STEP_ON && !h->paused) {
		struct bytes in = stream_input(up->stream);

		if (in.len == 0 || !readers[h->state])
			break;
		step = readers[h->state](h, in);
	}
	if (step == STEP_OVER)
		return;
	stream_expect(up->stream);
	if (h->paused)
		return;
	if (stream_at_end(up->stream))
		read_end(h);
	else if (h->state != ORIGIN_HEAD || !deadline_is_set(&up->deadline))
		arm(h); /* a head that trickles has the time of a whole one */
}

/* An idle connection's reset, or one in the middle of something. */
void origin_http1_closed(struct origin_http1 *h, enum reason reason)
{
	if (h->state == ORIGIN_FREE)
		return;
	if (upstream_of(h)->state == UPSTREAM_CONNECTING)
		reason = REASON_CONNECT;
	else if (reason == REASON_RESET || reason == REASON_IO)
		reason = REASON_BACKEND_RESET;
	fail(h, reason);
}

static enum step read_head(struct origin_http1 *h, struct bytes in)
{
	struct upstream *up = upstream_of(h);
	struct pools *pools = up->server->pool->pools;
	struct head *head = pools->answer;
	struct verdict verdict;
	const struct head *asked = h->head_request ? &request_head : &request_get;
	size_t used;

	/* Bytes that were there before the first of the request had left answer something else. */
	if (stream_sent(up->stream) == h->sent_before)
		return fail(h, REASON_BACKEND_SURPLUS);
	if (h->upgrade_to.len > 0) {
		pools->asked->method = asked->method;
		pools->asked->upgrade_to = h->upgrade_to;
		asked = pools->asked;
	}
	switch (head_response(in, asked, &pools->limits, &h->scan, head, &used, &verdict)) {
	case PARSE_MORE:
		return STEP_MORE;
	case PARSE_BAD:
		return fail(h, verdict.reason);
	case PARSE_OK:
		break;
	}
	if (head->status == 101)
		return read_switch(h, head, used);
	if (head->status < 200)
		return read_interim(h, head, used);
	h->keep = head->keep_alive;
	h->left = head->length;
	if (h->keep)
		keep_alive_read(up, head);
	if (head->body == BODY_CHUNKED)
		chunk_init(&h->chunk, MESSAGE_RESPONSE);
	/* Before events->head: it may cancel. */
	state_set(h, head->body == BODY_CHUNKED    ? ORIGIN_CHUNKED
		     : head->body == BODY_TO_CLOSE ? ORIGIN_TO_CLOSE
						   : ORIGIN_LENGTH);
	if (head->body == BODY_NONE)
		h->left = 0;
	h->origin.events->head(h->origin.arg, head);
	if (h->state == ORIGIN_FREE)
		return STEP_OVER;
	stream_consume(up->stream, used);
	return h->state == ORIGIN_LENGTH && h->left == 0 ? finish(h) : STEP_ON;
}

static enum step read_interim(struct origin_http1 *h, const struct head *head, size_t used)
{
	if (++h->interims > ORIGIN_INTERIM_MAX)
		return fail(h, REASON_BACKEND_INTERIM);
	h->origin.events->head(h->origin.arg, head);
	if (h->state == ORIGIN_FREE)
		return STEP_OVER;
	stream_consume(upstream_of(h)->stream, used);
	h->scan = (struct head_scan){ 0 };
	arm(h);
	return STEP_ON;
}

/* http/head has seen that it is what was asked for. */
static enum step read_switch(struct origin_http1 *h, const struct head *head, size_t used)
{
	state_set(h, ORIGIN_TUNNEL);
	h->asked = false;
	tell_worked(h);
	h->origin.events->head(h->origin.arg, head);
	if (h->state == ORIGIN_FREE)
		return STEP_OVER;
	stream_consume(upstream_of(h)->stream, used);
	arm(h);
	return STEP_ON;
}

static enum step read_length(struct origin_http1 *h, struct bytes in)
{
	if (in.len > h->left)
		in.len = (size_t)h->left;
	h->left -= in.len;
	if (!offer(h, in))
		return STEP_OVER;
	stream_consume(upstream_of(h)->stream, in.len);
	return h->left == 0 ? finish(h) : STEP_ON;
}

static enum step read_chunked(struct origin_http1 *h, struct bytes in)
{
	const size_t before = in.len;
	struct verdict verdict;
	struct bytes data = { NULL, 0 };
	enum parse got = chunk_next(&h->chunk, &in, &data, &verdict);

	if (got == PARSE_BAD)
		return fail(h, REASON_BACKEND_CHUNK);
	if (data.len > 0 && !offer(h, data))
		return STEP_OVER;
	stream_consume(upstream_of(h)->stream, before - in.len);
	if (got == PARSE_OK && h->chunk.done)
		return finish(h);
	return got == PARSE_MORE ? STEP_MORE : STEP_ON;
}

static enum step read_to_close(struct origin_http1 *h, struct bytes in)
{
	if (!offer(h, in))
		return STEP_OVER;
	stream_consume(upstream_of(h)->stream, in.len);
	return STEP_ON;
}

/* False: it was cancelled meanwhile. */
static bool offer(struct origin_http1 *h, struct bytes slice)
{
	if (h->origin.events->body(h->origin.arg, slice) == FLOW_STOP && h->state != ORIGIN_FREE) {
		struct upstream *up = upstream_of(h);

		h->paused = true;
		stream_pause(up->stream);
		deadline_rest(up->worker->loop, &up->deadline);
	}
	return h->state != ORIGIN_FREE;
}

/* The back-end has closed, with what is left of the input being no whole. */
static void read_end(struct origin_http1 *h)
{
	bool begun = stream_input(upstream_of(h)->stream).len > 0;

	if (h->state == ORIGIN_TUNNEL)
		tunnel_ended(h);
	else if (h->state == ORIGIN_TO_CLOSE)
		(void)finish(h);
	else if (h->state == ORIGIN_HEAD && h->interims == 0 && !begun)
		(void)fail(h, REASON_BACKEND_CLOSE);
	else
		(void)fail(h, REASON_BACKEND_TRUNCATED);
}

/* The back-end sends no more; the client may. */
static void tunnel_ended(struct origin_http1 *h)
{
	if (h->ended)
		return;
	h->ended = true;
	h->origin.events->half(h->origin.arg);
	if (h->state != ORIGIN_FREE)
		arm(h);
}

/* ---- the end */

/* Of a tunnel its 101 is the answer: how it ends, maybe hours later, is no news of the server. */
static void tell_worked(struct origin_http1 *h)
{
	struct upstream *up = upstream_of(h);

	server_worked(up->server, up->reused, loop_now_ms(up->worker->loop));
}

/* What lies behind the answer, unread, would be read as the next one's, or is the end. */
static enum step finish(struct origin_http1 *h)
{
	struct upstream *up = upstream_of(h);
	const struct origin_events *events = h->origin.events;
	void *arg = h->origin.arg;
	enum reason odd = h->state == ORIGIN_TUNNEL          ? REASON_NONE
			  : stream_input(up->stream).len > 0 ? REASON_BACKEND_SURPLUS
			  : !h->asked                        ? REASON_EARLY_ANSWER
							     : REASON_NONE;
	bool reuse = odd == REASON_NONE && h->keep && h->state != ORIGIN_TO_CLOSE &&
		     h->state != ORIGIN_TUNNEL && !stream_ended(up->stream) &&
		     !stream_unread(up->stream) && stream_queued(up->stream) == 0;

	if (reuse && h->paused)
		stream_resume(up->stream);
	if (h->state != ORIGIN_TUNNEL)
		tell_worked(h);
	state_set(h, ORIGIN_FREE);
	upstream_release(up, reuse ? UPSTREAM_REUSE : UPSTREAM_CLOSE);
	events->end(arg, odd);
	return STEP_OVER;
}

static enum step fail(struct origin_http1 *h, enum reason reason)
{
	struct upstream *up = upstream_of(h);
	const struct origin_events *events = h->origin.events;
	void *arg = h->origin.arg;
	bool begun = h->state != ORIGIN_HEAD || h->interims > 0 || stream_input(up->stream).len > 0;
	enum upstream_fate fate = UPSTREAM_FAILED;
	uint64_t sent;

	/* A kept connection that the back-end was just closing says nothing about the back-end; nor does a tunnel
	 * that falls silent, or that one of its ends resets. */
	if (h->state == ORIGIN_TUNNEL)
		fate = UPSTREAM_CLOSE;
	else if (up->reused && !begun && reason != REASON_ANSWER_TIMEOUT)
		fate = UPSTREAM_STALE;

	/* Another server may be asked because nothing was sent here: then nothing may be. */
	stream_drop(up->stream);
	sent = stream_sent(up->stream) - h->sent_before;
	state_set(h, ORIGIN_FREE);
	upstream_release(up, fate);
	events->failed(arg, reason, begun, sent);
	return STEP_OVER;
}

/*
 * Opening, then answering and the time between two parts of an answer have limits here; while the
 * request still comes, or the client does not take the answer, the front's own deadlines hold.
 */
static void arm(struct origin_http1 *h)
{
	struct upstream *up = upstream_of(h);
	const struct pool_conf *conf = up->server->pool->conf;
	struct loop *loop = up->worker->loop;

	h->sent_armed = stream_sent(up->stream);
	if (up->state == UPSTREAM_CONNECTING) {
		/* Where there are others, half of the time is for one of them. */
		if (!deadline_is_set(&up->deadline))
			deadline_set(loop, &up->deadline,
			    conf->connect_timeout / (conf->servers.n > 1 ? 2 : 1), passed);
	} else if (h->state == ORIGIN_TUNNEL && h->asked && h->ended) {
		h->moved_ms = loop_now_ms(loop);
		deadline_set(loop, &up->deadline, ORIGIN_FLUSH_MS, passed);
	} else if (h->state == ORIGIN_TUNNEL && !h->paused) {
		deadline_set(loop, &up->deadline, up->worker->conf->timeouts.tunnel, passed);
	} else if (h->paused || (h->state == ORIGIN_HEAD && !h->asked && !h->full)) {
		deadline_rest(loop, &up->deadline);
	} else {
		deadline_set(loop, &up->deadline, conf->answer_timeout, passed);
	}
}

/* What the client sent before its end is still on its way, as long as the back-end takes some of it. */
static void flush_passed(struct origin_http1 *h)
{
	struct upstream *up = upstream_of(h);
	struct loop *loop = up->worker->loop;

	if (stream_finished(up->stream))
		(void)finish(h);
	else if (stream_sent(up->stream) != h->sent_armed)
		arm(h);
	else if (loop_now_ms(loop) - h->moved_ms >= up->server->pool->conf->answer_timeout)
		(void)fail(h, REASON_ANSWER_TIMEOUT);
	else
		deadline_set(loop, &up->deadline, ORIGIN_FLUSH_MS, passed);
}

/* A long request that the back-end takes slowly goes on as long as it takes something. */
static void passed(struct deadline *d)
{
	struct upstream *up = CONTAINER_OF(d, struct upstream, deadline);
	struct origin_http1 *h = &up->http1;

	if (up->state == UPSTREAM_CONNECTING)
		(void)fail(h, REASON_CONNECT_TIMEOUT);
	else if (h->state == ORIGIN_TUNNEL && h->asked && h->ended)
		flush_passed(h);
	else if (h->state == ORIGIN_TUNNEL && stream_queued(up->stream) == 0)
		(void)fail(h, REASON_TUNNEL_TIMEOUT);
	else if (stream_queued(up->stream) > 0 && stream_sent(up->stream) != h->sent_armed)
		arm(h);
	else
		(void)fail(h, REASON_ANSWER_TIMEOUT);
}

static void state_set(struct origin_http1 *h, enum origin_http1_state state)
{
	assert((next_states[h->state] & 1u << state) != 0);
	h->state = state;
}

/* "Keep-Alive: timeout=5, max=100": Apache says when it will close. */
static void keep_alive_read(struct upstream *up, const struct head *head)
{
	static const char name[] = "keep-alive", timeout[] = "timeout=";

	for (size_t i = 0; i < head->fields_n; i++) {
		struct bytes list = head->fields[i].value, element;

		if (head->ids[i] != FIELD_HOP || head->fields[i].name.len != sizeof(name) - 1 ||
		    !bytes_case_equal_str(head->fields[i].name, name))
			continue;
		while (field_list_next(&list, &element)) {
			if (bytes_case_equal_str(
				bytes_sub(element, 0, sizeof(timeout) - 1), timeout))
				timeout_read(
				    up, bytes_sub(element, sizeof(timeout) - 1, element.len));
		}
	}
}

/* What is no number, or a very long time, changes nothing. */
static void timeout_read(struct upstream *up, struct bytes digits)
{
	unsigned seconds = 0;

	if (digits.len == 0 || digits.len > 5)
		return;
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.at[i] < '0' || digits.at[i] > '9')
			return;
		seconds = seconds * 10 + (unsigned)(digits.at[i] - '0');
	}
	upstream_keep_alive(up, seconds);
}
