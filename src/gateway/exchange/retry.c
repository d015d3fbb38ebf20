/*
 * retry.c: see retry.h.
 */
#include "config.h"

#include "gateway/exchange/retry.h"

#include "base/poison.h"

enum retry retry_decide(const struct retry_facts *f, bool *costs)
{
	*costs = false;
	if (f->answer_begun || !f->held)
		return RETRY_NO;
	if (f->sent == 0) {
		/* Nothing of it reached anybody, so any method may go again. A kept connection that
		 * was gone tells nothing about its server; one that did not open does. */
		if (f->reused)
			return RETRY_NEW;
		return f->others && f->time_left ? RETRY_OTHER : RETRY_NO;
	}
	/* It may have been carried out. */
	if (!f->idempotent)
		return RETRY_NO;
	*costs = true;
	if (f->reused)
		return RETRY_NEW;
	return f->others ? RETRY_OTHER : RETRY_NO;
}

void retry_budget_request(struct retry_budget *budget, uint64_t second)
{
	unsigned i = (unsigned)(second % RETRY_WINDOW_S);

	if (budget->slots[i].second != second) {
		budget->slots[i].second = second;
		budget->slots[i].requests = budget->slots[i].retries = 0;
	}
	budget->slots[i].requests++;
}

bool retry_budget_take(struct retry_budget *budget, uint64_t second)
{
	uint64_t requests = 0, retries = 0, allowed;
	unsigned here = (unsigned)(second % RETRY_WINDOW_S);

	for (unsigned i = 0; i < RETRY_WINDOW_S; i++) {
		if (budget->slots[i].second + RETRY_WINDOW_S <= second)
			continue;
		requests += budget->slots[i].requests;
		retries += budget->slots[i].retries;
	}
	allowed = requests * RETRY_BUDGET_PERCENT / 100;
	if (allowed < RETRY_BUDGET_MIN)
		allowed = RETRY_BUDGET_MIN;
	if (retries >= allowed)
		return false;
	if (budget->slots[here].second != second) {
		budget->slots[here].second = second;
		budget->slots[here].requests = budget->slots[here].retries = 0;
	}
	budget->slots[here].retries++;
	return true;
}
