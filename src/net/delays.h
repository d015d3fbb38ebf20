/*
 * delays.h: how long the last answers of a server took: a small histogram whose old half fades, so
 * that a quantile follows within some hundred answers. Steps of about a fifth. Pure.
 */
#ifndef NET_DELAYS_H
#define NET_DELAYS_H

#include <stdint.h>

enum {
	DELAYS_BUCKETS = 96, /* four for each doubling, from 1 us to 16 s */
	DELAYS_FADE = 512, /* at so many each counts half */
	DELAYS_MIN = 20, /* fewer say nothing */
};

struct delays {
	uint16_t count[DELAYS_BUCKETS];
	uint32_t n;
};

void delays_add(struct delays *, uint64_t us);
/* The time that so many of 1000 answers did not exceed, rounded up to a step; 0: too few are known. */
uint64_t delays_quantile(const struct delays *, uint32_t permille);

#endif
