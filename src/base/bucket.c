/*
 * bucket.c: a token bucket in whole numbers: a rate of n tokens a second fills n thousandths a ms.
 */
#include "base/bucket.h"

#include "base/poison.h"

enum { PARTS = 1000 }; /* of a token */

/* Far above any use, and far below where a product with PARTS wraps. */
static const uint64_t BUCKET_MAX = UINT64_C(1) << 40;

static uint64_t clamped(uint64_t n)
{
	return n < BUCKET_MAX ? n : BUCKET_MAX;
}

void bucket_init(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now)
{
	b->rate = clamped(rate);
	b->burst = clamped(burst);
	b->level = b->burst * PARTS;
	b->last = now;
}

void bucket_set(struct bucket *b, uint64_t rate, uint64_t burst)
{
	b->rate = clamped(rate);
	b->burst = clamped(burst);
	if (b->level > b->burst * PARTS)
		b->level = b->burst * PARTS;
}

bool bucket_take(struct bucket *b, uint64_t tokens, uint64_t now)
{
	uint64_t passed = now > b->last ? now - b->last : 0, room = b->burst * PARTS - b->level;

	if (b->rate != 0 && passed > room / b->rate)
		b->level += room;
	else
		b->level += passed * b->rate;
	if (now > b->last)
		b->last = now;
	if (tokens > b->burst || tokens * PARTS > b->level)
		return false;
	b->level -= tokens * PARTS;
	return true;
}
