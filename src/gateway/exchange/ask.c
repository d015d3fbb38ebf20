/*
 * ask.c: sends an exchange's request to a server of its pool, and again where that is safe: retry.c
 * says when. What was sent once is kept: the head always, of a body the first EXCHANGE_HELD_BYTES.
 */
#include "config.h"

#include "base/counters.h"
#include "gateway/exchange/exchange_private.h"

#include "base/poison.h"

static enum retry again(
    struct exchange *, enum reason, bool answer_begun, uint64_t sent, bool reused);
static uint16_t status_of(enum reason);
static void wait_in_line(struct exchange *, const struct pool_wish *);
static void line_moved(struct pool_waiter *, enum reason);

void exchange_ask(struct exchange *x, enum pool_want want)
{
	struct origin_request request = {
		.head = bytes_of(x->head, x->head_len),
		.head_request = x->head_request,
		.body_follows = x->body_follows,
		.chunked = x->chunked,
		.upgrade_to = x->marks.upgrade_to,
	};
	enum reason reason = REASON_NONE;
	struct pool_wish wish = { .tried = x->tried, .server = x->sticky, .want = want };

	if (pool_conf(x->pool)->balance == BALANCE_CLIENT_HASH)
		wish.client = pool_client(x->peer);
	x->upstream = pool_take(x->pool, &wish, &reason);
	if (x->upstream == NULL && reason == REASON_POOL_BUSY) {
		wait_in_line(x, &wish);
		return;
	}
	if (x->upstream == NULL) {
		/* No other server is left: what went wrong with the last one says more. */
		if (x->tries > 0)
			reason = x->reason;
		exchange_answer(x, status_of(reason), reason);
		return;
	}
	if (x->tries++ == 0)
		x->began_ms = loop_now_ms(x->worker->loop);
	exchange_state_set(x, EXCHANGE_ASKING);
	x->reason = REASON_NONE;
	x->server = upstream_server_text(x->upstream);
	upstream_for(x->upstream, &x->client->peer, &x->client->local);
	x->origin = upstream_origin(x->upstream, &exchange_origin_events, x);
	x->origin->ops->start(x->origin, &request);
	if (x->held_len > 0 &&
	    x->origin->ops->body(x->origin, bytes_of(x->held, x->held_len)) == FLOW_GO &&
	    x->front_stopped) {
		x->front_stopped = false;
		x->front->ops->resume(x->front);
	}
	if (x->body_follows && x->asked)
		x->origin->ops->end(x->origin);
}

/* All connections are in use: until one is free, or for too long. */
static void wait_in_line(struct exchange *x, const struct pool_wish *wish)
{
	x->queued_from = loop_now_ms(x->worker->loop);
	exchange_state_set(x, EXCHANGE_ASKING);
	if (pool_wait(x->pool, &x->waiter, wish, line_moved) == -1)
		exchange_answer(x, 503, REASON_QUEUE_FULL);
}

static void line_moved(struct pool_waiter *waiter, enum reason reason)
{
	struct exchange *x = CONTAINER_OF(waiter, struct exchange, waiter);

	x->queued_ms += loop_now_ms(x->worker->loop) - x->queued_from;
	if (reason == REASON_NONE)
		exchange_ask(x, waiter->wish.want);
	else
		exchange_answer(x, 503, reason);
}

void exchange_failed(void *arg, enum reason reason, bool answer_begun, uint64_t sent)
{
	struct exchange *x = arg;
	const struct upstream *upstream = x->upstream; /* NULL: it was a file */
	unsigned server;
	bool reused;
	enum retry retry;

	x->origin = NULL;
	x->upstream = NULL;
	x->reason = reason;
	if (x->state == EXCHANGE_ANSWERING) {
		x->front->ops->abort(x->front, reason);
		exchange_finish(x);
		return;
	}
	server = upstream_server_index(upstream);
	reused = upstream_reused(upstream);
	if (!reused && server < POOL_TRIED_MAX)
		x->tried |= UINT64_C(1) << server;
	retry = again(x, reason, answer_begun, sent, reused);
	if (retry == RETRY_NO) {
		exchange_answer(x, status_of(reason), reason);
		return;
	}
	counter_add(x->worker->counters.retries, 1);
	exchange_ask(x, POOL_NEW);
}

static enum retry again(
    struct exchange *x, enum reason reason, bool answer_begun, uint64_t sent, bool reused)
{
	uint64_t now = loop_now_ms(x->worker->loop);
	struct retry_facts facts = {
		.sent = sent,
		.answer_begun = answer_begun && reason != REASON_BACKEND_SURPLUS,
		.reused = reused,
		.idempotent = x->idempotent,
		.held = x->held_all,
		.others = x->tries < POOL_TRIED_MAX &&
			  (size_t)__builtin_popcountll(x->tried) < pool_servers_n(x->pool),
		.time_left = now - x->began_ms < pool_conf(x->pool)->connect_timeout,
	};
	enum retry retry;
	bool costs;

	retry = retry_decide(&facts, &costs);
	if (retry != RETRY_NO && costs &&
	    !retry_budget_take(&x->worker->exchanges->budget, now / 1000))
		retry = RETRY_NO;
	return retry;
}

static uint16_t status_of(enum reason reason)
{
	switch (reason) {
	case REASON_NO_SERVER:
	case REASON_QUEUE_FULL:
	case REASON_MEMORY:
		return 503;
	case REASON_CONNECT_TIMEOUT:
	case REASON_ANSWER_TIMEOUT:
		return 504;
	default:
		return 502;
	}
}
