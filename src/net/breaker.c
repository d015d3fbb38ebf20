/*
 * breaker.c: see breaker.h.
 */
#include "net/breaker.h"

#include "base/poison.h"

static uint64_t next_probe(uint64_t now_ms, uint32_t chance)
{
	return now_ms + BREAKER_PROBE_MS + chance % (BREAKER_JITTER_MS + 1);
}

static void push(struct breaker *b, uint32_t failed)
{
	b->window = (b->window << 1 | failed) & ((1u << BREAKER_WINDOW) - 1);
	if (b->window_n < BREAKER_WINDOW)
		b->window_n++;
}

void breaker_init(struct breaker *b)
{
	*b = (struct breaker){ 0 };
}

bool breaker_is_open(const struct breaker *b)
{
	return b->open;
}

bool breaker_ok(struct breaker *b)
{
	bool was_open = b->open;

	/* What happened before it opened says nothing of the server that is there now, but that it has to
	 * show itself. */
	if (was_open) {
		breaker_init(b);
		b->trial = BREAKER_TRIAL;
	} else if (b->trial > 0) {
		b->trial--;
	}
	b->in_row = 0;
	push(b, 0);
	return was_open;
}

bool breaker_failed(struct breaker *b, uint64_t now_ms, uint32_t chance)
{
	push(b, 1);
	if (b->in_row < BREAKER_IN_ROW)
		b->in_row++;
	if (b->open)
		return false;
	if (b->trial == 0 && b->in_row < BREAKER_IN_ROW &&
	    (b->window_n < BREAKER_WINDOW || __builtin_popcount(b->window) * 2 < BREAKER_WINDOW))
		return false;
	b->open = true;
	b->probe_ms = next_probe(now_ms, chance);
	return true;
}

bool breaker_probe(struct breaker *b, uint64_t now_ms, uint32_t chance)
{
	if (!b->open || now_ms < b->probe_ms)
		return false;
	b->probe_ms = next_probe(now_ms, chance);
	return true;
}
