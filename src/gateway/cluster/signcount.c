/*
 * signcount.c: see signcount.h. Invariant: a server has one claim in flight, or none.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/counters.h"
#include "gateway/cluster/keyclient.h"
#include "gateway/cluster/signcount.h"
#include "gateway/report.h"

#include "base/poison.h"

struct claim {
	struct signcount *of;
	struct keyclient_ask *ask; /* NULL: none in flight */
	uint64_t n; /* that it tells */
	struct deadline
	    retry; /* it was not told: a server that is back must not wait for its turn */
	char address[ENDPOINT_TEXT_MAX]; /* of whom it tells */
};

struct signcount {
	struct loop *loop;
	struct keyclient *keys;
	struct counters *counters;
	uint32_t period_ms;
	unsigned times; /* that it has looked */
	struct deadline again;
	struct claim at[PEERS_MAX]; /* by slot */
};

static const char *row_of(char *row, size_t size, const char *what, const char *address)
{
	return (size_t)snprintf(row, size, "%s%s", what, address) < size ? row : NULL;
}

static void retry(struct deadline *);

/* The master's cell: the sum of the row is what was told last, whoever told it. */
static void told(void *arg, enum reason reason, struct bytes answer)
{
	struct claim *c = arg;
	char row[COUNTERS_NAME_MAX];

	(void)answer;
	c->ask = NULL;
	if (reason != REASON_NONE)
		deadline_set(c->of->loop, &c->retry, SIGNCOUNT_RETRY_MS, retry);
	else if (row_of(row, sizeof(row), REPORT_CLAIMED, c->address) != NULL)
		report_master(c->of->counters, row, c->n);
}

static void tell(struct signcount *count, unsigned slot, const struct endpoint *server)
{
	struct claim *c = &count->at[slot];
	char asked[COUNTERS_NAME_MAX], claimed[COUNTERS_NAME_MAX];
	enum reason why;

	if (c->ask != NULL || server->addr.ss_family == AF_UNIX)
		return;
	endpoint_text(server, c->address, sizeof(c->address));
	if (row_of(asked, sizeof(asked), REPORT_ASKED, c->address) == NULL ||
	    row_of(claimed, sizeof(claimed), REPORT_CLAIMED, c->address) == NULL)
		return;
	c->n = counters_sum(count->counters, asked);
	if (c->n == 0 ||
	    (c->n == counters_sum(count->counters, claimed) && count->times % SIGNCOUNT_EACH != 0))
		return;
	c->ask = keyclient_signed(
	    count->keys, slot, counters_sum(count->counters, REPORT_INSTANCE), c->n, told, c, &why);
	if (c->ask == NULL)
		deadline_set(count->loop, &c->retry, SIGNCOUNT_RETRY_MS, retry);
}

static void retry(struct deadline *d)
{
	struct claim *c = CONTAINER_OF(d, struct claim, retry);
	unsigned slot = (unsigned)(c - c->of->at);
	const struct endpoint *server = keyclient_server(c->of->keys, slot);

	if (server != NULL)
		tell(c->of, slot, server);
}

void signcount_tell(struct signcount *count)
{
	const struct endpoint *server;

	for (unsigned slot = 0; (server = keyclient_server(count->keys, slot)) != NULL; slot++)
		tell(count, slot, server);
}

static void again(struct deadline *d)
{
	struct signcount *count = CONTAINER_OF(d, struct signcount, again);

	deadline_set(count->loop, &count->again, count->period_ms, again);
	count->times++;
	signcount_tell(count);
}

struct signcount *signcount_new(
    struct loop *loop, struct keyclient *keys, struct counters *counters)
{
	struct signcount *count = calloc(1, sizeof(*count));

	if (count == NULL)
		return NULL;
	count->loop = loop;
	count->keys = keys;
	count->counters = counters;
	count->period_ms = SIGNCOUNT_MS;
	for (size_t i = 0; i < PEERS_MAX; i++)
		count->at[i].of = count;
	/* Workers that started together take turns: the others find nothing to tell. */
	deadline_set(loop, &count->again, arc4random_uniform(SIGNCOUNT_MS), again);
	return count;
}

void signcount_drain(struct signcount *count)
{
	count->period_ms = SIGNCOUNT_DRAIN_MS;
	deadline_set(count->loop, &count->again, SIGNCOUNT_DRAIN_MS, again);
	signcount_tell(count);
}

void signcount_free(struct signcount *count)
{
	if (count == NULL)
		return;
	for (size_t i = 0; i < PEERS_MAX; i++) {
		if (count->at[i].ask != NULL)
			keyclient_cancel(count->at[i].ask);
		deadline_clear(count->loop, &count->at[i].retry);
	}
	deadline_clear(count->loop, &count->again);
	free(count);
}
