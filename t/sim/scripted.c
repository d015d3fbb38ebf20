/*
 * scripted.c: see scripted.h.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/counters.h"
#include "base/log.h"
#include "t/sim/scripted.h"
#include "t/unit/client_at.h"

#include "base/poison.h"

static void origin_start(struct origin *o, const struct origin_request *r)
{
	struct upstream *up = (struct upstream *)o;

	assert_true(r->head.len < sizeof(up->head));
	memcpy(up->head, r->head.at, r->head.len);
	up->head[r->head.len] = '\0';
	up->chunked = r->chunked;
	up->body_follows = r->body_follows;
}

static enum flow origin_body(struct origin *o, struct bytes slice)
{
	struct upstream *up = (struct upstream *)o;

	assert_true(up->body_follows && !up->ended && !up->cancelled);
	assert_true(up->body_len + slice.len < sizeof(up->body));
	memcpy(up->body + up->body_len, slice.at, slice.len);
	up->body_len += slice.len;
	up->body[up->body_len] = '\0';
	return up->flow;
}

static void origin_end(struct origin *o)
{
	struct upstream *up = (struct upstream *)o;

	assert_true(up->body_follows && !up->ended && !up->cancelled);
	up->ended = true;
}

static void origin_resume(struct origin *o)
{
	((struct upstream *)o)->resumed++;
}

static void origin_cancel(struct origin *o, enum reason reason)
{
	struct upstream *up = (struct upstream *)o;

	(void)reason;
	assert_false(up->cancelled);
	up->cancelled = true;
}

static const struct origin_ops origin_ops = {
	.name = "scripted",
	.start = origin_start,
	.body = origin_body,
	.end = origin_end,
	.resume = origin_resume,
	.cancel = origin_cancel,
};

struct upstream *pool_take(struct pool *p, const struct pool_wish *wish, enum reason *reason)
{
	struct upstream *up;

	if (p->busy) {
		*reason = REASON_POOL_BUSY;
		return NULL;
	}
	if (p->none) {
		*reason = REASON_NO_SERVER;
		return NULL;
	}
	up = &p->ups[p->taken];
	assert_true(p->taken < 8);
	p->wants[p->taken] = wish->want;
	p->tried[p->taken++] = wish->tried;
	return up;
}

void upstream_for(
    struct upstream *up, const union endpoint_brief *client, const union endpoint_brief *local)
{
	(void)up;
	(void)client;
	(void)local;
}

struct origin *upstream_origin(struct upstream *up, const struct origin_events *events, void *arg)
{
	up->origin = (struct origin){ &origin_ops, events, arg };
	return &up->origin;
}

unsigned upstream_server_index(const struct upstream *up)
{
	return up->server;
}

bool upstream_reused(const struct upstream *up)
{
	return up->reused;
}

const char *upstream_server_text(const struct upstream *up)
{
	(void)up;
	return "";
}

uint64_t pool_client(const char *address)
{
	(void)address;
	return 0;
}

int pool_wait(struct pool *p, struct pool_waiter *waiter, const struct pool_wish *wish,
    void (*ready)(struct pool_waiter *, enum reason))
{
	if (p->line_full)
		return -1;
	waiter->pool = p;
	waiter->wish = *wish;
	waiter->ready = ready;
	p->waiter = waiter;
	return 0;
}

void pool_wait_cancel(struct pool_waiter *waiter)
{
	waiter->pool = NULL;
}

size_t pool_servers_n(const struct pool *p)
{
	return p->servers;
}

unsigned pool_sticky_find(const struct pool *p, struct bytes id)
{
	(void)p;
	return id.len == 1 ? (unsigned)(id.at[0] - '0') : 0;
}

void pool_sticky_id(const struct pool *p, unsigned server, char id[static POOL_STICKY_LEN])
{
	(void)p;
	memset(id, 'a' + (int)server, POOL_STICKY_LEN);
}

bool pool_server_well(const struct pool *p, unsigned server)
{
	return !p->none && server != 3;
}

const struct pool_conf *pool_conf(const struct pool *p)
{
	return &p->conf;
}

static struct scripted *scripted_of(struct front *front)
{
	return (struct scripted *)front;
}

static void tell(struct scripted *b, struct bytes text)
{
	size_t len = strlen(b->told);

	assert_int_equal(b->done, 0);
	if (text.len > sizeof(b->told) - 1 - len)
		text.len = sizeof(b->told) - 1 - len;
	memcpy(b->told + len, text.at, text.len);
	b->told[len + text.len] = '\0';
}

static void front_head(struct front *front, const struct answer *a)
{
	struct scripted *b = scripted_of(front);
	char line[300];

	snprintf(line, sizeof(line), "%u%s ", a->status, a->close ? " close" : "");
	tell(b, bytes_str(line));
	for (size_t i = 0; i < a->fields_n; i++) {
		if (bytes_equal_str(a->fields[i].name, "Location")) {
			tell(b, a->fields[i].value);
			tell(b, bytes_str(" "));
		}
	}
	if (b->lose_at_head) {
		struct exchange *x = b->x;

		b->x = NULL;
		exchange_lost(x, REASON_RESET);
	}
}

static enum flow front_body(struct front *front, struct bytes slice)
{
	struct scripted *b = scripted_of(front);

	b->body_len += slice.len;
	if (slice.len < 100)
		tell(b, slice);
	return b->flow;
}

static void front_end(struct front *front)
{
	tell(scripted_of(front), bytes_str(" end"));
}

static void front_abort(struct front *front, enum reason reason)
{
	tell(scripted_of(front), bytes_str(" abort "));
	tell(scripted_of(front), bytes_str(reason_name(reason)));
}

static void front_resume(struct front *front)
{
	scripted_of(front)->resumed++;
}

static void front_done(struct front *front, struct exchange *x)
{
	struct scripted *b = scripted_of(front);

	assert_ptr_equal(b->x, x);
	b->unread = exchange_request_unread(x);
	b->x = NULL;
	b->done++;
}

static const struct front_ops front_ops = {
	.name = "scripted",
	.head = front_head,
	.body = front_body,
	.end = front_end,
	.abort = front_abort,
	.resume = front_resume,
	.done = front_done,
};

static struct pool *pool_by_name(void *arg, const char *name)
{
	(void)name;
	return arg;
}

struct scripted *scripted_new(size_t servers)
{
	struct scripted *b = calloc(1, sizeof(*b));
	struct worker *w = &b->worker;
	size_t n = 0;

	assert_non_null(b);
	log_set(LOG_TARGET_STDERR, LOG_LEVEL_WARN);
	b->front.ops = &front_ops;
	b->pool.servers = servers;
	b->pool.conf.connect_timeout = 1000;
	for (unsigned i = 0; i < 8; i++)
		b->pool.ups[i].server = i;
	b->names[0][0] = SCRIPTED_TEXT("shop.example");
	b->names[1][0] = SCRIPTED_TEXT("other.example");
	b->routes[0] = (struct route_conf){ .path = SCRIPTED_TEXT("/"),
		.pool = SCRIPTED_TEXT("p") };
	b->routes[1] = (struct route_conf){ .path = SCRIPTED_TEXT("/only"),
		.pool = SCRIPTED_TEXT("p") };
	for (int i = 0; i < 2; i++) {
		b->sites[i].name = b->names[i][0];
		b->sites[i].names.at = b->names[i];
		b->sites[i].names.n = 1;
		b->sites[i].routes.at = &b->routes[i];
		b->sites[i].routes.n = 1;
	}
	b->listener.address = SCRIPTED_TEXT("*:8443");
	b->conf.listeners.at = &b->listener;
	b->conf.listeners.n = 1;
	b->conf.sites.at = b->sites;
	b->conf.sites.n = 2;
	w->conf = &b->conf;
	w->loop = loop_new();
#define X(field, name) w->counters.field = &b->cells[n++];
	WORKER_COUNTERS(X)
#undef X
	for (int i = 0; i < REASON_N; i++)
		w->counters.reasons[i] = &b->cells[n++];
	w->sites = sites_new(&b->conf, pool_by_name, &b->pool);
	w->exchanges = exchanges_new(w);
	assert_true(w->loop != NULL && w->sites != NULL && w->exchanges != NULL);
	b->client.site = sites_default(w->sites);
	b->client.sni = "shop.example";
	client_at(&b->client, "192.0.2.7", 40000, "192.0.2.1", 443);
	return b;
}

static void tick(struct deadline *d)
{
	(void)d;
}

void scripted_turn(struct scripted *b)
{
	struct deadline d = { 0 };

	deadline_set(b->worker.loop, &d, 0, tick);
	assert_int_equal(loop_turn(b->worker.loop), 0);
	deadline_clear(b->worker.loop, &d);
}

void scripted_free(struct scripted *b)
{
	assert_null(b->x);
	assert_int_equal(counter_get(b->worker.counters.requests_open), 0);
	scripted_turn(b);
	exchanges_free(b->worker.exchanges);
	sites_free(b->worker.sites);
	loop_free(b->worker.loop);
	free(b);
}

void scripted_begin(struct scripted *b, const char *request)
{
	static const struct head_limits limits = { 32768, 16384, 100 };
	struct head_scan scan = { 0 };
	struct verdict verdict;
	size_t used;

	assert_int_equal(
	    head_request(bytes_str(request), &limits, &scan, &b->head, &used, &verdict), PARSE_OK);
	b->told[0] = '\0';
	b->done = 0;
	b->x = exchange_begin(&b->worker, &b->front, &b->client, &b->head);
	assert_non_null(b->x);
	assert_string_equal(b->told, "");
	if (b->head.body == BODY_NONE)
		exchange_end(b->x);
	/* It has its own copy. */
	memset(&b->head, 0xff, sizeof(b->head));
}

void scripted_fails(struct scripted *b, unsigned up, enum reason reason, bool begun, uint64_t sent)
{
	struct origin *o = &b->pool.ups[up].origin;

	o->events->failed(o->arg, reason, begun, sent);
}

void scripted_says_head(struct scripted *b, unsigned up, unsigned status, enum body body)
{
	struct origin *o = &b->pool.ups[up].origin;

	head_init(&b->head);
	b->head.status = (uint16_t)status;
	b->head.body = body;
	o->events->head(o->arg, &b->head);
}

void scripted_answers(struct scripted *b, unsigned up)
{
	struct origin *o = &b->pool.ups[up].origin;

	scripted_says_head(b, up, 200, BODY_LENGTH);
	assert_int_equal(o->events->body(o->arg, bytes_str("hi")), b->flow);
	o->events->end(o->arg, REASON_NONE);
	assert_string_equal(b->told, "200 hi end");
	assert_int_equal(b->done, 1);
}

void scripted_expect_page(struct scripted *b, unsigned status)
{
	char line[16];

	assert_int_equal(b->done, 0);
	scripted_turn(b);
	snprintf(line, sizeof(line), "%u ", status);
	assert_memory_equal(b->told, line, 4);
	assert_int_equal(b->done, 1);
}
