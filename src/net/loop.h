/*
 * loop.h: the event base of a process, its clock, deadlines and "after this turn". One a process,
 * one thread. The clock is read at most once a turn. Deadlines lie in a timer wheel of 1 ms ticks:
 * set and clear are O(1) and make no system call.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

#include "base/wheel.h"

struct event_base;
struct iobufs;
struct loop;

struct later {
	LIST_ENTRY(later) link; /* le_prev is NULL: not queued */
	void (*run)(struct later *);
};

struct deadline {
	struct wheel_entry entry;
	void (*passed)(struct deadline *);
};

struct loop *loop_new(void); /* NULL: no memory */
void loop_free(struct loop *); /* runs what loop_later still holds first */
int loop_run(struct loop *); /* until loop_stop; 0, -1 on a failure of the base */
int loop_turn(struct loop *); /* one turn, waiting for an event or a deadline; 0, -1 */
void loop_stop(struct loop *); /* after the turn; before loop_run(): that returns at once */
struct event_base *loop_base(struct loop *);
struct iobufs *loop_iobufs(struct loop *); /* net/buffers.h: for streams */

/* ns, CLOCK_MONOTONIC; the same for a whole turn. Outside of one it is read each time. */
uint64_t loop_now(struct loop *);
uint64_t loop_now_ms(struct loop *);
time_t loop_wall(struct loop *); /* unix seconds; the same for a whole turn */

/* Runs it after the turn's callbacks; queued twice runs once. What is queued by a later runs one
 * turn further on, after a poll that does not wait. The run function may free its object. */
void loop_later(struct loop *, struct later *, void (*run)(struct later *));
/*
 * The same for work that others wait to get done, too, as reading what they say: first come, first
 * served, and LOOP_READY_MAX a turn; the others wait while what those began is carried on. A
 * processor's caches hold what so many need between a request and its answer, and not that of
 * thousands. A deadline that passes waits for those that were ready before it, up to LOOP_DUE_MS.
 */
enum { LOOP_READY_MAX = 64, LOOP_DUE_MS = 500 };
void loop_ready(struct loop *, struct later *, void (*run)(struct later *));
/* Whoever does as much again as one of those that are ready says so: the turn takes one less of them. */
void loop_took(struct loop *);
/* Of either kind: what is queued stays where it is, whichever function is called for it again. */
void loop_later_cancel(struct later *);
bool loop_later_is_queued(const struct later *);

/*
 * passed() runs once, at or up to 2 ms after the time, later where many are ready; setting again moves it.
 * A process that was not let run (a machine whose host was busy, a stopped one) does not blame others
 * for that: where the loop looks at the clock LOOP_LATE_MS or more after it did before, and comes as much
 * too late to a deadline (or to where one was),
 * all deadlines move by as much; by no more than LOOP_GRACE_MS at once and a tenth of the time in the
 * long run.
 */
enum { LOOP_LATE_MS = 25, LOOP_GRACE_MS = 2000, LOOP_GRACE_RATE = 100 /* ms a second */ };

void deadline_set(struct loop *, struct deadline *, uint64_t ms, void (*passed)(struct deadline *));
void deadline_clear(struct loop *, struct deadline *);
/* As good as cleared, for one that moves with each request; to be cleared before its owner goes. */
void deadline_rest(struct loop *, struct deadline *);
bool deadline_is_set(const struct deadline *);

/* For a member of a struct: the struct that holds it. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
