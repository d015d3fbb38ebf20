/*
 * lanes.c: one mutex and condition for each lane's queue; one list of finished jobs, with an eventfd
 * that wakes the loop when the list was empty. The only code of the program with more than one thread;
 * a lane without threads takes the same steps on the loop.
 */
#include "keysvc/lanes.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "net/watch.h"

#include "base/poison.h"

struct queue {
	struct lane_job *first, **last;
	unsigned n;
};

struct lane_thread {
	struct lane_state *lane;
	unsigned nth;
	pthread_t id;
};

struct lane_state {
	struct lanes *lanes;
	pthread_mutex_t mutex;
	pthread_cond_t more;
	struct queue queue; /* under mutex, as all below */
	bool stop;
	uint64_t cost_ns; /* of a job, moving average; 0: none done yet */
	unsigned threads_n; /* started; const after lanes_new */
	void *scratch; /* of the loop, where there are no threads */
	struct later later; /* works on the queue, on the loop */
	struct lane_thread threads[LANES_THREADS_MAX];
};

struct lanes {
	struct lanes_params params;
	struct loop *loop;
	struct watch *watch;
	int wake; /* eventfd */
	pthread_mutex_t mutex; /* of finished */
	struct queue finished;
	struct lane_state lane[LANES_N];
};

/* ---- queues */

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->last = &q->first;
	q->n = 0;
}

static void queue_push(struct queue *q, struct lane_job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
	q->n++;
}

static struct lane_job *queue_pop(struct queue *q)
{
	struct lane_job *job = q->first;

	if (job == NULL)
		return NULL;
	q->first = job->next;
	if (q->first == NULL)
		q->last = &q->first;
	q->n--;
	return job;
}

/* ---- threads */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* What a job is allowed for: half of its time at most, so that one dear job, or a machine that stood
 * still, cannot make a lane refuse all there is from then on. */
static uint64_t work_ns(uint64_t cost_ns, uint64_t allowed_ns)
{
	return cost_ns < allowed_ns / 2 ? cost_ns : allowed_ns / 2;
}

static struct lane_job *wait_for_job(struct lane_state *lane, uint64_t *cost_ns)
{
	struct lane_job *job;

	pthread_mutex_lock(&lane->mutex);
	while (lane->queue.n == 0 && !lane->stop)
		pthread_cond_wait(&lane->more, &lane->mutex);
	job = lane->stop ? NULL : queue_pop(&lane->queue);
	*cost_ns = lane->cost_ns;
	pthread_mutex_unlock(&lane->mutex);
	return job;
}

static void note_cost(struct lane_state *lane, uint64_t cost)
{
	pthread_mutex_lock(&lane->mutex);
	lane->cost_ns = lane->cost_ns == 0 ? cost : lane->cost_ns - lane->cost_ns / 8 + cost / 8;
	pthread_mutex_unlock(&lane->mutex);
}

static void finish(struct lanes *lanes, struct lane_job *job)
{
	uint64_t one = 1;
	bool first;

	pthread_mutex_lock(&lanes->mutex);
	first = lanes->finished.n == 0;
	queue_push(&lanes->finished, job);
	pthread_mutex_unlock(&lanes->mutex);
	while (first && write(lanes->wake, &one, sizeof(one)) == -1 && errno == EINTR)
		;
}

/* Does it, unless nobody wants it or it would be too late. The time at its end. */
static uint64_t do_job(
    struct lane_state *lane, void *scratch, struct lane_job *job, uint64_t cost_ns)
{
	uint64_t begin = now_ns(), end = begin;

	if (atomic_load_explicit(&job->drop, memory_order_relaxed)) {
		job->result = LANE_DROPPED;
	} else if (begin + work_ns(cost_ns, job->allowed_ns) >= job->deadline_ns ||
		   scratch == NULL) {
		job->result = LANE_LATE;
	} else {
		lane->lanes->params.work(scratch, job);
		job->result = LANE_DONE;
		end = now_ns();
		note_cost(lane, end - begin);
	}
	return end;
}

static void *thread_main(void *arg)
{
	const struct lane_thread *self = arg;
	struct lane_state *lane = self->lane;
	const struct lanes_params *params = &lane->lanes->params;
	void *scratch = params->scratch_new(self->nth);
	struct lane_job *job;
	uint64_t cost_ns;

	while ((job = wait_for_job(lane, &cost_ns)) != NULL) {
		do_job(lane, scratch, job, cost_ns);
		finish(lane->lanes, job);
	}
	if (scratch != NULL)
		params->scratch_free(scratch);
	return NULL;
}

/* Signals are the loop's: a thread that took one would run nothing for it. */
static int start_threads(struct lane_state *lane, unsigned n)
{
	sigset_t all, old;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (rc == 0 && lane->threads_n < n) {
		struct lane_thread *thread = &lane->threads[lane->threads_n];

		*thread = (struct lane_thread){ .lane = lane, .nth = lane->threads_n };
		rc = pthread_create(&thread->id, NULL, thread_main, thread);
		if (rc == 0)
			lane->threads_n++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = rc;
	return rc == 0 ? 0 : -1;
}

/* ---- a lane without threads */

/* Answers leave at the turn's end: so no longer than a turn may last. */
static void work_on_loop(struct later *later)
{
	struct lane_state *lane = CONTAINER_OF(later, struct lane_state, later);
	struct lanes *lanes = lane->lanes;
	uint64_t began = now_ns(), now = began;
	struct lane_job *job;

	while (now - began < LANES_TURN_NS && (job = queue_pop(&lane->queue)) != NULL) {
		now = do_job(lane, lane->scratch, job, lane->cost_ns);
		lanes->params.done(lanes->params.arg, job);
	}
	if (lane->queue.n > 0)
		loop_later(lanes->loop, &lane->later, work_on_loop);
}

/* ---- the loop's side */

static void deliver(struct lanes *lanes)
{
	struct queue batch;
	struct lane_job *job;

	pthread_mutex_lock(&lanes->mutex);
	batch = lanes->finished;
	if (batch.n == 0)
		batch.last = &batch.first;
	queue_init(&lanes->finished);
	pthread_mutex_unlock(&lanes->mutex);
	while ((job = queue_pop(&batch)) != NULL)
		lanes->params.done(lanes->params.arg, job);
}

static void wake_ready(void *arg)
{
	struct lanes *lanes = arg;
	uint64_t n;

	if (read(lanes->wake, &n, sizeof(n)) == sizeof(n))
		deliver(lanes);
}

struct lanes *lanes_new(struct loop *loop, const struct lanes_params *params)
{
	struct lanes *lanes = calloc(1, sizeof(*lanes));

	if (lanes == NULL)
		return NULL;
	lanes->params = *params;
	lanes->loop = loop;
	pthread_mutex_init(&lanes->mutex, NULL);
	queue_init(&lanes->finished);
	for (int i = 0; i < LANES_N; i++) {
		struct lane_state *lane = &lanes->lane[i];

		lane->lanes = lanes;
		queue_init(&lane->queue);
		pthread_mutex_init(&lane->mutex, NULL);
		pthread_cond_init(&lane->more, NULL);
	}
	lanes->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (lanes->wake == -1 ||
	    (lanes->watch = watch_new(loop, lanes->wake, wake_ready, lanes)) == NULL)
		goto fail;
	for (int i = 0; i < LANES_N; i++) {
		assert(params->threads[i] <= LANES_THREADS_MAX);
		if (params->threads[i] == 0 &&
		    (lanes->lane[i].scratch = params->scratch_new(0)) == NULL)
			goto fail;
		if (start_threads(&lanes->lane[i], params->threads[i]) == -1)
			goto fail;
	}
	return lanes;
fail:
	lanes_free(lanes);
	return NULL;
}

int lanes_submit(struct lanes *lanes, enum lane which, struct lane_job *job, uint32_t deadline_ms)
{
	struct lane_state *lane = &lanes->lane[which];
	uint64_t allowed = deadline_ms * UINT64_C(1000000), wait;
	int rc = -1;

	job->allowed_ns = allowed;
	job->deadline_ns = now_ns() + allowed;
	atomic_init(&job->drop, false);
	pthread_mutex_lock(&lane->mutex);
	wait = lane->cost_ns * lane->queue.n / (lane->threads_n > 0 ? lane->threads_n : 1) +
	       work_ns(lane->cost_ns, allowed);
	if (lane->queue.n < lanes->params.queue_max && (lane->queue.n == 0 || wait < allowed)) {
		queue_push(&lane->queue, job);
		if (lane->threads_n > 0)
			pthread_cond_signal(&lane->more);
		rc = 0;
	}
	pthread_mutex_unlock(&lane->mutex);
	if (rc == 0 && lane->threads_n == 0)
		loop_later(lanes->loop, &lane->later, work_on_loop);
	return rc;
}

unsigned lanes_waiting(struct lanes *lanes, enum lane which, unsigned *threads)
{
	struct lane_state *lane = &lanes->lane[which];
	unsigned n;

	pthread_mutex_lock(&lane->mutex);
	n = lane->queue.n;
	pthread_mutex_unlock(&lane->mutex);
	*threads = lane->threads_n > 0 ? lane->threads_n : 1;
	return n;
}

static void stop_lane(struct lane_state *lane)
{
	struct lane_job *job;

	pthread_mutex_lock(&lane->mutex);
	lane->stop = true;
	pthread_cond_broadcast(&lane->more);
	pthread_mutex_unlock(&lane->mutex);
	for (unsigned i = 0; i < lane->threads_n; i++)
		pthread_join(lane->threads[i].id, NULL);
	loop_later_cancel(&lane->later);
	if (lane->scratch != NULL)
		lane->lanes->params.scratch_free(lane->scratch);
	while ((job = queue_pop(&lane->queue)) != NULL) {
		job->result = LANE_STOPPED;
		queue_push(&lane->lanes->finished, job); /* no thread is left to race with */
	}
}

void lanes_free(struct lanes *lanes)
{
	if (lanes == NULL)
		return;
	for (int i = 0; i < LANES_N; i++)
		stop_lane(&lanes->lane[i]);
	deliver(lanes);
	watch_free(lanes->watch);
	if (lanes->wake != -1)
		close(lanes->wake);
	for (int i = 0; i < LANES_N; i++) {
		pthread_mutex_destroy(&lanes->lane[i].mutex);
		pthread_cond_destroy(&lanes->lane[i].more);
	}
	pthread_mutex_destroy(&lanes->mutex);
	free(lanes);
}
