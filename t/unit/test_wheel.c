/*
 * test_wheel.c: the timer wheel with a hand-moved clock: every level, cascades, and callbacks that
 * set, clear and free entries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/wheel.h"

#include "base/poison.h"

struct timer {
	struct wheel_entry entry; /* first: the callback casts */
	unsigned fired;
	uint64_t at; /* the wheel's time when it fired last */
	struct wheel *w;
	void (*then)(struct timer *);
	struct timer *other;
};

static void passed(struct wheel_entry *e, void *arg)
{
	struct timer *t = (struct timer *)e;

	assert_false(wheel_is_set(e));
	t->fired++;
	t->at = ((struct wheel *)arg)->now;
	if (t->then != NULL)
		t->then(t);
}

static struct wheel w;

static void fires_on_its_tick_at_every_level(void **state)
{
	(void)state;
	for (uint64_t start = 0; start < 3; start++) {
		for (unsigned bit = 0; bit < 37; bit++) {
			for (int off = -1; off <= 1; off++) {
				uint64_t base = start * UINT64_C(0x123456789) + 7;
				uint64_t when = base + (UINT64_C(1) << bit) +
						(uint64_t)(int64_t)off;
				struct timer t = { 0 };

				wheel_init(&w, base);
				wheel_set(&w, &t.entry, when);
				if (when > base)
					wheel_advance(&w, when - 1, passed, &w);
				assert_int_equal(t.fired, 0);
				assert_true(wheel_is_set(&t.entry));
				assert_true(wheel_next(&w) <= when);
				wheel_advance(&w, when, passed, &w);
				assert_int_equal(t.fired, 1);
				assert_int_equal(wheel_next(&w), UINT64_MAX);
			}
		}
	}
}

static void one_step_at_a_time_fires_exactly_then(void **state)
{
	enum { N = 500 };
	static struct timer t[N];
	uint64_t seed = 1;

	(void)state;
	wheel_init(&w, 4000);
	for (int i = 0; i < N; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		wheel_set(&w, &t[i].entry, 4000 + (seed >> 33) % 10000);
	}
	for (uint64_t now = 4000; now <= 14000; now++) {
		wheel_advance(&w, now, passed, &w);
		for (int i = 0; i < N; i++)
			assert_int_equal(t[i].fired, t[i].entry.when <= now);
	}
	for (int i = 0; i < N; i++)
		assert_int_equal(t[i].at, t[i].entry.when);
}

static void jumping_by_next_fires_all_in_order_of_time(void **state)
{
	enum { N = 200 };
	static struct timer t[N];
	uint64_t seed = 7, now = 0;
	unsigned turns = 0;

	(void)state;
	wheel_init(&w, 0);
	for (int i = 0; i < N; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		wheel_set(&w, &t[i].entry, (seed >> 20) % (UINT64_C(1) << (1 + i % 38)));
	}
	while ((now = wheel_next(&w)) != UINT64_MAX) {
		wheel_advance(&w, now, passed, &w);
		assert_true(++turns < N * (WHEEL_LEVELS + 8));
	}
	for (int i = 0; i < N; i++) {
		assert_int_equal(t[i].fired, 1);
		assert_int_equal(t[i].at, t[i].entry.when);
	}
}

static void beyond_the_reach_is_never_early(void **state)
{
	struct timer t = { 0 }, never = { 0 };
	uint64_t when = (UINT64_C(1) << 36) * 3 + 5;

	(void)state;
	wheel_init(&w, (UINT64_C(1) << 36) - 2);
	wheel_set(&w, &t.entry, when);
	wheel_set(&w, &never.entry, UINT64_MAX);
	wheel_advance(&w, when - 1, passed, &w);
	assert_int_equal(t.fired, 0);
	wheel_advance(&w, when, passed, &w);
	assert_int_equal(t.fired, 1);
	assert_int_equal(never.fired, 0);
	wheel_clear(&w, &never.entry);
	assert_int_equal(wheel_next(&w), UINT64_MAX);
}

static void time_does_not_go_back(void **state)
{
	struct timer t = { 0 };

	(void)state;
	wheel_init(&w, 100);
	wheel_set(&w, &t.entry, 150);
	wheel_advance(&w, 50, passed, &w);
	assert_int_equal(w.now, 100);
	wheel_advance(&w, 150, passed, &w);
	assert_int_equal(t.fired, 1);
}

static void set_again_moves(void **state)
{
	struct timer t = { 0 };

	(void)state;
	wheel_init(&w, 0);
	wheel_set(&w, &t.entry, 5);
	wheel_set(&w, &t.entry, 5000);
	wheel_advance(&w, 4999, passed, &w);
	assert_int_equal(t.fired, 0);
	wheel_set(&w, &t.entry, 5001);
	wheel_advance(&w, 5000, passed, &w);
	assert_int_equal(t.fired, 0);
	wheel_advance(&w, 5001, passed, &w);
	assert_int_equal(t.fired, 1);
}

static void clear_is_idempotent_and_empties_the_wheel(void **state)
{
	struct timer a = { 0 }, b = { 0 };

	(void)state;
	wheel_init(&w, 0);
	wheel_set(&w, &a.entry, 70);
	wheel_set(&w, &b.entry, 71);
	wheel_clear(&w, &a.entry);
	wheel_clear(&w, &a.entry);
	assert_false(wheel_is_set(&a.entry));
	assert_true(wheel_next(&w) <= 71);
	wheel_clear(&w, &b.entry);
	assert_int_equal(wheel_next(&w), UINT64_MAX);
	wheel_advance(&w, 1000, passed, &w);
	assert_int_equal(a.fired + b.fired, 0);
}

static void what_rests_never_passes_and_leaves_the_wheel(void **state)
{
	struct timer t = { 0 };

	(void)state;
	wheel_init(&w, 0);
	wheel_rest(&w, &t.entry);
	assert_false(wheel_is_set(&t.entry));
	assert_int_equal(wheel_next(&w), UINT64_MAX);
	wheel_set(&w, &t.entry, 70);
	wheel_rest(&w, &t.entry);
	assert_false(wheel_is_set(&t.entry));
	wheel_advance(&w, 1000, passed, &w);
	assert_int_equal(wheel_next(&w), UINT64_MAX);
	wheel_set(&w, &t.entry, 1070);
	wheel_rest(&w, &t.entry);
	wheel_set(&w, &t.entry, 1065);
	wheel_advance(&w, 1064, passed, &w);
	assert_int_equal(t.fired, 0);
	wheel_advance(&w, 1065, passed, &w);
	assert_int_equal(t.fired, 1);
}

/* Against a list of what should be due, with every kind of change at random. */
static void at_random_it_does_as_a_plain_list(void **state)
{
	enum { N = 40 };
	static struct timer t[N];
	uint64_t due[N], now = 0, seed = 11;
	unsigned fired[N] = { 0 };

	(void)state;
	wheel_init(&w, 0);
	memset(due, 0xff, sizeof(due));
	for (int step = 0; step < 300000; step++) {
		unsigned i, what;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		i = (unsigned)(seed >> 33) % N;
		what = (unsigned)(seed >> 50) % 8;
		if (what < 5) {
			due[i] = now + ((seed >> 20) & ((UINT64_C(1) << (seed >> 58) % 20) - 1));
			wheel_set(&w, &t[i].entry, due[i]);
		} else if (what == 5) {
			due[i] = UINT64_MAX;
			wheel_rest(&w, &t[i].entry);
		} else if (what == 6) {
			due[i] = UINT64_MAX;
			wheel_clear(&w, &t[i].entry);
		} else {
			uint64_t next = wheel_next(&w);

			now += (seed >> 20) & ((UINT64_C(1) << (seed >> 58) % 14) - 1);
			for (unsigned k = 0; k < N; k++)
				assert_true(next <= due[k]);
			wheel_advance(&w, now, passed, &w);
			for (unsigned k = 0; k < N; k++) {
				fired[k] += due[k] <= now;
				assert_int_equal(t[k].fired, fired[k]);
				if (due[k] <= now)
					due[k] = UINT64_MAX;
			}
		}
		assert_int_equal(wheel_is_set(&t[i].entry), due[i] != UINT64_MAX);
	}
	for (unsigned k = 0; k < N; k++)
		assert_true(t[k].fired > 100);
}

static void again_in_the_past(struct timer *t)
{
	wheel_set(t->w, &t->entry, 3);
}

static void the_past_waits_for_the_next_advance(void **state)
{
	struct timer t = { .w = &w, .then = again_in_the_past };

	(void)state;
	wheel_init(&w, 10);
	wheel_set(&w, &t.entry, 3);
	assert_true(wheel_next(&w) <= 10);
	wheel_advance(&w, 10, passed, &w);
	assert_int_equal(t.fired, 1);
	assert_true(wheel_is_set(&t.entry));
	wheel_advance(&w, 10, passed, &w);
	assert_int_equal(t.fired, 2);
	wheel_clear(&w, &t.entry);
}

static void clear_other(struct timer *t)
{
	wheel_clear(t->w, &t->other->entry);
}

static void rest_other(struct timer *t)
{
	wheel_rest(t->w, &t->other->entry);
}

static void a_callback_rests_one_that_is_due_as_well(void **state)
{
	struct timer b = { 0 }, a = { .w = &w, .then = rest_other, .other = &b };

	(void)state;
	wheel_init(&w, 0);
	wheel_set(&w, &a.entry, 9);
	wheel_set(&w, &b.entry, 9);
	wheel_advance(&w, 9, passed, &w);
	assert_int_equal(a.fired, 1);
	assert_int_equal(b.fired, 0);
	assert_false(wheel_is_set(&b.entry));
}

static void a_callback_clears_one_that_is_due_as_well(void **state)
{
	struct timer b = { 0 }, a = { .w = &w, .then = clear_other, .other = &b };

	(void)state;
	wheel_init(&w, 0);
	wheel_set(&w, &a.entry, 100);
	wheel_set(&w, &b.entry, 100);
	wheel_advance(&w, 200, passed, &w);
	assert_int_equal(a.fired, 1);
	assert_int_equal(b.fired, 0);
	assert_false(wheel_is_set(&b.entry));
}

static void postpone_other(struct timer *t)
{
	wheel_set(t->w, &t->other->entry, 300);
}

static void a_callback_postpones_one_that_is_due_as_well(void **state)
{
	struct timer b = { 0 }, a = { .w = &w, .then = postpone_other, .other = &b };

	(void)state;
	wheel_init(&w, 0);
	wheel_set(&w, &a.entry, 100);
	wheel_set(&w, &b.entry, 101);
	wheel_advance(&w, 200, passed, &w);
	assert_int_equal(b.fired, 0);
	wheel_advance(&w, 300, passed, &w);
	assert_int_equal(b.fired, 1);
}

static void free_both(struct timer *t)
{
	wheel_clear(t->w, &t->other->entry);
	free(t->other);
	free(t);
}

static void a_callback_frees_itself_and_its_neighbour(void **state)
{
	struct timer *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b)), last = { 0 };

	(void)state;
	assert_true(a != NULL && b != NULL);
	wheel_init(&w, 0);
	a->w = &w;
	a->then = free_both;
	a->other = b;
	wheel_set(&w, &a->entry, 64);
	wheel_set(&w, &b->entry, 64);
	wheel_set(&w, &last.entry, 64);
	wheel_advance(&w, 64, passed, &w);
	assert_int_equal(last.fired, 1);
}

static void every_tick(struct timer *t)
{
	wheel_set(t->w, &t->entry, t->w->now + 1);
}

static void a_periodic_one_fires_once_an_advance(void **state)
{
	struct timer t = { .w = &w, .then = every_tick };

	(void)state;
	wheel_init(&w, 0);
	wheel_set(&w, &t.entry, 1);
	wheel_advance(&w, 1000, passed, &w);
	assert_int_equal(t.fired, 1);
	wheel_advance(&w, 1001, passed, &w);
	assert_int_equal(t.fired, 2);
	wheel_clear(&w, &t.entry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_on_its_tick_at_every_level),
		cmocka_unit_test(one_step_at_a_time_fires_exactly_then),
		cmocka_unit_test(jumping_by_next_fires_all_in_order_of_time),
		cmocka_unit_test(beyond_the_reach_is_never_early),
		cmocka_unit_test(time_does_not_go_back),
		cmocka_unit_test(set_again_moves),
		cmocka_unit_test(clear_is_idempotent_and_empties_the_wheel),
		cmocka_unit_test(what_rests_never_passes_and_leaves_the_wheel),
		cmocka_unit_test(at_random_it_does_as_a_plain_list),
		cmocka_unit_test(the_past_waits_for_the_next_advance),
		cmocka_unit_test(a_callback_rests_one_that_is_due_as_well),
		cmocka_unit_test(a_callback_clears_one_that_is_due_as_well),
		cmocka_unit_test(a_callback_postpones_one_that_is_due_as_well),
		cmocka_unit_test(a_callback_frees_itself_and_its_neighbour),
		cmocka_unit_test(a_periodic_one_fires_once_an_advance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
