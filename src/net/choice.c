/*
 * choice.c: see choice.h.
 */
#include "net/choice.h"

#include "base/poison.h"

/* The candidate at place `nth` among those that may be chosen. */
static size_t nth_candidate(const uint32_t *load, size_t n, size_t nth)
{
	for (size_t i = 0; i < n; i++)
		if (load[i] != CHOICE_LOAD_OUT && nth-- == 0)
			return i;
	return CHOICE_NONE;
}

size_t choice_by_load(const uint32_t *load, size_t n, uint64_t chance)
{
	size_t candidates = 0, first, second;

	for (size_t i = 0; i < n; i++)
		candidates += load[i] != CHOICE_LOAD_OUT;
	if (candidates == 0)
		return CHOICE_NONE;
	first = (uint32_t)chance % candidates;
	if (candidates == 1)
		return nth_candidate(load, n, 0);
	second = (first + 1 + (uint32_t)(chance >> 32) % (candidates - 1)) % candidates;
	first = nth_candidate(load, n, first);
	second = nth_candidate(load, n, second);
	return load[second] < load[first] ? second : first;
}

/* splitmix64's finish: both inputs are hashes already, they only have to be mixed. */
static uint64_t score(uint64_t id, uint64_t name)
{
	uint64_t x = id ^ (name + 0x9e3779b97f4a7c15u + (id << 6) + (id >> 2));

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* Equal scores: the earlier one ranks first. */
static int ranks_before(const uint64_t *ids, uint64_t name, size_t a, size_t b)
{
	uint64_t sa = score(ids[a], name), sb = score(ids[b], name);

	return sa != sb ? sa > sb : a < b;
}

size_t choice_by_rank(const uint64_t *ids, size_t n, uint64_t name, size_t rank)
{
	size_t last = CHOICE_NONE, best;

	/* The first, the first behind that one, and so on: few ranks are ever asked for. */
	for (size_t r = 0; r <= rank; r++) {
		best = CHOICE_NONE;
		for (size_t i = 0; i < n; i++)
			if ((last == CHOICE_NONE || ranks_before(ids, name, last, i)) &&
			    (best == CHOICE_NONE || ranks_before(ids, name, i, best)))
				best = i;
		if (best == CHOICE_NONE)
			return CHOICE_NONE;
		last = best;
	}
	return last;
}
