/*
 * delays.c: see delays.h.
 */
#include "net/delays.h"

#include "base/poison.h"

/* Two bits below the leading one: 4, 5, 6 and 7 quarters of a power of two. */
static unsigned bucket_of(uint64_t us)
{
	unsigned power, at;

	if (us < 4)
		us = 4;
	power = 63 - (unsigned)__builtin_clzll(us);
	at = (power - 2) * 4 + ((us >> (power - 2)) & 3);
	return at < DELAYS_BUCKETS ? at : DELAYS_BUCKETS - 1;
}

static uint64_t end_of(unsigned bucket)
{
	return (uint64_t)(5 + bucket % 4) << (bucket / 4);
}

static void fade(struct delays *d)
{
	d->n = 0;
	for (unsigned i = 0; i < DELAYS_BUCKETS; i++)
		d->n += d->count[i] /= 2;
}

void delays_add(struct delays *d, uint64_t us)
{
	d->count[bucket_of(us)]++;
	if (++d->n >= DELAYS_FADE)
		fade(d);
}

uint64_t delays_quantile(const struct delays *d, uint32_t permille)
{
	uint64_t seen = 0;

	if (d->n < DELAYS_MIN)
		return 0;
	for (unsigned i = 0; i < DELAYS_BUCKETS; i++) {
		seen += d->count[i];
		if (seen * 1000 >= (uint64_t)d->n * permille)
			return end_of(i);
	}
	return end_of(DELAYS_BUCKETS - 1);
}
