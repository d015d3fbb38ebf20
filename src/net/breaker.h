/*
 * breaker.h: is an endpoint worth asking? Pure: time and chance are passed in. It opens at
 * BREAKER_IN_ROW failures in a row, or at half of the last BREAKER_WINDOW; while it is open one
 * probe a second, jittered, is due; the first success closes it, on trial: a failure among the next
 * BREAKER_TRIAL outcomes opens it again.
 */
#ifndef NET_BREAKER_H
#define NET_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum {
	BREAKER_IN_ROW = 5,
	BREAKER_WINDOW = 20,
	BREAKER_TRIAL = 3, /* successes after it has closed */
	BREAKER_PROBE_MS = 750, /* at least; so a server that came back is found within 2 s */
	BREAKER_JITTER_MS = 500, /* at most, added to it */
};

struct breaker {
	bool open;
	uint8_t in_row; /* failures */
	uint8_t window_n; /* outcomes in window */
	uint8_t trial; /* successes that it has to show yet */
	uint32_t window; /* bit = failure; the newest is bit 0 */
	uint64_t probe_ms; /* open: when the next probe is due */
};

void breaker_init(struct breaker *);
bool breaker_is_open(const struct breaker *);
bool breaker_ok(struct breaker *); /* true: it was open and is closed now */
/* true: it opened now. chance is any random number. */
bool breaker_failed(struct breaker *, uint64_t now_ms, uint32_t chance);
/* true: it is open and a probe is due, which is to be sent now; the next one is due in a second. */
bool breaker_probe(struct breaker *, uint64_t now_ms, uint32_t chance);

#endif
