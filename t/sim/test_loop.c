/*
 * test_loop.c: the loop's promises: deadlines are never early and hardly late, what is put off runs
 * after the turn and once, the clock stands still within a turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net/buffers.h"
#include "net/loop.h"

#include "base/poison.h"

enum { DEADLINES = 60, LATE_MS = 250 /* a busy machine */ };

struct timed {
	struct deadline deadline;
	struct loop *loop;
	uint64_t due_ns, passed_ns; /* by a clock of the test's own */
	int passed_n, *left;
};

struct put_off {
	struct later later;
	struct loop *loop;
	char name, *order; /* each adds its name */
	struct put_off *queues, *cancels; /* what its run does to others */
	int again; /* how often it queues itself anew */
	bool frees;
};

struct bed {
	struct loop *loop;
	char order[64];
};

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);

	assert_non_null(bed);
	bed->loop = loop_new();
	assert_non_null(bed->loop);
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	loop_free(bed->loop);
	free(bed);
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void hold_up(uint64_t ms)
{
	uint64_t end = now_ns() + ms * 1000000;

	while (now_ns() < end)
		;
}

/* ---- deadlines */

static void timed_passed(struct deadline *deadline)
{
	struct timed *t = CONTAINER_OF(deadline, struct timed, deadline);

	t->passed_ns = now_ns();
	t->passed_n++;
	if (--*t->left == 0)
		loop_stop(t->loop);
}

static void timed_set(struct bed *bed, struct timed *t, uint64_t ms, int *left)
{
	t->loop = bed->loop;
	t->left = left;
	t->due_ns = now_ns() + ms * 1000000;
	deadline_set(bed->loop, &t->deadline, ms, timed_passed);
}

/* True: hardly late, too. */
static bool all_pass(struct bed *bed, struct timed *at)
{
	int left = DEADLINES, late = 0, very_late = 0;

	/* Set at other times than a tick's begin, and over more than one level of the wheel. */
	for (int i = 0; i < DEADLINES; i++) {
		while (now_ns() / 1000 % 1000 < (uint64_t)(i * 17 % 900))
			;
		loop_turn(bed->loop);
		timed_set(bed, &at[i], (uint64_t)(i * 37 % 211), &left);
	}
	assert_int_equal(loop_run(bed->loop), 0);
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
	struct bed *bed = *state;
	struct timed t = { .passed_n = 0 };
	uint64_t began = loop_now(bed->loop);
	int left = 1;

	while (now_ns() < began + 30000000)
		;
	assert_true(loop_now(bed->loop) >= began + 30000000);
	timed_set(bed, &t, 10, &left);
	assert_int_equal(loop_run(bed->loop), 0);
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

	hold_up(2 * LOOP_LATE_MS);
	t->passed_n++;
	if (*t->left > 0)
		deadline_set(t->loop, deadline, 1, stand_still);
}

static void while_the_process_stands_still_deadlines_do_too(void **state)
{
	struct bed *bed = *state;
	struct timed first = { 0 }, second = { 0 };
	int left = 2;

	timed_set(bed, &first, 5, &left);
	timed_set(bed, &second, 60, &left);
	loop_turn(bed->loop); /* arms the alarm, and perhaps is the first's already */
	hold_up(300);
	assert_int_equal(loop_run(bed->loop), 0);
	assert_true(second.passed_ns >= first.passed_ns + 40 * UINT64_C(1000000));
}

/* One that never keeps up stretches them a little, and not for ever. */
static void a_loop_that_is_always_late_ends_what_waits_all_the_same(void **state)
{
	struct bed *bed = *state;
	struct timed end = { 0 }, slow = { .loop = bed->loop };
	int left = 1;

	slow.left = &left;
	timed_set(bed, &end, 500, &left);
	deadline_set(bed->loop, &slow.deadline, 1, stand_still);
	assert_int_equal(loop_run(bed->loop), 0);
	assert_true(end.passed_ns - end.due_ns < (LOOP_GRACE_MS + 2000) * UINT64_C(1000000));
	assert_true(slow.passed_n > 500 / (2 * LOOP_LATE_MS));
	deadline_clear(bed->loop, &slow.deadline);
}

static void a_deadline_that_is_set_again_moves(void **state)
{
	struct bed *bed = *state;
	struct timed sooner = { 0 }, later = { 0 };
	int left = 2;

	timed_set(bed, &sooner, 60000, &left);
	timed_set(bed, &later, 1, &left);
	timed_set(bed, &sooner, 5, &left);
	timed_set(bed, &later, 30, &left);
	assert_int_equal(loop_run(bed->loop), 0);
	assert_int_equal(sooner.passed_n, 1);
	assert_int_equal(later.passed_n, 1);
	assert_true(later.passed_ns >= later.due_ns);
	assert_true(sooner.passed_ns < later.passed_ns);
}

static void a_cleared_deadline_never_passes(void **state)
{
	struct bed *bed = *state;
	struct timed cleared = { 0 }, end = { 0 };
	int left = 1, none = 1;

	timed_set(bed, &cleared, 2, &none);
	assert_true(deadline_is_set(&cleared.deadline));
	deadline_clear(bed->loop, &cleared.deadline);
	assert_false(deadline_is_set(&cleared.deadline));
	deadline_clear(bed->loop, &cleared.deadline);
	timed_set(bed, &end, 20, &left);
	assert_int_equal(loop_run(bed->loop), 0);
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
	struct bed *bed = *state;
	struct timed *victim = calloc(1, sizeof *victim), end = { 0 };
	struct killer *killer = calloc(1, sizeof *killer);
	int none = 1, left = 1;

	assert_non_null(victim);
	assert_non_null(killer);
	*killer = (struct killer){ .loop = bed->loop, .victim = victim };
	/* Both due in one turn; the wheel may take them in either order: the first kills. */
	deadline_set(bed->loop, &killer->deadline, 1, killer_passed);
	timed_set(bed, victim, 3, &none);
	timed_set(bed, &end, 5, &left);
	while (now_ns() < end.due_ns)
		;
	assert_int_equal(loop_run(bed->loop), 0);
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
	struct bed *bed = *state;
	struct again a = { .loop = bed->loop, .left = 5 };
	uint64_t start = now_ns();

	deadline_set(bed->loop, &a.deadline, 0, again_passed);
	assert_int_equal(loop_run(bed->loop), 0);
	assert_int_equal(a.left, 0);
	/* Each is at least the rest of a tick away: a deadline of 0 does not spin within one turn. */
	assert_true(now_ns() - start >= 4 * 1000000);
}

/* ---- later */

static void put_off_run(struct later *later)
{
	struct put_off *p = CONTAINER_OF(later, struct put_off, later);
	size_t len = strlen(p->order);

	p->order[len] = p->name;
	p->order[len + 1] = '\0';
	if (p->queues != NULL)
		loop_later(p->loop, &p->queues->later, put_off_run);
	if (p->cancels != NULL)
		loop_later_cancel(p->loop, &p->cancels->later);
	if (p->again-- > 0)
		loop_later(p->loop, &p->later, put_off_run);
	if (p->frees)
		free(p);
}

static void put_off_init(struct bed *bed, struct put_off *p, char name)
{
	*p = (struct put_off){ .loop = bed->loop, .name = name, .order = bed->order };
}

static void laters_run_in_order_once_and_after_the_turn(void **state)
{
	struct bed *bed = *state;
	struct put_off a, b, c;

	put_off_init(bed, &a, 'a');
	put_off_init(bed, &b, 'b');
	put_off_init(bed, &c, 'c');
	loop_later(bed->loop, &a.later, put_off_run);
	loop_later(bed->loop, &b.later, put_off_run);
	loop_later(bed->loop, &a.later, put_off_run); /* is queued already */
	loop_later(bed->loop, &c.later, put_off_run);
	assert_string_equal(bed->order, "");
	assert_int_equal(loop_turn(bed->loop), 0);
	assert_string_equal(bed->order, "abc");
	loop_turn(bed->loop);
	assert_string_equal(bed->order, "abc");
}

static void laters_of_laters_run_a_turn_further_on(void **state)
{
	struct bed *bed = *state;
	struct put_off a, b, c;

	put_off_init(bed, &a, 'a');
	put_off_init(bed, &b, 'b');
	put_off_init(bed, &c, 'c');
	a.queues = &b;
	b.again = 2;
	loop_later(bed->loop, &a.later, put_off_run);
	loop_later(bed->loop, &c.later, put_off_run);
	loop_turn(bed->loop);
	assert_string_equal(bed->order, "ac");
	loop_turn(bed->loop);
	assert_string_equal(bed->order, "acb");
	loop_turn(bed->loop);
	loop_turn(bed->loop);
	assert_string_equal(bed->order, "acbbb");
	loop_turn(bed->loop);
	assert_string_equal(bed->order, "acbbb");
}

static void a_cancelled_later_never_runs(void **state)
{
	static const char want[][4] = { "bc", "ac", "ab" };
	struct bed *bed = *state;

	/* The first, the middle and the last; and the queue goes on after each. */
	for (int i = 0; i < 3; i++) {
		struct put_off p[4];
		char whole[8];

		bed->order[0] = '\0';
		for (int k = 0; k < 4; k++)
			put_off_init(bed, &p[k], (char)('a' + k));
		for (int k = 0; k < 3; k++)
			loop_later(bed->loop, &p[k].later, put_off_run);
		loop_later_cancel(bed->loop, &p[i].later);
		loop_later_cancel(bed->loop, &p[i].later);
		loop_later(bed->loop, &p[3].later, put_off_run);
		loop_turn(bed->loop);
		strlcpy(whole, want[i], sizeof whole);
		strlcat(whole, "d", sizeof whole);
		assert_string_equal(bed->order, whole);
	}
}

static void a_later_may_cancel_the_next_and_free_itself(void **state)
{
	struct bed *bed = *state;
	struct put_off *a = calloc(1, sizeof *a), b, c, d;

	assert_non_null(a);
	put_off_init(bed, a, 'a');
	put_off_init(bed, &b, 'b');
	put_off_init(bed, &c, 'c');
	put_off_init(bed, &d, 'd');
	a->cancels = &b;
	a->queues = &d;
	a->frees = true;
	loop_later(bed->loop, &a->later, put_off_run);
	loop_later(bed->loop, &b.later, put_off_run);
	loop_later(bed->loop, &c.later, put_off_run);
	loop_turn(bed->loop);
	assert_string_equal(bed->order, "ac");
	loop_turn(bed->loop);
	assert_string_equal(bed->order, "acd");
}

static void the_last_of_a_turn_may_be_cancelled_by_the_first(void **state)
{
	struct bed *bed = *state;
	struct put_off a, b, c;

	put_off_init(bed, &a, 'a');
	put_off_init(bed, &b, 'b');
	put_off_init(bed, &c, 'c');
	a.cancels = &b;
	a.queues = &c;
	loop_later(bed->loop, &a.later, put_off_run);
	loop_later(bed->loop, &b.later, put_off_run);
	loop_turn(bed->loop);
	loop_turn(bed->loop);
	assert_string_equal(bed->order, "ac");
}

static void a_turn_does_not_wait_while_something_is_put_off(void **state)
{
	struct bed *bed = *state;
	struct timed far = { 0 };
	struct put_off a;
	uint64_t start = now_ns();
	int left = 1;

	put_off_init(bed, &a, 'a');
	timed_set(bed, &far, 60000, &left);
	loop_later(bed->loop, &a.later, put_off_run);
	loop_turn(bed->loop);
	assert_string_equal(bed->order, "a");
	assert_true(now_ns() - start < 30ull * 1000000000);
	deadline_clear(bed->loop, &far.deadline);
}

static void freeing_the_loop_runs_what_is_put_off_but_not_for_ever(void **state)
{
	struct bed *bed = *state;
	struct put_off a, b, forever;

	put_off_init(bed, &a, 'a');
	put_off_init(bed, &b, 'b');
	put_off_init(bed, &forever, 'f');
	a.queues = &b;
	forever.again = 1 << 30;
	loop_later(bed->loop, &a.later, put_off_run);
	loop_later(bed->loop, &forever.later, put_off_run);
	loop_free(bed->loop);
	bed->loop = NULL;
	assert_non_null(strchr(bed->order, 'b'));
	assert_in_range(strlen(bed->order), 3, 20);
}

/* ---- the clock, stopping, events */

struct clock_seen {
	struct loop *loop;
	struct later later;
	uint64_t ns[3], ms;
	time_t wall[2];
	int events;
};

static void clock_later(struct later *later)
{
	struct clock_seen *seen = CONTAINER_OF(later, struct clock_seen, later);

	seen->ns[2] = loop_now(seen->loop);
	seen->ms = loop_now_ms(seen->loop);
	seen->wall[1] = loop_wall(seen->loop);
}

static void clock_event(evutil_socket_t fd, short what, void *arg)
{
	struct clock_seen *seen = arg;
	uint64_t start;
	char byte;

	(void)what;
	assert_int_equal(read(fd, &byte, 1), 1);
	seen->events++;
	seen->ns[0] = loop_now(seen->loop);
	seen->wall[0] = loop_wall(seen->loop);
	start = now_ns();
	while (now_ns() - start < 3000000)
		;
	seen->ns[1] = loop_now(seen->loop);
	loop_later(seen->loop, &seen->later, clock_later);
}

static void the_clock_is_the_same_for_a_whole_turn_and_then_goes_on(void **state)
{
	struct bed *bed = *state;
	struct clock_seen seen = { .loop = bed->loop };
	struct event *event;
	uint64_t first, before = now_ns();
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	event = event_new(loop_base(bed->loop), fds[0], EV_READ | EV_PERSIST, clock_event, &seen);
	assert_non_null(event);
	event_add(event, NULL);
	assert_int_equal(write(fds[1], "12", 2), 2);
	assert_int_equal(loop_turn(bed->loop), 0);
	assert_int_equal(seen.events, 1);
	assert_true(seen.ns[0] >= before); /* read after the poll */
	assert_true(seen.ns[1] == seen.ns[0]);
	assert_true(seen.ns[2] == seen.ns[0]);
	assert_true(seen.ms == seen.ns[0] / 1000000);
	assert_true(seen.wall[0] == seen.wall[1]);
	assert_in_range(seen.wall[0], time(NULL) - 5, time(NULL));
	first = seen.ns[0];
	assert_int_equal(loop_turn(bed->loop), 0);
	assert_true(seen.ns[0] >= first + 3000000);
	event_free(event);
	close(fds[0]);
	close(fds[1]);
}

static void stop_later(struct later *later)
{
	struct put_off *p = CONTAINER_OF(later, struct put_off, later);

	loop_stop(p->loop);
}

static void stopping_ends_the_run_after_the_turn_and_it_can_run_again(void **state)
{
	struct bed *bed = *state;
	struct put_off stop, after;

	for (int i = 0; i < 2; i++) {
		bed->order[0] = '\0';
		put_off_init(bed, &stop, 's');
		put_off_init(bed, &after, 'a');
		loop_later(bed->loop, &stop.later, stop_later);
		loop_later(bed->loop, &after.later, put_off_run);
		assert_int_equal(loop_run(bed->loop), 0);
		assert_string_equal(bed->order, "a");
	}
}

/* What cannot even start asks for the end before the loop runs. */
static void a_stop_that_came_before_the_run_holds(void **state)
{
	struct bed *bed = *state;
	struct put_off stop, after;

	loop_stop(bed->loop);
	assert_int_equal(loop_run(bed->loop), 0);
	put_off_init(bed, &stop, 's');
	put_off_init(bed, &after, 'a');
	loop_later(bed->loop, &stop.later, stop_later);
	loop_later(bed->loop, &after.later, put_off_run);
	assert_int_equal(loop_run(bed->loop), 0);
	assert_string_equal(bed->order, "a");
}

static void what_a_turn_took_is_no_part_of_the_wait(void **state)
{
	struct bed *bed = *state;
	int left = 1;
	struct timed t = { 0 }, now = { 0 };

	enum { BUSY_MS = 500 };

	/* A turn has begun, and its clock stands still while this goes on. */
	timed_set(bed, &now, 0, &(int){ 2 });
	assert_int_equal(loop_turn(bed->loop), 0);
	timed_set(bed, &t, BUSY_MS, &left);
	while (now_ns() < t.due_ns)
		;
	assert_int_equal(loop_run(bed->loop), 0);
	assert_in_range((t.passed_ns - t.due_ns) / 1000000, 0, LATE_MS);
}

static void buffers_are_made_once(void **state)
{
	struct bed *bed = *state;
	struct iobufs *bufs = loop_iobufs(bed->loop);

	assert_non_null(bufs);
	assert_ptr_equal(loop_iobufs(bed->loop), bufs);
}

static void nothing_is_freed_twice_by_nothing(void **state)
{
	(void)state;
	loop_free(NULL);
}

int main(void)
{
#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		LOOP_TEST(deadlines_pass_once_never_early_and_hardly_late),
		LOOP_TEST(a_deadline_set_before_the_first_turn_counts_from_when_it_was_set),
		LOOP_TEST(while_the_process_stands_still_deadlines_do_too),
		LOOP_TEST(a_loop_that_is_always_late_ends_what_waits_all_the_same),
		LOOP_TEST(a_deadline_that_is_set_again_moves),
		LOOP_TEST(a_cleared_deadline_never_passes),
		LOOP_TEST(a_deadline_may_clear_and_free_others_that_are_due),
		LOOP_TEST(a_deadline_may_set_itself_anew),
		LOOP_TEST(laters_run_in_order_once_and_after_the_turn),
		LOOP_TEST(laters_of_laters_run_a_turn_further_on),
		LOOP_TEST(a_cancelled_later_never_runs),
		LOOP_TEST(a_later_may_cancel_the_next_and_free_itself),
		LOOP_TEST(the_last_of_a_turn_may_be_cancelled_by_the_first),
		LOOP_TEST(a_turn_does_not_wait_while_something_is_put_off),
		LOOP_TEST(freeing_the_loop_runs_what_is_put_off_but_not_for_ever),
		LOOP_TEST(the_clock_is_the_same_for_a_whole_turn_and_then_goes_on),
		LOOP_TEST(stopping_ends_the_run_after_the_turn_and_it_can_run_again),
		LOOP_TEST(a_stop_that_came_before_the_run_holds),
		LOOP_TEST(what_a_turn_took_is_no_part_of_the_wait),
		LOOP_TEST(buffers_are_made_once),
		cmocka_unit_test(nothing_is_freed_twice_by_nothing),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
