/*
 * upstream.c: see upstream.h. Whatever a back-end does on an idle connection, bytes or an end, drops
 * it: nothing that came unasked can become somebody's answer.
 */
#include "config.h"

#include "gateway/origin/upstream.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/counters.h"
#include "gateway/worker.h"
#include "net/proxied.h"

#include "base/poison.h"

static void opened(void *);
static void input(void *);
static void drained(void *);
static void closed(void *, enum reason);
static void state_set(struct upstream *, enum upstream_state);
static void list_add(struct upstream *);
static void list_remove(struct upstream *);
static void idle_passed(struct deadline *);
static void gone(struct later *);

static const struct stream_events events = {
	.opened = opened,
	.input = input,
	.drained = drained,
	.closed = closed,
};

/* What a state may become. */
static const unsigned next_states[UPSTREAM_STATE_N] = {
	[UPSTREAM_CONNECTING] = 1u << UPSTREAM_BUSY | 1u << UPSTREAM_OVER,
	[UPSTREAM_BUSY] = 1u << UPSTREAM_IDLE | 1u << UPSTREAM_OVER,
	[UPSTREAM_IDLE] = 1u << UPSTREAM_BUSY | 1u << UPSTREAM_OVER,
};

struct upstream *upstream_open(struct server *server)
{
	struct worker *worker = server->pool->pools->worker;
	const struct endpoint *at = server_address(server);
	struct upstream *up = calloc(1, sizeof(*up));

	if (up == NULL || at == NULL)
		goto fail;
	up->stream = stream_connect(worker->loop, at, NULL, &events, up);
	if (up->stream == NULL)
		goto fail;
	stream_set_bulk(up->stream);
	up->worker = worker;
	up->server = server;
	up->state = UPSTREAM_CONNECTING;
	up->idle_limit = (uint32_t)server->pool->conf->idle_timeout;
	origin_http1_init(&up->http1);
	list_add(up);
	counter_add(worker->counters.upstreams_opened, 1);
	counter_add(worker->counters.upstreams_open, 1);
	return up;
fail:
	free(up);
	return NULL;
}

struct upstream *upstream_take(struct server *server, uint64_t idle_max)
{
	struct upstream *up = server->newest;
	struct worker *worker;

	if (up == NULL)
		return NULL;
	worker = up->worker;
	if (loop_now_ms(worker->loop) < server->new_until)
		return NULL;
	if (idle_max != UINT64_MAX && loop_now_ms(worker->loop) - up->idle_since >= idle_max)
		return NULL;
	deadline_rest(worker->loop, &up->deadline);
	state_set(up, UPSTREAM_BUSY);
	up->reused = true;
	counter_add(worker->counters.upstreams_reused, 1);
	return up;
}

/* Kept only if its server has room for one more and the back-end has said nothing further. */
void upstream_release(struct upstream *up, enum upstream_fate fate)
{
	struct server *server = up->server;
	struct worker *worker = up->worker;

	if (up->state == UPSTREAM_OVER)
		return;
	if (fate == UPSTREAM_FAILED)
		server_failed(server, up->state == UPSTREAM_CONNECTING, loop_now_ms(worker->loop));
	else if (fate == UPSTREAM_STALE)
		server_stale(server, loop_now_ms(worker->loop));
	if (fate == UPSTREAM_REUSE && server->pool->conf->proxy_protocol == 0 &&
	    server->idle_n < (size_t)server->pool->conf->idle_connections && !worker->draining) {
		up->idle_since = loop_now_ms(worker->loop);
		state_set(up, UPSTREAM_IDLE);
		deadline_set(worker->loop, &up->deadline, up->idle_limit, idle_passed);
		return;
	}
	deadline_clear(worker->loop, &up->deadline);
	state_set(up, UPSTREAM_OVER);
	counter_sub(worker->counters.upstreams_open, 1);
	stream_close(up->stream);
	loop_later(worker->loop, &up->gone, gone);
}

/*
 * One second less than the back-end says, since its clock began earlier; below two seconds, half
 * of it.
 */
void upstream_keep_alive(struct upstream *up, unsigned seconds)
{
	uint64_t ms = seconds >= 2 ? (uint64_t)(seconds - 1) * 1000 : (uint64_t)seconds * 500;

	if (ms < up->server->pool->conf->idle_timeout)
		up->idle_limit = (uint32_t)ms;
}

struct origin *upstream_origin(
    struct upstream *up, const struct origin_events *origin_events, void *arg)
{
	up->http1.origin.events = origin_events;
	up->http1.origin.arg = arg;
	return &up->http1.origin;
}

void upstream_for(
    struct upstream *up, const union endpoint_brief *client, const union endpoint_brief *local)
{
	int version = up->server->pool->conf->proxy_protocol;
	uint8_t header[PROXIED_HEADER_MAX];
	struct iovec iov = { header, 0 };
	struct endpoint from, to;

	if (version == 0)
		return;
	from = endpoint_whole(client);
	to = endpoint_whole(local);
	/* It leaves with the request, as soon as the connection is open. */
	iov.iov_len = proxied_write(version, &from, &to, header);
	(void)stream_write(up->stream, &iov, 1);
}

unsigned upstream_server_index(const struct upstream *up)
{
	return up->server->index;
}

const char *upstream_server_text(const struct upstream *up)
{
	return up->server->text;
}

bool upstream_reused(const struct upstream *up)
{
	return up->reused;
}

static void opened(void *arg)
{
	struct upstream *up = arg;

	state_set(up, UPSTREAM_BUSY);
	origin_http1_opened(&up->http1);
}

static void input(void *arg)
{
	struct upstream *up = arg;

	if (up->state == UPSTREAM_BUSY) {
		origin_http1_input(&up->http1);
	} else if (up->state == UPSTREAM_IDLE) {
		if (stream_input(up->stream).len > 0)
			counter_add(up->worker->counters.reasons[REASON_BACKEND_SURPLUS], 1);
		upstream_release(up, UPSTREAM_CLOSE);
	}
}

static void drained(void *arg)
{
	struct upstream *up = arg;

	if (up->state == UPSTREAM_BUSY)
		origin_http1_drained(&up->http1);
}

static void closed(void *arg, enum reason reason)
{
	struct upstream *up = arg;

	if (up->state == UPSTREAM_IDLE)
		upstream_release(up, UPSTREAM_CLOSE);
	else if (up->state != UPSTREAM_OVER)
		origin_http1_closed(&up->http1, reason);
}

static void idle_passed(struct deadline *d)
{
	upstream_release(CONTAINER_OF(d, struct upstream, deadline), UPSTREAM_CLOSE);
}

/* The one place where the state changes; the lists follow it. */
static void state_set(struct upstream *up, enum upstream_state state)
{
	assert((next_states[up->state] & 1u << state) != 0);
	list_remove(up);
	up->state = state;
	if (state != UPSTREAM_OVER)
		list_add(up);
}

/* Idle ones are a list from newest to oldest; the others just have to be found at the end. */
static void list_add(struct upstream *up)
{
	struct server *server = up->server;
	struct upstream **head = up->state == UPSTREAM_IDLE ? &server->newest : &server->busy;

	up->newer = NULL;
	up->older = *head;
	if (up->older != NULL)
		up->older->newer = up;
	*head = up;
	if (up->state == UPSTREAM_IDLE)
		server->idle_n++;
	else
		server->busy_n++;
}

static void list_remove(struct upstream *up)
{
	struct server *server = up->server;
	struct upstream **head = up->state == UPSTREAM_IDLE ? &server->newest : &server->busy;

	if (up->newer != NULL)
		up->newer->older = up->older;
	else
		*head = up->older;
	if (up->older != NULL)
		up->older->newer = up->newer;
	if (up->state == UPSTREAM_IDLE) {
		server->idle_n--;
	} else {
		server->busy_n--;
		server_freed(server);
	}
}

static void gone(struct later *later)
{
	free(CONTAINER_OF(later, struct upstream, gone));
}
