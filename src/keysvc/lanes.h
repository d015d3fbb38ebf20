/*
 * lanes.h: threads that do what would hold up the loop. Each lane has a bounded queue and threads of
 * its own, so slow keys do not stand before fast ones. A job is a part of its owner's struct; between
 * lanes_submit() and done() it belongs to the lanes, and done() runs on the loop, once for each job.
 *
 * A lane with no threads is worked on by the loop itself, after each turn's input and for LANES_TURN_NS at a
 * time: where one thread would do, handing each job to it and back costs more than it gains.
 */
#ifndef KEYSVC_LANES_H
#define KEYSVC_LANES_H

#include <stdatomic.h>

#include "net/loop.h"

enum lane { LANE_FAST, LANE_SLOW, LANES_N };
enum {
	LANES_THREADS_MAX = 64,
	LANES_TURN_NS = 2000000, /* then the loop looks for what has come meanwhile */
};

enum lane_result {
	LANE_DONE, /* work() was called */
	LANE_LATE, /* its turn came too late to be done by its deadline */
	LANE_DROPPED, /* its owner had set drop */
	LANE_STOPPED, /* the lanes are being freed */
};

struct lane_job {
	struct lane_job *next;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; it must be done by then, so it begins earlier */
	uint64_t allowed_ns; /* from lanes_submit() to the deadline */
	enum lane_result result;
	atomic_bool drop; /* the owner no longer wants it; it may be worked on all the same */
};

struct lanes_params {
	unsigned threads[LANES_N]; /* up to LANES_THREADS_MAX; 0: the loop */
	unsigned queue_max; /* jobs that wait, in each lane */
	void *(*scratch_new)(
	    unsigned nth); /* in each thread, its number in its lane; NULL: no memory */
	void (*scratch_free)(void *);
	void (*work)(void *scratch, struct lane_job *); /* in a thread */
	void (*done)(void *arg, struct lane_job *); /* on the loop, never within lanes_submit() */
	void *arg;
};

struct lanes;

struct lanes *lanes_new(
    struct loop *, const struct lanes_params *); /* copied. NULL: no memory, no threads */
/* 0; -1: it cannot be done in time (the queue is full, or as long as the deadline by what jobs took
 * lately): nothing will follow. */
int lanes_submit(struct lanes *, enum lane, struct lane_job *, uint32_t deadline_ms)
    __attribute__((warn_unused_result));
/* Jobs that wait in that lane; *threads: how many work there. */
unsigned lanes_waiting(struct lanes *, enum lane, unsigned *threads);
void lanes_free(
    struct lanes *); /* waits for the jobs in work; done() comes for all before it returns */

#endif
