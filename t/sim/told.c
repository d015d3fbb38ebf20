/*
 * told.c: see told.h.
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
#include "t/sim/told.h"

#include "base/poison.h"

static void tell(struct told *t, const char *text)
{
	assert_false(t->over);
	assert_true(strlcat(t->text, text, sizeof(t->text)) < sizeof(t->text));
}

void told_cancel(struct told *t)
{
	t->origin->ops->cancel(t->origin, REASON_RESET);
	tell(t, "cancelled");
	t->over = true;
}

static void on_head(void *arg, const struct head *head)
{
	struct told *t = arg;
	char text[16];

	snprintf(text, sizeof(text), "%u ", head->status);
	tell(t, text);
	if (t->cancel_at_head)
		told_cancel(t);
}

static enum flow on_body(void *arg, struct bytes slice)
{
	struct told *t = arg;
	char text[256];

	assert_true(slice.len > 0);
	t->body_len += slice.len;
	if (t->body_len < 200) {
		snprintf(text, sizeof(text), "%.*s", (int)slice.len, (const char *)slice.at);
		tell(t, text);
	}
	if (t->cancel_at_body) {
		told_cancel(t);
		return FLOW_GO;
	}
	return t->stop_after > 0 && --t->stop_after == 0 ? FLOW_STOP : FLOW_GO;
}

static void on_end(void *arg, enum reason odd)
{
	struct told *t = arg;

	tell(t, " end");
	if (odd != REASON_NONE) {
		tell(t, " ");
		tell(t, reason_name(odd));
	}
	t->over = true;
	t->kept = told_idle_ones(t->g);
}

static void on_drained(void *arg)
{
	((struct told *)arg)->drained++;
}

static void on_failed(void *arg, enum reason reason, bool answer_begun, uint64_t sent)
{
	struct told *t = arg;

	tell(t, "failed ");
	tell(t, reason_name(reason));
	if (answer_begun)
		tell(t, " begun");
	t->sent = sent;
	t->over = true;
}

static const struct origin_events events = {
	.head = on_head,
	.body = on_body,
	.end = on_end,
	.drained = on_drained,
	.failed = on_failed,
};

void told_ask_with(
    struct told *t, struct sim_gateway *g, enum pool_want want, const struct origin_request *r)
{
	enum reason reason;
	struct upstream *up = pool_take(
	    pools_find(g->worker.pools, "pool"), &(struct pool_wish){ .want = want }, &reason);

	assert_non_null(up);
	*t = (struct told){ .g = g };
	t->origin = upstream_origin(up, &events, t);
	t->origin->ops->start(t->origin, r);
}

void told_ask(struct told *t, struct sim_gateway *g)
{
	struct origin_request r = { .head = bytes_str(TOLD_ASKED) };

	told_ask_with(t, g, POOL_ANY, &r);
}

bool told_is_over(void *arg)
{
	return ((struct told *)arg)->over;
}

void told_expect(struct told *t, const char *text)
{
	sim_until(t->g, told_is_over, t);
	assert_string_equal(t->text, text);
}

struct sim_gateway *told_gateway(void)
{
	struct sim_gateway *g = sim_gateway_new(1);

	g->pool.connect_timeout = g->pool.answer_timeout = 60;
	g->pool.idle_timeout = 4000;
	g->pool.idle_connections = 64;
	sim_gateway_start(g);
	return g;
}

size_t told_idle_ones(struct sim_gateway *g)
{
	/* None is in use in these tests when this is asked. */
	return counter_get(g->worker.counters.upstreams_open);
}
