/*
 * test_workers.c: the master's worker processes: their start, their ends, their beats. Who serves a slot
 * whose worker is gone, and when another comes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>

#include "family.h"

#include "base/poison.h"

/* ---- start */

static void all_start_at_once_and_get_their_sockets_when_ready(void **state)
{
	struct family *family = *state;

	family_plan(family, 0, 3, 2);
	family_use(family, 0);
	workers_resolved(family->workers, "a.example 60 10.0.0.1");
	workers_start(family->workers);
	assert_int_equal(family->n, 3);
	for (unsigned i = 0; i < 3; i++) {
		char told[128];

		assert_int_equal(family->fakes[i].slot, i);
		/* Names come before it is ready: it needs those of key servers. */
		assert_true(family_hears(&family->fakes[i], "resolved a.example 60 10.0.0.1;"));
		assert_int_equal(family->rolled, 0);
		family_says(family, &family->fakes[i], "ready");
		snprintf(told, sizeof told, "listen %u %d;listen %u %d;", i, LISTENER_TLS, i,
		    LISTENER_REDIRECT);
		assert_true(family_hears(&family->fakes[i], told));
	}
	assert_int_equal(family->rolled, 1);
	family_says(family, &family->fakes[0], "ready"); /* once is enough */
	family_says(family, &family->fakes[0], "rubbish");
	assert_true(family_hears(&family->fakes[0], ""));
	workers_resolved(family->workers, "b.example 60 10.0.0.2");
	assert_true(family_hears(&family->fakes[2], "resolved b.example 60 10.0.0.2;"));
}

static void a_worker_that_ends_at_the_start_fails_it_with_its_status(void **state)
{
	struct family *family = *state;

	family->goes_back = false;
	family_plan(family, 0, 2, 1);
	family_use(family, 0);
	workers_start(family->workers);
	family_ends(family, &family->fakes[1], W_EXITCODE(1, 0));
	assert_int_equal(family->rolled, 1);
	assert_int_equal(family->failed, 1);
}

static void what_comes_before_the_first_plan_does_no_harm(void **state)
{
	struct family *family = *state;

	workers_reopen(family->workers);
	workers_watch(family->workers);
	workers_resolved(family->workers, "a.example 60 10.0.0.1");
	assert_false(workers_ended(family->workers, 1, 0));
}

/* ---- ends */

static void a_worker_that_ends_is_started_again_and_a_neighbour_helps_out(void **state)
{
	struct family *family = *state;

	family_serving(family, 3);
	family_ends(family, &family->fakes[1], W_EXITCODE(0, SIGSEGV));
	sim_until(family->loop, family->n == 4);
	assert_int_equal(family_newest(family)->slot, 1);
	sim_until(family->loop, family_hears(&family->fakes[2], "listen 1 0;"));
	family_says(family, family_newest(family), "ready");
	assert_true(family_hears(family_newest(family), "listen 1 0;"));
	assert_true(family_hears(&family->fakes[2], "unlisten 1;"));
	assert_true(family_hears(&family->fakes[0], ""));
	/* And the next time too. */
	family_ends(family, family_newest(family), W_EXITCODE(0, SIGSEGV));
	sim_until(family->loop, family_hears(&family->fakes[2], "listen 1 0;"));
}

static void when_the_neighbour_ends_too_another_helps_out(void **state)
{
	struct family *family = *state;

	family_serving(family, 3);
	family_ends(family, &family->fakes[1], W_EXITCODE(0, SIGSEGV));
	sim_until(family->loop, family_hears(&family->fakes[2], "listen 1 0;"));
	family_ends(family, &family->fakes[2], W_EXITCODE(0, SIGSEGV));
	sim_until(
	    family->loop, (family_listen(&family->fakes[0]), strlen(family->fakes[0].heard) >= 22));
	assert_non_null(strstr(family->fakes[0].heard, "listen 1 0;"));
	assert_non_null(strstr(family->fakes[0].heard, "listen 2 0;"));
}

static void one_that_ends_again_and_again_comes_less_and_less_often(void **state)
{
	struct family *family = *state;
	uint64_t last = 0;

	family_serving(family, 1);
	for (int i = 0; i < 4; i++) {
		uint64_t began = sim_now_ms();
		int before = family->n;

		family_ends(family, family_newest(family), W_EXITCODE(3, 0));
		sim_until(family->loop, family->n == before + 1);
		if (i > 1)
			assert_true(sim_now_ms() - began > last * 3 / 2);
		last = sim_now_ms() - began;
	}
}

static void a_fork_that_fails_is_tried_again(void **state)
{
	struct family *family = *state;

	family_serving(family, 2);
	family->no_forks = 1;
	family_ends(family, &family->fakes[0], W_EXITCODE(3, 0));
	sim_until(family->loop, family->no_forks == 0);
	assert_int_equal(family->n, 2);
	sim_until(family->loop, family_hears(&family->fakes[1], "listen 0 0;"));
}

static void one_that_was_told_to_end_is_replaced_while_it_drains(void **state)
{
	struct family *family = *state;

	family_serving(family, 2);
	family_says(family, &family->fakes[0], "leaving");
	sim_until(family->loop, family->n == 3);
	assert_int_equal(family_newest(family)->slot, 0);
	assert_int_not_equal(family_newest(family)->cell, family->fakes[0].cell);
	family_says(family, family_newest(family), "ready");
	assert_true(family_hears(family_newest(family), "listen 0 0;"));
	family_ends(family, &family->fakes[0], 0);
	sim_while(family->loop, 150, family->n == 3);
	assert_false(workers_gone(family->workers));
}

/* ---- beats */

static void beats(struct family *family, const struct fake *f, uint64_t beat)
{
	counter_set(counters_cell_of(family->counters, ROLES_BEAT, f->cell), beat);
}

static void silence_is_counted_in_looks(void **state)
{
	struct family *family = *state;

	family_serving(family, 2);
	for (uint64_t i = 1; i <= 20; i++) {
		beats(family, &family->fakes[0], 1000 + i);
		if (i < 7)
			beats(family, &family->fakes[1],
			    UINT64_MAX - i); /* what it is does not count */
		workers_watch(family->workers);
		assert_int_equal(family->fakes[1].killed, i >= 11);
	}
	assert_int_equal(family->fakes[0].killed, 0);
	family_ends(family, &family->fakes[1], W_EXITCODE(0, SIGKILL));
	sim_until(family->loop, family->n == 3);
	/* One that starts has more time. */
	for (int i = 0; i < 40; i++) {
		beats(family, &family->fakes[0], 2000 + (uint64_t)i);
		workers_watch(family->workers);
		assert_int_equal(family_newest(family)->killed, i >= 29);
	}
}

int main(void)
{
#define WORKERS_TEST(f) cmocka_unit_test_setup_teardown(f, family_setup, family_teardown)
	const struct CMUnitTest tests[] = {
		WORKERS_TEST(all_start_at_once_and_get_their_sockets_when_ready),
		WORKERS_TEST(a_worker_that_ends_at_the_start_fails_it_with_its_status),
		WORKERS_TEST(what_comes_before_the_first_plan_does_no_harm),
		WORKERS_TEST(a_worker_that_ends_is_started_again_and_a_neighbour_helps_out),
		WORKERS_TEST(when_the_neighbour_ends_too_another_helps_out),
		WORKERS_TEST(one_that_ends_again_and_again_comes_less_and_less_often),
		WORKERS_TEST(a_fork_that_fails_is_tried_again),
		WORKERS_TEST(one_that_was_told_to_end_is_replaced_while_it_drains),
		WORKERS_TEST(silence_is_counted_in_looks),
	};

	return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
