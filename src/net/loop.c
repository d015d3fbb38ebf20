/*
 * loop.c: one turn = poll, callbacks, the first of those that are ready, deadlines among them, what was
 * put off with loop_later, then the output that streams have gathered meanwhile. The wheel's next
 * deadline becomes the poll's timeout through a single libevent timer, which is moved only when it has
 * to fire earlier.
 */
#include "net/loop.h"

#include <assert.h>
#include <event2/event.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/bucket.h"
#include "net/buffers.h"
#include "net/stream_private.h"

#include "base/poison.h"

/* First in, first out. The last is always `end`, so that to take one out it need not be known of which
 * queue it is. */
struct queue {
	LIST_HEAD(, later) all;
	struct later end;
	struct later mark; /* while it is worked on: what comes behind is the next turn's */
};

struct loop {
	struct event_base *base;
	struct event *alarm; /* fires at or before the wheel's next deadline */
	uint64_t alarm_ms; /* when it is to fire; UINT64_MAX: not set */
	struct wheel wheel; /* its time: the clock's ms less lost_ms */
	uint64_t lost_ms;
	uint64_t read_ms; /* when the clock was read last */
	struct bucket grace; /* ms that may be lost yet */
	struct queue laters, ready;
	int ready_left; /* how many more of them this turn takes */
	struct later due; /* among the ready: deadlines that have passed by due_ms */
	uint64_t due_ms; /* of the wheel's time */
	uint64_t due_at; /* loop_now_ms() when it was queued */
	uint64_t now; /* ns; 0: not read in this turn */
	bool turning; /* within a turn */
	time_t wall; /* 0: not read in this turn */
	bool stopping;
	struct iobufs *iobufs; /* made at first use */
};

static void alarm_cb(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;

	(void)fd;
	(void)what;
	loop->alarm_ms = UINT64_MAX;
}

static void queue_init(struct queue *queue)
{
	LIST_INIT(&queue->all);
	LIST_INSERT_HEAD(&queue->all, &queue->end, link);
}

static bool queue_is_empty(const struct queue *queue)
{
	return LIST_FIRST(&queue->all) == &queue->end;
}

static void enqueue(struct queue *queue, struct later *later, void (*run)(struct later *))
{
	later->run = run;
	if (!loop_later_is_queued(later))
		LIST_INSERT_BEFORE(&queue->end, later, link);
}

static void unqueue(struct later *later)
{
	LIST_REMOVE(later, link);
	later->link.le_prev = NULL;
}

struct loop *loop_new(void)
{
	struct loop *loop = calloc(1, sizeof *loop);
	struct event_config *config = event_config_new();

	if (loop == NULL || config == NULL)
		goto fail;
	/* The loop keeps its own clock; signals and threads are not libevent's business here. */
	if (event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) != 0)
		goto fail;
	loop->base = event_base_new_with_config(config);
	if (loop->base == NULL)
		goto fail;
	loop->alarm = event_new(loop->base, -1, 0, alarm_cb, loop);
	if (loop->alarm == NULL)
		goto fail;
	loop->alarm_ms = UINT64_MAX;
	queue_init(&loop->laters);
	queue_init(&loop->ready);
	wheel_init(&loop->wheel, loop_now_ms(loop));
	bucket_init(&loop->grace, LOOP_GRACE_RATE, LOOP_GRACE_MS, loop_now_ms(loop));
	event_config_free(config);
	return loop;
fail:
	if (config != NULL)
		event_config_free(config);
	if (loop != NULL && loop->base != NULL)
		event_base_free(loop->base);
	free(loop);
	return NULL;
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->base;
}

struct iobufs *loop_iobufs(struct loop *loop)
{
	if (loop->iobufs == NULL && (loop->iobufs = calloc(1, sizeof *loop->iobufs)) != NULL)
		loop->iobufs->pending_max = SIZE_MAX;
	return loop->iobufs;
}

/* The process was not let run since something was due, and since it read the clock. Those that it waits
 * for may not have been either, so that their time goes on from here. Where more is ready than a turn
 * takes, turns are long by themselves, and only a long stop is one. */
static void forgive(struct loop *loop, uint64_t now)
{
	uint64_t due = wheel_next(&loop->wheel), late, away = now - loop->read_ms;

	loop->read_ms = now;
	if (due == UINT64_MAX || now < due + loop->lost_ms + LOOP_LATE_MS ||
	    away < (loop_later_is_queued(&loop->due) ? LOOP_DUE_MS : LOOP_LATE_MS))
		return;
	late = now - due - loop->lost_ms;
	if (late > away)
		late = away;
	if (late > LOOP_GRACE_MS)
		late = LOOP_GRACE_MS;
	if (bucket_take(&loop->grace, late, now))
		loop->lost_ms += late;
}

/* Apart, so that loop_now() is as short as it looks: it is asked a dozen times a request. */
__attribute__((noinline)) static void read_clock(struct loop *loop)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	loop->now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	forgive(loop, loop->now / 1000000);
}

uint64_t loop_now(struct loop *loop)
{
	/* Outside of a turn (before the first: a configuration may take long to read) it is not kept. */
	if (loop->now == 0 || !loop->turning)
		read_clock(loop);
	return loop->now;
}

uint64_t loop_now_ms(struct loop *loop)
{
	return loop_now(loop) / 1000000;
}

static uint64_t wheel_now(struct loop *loop)
{
	uint64_t now = loop_now_ms(loop); /* may lose some */

	return now - loop->lost_ms;
}

time_t loop_wall(struct loop *loop)
{
	if (loop->wall == 0)
		loop->wall = time(NULL);
	return loop->wall;
}

void loop_later(struct loop *loop, struct later *later, void (*run)(struct later *))
{
	enqueue(&loop->laters, later, run);
}

void loop_ready(struct loop *loop, struct later *later, void (*run)(struct later *))
{
	enqueue(&loop->ready, later, run);
}

void loop_took(struct loop *loop)
{
	loop->ready_left--;
}

void loop_later_cancel(struct later *later)
{
	if (loop_later_is_queued(later))
		unqueue(later);
}

bool loop_later_is_queued(const struct later *later)
{
	return later->link.le_prev != NULL;
}

/* Each is unlinked first, so it may queue itself again, cancel others, or free its object. */
static void run_first(struct queue *queue)
{
	struct later *later = LIST_FIRST(&queue->all);

	unqueue(later);
	later->run(later);
}

/* Runs what was queued before now, and no more of it than *left. */
static void run(struct queue *queue, int *left)
{
	if (queue_is_empty(queue))
		return;
	enqueue(queue, &queue->mark, NULL);
	while ((*left)-- > 0 && LIST_FIRST(&queue->all) != &queue->mark)
		run_first(queue);
	unqueue(&queue->mark);
}

static void run_laters(struct loop *loop)
{
	int all = INT_MAX;

	run(&loop->laters, &all);
}

static void entry_passed(struct wheel_entry *entry, void *arg)
{
	struct deadline *deadline = CONTAINER_OF(entry, struct deadline, entry);

	(void)arg;
	deadline->passed(deadline);
}

/* Those that passed while it waited among the ready are the next turn's: what came before them may be
 * among the ready yet. */
static void pass_deadlines(struct later *later)
{
	struct loop *loop = CONTAINER_OF(later, struct loop, due);

	wheel_advance(&loop->wheel, loop->due_ms, entry_passed, loop);
}

static void queue_deadlines(struct loop *loop)
{
	if (!loop_later_is_queued(&loop->due)) {
		loop->due_ms = wheel_now(loop);
		loop->due_at = loop_now_ms(loop);
		loop_ready(loop, &loop->due, pass_deadlines);
	} else if (loop_now_ms(loop) - loop->due_at >= LOOP_DUE_MS) {
		loop_later_cancel(&loop->due);
		pass_deadlines(&loop->due);
	}
}

void deadline_set(
    struct loop *loop, struct deadline *deadline, uint64_t ms, void (*passed)(struct deadline *))
{
	deadline->passed = passed;
	/* One tick more: the present one has begun already, and a deadline is never early. */
	wheel_set(&loop->wheel, &deadline->entry, wheel_now(loop) + ms + 1);
}

void deadline_clear(struct loop *loop, struct deadline *deadline)
{
	wheel_clear(&loop->wheel, &deadline->entry);
}

void deadline_rest(struct loop *loop, struct deadline *deadline)
{
	wheel_rest(&loop->wheel, &deadline->entry);
}

bool deadline_is_set(const struct deadline *deadline)
{
	return wheel_is_set(&deadline->entry);
}

/* A timer that fires too early costs one empty turn; one that is set anew for each deadline would
 * cost heap work for each. So it is only ever moved forward. */
static void set_alarm(struct loop *loop)
{
	uint64_t next = wheel_next(&loop->wheel), now, wait;
	struct timeval tv;

	if (next == UINT64_MAX || (next += loop->lost_ms) >= loop->alarm_ms)
		return;
	now = loop_now_ms(loop);
	wait = next > now ? next - now : 0;
	tv.tv_sec = (time_t)(wait / 1000);
	tv.tv_usec = (suseconds_t)(wait % 1000 * 1000);
	event_add(loop->alarm, &tv);
	loop->alarm_ms = next;
}

/* Something is to be done after the callbacks, whatever the poll brings. */
static bool work_waits(const struct loop *loop)
{
	return !queue_is_empty(&loop->ready) || !queue_is_empty(&loop->laters) ||
	       (loop->iobufs != NULL && (loop->iobufs->owner != NULL || loop->iobufs->batch_n > 0));
}

int loop_turn(struct loop *loop)
{
	loop->turning = true;
	/* What the former turn took is no part of the wait. */
	loop->now = 0;
	set_alarm(loop);
	/* The clock is read again after the poll, by whoever asks first. */
	loop->now = 0;
	loop->wall = 0;
	if (event_base_loop(loop->base, EVLOOP_ONCE | (work_waits(loop) ? EVLOOP_NONBLOCK : 0)) < 0)
		return -1;
	queue_deadlines(loop);
	loop->ready_left = LOOP_READY_MAX;
	run(&loop->ready, &loop->ready_left);
	run_laters(loop);
	if (loop->iobufs != NULL)
		stream_flush_loop(loop->iobufs);
	loop->turning = false;
	return 0;
}

int loop_run(struct loop *loop)
{
	while (!loop->stopping)
		if (loop_turn(loop) != 0)
			return -1;
	loop->stopping = false;
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}

void loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	/* What was put off is mostly memory to be freed; it may put off more, but not without end. */
	for (int i = 0; i < 16 && !queue_is_empty(&loop->laters); i++)
		run_laters(loop);
	event_free(loop->alarm);
	event_base_free(loop->base);
	if (loop->iobufs != NULL)
		stream_tls_bio_free(loop->iobufs);
	free(loop->iobufs);
	free(loop);
}
