/*
 * epochclock.c: two comparisons. Called by epochs.
 */
#include "keysvc/epochclock.h"

#include "base/poison.h"

enum { AHEAD_MAX_S = 30 * 86400 };

static bool fits_file(const struct epochclock *c, uint64_t wall)
{
	if (c->written == 0)
		return true;
	return wall + c->period >= c->written && wall <= c->written + AHEAD_MAX_S;
}

static bool fits_boot(const struct epochclock *c, uint64_t wall, uint64_t boot)
{
	int64_t moved = (int64_t)(wall - c->wall0), passed = (int64_t)(boot - c->boot0);
	int64_t apart = moved > passed ? moved - passed : passed - moved;

	return apart <= (int64_t)c->period;
}

void epochclock_start(
    struct epochclock *c, uint32_t period, uint64_t written, uint64_t wall, uint64_t boot)
{
	*c = (struct epochclock){ .period = period, .written = written, .started = boot };
	epochclock_check(c, wall, boot);
}

bool epochclock_check(struct epochclock *c, uint64_t wall, uint64_t boot)
{
	bool was = c->held;

	if (!c->believed && fits_file(c, wall))
		epochclock_accept(c, wall, boot);
	c->held = !c->believed || !fits_boot(c, wall, boot);
	return c->held != was;
}

uint64_t epochclock_believed(const struct epochclock *c, uint64_t wall, uint64_t boot)
{
	if (!c->held)
		return wall;
	if (c->believed)
		return c->wall0 + (boot - c->boot0);
	return c->written + (boot - c->started);
}

void epochclock_accept(struct epochclock *c, uint64_t wall, uint64_t boot)
{
	c->wall0 = wall;
	c->boot0 = boot;
	c->believed = true;
	c->held = false;
}
