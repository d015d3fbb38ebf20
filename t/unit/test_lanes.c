/* test_lanes.c: jobs through threads and back: order, bounds, deadlines, the end. Clean under
 * ThreadSanitizer. Jobs are held up by a gate, not by time. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "keysvc/lanes.h"

#include "base/poison.h"

enum { LONG_MS = 60000 };

struct gate {
	pthread_mutex_t mutex;
	pthread_cond_t moved;
	bool shut;
	unsigned inside; /* jobs that wait at it */
};

struct fixture {
	struct loop *loop;
	struct lanes *lanes;
	struct gate gate;
	unsigned done;
	unsigned results[LANE_STOPPED + 1];
};

struct job {
	struct lane_job lane;
	struct fixture *f;
	bool gated;
	unsigned worked; /* by a thread, read on the loop after done() */
	unsigned order; /* of done() */
	pthread_t by;
};

/* Of each thread. */
struct scratch {
	pthread_t thread;
};

static void *scratch_new(unsigned nth)
{
	struct scratch *s = calloc(1, sizeof(*s));

	s->thread = pthread_self();
	assert_true(nth < 4);
	return s;
}

static void work(void *scratch, struct lane_job *lane)
{
	struct job *job = (struct job *)(void *)lane;
	struct gate *gate = &job->f->gate;

	job->worked++;
	job->by = ((struct scratch *)scratch)->thread;
	if (!job->gated)
		return;
	pthread_mutex_lock(&gate->mutex);
	gate->inside++;
	pthread_cond_broadcast(&gate->moved);
	while (gate->shut)
		pthread_cond_wait(&gate->moved, &gate->mutex);
	gate->inside--;
	pthread_mutex_unlock(&gate->mutex);
}

static void done(void *arg, struct lane_job *lane)
{
	struct fixture *f = arg;
	struct job *job = (struct job *)(void *)lane;

	job->order = ++f->done;
	f->results[lane->result]++;
}

static void shut(struct fixture *f, bool shut)
{
	pthread_mutex_lock(&f->gate.mutex);
	f->gate.shut = shut;
	pthread_cond_broadcast(&f->gate.moved);
	pthread_mutex_unlock(&f->gate.mutex);
}

static void wait_inside(struct fixture *f, unsigned n)
{
	pthread_mutex_lock(&f->gate.mutex);
	while (f->gate.inside < n)
		pthread_cond_wait(&f->gate.moved, &f->gate.mutex);
	pthread_mutex_unlock(&f->gate.mutex);
}

static void wait_done(struct fixture *f, unsigned n)
{
	while (f->done < n)
		assert_int_equal(loop_turn(f->loop), 0); /* the harness has the deadline */
}

static struct fixture *fixture_new(unsigned fast, unsigned slow, unsigned queue_max)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct lanes_params params = { .threads = { fast, slow },
		.queue_max = queue_max,
		.scratch_new = scratch_new,
		.scratch_free = free,
		.work = work,
		.done = done,
		.arg = f };

	pthread_mutex_init(&f->gate.mutex, NULL);
	pthread_cond_init(&f->gate.moved, NULL);
	f->loop = loop_new();
	f->lanes = lanes_new(f->loop, &params);
	assert_non_null(f->lanes);
	return f;
}

static void fixture_free(struct fixture *f)
{
	lanes_free(f->lanes);
	loop_free(f->loop);
	pthread_mutex_destroy(&f->gate.mutex);
	pthread_cond_destroy(&f->gate.moved);
	free(f);
}

static int submit(struct fixture *f, enum lane lane, struct job *job, bool gated, uint32_t ms)
{
	memset(job, 0, sizeof(*job));
	job->f = f;
	job->gated = gated;
	return lanes_submit(f->lanes, lane, &job->lane, ms);
}

static void every_job_comes_back_once(void **state)
{
	enum { N = 2000 };
	struct fixture *f = fixture_new(4, 2, N);
	struct job *jobs = calloc(N, sizeof(*jobs));

	(void)state;
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(
		    submit(f, i % 3 == 0 ? LANE_SLOW : LANE_FAST, &jobs[i], false, LONG_MS), 0);
	wait_done(f, N);
	assert_int_equal(f->results[LANE_DONE], N);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(jobs[i].worked, 1);
		assert_int_not_equal(jobs[i].order, 0);
		assert_false(pthread_equal(jobs[i].by, pthread_self()));
	}
	fixture_free(f);
	free(jobs);
}

static void one_thread_keeps_the_order(void **state)
{
	struct fixture *f = fixture_new(1, 1, 100);
	struct job *jobs = calloc(50, sizeof(*jobs));

	(void)state;
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(submit(f, LANE_FAST, &jobs[i], false, LONG_MS), 0);
	wait_done(f, 50);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(jobs[i].order, i + 1);
	fixture_free(f);
	free(jobs);
}

static void slow_keys_do_not_stand_before_fast_ones(void **state)
{
	struct fixture *f = fixture_new(1, 1, 100);
	struct job slow, fast;

	(void)state;
	shut(f, true);
	assert_int_equal(submit(f, LANE_SLOW, &slow, true, LONG_MS), 0);
	wait_inside(f, 1);
	assert_int_equal(submit(f, LANE_FAST, &fast, false, LONG_MS), 0);
	wait_done(f, 1);
	assert_int_equal(fast.order, 1);
	shut(f, false);
	wait_done(f, 2);
	fixture_free(f);
}

static void full_queue_refuses_at_once(void **state)
{
	struct fixture *f = fixture_new(1, 1, 3);
	struct job jobs[5];

	(void)state;
	shut(f, true);
	assert_int_equal(submit(f, LANE_FAST, &jobs[0], true, LONG_MS), 0);
	wait_inside(f, 1); /* in work, so no longer in the queue */
	for (int i = 1; i <= 3; i++)
		assert_int_equal(submit(f, LANE_FAST, &jobs[i], false, LONG_MS), 0);
	assert_int_equal(submit(f, LANE_FAST, &jobs[4], false, LONG_MS), -1);
	shut(f, false);
	wait_done(f, 4);
	assert_int_equal(f->results[LANE_DONE], 4);
	assert_int_equal(jobs[4].worked, 0);
	fixture_free(f);
}

static void late_jobs_are_not_worked_on(void **state)
{
	struct fixture *f = fixture_new(1, 1, 10);
	struct job first, late, timely;
	struct timespec ts;

	(void)state;
	shut(f, true);
	assert_int_equal(submit(f, LANE_FAST, &first, true, LONG_MS), 0);
	wait_inside(f, 1);
	assert_int_equal(submit(f, LANE_FAST, &late, false, 1), 0);
	assert_int_equal(submit(f, LANE_FAST, &timely, false, LONG_MS), 0);
	do /* until its deadline is over */
		clock_gettime(CLOCK_MONOTONIC, &ts);
	while ((uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec < late.lane.deadline_ns);
	shut(f, false);
	wait_done(f, 3);
	assert_int_equal(late.lane.result, LANE_LATE);
	assert_int_equal(late.worked, 0);
	assert_int_equal(timely.lane.result, LANE_DONE);
	fixture_free(f);
}

static void what_cannot_be_in_time_is_refused(void **state)
{
	struct fixture *f = fixture_new(1, 1, 100);
	struct job slow, first, queued[3], hopeless, patient;
	struct timespec begin, ts;

	(void)state;
	/* One job that takes 20 ms by its own doing: the lane learns what jobs cost. */
	shut(f, true);
	assert_int_equal(submit(f, LANE_FAST, &slow, true, LONG_MS), 0);
	wait_inside(f, 1);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do
		clock_gettime(CLOCK_MONOTONIC, &ts);
	while ((ts.tv_sec - begin.tv_sec) * 1000 + (ts.tv_nsec - begin.tv_nsec) / 1000000 < 20);
	shut(f, false);
	wait_done(f, 1);
	shut(f, true);
	assert_int_equal(submit(f, LANE_FAST, &first, true, LONG_MS), 0);
	wait_inside(f, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(submit(f, LANE_FAST, &queued[i], false, LONG_MS), 0);
	assert_int_equal(
	    submit(f, LANE_FAST, &hopeless, false, 30), -1); /* 3 x 20 ms stand before it */
	assert_int_equal(submit(f, LANE_FAST, &patient, false, LONG_MS), 0);
	shut(f, false);
	wait_done(f, 6);
	fixture_free(f);
}

static void dropped_jobs_come_back_unworked(void **state)
{
	struct fixture *f = fixture_new(1, 1, 10);
	struct job first, dropped;

	(void)state;
	shut(f, true);
	assert_int_equal(submit(f, LANE_FAST, &first, true, LONG_MS), 0);
	wait_inside(f, 1);
	assert_int_equal(submit(f, LANE_FAST, &dropped, false, LONG_MS), 0);
	atomic_store(&dropped.lane.drop, true);
	shut(f, false);
	wait_done(f, 2);
	assert_int_equal(dropped.lane.result, LANE_DROPPED);
	assert_int_equal(dropped.worked, 0);
	fixture_free(f);
}

/* The fast lane without threads: in order, on the loop, never within submit; the slow one goes on beside it. */
static void without_threads_the_loop_does_it(void **state)
{
	struct fixture *f = fixture_new(0, 1, 1000);
	static struct job jobs[100], late;

	(void)state;
	memset(jobs, 0, sizeof(jobs));
	memset(&late, 0, sizeof(late));
	for (int i = 0; i < 100; i++) {
		jobs[i].f = f;
		assert_int_equal(lanes_submit(f->lanes, LANE_FAST, &jobs[i].lane, 10000), 0);
	}
	assert_int_equal(f->done, 0);
	atomic_store(&jobs[7].lane.drop, true);
	wait_done(f, 100);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(jobs[i].order, i + 1);
		assert_int_equal(jobs[i].worked, i != 7);
		assert_true(i == 7 || pthread_equal(jobs[i].by, pthread_self()));
	}
	assert_int_equal(f->results[LANE_DROPPED], 1);
	/* Left behind at the end: told so. */
	late.f = f;
	assert_int_equal(lanes_submit(f->lanes, LANE_FAST, &late.lane, 10000), 0);
	lanes_free(f->lanes);
	f->lanes = NULL;
	assert_int_equal(f->results[LANE_STOPPED], 1);
	assert_int_equal(late.worked, 0);
	fixture_free(f);
}

static void freeing_returns_all_jobs(void **state)
{
	struct fixture *f = fixture_new(2, 1, 1000);
	struct job *jobs = calloc(500, sizeof(*jobs));
	struct lanes *lanes = f->lanes;

	(void)state;
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(submit(f, LANE_FAST, &jobs[i], false, LONG_MS), 0);
	lanes_free(lanes);
	assert_int_equal(f->done, 500);
	assert_int_equal(f->results[LANE_DONE] + f->results[LANE_STOPPED], 500);
	f->lanes = NULL;
	fixture_free(f);
	free(jobs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_comes_back_once),
		cmocka_unit_test(one_thread_keeps_the_order),
		cmocka_unit_test(slow_keys_do_not_stand_before_fast_ones),
		cmocka_unit_test(full_queue_refuses_at_once),
		cmocka_unit_test(late_jobs_are_not_worked_on),
		cmocka_unit_test(what_cannot_be_in_time_is_refused),
		cmocka_unit_test(dropped_jobs_come_back_unworked),
		cmocka_unit_test(without_threads_the_loop_does_it),
		cmocka_unit_test(freeing_returns_all_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
