/*
 * test_ready.c: what waits in line for its turn (loop_ready): how much of it a turn does, and what
 * deadlines have to do with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdlib.h>

#include "net/loop.h"

#include "sim.h"

#include "base/poison.h"

struct ready {
	struct later later;
	struct loop *loop;
	int *runs;
	uint64_t takes_ms;
	bool for_ever;
};

enum { CROWD = 2 * LOOP_READY_MAX + 8 }; /* two turns and some */

static struct ready crowd[CROWD];

/* The state is the loop. */
static int setup(void **state)
{
	*state = loop_new();
	return *state != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	loop_free(*state);
	return 0;
}

static int put_off_runs;

static void put_off_run(struct later *later)
{
	(void)later;
	put_off_runs++;
}

static void ready_run(struct later *later)
{
	struct ready *r = CONTAINER_OF(later, struct ready, later);

	++*r->runs;
	if (r->takes_ms > 0)
		sim_stand_still(r->takes_ms);
	if (r->for_ever)
		loop_ready(r->loop, &r->later, ready_run);
}

struct pass {
	struct deadline deadline;
	const int *runs;
	int seen; /* runs when it passed; -1: has not */
};

static void pass_notes(struct deadline *deadline)
{
	struct pass *p = CONTAINER_OF(deadline, struct pass, deadline);

	p->seen = *p->runs;
}

static void so_many_are_served_in_a_turn_and_the_rest_in_the_next(void **state)
{
	struct loop *loop = *state;
	int runs[CROWD] = { 0 }, none = 0;
	struct pass far = { .runs = &none, .seen = -1 };
	uint64_t start = sim_now_ns();

	deadline_set(loop, &far.deadline, 60000, pass_notes);
	for (int i = 0; i < CROWD; i++) {
		crowd[i] = (struct ready){ .loop = loop, .runs = &runs[i] };
		loop_ready(loop, &crowd[i].later, ready_run);
		loop_ready(loop, &crowd[i].later, ready_run); /* is queued already */
	}
	for (int turn = 1; turn <= 3; turn++) {
		loop_turn(loop);
		for (int i = 0; i < CROWD; i++)
			assert_int_equal(runs[i], i < turn * LOOP_READY_MAX);
	}
	assert_true(sim_now_ns() - start < 30ull * 1000000000); /* none of them waited */
	assert_int_equal(far.seen, -1);
	deadline_clear(loop, &far.deadline);
}

static void who_is_ready_again_waits_for_the_next_turn(void **state)
{
	struct loop *loop = *state;
	struct ready a = { .loop = loop, .for_ever = true }, b = { .loop = loop };
	int as = 0, bs = 0;

	a.runs = &as;
	b.runs = &bs;
	loop_ready(loop, &a.later, ready_run);
	loop_ready(loop, &b.later, ready_run);
	loop_turn(loop);
	assert_int_equal(as, 1);
	assert_int_equal(bs, 1);
	loop_turn(loop);
	assert_int_equal(as, 2);
	loop_later_cancel(&a.later);
	loop_later(loop, &b.later, ready_run); /* a turn that does not wait */
	loop_turn(loop);
	assert_int_equal(as, 2);
	assert_int_equal(bs, 2);
}

static void what_is_put_off_waits_for_none_of_the_ready(void **state)
{
	struct loop *loop = *state;
	struct later a = { 0 };
	int runs = 0;

	for (int i = 0; i < CROWD; i++) {
		crowd[i] = (struct ready){ .loop = loop, .runs = &runs };
		loop_ready(loop, &crowd[i].later, ready_run);
	}
	loop_later(loop, &a, put_off_run);
	loop_turn(loop);
	assert_int_equal(runs, LOOP_READY_MAX);
	assert_int_equal(put_off_runs, 1);
	loop_turn(loop);
}

/* What came in time is looked at before it is too late. */
static void a_deadline_waits_for_those_that_were_ready_before(void **state)
{
	struct loop *loop = *state;
	struct ready busy = { .loop = loop, .for_ever = true };
	int runs = 0, others = 0;
	struct pass p = { .runs = &runs, .seen = -1 };

	deadline_set(loop, &p.deadline, 1, pass_notes);
	for (int i = 0; i < CROWD; i++) {
		crowd[i] = (struct ready){ .loop = loop, .runs = &runs };
		loop_ready(loop, &crowd[i].later, ready_run);
	}
	busy.runs = &others;
	loop_ready(loop, &busy.later, ready_run);
	sim_stand_still(5);
	loop_turn(loop);
	loop_turn(loop);
	assert_int_equal(p.seen, -1);
	/* One that is always ready does not hinder it. */
	sim_until(loop, p.seen >= 0);
	assert_int_equal(p.seen, CROWD);
	assert_true(others >= 1);
	loop_later_cancel(&busy.later);
}

/* Nor is what came in time while others were served. */
static void a_deadline_that_passes_meanwhile_waits_for_those_that_came_before_it(void **state)
{
	struct loop *loop = *state;
	int runs = 0, late_runs = 0;
	struct pass p = { .runs = &late_runs, .seen = -1 };
	struct ready late = { .loop = loop, .runs = &late_runs };
	uint64_t end;

	do { /* a busy machine may take too long to the first turn's end */
		deadline_clear(loop, &p.deadline);
		p.seen = -1;
		deadline_set(loop, &p.deadline, LOOP_LATE_MS - 10, pass_notes);
		end = sim_now_ms() + LOOP_LATE_MS - 10;
		for (int i = 0; i < CROWD; i++) {
			crowd[i] = (struct ready){ .loop = loop, .runs = &runs };
			loop_ready(loop, &crowd[i].later, ready_run);
		}
		loop_turn(loop);
		if (sim_now_ms() < end)
			break;
		sim_until(loop, p.seen >= 0);
	} while (true);
	sim_stand_still(LOOP_LATE_MS - 8);
	loop_ready(loop, &late.later, ready_run);
	sim_until(loop, p.seen >= 0);
	assert_int_equal(p.seen, 1);
}

static void a_deadline_does_not_wait_for_ever(void **state)
{
	struct loop *loop = *state;
	int runs = 0;
	struct pass p = { .runs = &runs, .seen = -1 };

	deadline_set(loop, &p.deadline, 1, pass_notes);
	for (int i = 0; i < CROWD; i++) {
		crowd[i] = (struct ready){
			.loop = loop, .runs = &runs, .takes_ms = LOOP_DUE_MS / LOOP_READY_MAX + 1
		};
		loop_ready(loop, &crowd[i].later, ready_run);
	}
	sim_stand_still(5);
	loop_turn(loop);
	assert_int_equal(p.seen, -1);
	loop_turn(loop);
	assert_int_equal(p.seen, LOOP_READY_MAX);
	for (int i = 0; i < CROWD; i++)
		loop_later_cancel(&crowd[i].later);
}

struct pulse {
	struct deadline deadline;
	struct loop *loop;
};

static void pulse_again(struct deadline *deadline)
{
	struct pulse *p = CONTAINER_OF(deadline, struct pulse, deadline);

	deadline_set(p->loop, deadline, 1, pulse_again);
}

/* By how many of the crowd's runs a deadline is late where more is ready than a turn takes, all the time. */
static int lateness_in_a_busy_loop(struct loop *loop)
{
	struct pulse pulse = { .loop = loop };
	int runs = 0, at_its_time = -1;
	struct pass p = { .runs = &runs, .seen = -1 };
	uint64_t end = sim_now_ms() + 300;

	for (int i = 0; i < CROWD; i++) {
		crowd[i] = (struct ready){
			.loop = loop, .runs = &runs, .takes_ms = i % 2, .for_ever = true
		};
		loop_ready(loop, &crowd[i].later, ready_run);
	}
	pulse_again(&pulse.deadline);
	deadline_set(loop, &p.deadline, 300, pass_notes);
	while (p.seen < 0) {
		loop_turn(loop);
		if (at_its_time < 0 && sim_now_ms() >= end)
			at_its_time = runs;
	}
	deadline_clear(loop, &pulse.deadline);
	for (int i = 0; i < CROWD; i++)
		loop_later_cancel(&crowd[i].later);
	return p.seen - at_its_time;
}

/* It comes too late to each deadline, but by its own doing. */
static void a_loop_that_is_busy_is_forgiven_nothing(void **state)
{
	int late = INT_MAX;

	/* The machine may stand still meanwhile, too. Each try has a loop with all of its grace. */
	for (int i = 0; i < 3 && late > 4 * CROWD; i++) {
		loop_free(*state);
		*state = loop_new();
		assert_non_null(*state);
		late = lateness_in_a_busy_loop(*state);
	}
	assert_true(late <= 4 * CROWD);
}

int main(void)
{
#define READY_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		READY_TEST(so_many_are_served_in_a_turn_and_the_rest_in_the_next),
		READY_TEST(who_is_ready_again_waits_for_the_next_turn),
		READY_TEST(what_is_put_off_waits_for_none_of_the_ready),
		READY_TEST(a_deadline_waits_for_those_that_were_ready_before),
		READY_TEST(a_deadline_that_passes_meanwhile_waits_for_those_that_came_before_it),
		READY_TEST(a_deadline_does_not_wait_for_ever),
		READY_TEST(a_loop_that_is_busy_is_forgiven_nothing),
	};

	return cmocka_run_group_tests_name("ready", tests, NULL, NULL);
}
