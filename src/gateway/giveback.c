/*
 * giveback.c: see giveback.h. A rush is over when no handshake is paused. Looking through the heap takes
 * milliseconds where it is large, so it may take a thousandth of the time at most.
 */
#include "config.h"

#include "gateway/giveback.h"

#include <malloc.h>
#include <time.h>

#include "gateway/exchange/exchange.h"
#include "gateway/tls/handshake.h"
#include "gateway/worker.h"

#include "base/poison.h"

enum { REST_FACTOR = 1000 };

/* The loop's own stands still within a turn. */
static uint64_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void giveback_look(struct worker *w, uint64_t *not_before)
{
	uint64_t began, ended;

	if (loop_now(w->loop) < *not_before || !sitectxs_give_back(w->tls))
		return;
	began = clock_now();
	exchanges_give_back(w->exchanges);
	malloc_trim(0);
	ended = clock_now();
	*not_before = ended + REST_FACTOR * (ended - began);
}
