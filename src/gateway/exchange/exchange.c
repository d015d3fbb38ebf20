/*
 * exchange.c: the begin of an exchange, where its request goes, and the way of the request's body.
 */
#include "config.h"

#include "gateway/exchange/exchange.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "gateway/exchange/exchange_private.h"
#include "gateway/exchange/route.h"
#include "gateway/exchange/sticky.h"
#include "net/endpoint.h"

#include "base/poison.h"

static struct exchange *begin(struct worker *, struct front *, const struct client *);
static void request_id(struct exchanges *, char to[static HEADERS_ID_LEN]);
static void believe(struct exchange *, const struct forwarded *);
static struct headers_facts facts_of(
    const struct exchange *, const struct head *, const struct route *, const struct forwarded *);
static int request_build(struct exchange *, const struct headers_facts *);
static void route_follow(struct exchange *, const struct headers_facts *);
static void target_keep(struct exchange *, const struct head *, struct writer *);
static void method_set(struct exchange *, const struct head *);
static void hold(struct exchange *, struct bytes);
static bool gathers(struct exchange *, struct bytes);
static size_t gather_max(const struct exchange *);
static bool gathers_for(const struct exchange *, const struct site_route *);
static void begin_asking(struct exchange *);
static enum flow wait_with(struct exchange *);
static void give_up(struct exchange *, uint16_t status, enum reason);

/* What a state may become. BEGUN and ASKING may become ASKING again: another try. */
static const unsigned next_states[EXCHANGE_STATE_N] = {
	[EXCHANGE_BEGUN] = 1u << EXCHANGE_ASKING | 1u << EXCHANGE_OVER,
	[EXCHANGE_ASKING] = 1u << EXCHANGE_ASKING | 1u << EXCHANGE_ANSWERING | 1u << EXCHANGE_OVER,
	[EXCHANGE_ANSWERING] = 1u << EXCHANGE_OVER,
};

const struct origin_events exchange_origin_events = {
	.head = exchange_relay_head,
	.body = exchange_relay_body,
	.half = exchange_relay_half,
	.end = exchange_relay_end,
	.drained = exchange_relay_drained,
	.failed = exchange_failed,
};

void exchange_state_set(struct exchange *x, enum exchange_state state)
{
	assert((next_states[x->state] & 1u << state) != 0);
	x->state = state;
}

struct exchange *exchange_begin(struct worker *worker, struct front *front,
    const struct client *client, const struct head *head)
{
	struct exchange *x = begin(worker, front, client);
	struct forwarded said;
	struct headers_facts facts;
	struct route route;

	if (x == NULL)
		return NULL;
	forwarded_read(&said, worker->trusted, (enum trusted_header)worker->conf->trusted_header,
	    client, head);
	believe(x, &said);
	method_set(x, head);
	x->minor = head->minor;
	x->body_follows = head->body != BODY_NONE;
	x->chunked = head->body == BODY_CHUNKED;
	route_choose(&route, worker, client, x->peer, head, worker->exchanges->paths);
	x->site = route.site;
	x->route = route.to;
	x->expects = head->expect_100 && !gathers_for(x, route.to);
	facts = facts_of(x, head, &route, &said);
	if (request_build(x, &facts) == -1) {
		exchange_over(x);
		return NULL;
	}
	if (worker->conf->limits.body > 0 && head->body == BODY_LENGTH &&
	    head->length > worker->conf->limits.body) {
		route.status = 413;
		route.reason = REASON_BODY_SIZE;
	}
	if (route.status >= 400) {
		/* As after all that is refused for how it was asked: what follows is not looked at. */
		x->close = route.status == 400 || route.status == 421;
		exchange_answer(x, route.status, route.reason);
	} else if (route.status != 0) {
		struct bytes location = route_location(
		    x->worker, head, x->head + x->head_used, x->head_cap - x->head_used);

		exchange_redirect(x, route.status, location);
	} else if (route.to->conf->files != NULL) {
		exchange_file(x, &facts);
	} else if (route.to->pool == NULL) {
		route_follow(x, &facts);
	} else if (facts.hops == 0) {
		exchange_options(x);
	} else {
		x->pool = route.to->pool;
		x->sticky = sticky_read(x->pool, head);
		/* A slow client's body holds no back-end while it comes: see gathers(). */
		if (x->body_follows && gathers_for(x, route.to)) {
			x->gathering = true;
			exchange_state_set(x, EXCHANGE_ASKING);
		} else {
			begin_asking(x);
		}
	}
	return x;
}

/* A route that is answered here. */
static void route_follow(struct exchange *x, const struct headers_facts *facts)
{
	const struct route_conf *conf = x->route->conf;
	uint16_t status = (uint16_t)conf->redirect_status;

	if (conf->redirect == NULL) {
		exchange_respond(x, conf);
		return;
	}
	if (status == 0)
		status = route_redirect_status(facts->head);
	exchange_redirect(x, status,
	    route_redirect_to(x->route, facts, x->head + x->head_used, x->head_cap - x->head_used));
}

struct exchange *exchange_refuse(struct worker *worker, struct front *front,
    const struct client *client, const struct head *head, const struct verdict *verdict)
{
	struct exchange *x = begin(worker, front, client);

	if (x == NULL)
		return NULL;
	if (head != NULL)
		method_set(x, head);
	x->minor = 1;
	x->asked = true;
	x->close = true;
	x->site = client->site;
	exchange_answer(x, verdict->status, verdict->reason);
	return x;
}

enum flow exchange_body(struct exchange *x, struct bytes slice)
{
	uint64_t max = x->tunnel ? 0 : x->worker->conf->limits.body;

	x->body_len += slice.len;
	if (x->gathering && gathers(x, slice))
		return FLOW_GO;
	if (x->pool == NULL || (x->origin == NULL && x->waiter.pool == NULL))
		return FLOW_GO;
	if (max > 0 && x->body_len > max) {
		give_up(x, 413, REASON_BODY_SIZE);
		return FLOW_GO;
	}
	hold(x, slice);
	if (x->origin == NULL)
		return wait_with(x);
	if (x->origin->ops->body(x->origin, slice) == FLOW_STOP)
		x->front_stopped = true;
	return x->front_stopped ? FLOW_STOP : FLOW_GO;
}

static void begin_asking(struct exchange *x)
{
	x->gathering = false;
	exchange_ask(x, x->idempotent ? POOL_ANY : POOL_FRESH);
}

static size_t gather_max(const struct exchange *x)
{
	return x->worker->exchanges->gather_max;
}

/* Whether a body to this route is awaited before a server is asked; where it is not, the server says whether
 * it may come (Expect). */
static bool gathers_for(const struct exchange *x, const struct site_route *route)
{
	return route == NULL || route->pool == NULL || (!route->conf->stream && gather_max(x) > 0);
}

/* Whether the slice was kept. If not, the place is full, or there is none: what was kept is on its way to a
 * back-end, and the slice may follow. */
static bool gathers(struct exchange *x, struct bytes slice)
{
	uint64_t max = x->worker->conf->limits.body;

	if (max > 0 && x->body_len > max) {
		x->gathering = false;
		give_up(x, 413, REASON_BODY_SIZE);
		return true;
	}
	if (x->held == NULL)
		x->held = exchange_held_alloc(x->worker->exchanges);
	if (x->held == NULL) {
		x->held_all = false;
	} else if (x->held_len + slice.len <= gather_max(x)) {
		hold(x, slice);
		return true;
	}
	begin_asking(x);
	return false;
}

/* In line: a slice is held for when its turn comes, and no more is taken. */
static enum flow wait_with(struct exchange *x)
{
	if (!x->held_all) {
		pool_wait_cancel(&x->waiter);
		exchange_answer(x, 503, REASON_MEMORY);
		return FLOW_GO;
	}
	x->front_stopped = true;
	return FLOW_STOP;
}

void exchange_end(struct exchange *x)
{
	x->asked = true;
	if (x->gathering) {
		begin_asking(x); /* which ends the request, too */
		return;
	}
	if ((x->body_follows || x->tunnel) && x->origin != NULL)
		x->origin->ops->end(x->origin);
}

void exchange_drained(struct exchange *x)
{
	if (x->origin != NULL)
		x->origin->ops->resume(x->origin);
}

void exchange_spoilt(struct exchange *x, uint16_t status, enum reason reason)
{
	x->gathering = false;
	x->asked = x->close = true;
	give_up(x, status, reason);
}

void exchange_lost(struct exchange *x, enum reason reason)
{
	if (x->state == EXCHANGE_OVER)
		return;
	if (x->origin != NULL)
		x->origin->ops->cancel(x->origin, reason);
	x->origin = NULL;
	x->lost = reason;
	x->reason = REASON_NONE; /* the connection's end is counted by the connection */
	exchange_over(x);
}

bool exchange_wants_body(const struct exchange *x)
{
	return x->pool != NULL && x->state == EXCHANGE_ASKING && !x->expects;
}

bool exchange_request_unread(const struct exchange *x)
{
	return !x->asked;
}

static struct exchange *begin(
    struct worker *worker, struct front *front, const struct client *client)
{
	struct exchanges *all = worker->exchanges;
	struct exchange *x = exchange_alloc(all);

	if (x == NULL)
		return NULL;
	x->worker = worker;
	x->front = front;
	x->client = client;
	x->start_ms = loop_now_ms(worker->loop);
	x->peer = client->peer_text;
	request_id(all, x->id);
	x->id_len = HEADERS_ID_LEN;
	counter_add(worker->counters.requests, 1);
	counter_add(worker->counters.requests_open, 1);
	retry_budget_request(&all->budget, x->start_ms / 1000);
	return x;
}

/* Of no use to guess: a number of this process, and one that only its key could tell beforehand. */
static void request_id(struct exchanges *all, char to[static HEADERS_ID_LEN])
{
	uint64_t next = all->id_next++;

	next = hash_bytes(&all->id_key, bytes_of(&next, sizeof(next)));
	memcpy(to, all->id_prefix, sizeof(all->id_prefix));
	for (int i = HEADERS_ID_LEN - 1; i >= (int)sizeof(all->id_prefix); i--, next >>= 4)
		to[i] = "0123456789abcdef"[next & 15];
}

/* Whose request it is, and its name, as a trusted proxy has them. */
static void believe(struct exchange *x, const struct forwarded *said)
{
	if (said->real[0] != '\0') {
		strlcpy(x->real, said->real, sizeof(x->real));
		x->peer = x->real;
	}
	if (said->id.len > 0 && said->id.len <= sizeof(x->id)) {
		memcpy(x->id, said->id.at, said->id.len);
		x->id_len = said->id.len;
	}
}

static struct headers_facts facts_of(const struct exchange *x, const struct head *head,
    const struct route *route, const struct forwarded *said)
{
	return (struct headers_facts){
		.head = head,
		.client = x->client,
		.site = x->site,
		.peer = bytes_str(x->client->peer_text),
		.real = bytes_str(x->peer),
		.id = bytes_of(x->id, x->id_len),
		.said = said,
		.route = route->to,
		.path = route->path,
		.expect = x->expects,
		.hops = headers_hops(head),
	};
}

/* Into the exchange's own place, or into the heap. */
static int request_build(struct exchange *x, const struct headers_facts *facts)
{
	const struct head *head = facts->head;
	struct writer w = writer_of(x->head, x->head_cap);

	if (!headers_write(&w, facts, &x->marks)) {
		size_t cap = headers_bound(facts) + head->path.len + head->query.len + 1;
		uint8_t *grown = malloc(cap);

		if (grown == NULL)
			return -1;
		if (x->head != x->first)
			free(x->head);
		x->head = grown;
		x->head_cap = cap;
		w = writer_of(x->head, x->head_cap);
		if (!headers_write(&w, facts, &x->marks))
			return -1;
	}
	x->head_len = writer_len(&w);
	x->method = bytes_of(x->head, head->method.len);
	target_keep(x, head, &w);
	x->head_used = writer_len(&w);
	return 0;
}

/* The log has the target as it was asked for: where the server gets another, it is kept behind the head. */
static void target_keep(struct exchange *x, const struct head *head, struct writer *w)
{
	size_t query = head->query.at != NULL ? head->query.len + 1 : 0;
	struct writer before = *w;

	if (x->marks.target.len == head->path.len + query &&
	    bytes_equal(bytes_sub(x->marks.target, 0, head->path.len), head->path))
		return;
	writer_bytes(w, head->path);
	if (head->query.at != NULL) {
		writer_u8(w, '?');
		writer_bytes(w, head->query);
	}
	if (w->ok)
		x->marks.target = bytes_of(before.at, (size_t)(w->at - before.at));
	else
		*w = before;
}

/* RFC 9110, section 9.2.2; of TRACE nothing comes this far. */
static void method_set(struct exchange *x, const struct head *head)
{
	static const char *const idempotent[] = { "GET", "HEAD", "OPTIONS", "PUT", "DELETE" };

	x->head_request = bytes_equal_str(head->method, "HEAD");
	for (size_t i = 0; i < sizeof(idempotent) / sizeof(idempotent[0]); i++)
		x->idempotent |= bytes_equal_str(head->method, idempotent[i]);
}

/* Kept as long as all of it can be, and there may be another try. */
static void hold(struct exchange *x, struct bytes slice)
{
	if (!x->held_all || x->state != EXCHANGE_ASKING)
		return;
	if (x->held == NULL)
		x->held = exchange_held_alloc(x->worker->exchanges);
	if (x->held == NULL || slice.len > x->worker->exchanges->held_max - x->held_len) {
		x->held_all = false;
		exchange_held_free(x);
		return;
	}
	memcpy(x->held + x->held_len, slice.at, slice.len);
	x->held_len += slice.len;
}

/* Found out only while the body came. */
static void give_up(struct exchange *x, uint16_t status, enum reason reason)
{
	bool answering = x->state == EXCHANGE_ANSWERING;

	if (x->origin != NULL)
		x->origin->ops->cancel(x->origin, reason);
	pool_wait_cancel(&x->waiter);
	x->origin = NULL;
	x->pool = NULL;
	if (!answering) {
		exchange_answer(x, status, reason);
		return;
	}
	x->reason = reason;
	x->front->ops->abort(x->front, reason);
	exchange_finish(x);
}
