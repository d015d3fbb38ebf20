/*
 * wheel.h: a hierarchical timer wheel. Time is a count of ticks that the caller passes in (the
 * loop uses ms, the session store seconds), so tests move it by hand. Set, rest and clear are O(1).
 * An entry lives inside its owner; the wheel never allocates. 6 levels of 64 slots: 2^36 ticks.
 * An entry that is set to a later tick, or rests, stays where it is and is looked at when its slot
 * comes up: of a deadline that moves with each request nothing but the entry is written.
 */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum { WHEEL_LEVELS = 6, WHEEL_SLOTS = 64 };
#define WHEEL_NEVER UINT64_MAX

struct wheel_entry {
	struct wheel_entry *next, *prev; /* NULL: in no slot */
	uint64_t when; /* tick; WHEEL_NEVER: it rests */
	uint8_t level, slot;
};

struct wheel {
	uint64_t now;
	uint64_t occupied[WHEEL_LEVELS]; /* bit = slot has entries */
	struct wheel_entry slots[WHEEL_LEVELS][WHEEL_SLOTS]; /* list heads */
};

void wheel_init(struct wheel *, uint64_t now);
void wheel_set(
    struct wheel *, struct wheel_entry *, uint64_t when); /* moves it if set; past = next advance */
void wheel_clear(struct wheel *, struct wheel_entry *);
/* As good as cleared, and cheaper where it is soon set again. Its owner clears it before it goes. */
void wheel_rest(struct wheel *, struct wheel_entry *);
bool wheel_is_set(const struct wheel_entry *);

/* Moves time to now (never back) and calls passed() for each entry that is due, which is no longer
 * set by then; passed() may set, clear and free any entry. */
void wheel_advance(
    struct wheel *, uint64_t now, void (*passed)(struct wheel_entry *, void *arg), void *arg);

/* A tick at or before which nothing is due; UINT64_MAX: empty. Never late, perhaps early. */
uint64_t wheel_next(const struct wheel *);

#endif
