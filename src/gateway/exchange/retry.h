/*
 * retry.h: may a request that failed be asked again, and where? Pure: facts in, verdict out; and the
 * budget that keeps retries from doubling the load of back-ends in trouble.
 */
#ifndef GATEWAY_EXCHANGE_RETRY_H
#define GATEWAY_EXCHANGE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

enum {
	RETRY_BUDGET_PERCENT = 20, /* of the requests of the window */
	RETRY_BUDGET_MIN = 10, /* always allowed, in a window */
	RETRY_WINDOW_S = 10,
};

struct retry_facts {
	uint64_t sent; /* bytes of the request given to write(2) */
	bool answer_begun; /* a byte of an answer was seen */
	bool reused; /* the connection had been idle in the pool */
	bool idempotent; /* GET, HEAD, OPTIONS, PUT, DELETE */
	bool held; /* the whole body, as far as it has come, can be sent again */
	bool others; /* there are servers that were not tried */
	bool time_left; /* within connect_timeout since the first try */
};

enum retry {
	RETRY_NO,
	RETRY_NEW, /* on a new connection; the same server will do */
	RETRY_OTHER, /* on another server */
};

/* *costs: it counts against the budget. */
enum retry retry_decide(const struct retry_facts *, bool *costs);

struct retry_budget {
	struct {
		uint64_t second;
		uint32_t requests, retries;
	} slots[RETRY_WINDOW_S];
};

void retry_budget_request(struct retry_budget *, uint64_t second);
bool retry_budget_take(struct retry_budget *, uint64_t second);

#endif
