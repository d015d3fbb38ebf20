/*
 * test_loop.c: the loop's promises: what is put off runs after the turn and once, the clock stands still
 * within a turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/buffers.h"
#include "net/loop.h"

#include "sim.h"

#include "base/poison.h"

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
		loop_later_cancel(&p->cancels->later);
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
		loop_later_cancel(&p[i].later);
		loop_later_cancel(&p[i].later);
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

static void never_passes(struct deadline *deadline)
{
	(void)deadline;
	fail();
}

static void a_turn_does_not_wait_while_something_is_put_off(void **state)
{
	struct bed *bed = *state;
	struct deadline far = { 0 };
	struct put_off a;
	uint64_t start = sim_now_ns();

	put_off_init(bed, &a, 'a');
	deadline_set(bed->loop, &far, 60000, never_passes);
	loop_later(bed->loop, &a.later, put_off_run);
	loop_turn(bed->loop);
	assert_string_equal(bed->order, "a");
	assert_true(sim_now_ns() - start < 30ull * 1000000000);
	deadline_clear(bed->loop, &far);
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
	start = sim_now_ns();
	while (sim_now_ns() - start < 3000000)
		;
	seen->ns[1] = loop_now(seen->loop);
	loop_later(seen->loop, &seen->later, clock_later);
}

static void the_clock_is_the_same_for_a_whole_turn_and_then_goes_on(void **state)
{
	struct bed *bed = *state;
	struct clock_seen seen = { .loop = bed->loop };
	struct event *event;
	uint64_t first, before = sim_now_ns();
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
		LOOP_TEST(buffers_are_made_once),
		cmocka_unit_test(nothing_is_freed_twice_by_nothing),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
