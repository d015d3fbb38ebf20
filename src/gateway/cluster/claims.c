/*
 * claims.c: see claims.h. Invariant: a server has one claim in flight, or none.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/counters.h"
#include "gateway/cluster/claims.h"
#include "gateway/cluster/keyclient.h"
#include "gateway/report.h"

#include "base/poison.h"

struct claim {
	struct claims *claims;
	struct keyclient_ask *ask; /* NULL: none in flight */
	uint64_t n; /* that it tells */
	char address[ENDPOINT_TEXT_MAX]; /* of whom it tells */
};

struct claims {
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

/* The master's cell: the sum of the row is what was told last, whoever told it. */
static void told(void *arg, enum reason reason, struct bytes answer)
{
	struct claim *c = arg;
	char row[COUNTERS_NAME_MAX];

	(void)answer;
	c->ask = NULL;
	if (reason == REASON_NONE && row_of(row, sizeof(row), REPORT_CLAIMED, c->address) != NULL)
		report_master(c->claims->counters, row, c->n);
}

static void tell(struct claims *claims, unsigned slot, const struct endpoint *server)
{
	struct claim *c = &claims->at[slot];
	char asked[COUNTERS_NAME_MAX], claimed[COUNTERS_NAME_MAX];
	enum reason why;

	if (c->ask != NULL || server->addr.ss_family == AF_UNIX)
		return;
	endpoint_text(server, c->address, sizeof(c->address));
	if (row_of(asked, sizeof(asked), REPORT_ASKED, c->address) == NULL ||
	    row_of(claimed, sizeof(claimed), REPORT_CLAIMED, c->address) == NULL)
		return;
	c->n = counters_sum(claims->counters, asked);
	if (c->n == 0 ||
	    (c->n == counters_sum(claims->counters, claimed) && claims->times % CLAIMS_EACH != 0))
		return;
	c->ask = keyclient_signed(claims->keys, slot,
	    counters_sum(claims->counters, REPORT_INSTANCE), c->n, told, c, &why);
}

void claims_tell(struct claims *claims)
{
	const struct endpoint *server;

	for (unsigned slot = 0; (server = keyclient_server(claims->keys, slot)) != NULL; slot++)
		tell(claims, slot, server);
}

static void again(struct deadline *d)
{
	struct claims *claims = CONTAINER_OF(d, struct claims, again);

	deadline_set(claims->loop, &claims->again, claims->period_ms, again);
	claims->times++;
	claims_tell(claims);
}

struct claims *claims_new(struct loop *loop, struct keyclient *keys, struct counters *counters)
{
	struct claims *claims = calloc(1, sizeof(*claims));

	if (claims == NULL)
		return NULL;
	claims->loop = loop;
	claims->keys = keys;
	claims->counters = counters;
	claims->period_ms = CLAIMS_MS;
	for (size_t i = 0; i < PEERS_MAX; i++)
		claims->at[i].claims = claims;
	/* Workers that started together take turns: the others find nothing to tell. */
	deadline_set(loop, &claims->again, arc4random_uniform(CLAIMS_MS), again);
	return claims;
}

void claims_drain(struct claims *claims)
{
	claims->period_ms = CLAIMS_DRAIN_MS;
	deadline_set(claims->loop, &claims->again, CLAIMS_DRAIN_MS, again);
	claims_tell(claims);
}

void claims_free(struct claims *claims)
{
	if (claims == NULL)
		return;
	for (size_t i = 0; i < PEERS_MAX; i++) {
		if (claims->at[i].ask != NULL)
			keyclient_cancel(claims->at[i].ask);
	}
	deadline_clear(claims->loop, &claims->again);
	free(claims);
}
