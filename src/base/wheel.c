/*
 * wheel.c: a hierarchical timer wheel. An entry lies on the level of the highest group of six bits
 * in which its tick differs from now, so all entries of a lower level are due before any of a
 * higher one, and the first occupied slot of the lowest occupied level is the next thing to do:
 * either it is due (level 0), or its entries are put anew, nearer (a cascade).
 *
 * An entry that was set to a later tick since, or rests, still lies where it was put, which is nearer:
 * there it is found, and put anew or dropped.
 *
 * The invariant: an entry of level l > 0 differs from now in group l and, below the top level, in
 * no higher one. The top level turns round: its slots are read relative to now's.
 */
#include <assert.h>
#include <stddef.h>

#include "base/wheel.h"

#include "base/poison.h"

enum {
	BITS = 6, /* of a level; 1 << BITS is WHEEL_SLOTS */
	TOP = WHEEL_LEVELS - 1,
	LEVEL_DUE = WHEEL_LEVELS /* on wheel_advance()'s own list, in no slot */
};

static void put(struct wheel *, struct wheel_entry *);
static void append(struct wheel_entry *head, struct wheel_entry *);
static void detach(struct wheel_entry *);
static uint64_t comes_up(const struct wheel *, const struct wheel_entry *);
static bool first(const struct wheel *, unsigned *level, unsigned *slot, uint64_t *tick);

void wheel_init(struct wheel *w, uint64_t now)
{
	w->now = now;
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		w->occupied[level] = 0;
		for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
			struct wheel_entry *head = &w->slots[level][slot];

			head->next = head->prev = head;
			head->when = 0;
			head->level = (uint8_t)level;
			head->slot = (uint8_t)slot;
		}
	}
}

void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t when)
{
	if (e->next != NULL && e->level != LEVEL_DUE && when >= comes_up(w, e)) {
		e->when = when;
		return;
	}
	wheel_clear(w, e);
	e->when = when;
	put(w, e);
}

void wheel_rest(struct wheel *w, struct wheel_entry *e)
{
	if (e->level == LEVEL_DUE)
		wheel_clear(w, e);
	e->when = WHEEL_NEVER;
}

void wheel_clear(struct wheel *w, struct wheel_entry *e)
{
	unsigned level = e->level, slot = e->slot;

	if (e->next == NULL)
		return;
	detach(e);
	if (level == LEVEL_DUE)
		return;
	if (w->slots[level][slot].next == &w->slots[level][slot])
		w->occupied[level] &= ~(UINT64_C(1) << slot);
}

bool wheel_is_set(const struct wheel_entry *e)
{
	return e->next != NULL && e->when != WHEEL_NEVER;
}

/*
 * First all that is due moves to a list of our own and time moves to its end, then the callbacks
 * run: what they set for the past waits for the next advance, so they cannot keep us here, and what
 * they clear or free is taken from that list like from any slot.
 */
void wheel_advance(
    struct wheel *w, uint64_t now, void (*passed)(struct wheel_entry *, void *arg), void *arg)
{
	struct wheel_entry due = { .next = &due, .prev = &due };
	unsigned level, slot;
	uint64_t tick;

	while (first(w, &level, &slot, &tick) && tick <= now) {
		struct wheel_entry *head = &w->slots[level][slot];
		struct wheel_entry moved = *head;

		/* The slot is emptied first: an entry may be put back into the very same one. */
		moved.next->prev = moved.prev->next = &moved;
		head->next = head->prev = head;
		w->occupied[level] &= ~(UINT64_C(1) << slot);
		w->now = tick;
		while (moved.next != &moved) {
			struct wheel_entry *e = moved.next;

			detach(e);
			if (e->when == WHEEL_NEVER)
				continue;
			if (e->when > tick) {
				put(w, e);
			} else {
				e->level = LEVEL_DUE;
				append(&due, e);
			}
		}
	}
	if (now > w->now)
		w->now = now;
	while (due.next != &due) {
		struct wheel_entry *e = due.next;

		detach(e);
		passed(e, arg);
	}
}

uint64_t wheel_next(const struct wheel *w)
{
	unsigned level, slot;
	uint64_t tick;

	return first(w, &level, &slot, &tick) ? tick : UINT64_MAX;
}

/* Into the slot that its tick belongs to as seen from now. */
static void put(struct wheel *w, struct wheel_entry *e)
{
	const uint64_t reach = (uint64_t)(WHEEL_SLOTS - 1) << (BITS * TOP);
	uint64_t at = e->when < w->now ? w->now : e->when;
	unsigned level = 0;

	/* Beyond the reach it waits in the farthest slot and is put anew when that comes round. */
	if (at - w->now > reach)
		at = w->now + reach;
	if (at != w->now)
		level = (63 - (unsigned)__builtin_clzll(at ^ w->now)) / BITS;
	if (level > TOP)
		level = TOP;
	e->level = (uint8_t)level;
	e->slot = (uint8_t)(at >> (BITS * level) & (WHEEL_SLOTS - 1));
	append(&w->slots[level][e->slot], e);
	w->occupied[level] |= UINT64_C(1) << e->slot;
}

/* The tick of an entry's slot: none lies behind now, or a full turn ahead. */
static uint64_t comes_up(const struct wheel *w, const struct wheel_entry *e)
{
	uint64_t place = w->now >> (BITS * e->level);

	return (place + ((e->slot - place) & (WHEEL_SLOTS - 1))) << (BITS * e->level);
}

static void append(struct wheel_entry *head, struct wheel_entry *e)
{
	assert(e->next == NULL);
	e->next = head;
	e->prev = head->prev;
	head->prev->next = e;
	head->prev = e;
}

static void detach(struct wheel_entry *e)
{
	assert(e->next->prev == e && e->prev->next == e);
	e->next->prev = e->prev;
	e->prev->next = e->next;
	e->next = e->prev = NULL;
}

/* The next slot to do, and the tick at which it begins. */
static bool first(const struct wheel *w, unsigned *level, unsigned *slot, uint64_t *tick)
{
	for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
		uint64_t place = w->now >> (BITS * l), bits = w->occupied[l];
		unsigned here = place & (WHEEL_SLOTS - 1), ahead;

		if (bits == 0)
			continue;
		if (here != 0)
			bits = bits >> here | bits << (WHEEL_SLOTS - here);
		ahead = (unsigned)__builtin_ctzll(bits);
		*level = l;
		*slot = (here + ahead) & (WHEEL_SLOTS - 1);
		*tick = (place + ahead) << (BITS * l);
		return true;
	}
	return false;
}
