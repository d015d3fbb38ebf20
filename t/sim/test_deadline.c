/*
 * test_deadline.c: deadlines are never early and hardly late, each may set, clear and free others, and
 * they move by the time in which the process was not let run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "net/loop.h"

#include "sim.h"

#include "base/poison.h"

enum { DEADLINES = 60, LATE_MS = 250 /* a busy machine */ };

struct timed {
	struct deadline deadline;
	struct loop *loop;
	uint64_t due_ns, passed_ns; /* by a clock of the test's own */
	int passed_n, *left;
};

static int setup(void **state)
{
	*state = loop_new();
	assert_non_null(*state);
	return 0;
}

static int teardown(void **state)
{
	loop_free(*state);
	return 0;
}

static void timed_passed(struct deadline *deadline)
{
	struct timed *t = CONTAINER_OF(deadline, struct timed, deadline);

	t->passed_ns = sim_now_ns();
	t->passed_n++;
	if (--*t->left == 0)
		loop_stop(t->loop);
}

static void timed_set(struct loop *loop, struct timed *t, uint64_t ms, int *left)
{
	t->loop = loop;
	t->left = left;
	t->due_ns = sim_now_ns() + ms * 1000000;
	deadline_set(loop, &t->deadline, ms, timed_passed);
}

/* True: hardly late, too. */
static bool all_pass(struct loop *loop, struct timed *at)
{
	int left = DEADLINES, late = 0, very_late = 0;

	/* Set at other times than a tick's begin, and over more than one level of the wheel. */
	for (int i = 0; i < DEADLINES; i++) {
		while (sim_now_ns() / 1000 % 1000 < (uint64_t)(i * 17 % 900))
			;
		loop_turn(loop);
		timed_set(loop, &at[i], (uint64_t)(i * 37 % 211), &left);
	}
	assert_int_equal(loop_run(loop), 0);
	for (int i = 0; i < DEADLINES; i++) {
		assert_int_equal(at[i].passed_n, 1);
		if (at[i].passed_ns < at[i].due_ns)
			fail_msg("early by %lld ns", (long long)(at[i].due_ns - at[i].passed_ns));
		very_late += at[i].passed_ns - at[i].due_ns > LATE_MS * 1000000ull;
		late += at[i].passed_ns - at[i].due_ns > 5000000;
		assert_false(deadline_is_set(&at[i].deadline));
	}
	return very_late == 0 && late <= DEADLINES / 2;
}

/* Reading a configuration of ten thousand sites takes seconds, and no loop turns meanwhile. */
static void a_deadline_set_before_the_first_turn_counts_from_when_it_was_set(void **state)
{
	struct loop *loop = *state;
	struct timed t = { .passed_n = 0 };
	uint64_t began = loop_now(loop);
	int left = 1;

	while (sim_now_ns() < began + 30000000)
		;
	assert_true(loop_now(loop) >= began + 30000000);
	timed_set(loop, &t, 10, &left);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(t.passed_n, 1);
	assert_true(t.passed_ns >= t.due_ns);
}

/* A busy machine takes the processor away now and then, but not each time. */
static void deadlines_pass_once_never_early_and_hardly_late(void **state)
{
	struct timed *at = calloc(DEADLINES, sizeof *at);
	bool in_time = false;

	assert_non_null(at);
	for (int i = 0; i < 5 && !in_time; i++) {
		memset(at, 0, DEADLINES * sizeof *at);
		in_time = all_pass(*state, at);
	}
	free(at);
	assert_true(in_time);
}

static void stand_still(struct deadline *deadline)
{
	struct timed *t = CONTAINER_OF(deadline, struct timed, deadline);

	sim_stand_still(2 * LOOP_LATE_MS);
	t->passed_n++;
	if (*t->left > 0)
		deadline_set(t->loop, deadline, 1, stand_still);
}

static void while_the_process_stands_still_deadlines_do_too(void **state)
{
	struct loop *loop = *state;
	struct timed first = { 0 }, second = { 0 };
	int left = 2;

	timed_set(loop, &first, 5, &left);
	timed_set(loop, &second, 60, &left);
	loop_turn(loop); /* arms the alarm, and perhaps is the first's already */
	sim_stand_still(300);
	assert_int_equal(loop_run(loop), 0);
	assert_true(second.passed_ns >= first.passed_ns + 40 * UINT64_C(1000000));
}

/* One that never keeps up stretches them a little, and not for ever. */
static void a_loop_that_is_always_late_ends_what_waits_all_the_same(void **state)
{
	struct loop *loop = *state;
	struct timed end = { 0 }, slow = { .loop = loop };
	int left = 1;

	slow.left = &left;
	timed_set(loop, &end, 500, &left);
	deadline_set(loop, &slow.deadline, 1, stand_still);
	assert_int_equal(loop_run(loop), 0);
	assert_true(end.passed_ns - end.due_ns < (LOOP_GRACE_MS + 2000) * UINT64_C(1000000));
	assert_true(slow.passed_n > 500 / (2 * LOOP_LATE_MS));
	deadline_clear(loop, &slow.deadline);
}

static void a_deadline_that_is_set_again_moves(void **state)
{
	struct loop *loop = *state;
	struct timed sooner = { 0 }, later = { 0 };
	int left = 2;

	timed_set(loop, &sooner, 60000, &left);
	timed_set(loop, &later, 1, &left);
	timed_set(loop, &sooner, 5, &left);
	timed_set(loop, &later, 30, &left);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(sooner.passed_n, 1);
	assert_int_equal(later.passed_n, 1);
	assert_true(later.passed_ns >= later.due_ns);
	assert_true(sooner.passed_ns < later.passed_ns);
}

static void a_cleared_deadline_never_passes(void **state)
{
	struct loop *loop = *state;
	struct timed cleared = { 0 }, end = { 0 };
	int left = 1, none = 1;

	timed_set(loop, &cleared, 2, &none);
	assert_true(deadline_is_set(&cleared.deadline));
	deadline_clear(loop, &cleared.deadline);
	assert_false(deadline_is_set(&cleared.deadline));
	deadline_clear(loop, &cleared.deadline);
	timed_set(loop, &end, 20, &left);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(cleared.passed_n, 0);
}

struct killer {
	struct deadline deadline;
	struct loop *loop;
	struct timed *victim;
};

static void killer_passed(struct deadline *deadline)
{
	struct killer *k = CONTAINER_OF(deadline, struct killer, deadline);

	if (k->victim != NULL) {
		deadline_clear(k->loop, &k->victim->deadline);
		free(k->victim);
	}
	free(k);
}

static void a_deadline_may_clear_and_free_others_that_are_due(void **state)
{
	struct loop *loop = *state;
	struct timed *victim = calloc(1, sizeof *victim), end = { 0 };
	struct killer *killer = calloc(1, sizeof *killer);
	int none = 1, left = 1;

	assert_non_null(victim);
	assert_non_null(killer);
	*killer = (struct killer){ .loop = loop, .victim = victim };
	/* Both due in one turn; the wheel may take them in either order: the first kills. */
	deadline_set(loop, &killer->deadline, 1, killer_passed);
	timed_set(loop, victim, 3, &none);
	timed_set(loop, &end, 5, &left);
	while (sim_now_ns() < end.due_ns)
		;
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(none, 1);
}

struct again {
	struct deadline deadline;
	struct loop *loop;
	int left;
};

static void again_passed(struct deadline *deadline)
{
	struct again *a = CONTAINER_OF(deadline, struct again, deadline);

	if (--a->left > 0)
		deadline_set(a->loop, &a->deadline, 0, again_passed);
	else
		loop_stop(a->loop);
}

static void a_deadline_may_set_itself_anew(void **state)
{
	struct loop *loop = *state;
	struct again a = { .loop = loop, .left = 5 };
	uint64_t start = sim_now_ns();

	deadline_set(loop, &a.deadline, 0, again_passed);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(a.left, 0);
	/* Each is at least the rest of a tick away: a deadline of 0 does not spin within one turn. */
	assert_true(sim_now_ns() - start >= 4 * 1000000);
}

static void what_a_turn_took_is_no_part_of_the_wait(void **state)
{
	struct loop *loop = *state;
	bool in_time = false;

	enum { BUSY_MS = 500 };

	/* Where the processor is taken away as the deadline passes, it moves by that: but not each time. */
	for (int i = 0; i < 5 && !in_time; i++) {
		struct timed t = { 0 }, now = { 0 };
		int left = 1;

		/* A turn has begun, and its clock stands still while this goes on. */
		timed_set(loop, &now, 0, &(int){ 2 });
		assert_int_equal(loop_turn(loop), 0);
		timed_set(loop, &t, BUSY_MS, &left);
		while (sim_now_ns() < t.due_ns)
			;
		assert_int_equal(loop_run(loop), 0);
		assert_true(t.passed_ns >= t.due_ns);
		in_time = t.passed_ns - t.due_ns <= LATE_MS * 1000000ull;
	}
	assert_true(in_time);
}

int main(void)
{
#define DEADLINE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		DEADLINE_TEST(a_deadline_set_before_the_first_turn_counts_from_when_it_was_set),
		DEADLINE_TEST(deadlines_pass_once_never_early_and_hardly_late),
		DEADLINE_TEST(while_the_process_stands_still_deadlines_do_too),
		DEADLINE_TEST(a_loop_that_is_always_late_ends_what_waits_all_the_same),
		DEADLINE_TEST(a_deadline_that_is_set_again_moves),
		DEADLINE_TEST(a_cleared_deadline_never_passes),
		DEADLINE_TEST(a_deadline_may_clear_and_free_others_that_are_due),
		DEADLINE_TEST(a_deadline_may_set_itself_anew),
		DEADLINE_TEST(what_a_turn_took_is_no_part_of_the_wait),
	};

	return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
