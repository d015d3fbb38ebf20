/*
 * epochclock.h: is the wall clock to be believed? Epochs are made and forgotten by it, so a clock
 * that leaps would throw the cluster's sessions away, or keep secrets that should be gone. Pure: the
 * times are passed in.
 *
 * Held: at start, if the wall clock is below the state file's last write by over a period, or 30 days
 * above it; later, if it and CLOCK_BOOTTIME have come apart by over a period. The hold ends when the
 * reason for it is gone.
 */
#ifndef KEYSVC_EPOCHCLOCK_H
#define KEYSVC_EPOCHCLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct epochclock {
	uint32_t period; /* seconds */
	uint64_t written; /* unix time of the file's last write before this start; 0: none */
	uint64_t started; /* seconds of CLOCK_BOOTTIME */
	uint64_t wall0, boot0; /* seconds, when it was last believed */
	bool believed; /* was it ever, since start */
	bool held;
};

void epochclock_start(
    struct epochclock *, uint32_t period, uint64_t written, uint64_t wall, uint64_t boot);
/* Returns whether held has changed. */
bool epochclock_check(struct epochclock *, uint64_t wall, uint64_t boot);
/* The time to go by: the wall clock's; while held, what it showed when it was last believed (or the file
 * was written) and what has passed since. */
uint64_t epochclock_believed(const struct epochclock *, uint64_t wall, uint64_t boot);
/* The operator says that the wall clock is right. */
void epochclock_accept(struct epochclock *, uint64_t wall, uint64_t boot);

#endif
