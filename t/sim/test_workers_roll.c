/*
 * test_workers_roll.c: from one plan to the next, one worker at a time; fewer and more of them; rolls
 * that fail; who drains, and for how long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/socket.h>

#include "family.h"

#include "base/poison.h"

/* ---- rolls */

static bool takes_connections(const struct sockets *sockets, unsigned slot)
{
	int on = 0;
	socklen_t len = sizeof on;

	getsockopt(sockets_fd(sockets, 0, slot), SOL_SOCKET, SO_ACCEPTCONN, &on, &len);
	return on != 0;
}

static void a_roll_replaces_one_after_the_other(void **state)
{
	struct family *family = *state;

	family_serving(family, 2);
	family_plan(family, 1, 2, 2);
	family_use(family, 1);
	workers_roll(family->workers);
	assert_int_equal(family->n, 3);
	assert_true(family_hears(&family->fakes[0], ""));
	family_says(family, &family->fakes[2], "ready");
	assert_true(family_hears(&family->fakes[2], "listen 0 0;listen 0 1;"));
	assert_true(family_hears(&family->fakes[0], "drain;"));
	assert_true(family_hears(&family->fakes[1], ""));
	assert_int_equal(family->n, 4);
	assert_int_equal(family->rolled, 1);
	family_says(family, &family->fakes[3], "ready");
	assert_true(family_hears(&family->fakes[1], "drain;"));
	assert_int_equal(family->rolled, 2);
	family_ends(family, &family->fakes[0], 0);
	family_ends(family, &family->fakes[1], 0);
	sim_while(family->loop, 150, family->n == 4);
}

static void further_slots_listen_when_their_worker_is_ready(void **state)
{
	struct family *family = *state;

	family_serving(family, 1);
	family_plan(family, 1, 3, 1);
	family_use(family, 1);
	workers_roll(family->workers);
	assert_true(takes_connections(family->sockets[1], 0));
	family_says(family, &family->fakes[1], "ready");
	assert_false(takes_connections(family->sockets[1], 1));
	family_says(family, &family->fakes[2], "ready");
	assert_true(takes_connections(family->sockets[1], 1));
	assert_false(takes_connections(family->sockets[1], 2));
	family_says(family, &family->fakes[3], "ready");
	assert_true(takes_connections(family->sockets[1], 2));
	assert_int_equal(family->rolled, 2);
}

static void a_neighbour_serves_slots_that_there_are_no_more(void **state)
{
	struct family *family = *state;

	family_serving(family, 3);
	family_plan(family, 1, 1, 1);
	family_use(family, 1);
	family_roll(family);
	assert_true(
	    family_hears(&family->fakes[1], "drain;") && family_hears(&family->fakes[2], "drain;"));
	sim_until(family->loop,
	    (family_listen(family_newest(family)), strlen(family_newest(family)->heard) >= 33));
	assert_true(family_hears(family_newest(family), "listen 0 0;listen 1 0;listen 2 0;"));
	/* The next roll's worker takes them over; nobody hears of them twice. */
	family_plan(family, 2, 1, 1);
	family_use(family, 2);
	family_roll(family);
	sim_until(family->loop,
	    (family_listen(family_newest(family)), strlen(family_newest(family)->heard) >= 33));
	sim_while(family->loop, 150,
	    (family_listen(family_newest(family)), strlen(family_newest(family)->heard) == 33));
}

static void a_surplus_worker_that_ends_in_the_roll_does_not_come_back(void **state)
{
	struct family *family = *state;

	family_serving(family, 3);
	family_plan(family, 1, 1, 1);
	family_use(family, 1);
	workers_roll(family->workers);
	family_ends(family, &family->fakes[2], W_EXITCODE(0, SIGSEGV));
	family_says(family, family_newest(family), "ready");
	assert_int_equal(family->rolled, 2);
	sim_while(family->loop, 200, family->n == 4);
}

static void a_worker_that_waits_for_its_turn_to_come_back_is_not_waited_for(void **state)
{
	struct family *family = *state;

	family_serving(family, 2);
	/* Twice at once: the second time it has to wait. */
	family_ends(family, &family->fakes[1], W_EXITCODE(3, 0));
	sim_until(family->loop, family->n == 3);
	family_ends(family, &family->fakes[2], W_EXITCODE(3, 0));
	family_plan(family, 1, 1, 1);
	family_use(family, 1);
	workers_roll(family->workers);
	assert_int_equal(family->n, 4);
	sim_while(family->loop, 300, family->n == 4);
	family_says(family, family_newest(family), "ready");
	assert_int_equal(family->rolled, 2);
	sim_while(family->loop, 100, family->n == 4);
}

static void a_surplus_worker_that_ended_comes_back_when_the_roll_fails(void **state)
{
	struct family *family = *state;

	family_serving(family, 2);
	family_plan(family, 1, 1, 1);
	family_use(family, 1);
	workers_roll(family->workers);
	family_ends(family, &family->fakes[1], W_EXITCODE(0, SIGSEGV));
	sim_while(family->loop, 50, family->n == 3);
	family_ends(family, family_newest(family), W_EXITCODE(1, 0));
	assert_int_equal(family->failed, 1);
	sim_until(family->loop, family->n == 4);
	assert_int_equal(family_newest(family)->slot, 1);
}

static void a_roll_that_fails_does_not_give_an_orphan_twice(void **state)
{
	struct family *family = *state;
	struct fake *only;

	family_serving(family, 2);
	family_plan(family, 1, 1, 1);
	family_use(family, 1);
	family_roll(family);
	only = family_newest(family);
	sim_until(family->loop, (family_listen(only), strlen(only->heard) >= 22));
	assert_true(family_hears(only, "listen 0 0;listen 1 0;"));
	family_plan(family, 2, 1, 1);
	family_use(family, 2);
	workers_roll(family->workers);
	family_ends(family, family_newest(family), W_EXITCODE(1, 0));
	sim_while(family->loop, 150, family_hears(only, ""));
}

static void a_roll_that_fails_goes_back_and_starts_what_is_missing(void **state)
{
	struct family *family = *state;

	family_serving(family, 2);
	family_plan(family, 1, 2, 1);
	family_use(family, 1);
	/* One of the old ends while the roll waits for the first new one. */
	workers_roll(family->workers);
	family_ends(family, &family->fakes[0], W_EXITCODE(0, SIGSEGV));
	family_ends(family, &family->fakes[2], W_EXITCODE(1, 0));
	assert_int_equal(family->rolled, 2);
	assert_int_equal(family->failed, 1);
	sim_until(family->loop, family->n == 4);
	assert_int_equal(family_newest(family)->slot, 0);
	family_says(family, family_newest(family), "ready");
	assert_true(family_hears(family_newest(family), "listen 0 0;"));
	assert_int_equal(family->rolled, 2);
	/* And the next one works. */
	family_plan(family, 2, 2, 1);
	family_use(family, 2);
	family_roll(family);
}

static void a_roll_without_a_fork_fails_and_leaves_no_slot_alone(void **state)
{
	struct family *family = *state;

	family_serving(family, 2);
	family_ends(family, &family->fakes[1], W_EXITCODE(0, SIGSEGV));
	family_plan(family, 1, 2, 1);
	family_use(family, 1);
	workers_roll(family->workers);
	family->no_forks = 1;
	family_says(family, &family->fakes[2], "ready");
	assert_int_equal(family->rolled, 2);
	assert_int_equal(family->failed, EXIT_RUNTIME);
	sim_until(family->loop, family->n == 4 && family_newest(family)->slot == 1);
}

/* ---- draining */

static void two_generations_drain_and_failed_rolls_are_none(void **state)
{
	struct family *family = *state;

	family_serving(family, 1);
	family_plan(family, 1, 1, 1);
	family_use(family, 1);
	family_roll(family);
	assert_true(family_hears(&family->fakes[0], "drain;"));
	for (int i = 0; i < 4; i++) {
		family_use(family, 1);
		workers_roll(family->workers);
		family_ends(family, family_newest(family), W_EXITCODE(1, 0));
		assert_int_equal(family->failed, 1);
	}
	family_use(family, 1);
	family_roll(family);
	assert_true(family_hears(&family->fakes[0], ""));
	family_use(family, 1);
	family_roll(family);
	assert_true(family_hears(&family->fakes[0], "stop;"));
	assert_true(family_hears(&family->fakes[1], "listen 0 0;drain;"));
	/* Whoever lives has a cell of its own. */
	for (int i = 0; i < family->n; i++)
		for (int k = 0; k < i; k++)
			if (family->fakes[i].fd >= 0 && family->fakes[k].fd >= 0)
				assert_int_not_equal(family->fakes[i].cell, family->fakes[k].cell);
}

static void gauges_of_one_that_ended_are_zero_and_of_others_stay(void **state)
{
	struct family *family = *state;

	family_serving(family, 2);
	counter_set(counters_cell_of(family->counters, "x_open", family->fakes[0].cell), 7);
	counter_set(counters_cell_of(family->counters, "x_open", family->fakes[1].cell), 5);
	counter_set(counters_cell_of(family->counters, "x_total", family->fakes[0].cell), 9);
	family_ends(family, &family->fakes[0], W_EXITCODE(0, SIGKILL));
	assert_int_equal(counters_sum(family->counters, "x_open"), 5);
	assert_int_equal(counters_sum(family->counters, "x_total"), 9);
}

static void draining_all_is_told_when_the_last_has_gone(void **state)
{
	struct family *family = *state;

	family_serving(family, 2);
	family_plan(family, 1, 2, 1);
	family_use(family, 1);
	workers_roll(family->workers);
	workers_drain(family->workers);
	for (int i = 0; i < 3; i++)
		assert_true(family_hears(&family->fakes[i], "drain;"));
	family_says(family, &family->fakes[2], "ready"); /* in the middle of its start */
	assert_true(family_hears(&family->fakes[2], "drain;"));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(family->drained, 0);
		family_ends(family, &family->fakes[i], i == 1 ? W_EXITCODE(0, SIGSEGV) : 0);
	}
	assert_int_equal(family->drained, 1);
	assert_true(workers_gone(family->workers));
	sim_while(family->loop, 150, family->n == 3);
}

int main(void)
{
#define WORKERS_TEST(f) cmocka_unit_test_setup_teardown(f, family_setup, family_teardown)
	const struct CMUnitTest tests[] = {
		WORKERS_TEST(a_roll_replaces_one_after_the_other),
		WORKERS_TEST(further_slots_listen_when_their_worker_is_ready),
		WORKERS_TEST(a_neighbour_serves_slots_that_there_are_no_more),
		WORKERS_TEST(a_surplus_worker_that_ends_in_the_roll_does_not_come_back),
		WORKERS_TEST(a_worker_that_waits_for_its_turn_to_come_back_is_not_waited_for),
		WORKERS_TEST(a_surplus_worker_that_ended_comes_back_when_the_roll_fails),
		WORKERS_TEST(a_roll_that_fails_does_not_give_an_orphan_twice),
		WORKERS_TEST(a_roll_that_fails_goes_back_and_starts_what_is_missing),
		WORKERS_TEST(a_roll_without_a_fork_fails_and_leaves_no_slot_alone),
		WORKERS_TEST(two_generations_drain_and_failed_rolls_are_none),
		WORKERS_TEST(gauges_of_one_that_ended_are_zero_and_of_others_stay),
		WORKERS_TEST(draining_all_is_told_when_the_last_has_gone),
	};

	return cmocka_run_group_tests_name("workers_roll", tests, NULL, NULL);
}
