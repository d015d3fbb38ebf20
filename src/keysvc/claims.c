/*
 * claims.c: see claims.h. Called by keysvc: for each claim, and by its tick.
 */
#include "keysvc/claims.h"

#include <string.h>

#include "base/poison.h"

static uint64_t found(struct claims *c, uint64_t n)
{
	c->unclaimed += n;
	c->covered += n; /* told once */
	memset(c->beyond, 0, sizeof(c->beyond));
	return n;
}

static void begin(struct claims *c, uint64_t instance, uint64_t count, uint64_t asked)
{
	c->doubled |= c->former != 0 && instance == c->former;
	c->former = c->instance;
	c->instance = instance;
	c->count = count;
	c->covered = asked; /* where the former's count ended is not known */
	memset(c->beyond, 0, sizeof(c->beyond));
}

uint64_t claims_take(
    struct claims *c, uint64_t instance, uint64_t count, uint64_t asked, uint64_t now_ms)
{
	uint64_t lately = asked - c->seen[1], least = UINT64_MAX;

	c->claimed_ms = now_ms;
	if (instance != c->instance) {
		begin(c, instance, count, asked);
		return 0;
	}
	/* A claim may be overtaken by a later one, of another worker. */
	if (count > c->count) {
		uint64_t more = count - c->count;

		c->covered = more < UINT64_MAX - c->covered ? c->covered + more : UINT64_MAX;
		c->count = count;
	}
	memmove(&c->beyond[1], &c->beyond[0], sizeof(c->beyond) - sizeof(c->beyond[0]));
	c->beyond[0] = asked > c->covered ? asked - c->covered : 0;
	for (int i = 0; i < CLAIMS_ROWS; i++)
		least = c->beyond[i] < least ? c->beyond[i] : least;
	return least > (lately + CLAIMS_SLACK / 2) / CLAIMS_SLACK ? found(c, least) : 0;
}

uint64_t claims_tick(struct claims *c, uint64_t asked, uint64_t now_ms)
{
	uint64_t before = c->seen[CLAIMS_TICKS - 2]; /* 30 s ago */

	memmove(&c->seen[1], &c->seen[0], sizeof(c->seen) - sizeof(c->seen[0]));
	c->seen[0] = asked;
	if (c->claimed_ms != 0 && now_ms - c->claimed_ms < CLAIMS_SILENT_MS)
		return 0;
	/* Somebody asked so long ago that a claim should have come, and goes on asking. */
	return before > c->covered && asked > before ? found(c, asked - c->covered) : 0;
}
