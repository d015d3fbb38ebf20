/*
 * test_workers.c: the master's worker processes with a fork that the test plays: it reads what each is
 * told, says what a worker says, and ends it. Who serves which slot, who drains, who comes again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/master/workers.h"
#include "gateway/roles.h"
#include "sim.h"

#include "base/poison.h"

enum { FAKES_MAX = 40, FIRST_PID = 100000000, HEARD_MAX = 4096 };

/* One process that was started, as it sees itself. */
struct fake {
	int fd; /* its end of the channel; -1: ended */
	unsigned slot, cell;
	char heard[HEARD_MAX]; /* what it was told, each with ';' */
	int killed;
};

struct bed {
	struct loop *loop;
	struct counters *counters;
	int counters_fd;
	struct workers *workers;
	struct gateway_conf conf[3];
	struct plan plans[3];
	struct sockets *sockets[3];
	int rolled, failed, drained;
	bool goes_back;
	struct fake fakes[FAKES_MAX];
	int n;
	int no_forks; /* so many fail */
};

static struct bed *the_bed; /* roles_spawn() and kill() have no context */

static struct fake *newest(struct bed *bed)
{
	return &bed->fakes[bed->n - 1];
}

/* ---- in place of roles.c and kill(2) */

pid_t roles_spawn(const char *role, const struct roles_spawn *with)
{
	struct bed *bed = the_bed;
	struct fake *f = &bed->fakes[bed->n];

	assert_string_equal(role, "worker");
	assert_in_range(bed->n, 0, FAKES_MAX - 1);
	if (bed->no_forks > 0) {
		bed->no_forks--;
		errno = EAGAIN;
		return -1;
	}
	*f = (struct fake){ .fd = dup(with->channel), .slot = with->slot, .cell = with->cell };
	return FIRST_PID + bed->n++;
}

int __real_kill(pid_t, int);
int __wrap_kill(pid_t, int);
int __wrap_kill(pid_t pid, int signo)
{
	if (pid < FIRST_PID)
		return __real_kill(pid, signo);
	assert_int_equal(signo, SIGKILL);
	the_bed->fakes[pid - FIRST_PID].killed++;
	return 0;
}

/* ---- the bed */

static void rolled(void *arg, int failed)
{
	struct bed *bed = arg;

	bed->rolled++;
	bed->failed = failed;
	if (failed && bed->goes_back)
		workers_go_back(bed->workers);
}

static void drained(void *arg)
{
	((struct bed *)arg)->drained++;
}

static void make_plan(struct bed *bed, int i, unsigned workers, int listeners)
{
	static struct listener_conf at[2] = {
		{ .address = (char *)(uintptr_t) "127.0.0.1:0", .mode = LISTENER_TLS },
		{ .address = (char *)(uintptr_t) "*:0", .mode = LISTENER_REDIRECT },
	};
	struct conf_errors *errors = conf_errors_new();

	if (bed->sockets[i] != NULL)
		sockets_free(bed->sockets[i]);
	bed->conf[i].listeners.at = at;
	bed->conf[i].listeners.n = (size_t)listeners;
	bed->plans[i].conf = &bed->conf[i];
	bed->plans[i].workers = workers;
	if (bed->plans[i].text == NULL)
		bed->plans[i].text = conf_text_of("test", "workers = 1;\n", 13);
	bed->sockets[i] = sockets_open(
	    &bed->conf[i], workers, i > 0 ? bed->sockets[i - 1] : NULL, errors);
	assert_non_null(bed->sockets[i]);
	conf_errors_free(errors);
}

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);
	struct workers_params params = { .rolled = rolled, .drained = drained, .arg = bed };

	assert_non_null(bed);
	the_bed = bed;
	bed->loop = params.loop = loop_new();
	bed->counters = params.counters = counters_create(&bed->counters_fd);
	assert_non_null(bed->counters);
	bed->workers = workers_new(&params);
	assert_non_null(bed->workers);
	bed->goes_back = true;
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	workers_free(bed->workers);
	for (int i = 0; i < 3; i++) {
		sockets_free(bed->sockets[i]);
		conf_text_free(bed->plans[i].text);
	}
	for (int i = 0; i < bed->n; i++)
		if (bed->fakes[i].fd >= 0)
			close(bed->fakes[i].fd);
	loop_free(bed->loop);
	counters_detach(bed->counters);
	close(bed->counters_fd);
	free(bed);
	return 0;
}

/* ---- a worker's part */

static void listens(struct fake *f)
{
	char text[512], control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { text, sizeof text - 2 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	for (;;) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof control;
		n = f->fd >= 0 ? recvmsg(f->fd, &msg, MSG_DONTWAIT) : -1;
		if (n <= 0)
			return;
		text[n] = ';';
		text[n + 1] = '\0';
		strlcat(f->heard, text, sizeof f->heard);
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c))
			close(*(int *)(void *)CMSG_DATA(c));
	}
}

/* Has it been told just this since the last time? */
static bool hears(struct fake *f, const char *text)
{
	listens(f);
	if (strcmp(f->heard, text) != 0)
		return false;
	f->heard[0] = '\0';
	return true;
}

static void says(struct bed *bed, struct fake *f, const char *text)
{
	assert_int_equal(send(f->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	for (int i = 0; i < 3; i++)
		sim_turn(bed->loop);
}

static void ends(struct bed *bed, struct fake *f, int status)
{
	close(f->fd);
	f->fd = -1;
	sim_turn(bed->loop);
	assert_true(workers_ended(bed->workers, FIRST_PID + (pid_t)(f - bed->fakes), status));
}

static void use(struct bed *bed, int plan)
{
	assert_int_equal(workers_use(bed->workers, &bed->plans[plan], bed->sockets[plan], -1), 0);
}

/* So many workers of plan 0, all serving; what they heard is forgotten. */
static void serving(struct bed *bed, unsigned workers)
{
	make_plan(bed, 0, workers, 1);
	use(bed, 0);
	workers_start(bed->workers);
	for (unsigned i = 0; i < workers; i++)
		says(bed, &bed->fakes[i], "ready");
	assert_int_equal(bed->rolled, 1);
	assert_int_equal(bed->failed, 0);
	for (unsigned i = 0; i < workers; i++) {
		listens(&bed->fakes[i]);
		bed->fakes[i].heard[0] = '\0';
	}
}

/* Each that is started says ready, until the roll is over. */
static void roll(struct bed *bed)
{
	int before = bed->rolled, said = bed->n;

	workers_roll(bed->workers);
	while (bed->rolled == before) {
		assert_int_equal(bed->n, said + 1); /* one at a time */
		says(bed, &bed->fakes[said++], "ready");
	}
	assert_int_equal(bed->failed, 0);
}

static bool takes_connections(const struct sockets *sockets, unsigned slot)
{
	int on = 0;
	socklen_t len = sizeof on;

	getsockopt(sockets_fd(sockets, 0, slot), SOL_SOCKET, SO_ACCEPTCONN, &on, &len);
	return on != 0;
}

/* ---- start */

static void all_start_at_once_and_get_their_sockets_when_ready(void **state)
{
	struct bed *bed = *state;

	make_plan(bed, 0, 3, 2);
	use(bed, 0);
	workers_resolved(bed->workers, "a.example 60 10.0.0.1");
	workers_start(bed->workers);
	assert_int_equal(bed->n, 3);
	for (unsigned i = 0; i < 3; i++) {
		char told[128];

		assert_int_equal(bed->fakes[i].slot, i);
		assert_true(hears(&bed->fakes[i], ""));
		assert_int_equal(bed->rolled, 0);
		says(bed, &bed->fakes[i], "ready");
		snprintf(told, sizeof told,
		    "resolved a.example 60 10.0.0.1;listen %u %d;listen %u %d;", i, LISTENER_TLS, i,
		    LISTENER_REDIRECT);
		assert_true(hears(&bed->fakes[i], told));
	}
	assert_int_equal(bed->rolled, 1);
	says(bed, &bed->fakes[0], "ready"); /* once is enough */
	says(bed, &bed->fakes[0], "rubbish");
	assert_true(hears(&bed->fakes[0], ""));
	workers_resolved(bed->workers, "b.example 60 10.0.0.2");
	assert_true(hears(&bed->fakes[2], "resolved b.example 60 10.0.0.2;"));
}

static void a_worker_that_ends_at_the_start_fails_it_with_its_status(void **state)
{
	struct bed *bed = *state;

	bed->goes_back = false;
	make_plan(bed, 0, 2, 1);
	use(bed, 0);
	workers_start(bed->workers);
	ends(bed, &bed->fakes[1], W_EXITCODE(1, 0));
	assert_int_equal(bed->rolled, 1);
	assert_int_equal(bed->failed, 1);
}

static void what_comes_before_the_first_plan_does_no_harm(void **state)
{
	struct bed *bed = *state;

	workers_reopen(bed->workers);
	workers_watch(bed->workers);
	workers_resolved(bed->workers, "a.example 60 10.0.0.1");
	assert_false(workers_ended(bed->workers, 1, 0));
}

/* ---- ends */

static void a_worker_that_ends_is_started_again_and_a_neighbour_helps_out(void **state)
{
	struct bed *bed = *state;

	serving(bed, 3);
	ends(bed, &bed->fakes[1], W_EXITCODE(0, SIGSEGV));
	sim_until(bed->loop, bed->n == 4);
	assert_int_equal(newest(bed)->slot, 1);
	sim_until(bed->loop, hears(&bed->fakes[2], "listen 1 0;"));
	says(bed, newest(bed), "ready");
	assert_true(hears(newest(bed), "listen 1 0;"));
	assert_true(hears(&bed->fakes[2], "unlisten 1;"));
	assert_true(hears(&bed->fakes[0], ""));
}

static void when_the_neighbour_ends_too_another_helps_out(void **state)
{
	struct bed *bed = *state;

	serving(bed, 3);
	ends(bed, &bed->fakes[1], W_EXITCODE(0, SIGSEGV));
	sim_until(bed->loop, hears(&bed->fakes[2], "listen 1 0;"));
	ends(bed, &bed->fakes[2], W_EXITCODE(0, SIGSEGV));
	sim_until(bed->loop, (listens(&bed->fakes[0]), strlen(bed->fakes[0].heard) >= 22));
	assert_non_null(strstr(bed->fakes[0].heard, "listen 1 0;"));
	assert_non_null(strstr(bed->fakes[0].heard, "listen 2 0;"));
}

static void one_that_ends_again_and_again_comes_less_and_less_often(void **state)
{
	struct bed *bed = *state;
	uint64_t last = 0;

	serving(bed, 1);
	for (int i = 0; i < 4; i++) {
		uint64_t began = sim_now_ms();
		int before = bed->n;

		ends(bed, newest(bed), W_EXITCODE(3, 0));
		sim_until(bed->loop, bed->n == before + 1);
		if (i > 1)
			assert_true(sim_now_ms() - began > last * 3 / 2);
		last = sim_now_ms() - began;
	}
}

static void a_fork_that_fails_is_tried_again(void **state)
{
	struct bed *bed = *state;

	serving(bed, 2);
	bed->no_forks = 1;
	ends(bed, &bed->fakes[0], W_EXITCODE(3, 0));
	sim_until(bed->loop, bed->no_forks == 0);
	assert_int_equal(bed->n, 2);
	sim_until(bed->loop, hears(&bed->fakes[1], "listen 0 0;"));
}

static void one_that_was_told_to_end_is_replaced_while_it_drains(void **state)
{
	struct bed *bed = *state;

	serving(bed, 2);
	says(bed, &bed->fakes[0], "leaving");
	sim_until(bed->loop, bed->n == 3);
	assert_int_equal(newest(bed)->slot, 0);
	assert_int_not_equal(newest(bed)->cell, bed->fakes[0].cell);
	says(bed, newest(bed), "ready");
	assert_true(hears(newest(bed), "listen 0 0;"));
	ends(bed, &bed->fakes[0], 0);
	sim_while(bed->loop, 150, bed->n == 3);
	assert_false(workers_gone(bed->workers));
}

/* ---- beats */

static void beats(struct bed *bed, const struct fake *f, uint64_t beat)
{
	counter_set(counters_cell_of(bed->counters, ROLES_BEAT, f->cell), beat);
}

static void silence_is_counted_in_looks(void **state)
{
	struct bed *bed = *state;

	serving(bed, 2);
	for (uint64_t i = 1; i <= 20; i++) {
		beats(bed, &bed->fakes[0], 1000 + i);
		if (i < 7)
			beats(bed, &bed->fakes[1], UINT64_MAX - i); /* what it is does not count */
		workers_watch(bed->workers);
		assert_int_equal(bed->fakes[1].killed, i >= 11);
	}
	assert_int_equal(bed->fakes[0].killed, 0);
	ends(bed, &bed->fakes[1], W_EXITCODE(0, SIGKILL));
	sim_until(bed->loop, bed->n == 3);
	/* One that starts has more time. */
	for (int i = 0; i < 40; i++) {
		beats(bed, &bed->fakes[0], 2000 + (uint64_t)i);
		workers_watch(bed->workers);
		assert_int_equal(newest(bed)->killed, i >= 29);
	}
}

/* ---- rolls */

static void a_roll_replaces_one_after_the_other(void **state)
{
	struct bed *bed = *state;

	serving(bed, 2);
	make_plan(bed, 1, 2, 2);
	use(bed, 1);
	workers_roll(bed->workers);
	assert_int_equal(bed->n, 3);
	assert_true(hears(&bed->fakes[0], ""));
	says(bed, &bed->fakes[2], "ready");
	assert_true(hears(&bed->fakes[2], "listen 0 0;listen 0 1;"));
	assert_true(hears(&bed->fakes[0], "drain;"));
	assert_true(hears(&bed->fakes[1], ""));
	assert_int_equal(bed->n, 4);
	assert_int_equal(bed->rolled, 1);
	says(bed, &bed->fakes[3], "ready");
	assert_true(hears(&bed->fakes[1], "drain;"));
	assert_int_equal(bed->rolled, 2);
	ends(bed, &bed->fakes[0], 0);
	ends(bed, &bed->fakes[1], 0);
	sim_while(bed->loop, 150, bed->n == 4);
}

static void further_slots_listen_when_their_worker_is_ready(void **state)
{
	struct bed *bed = *state;

	serving(bed, 1);
	make_plan(bed, 1, 3, 1);
	use(bed, 1);
	workers_roll(bed->workers);
	assert_true(takes_connections(bed->sockets[1], 0));
	says(bed, &bed->fakes[1], "ready");
	assert_false(takes_connections(bed->sockets[1], 1));
	says(bed, &bed->fakes[2], "ready");
	assert_true(takes_connections(bed->sockets[1], 1));
	assert_false(takes_connections(bed->sockets[1], 2));
	says(bed, &bed->fakes[3], "ready");
	assert_true(takes_connections(bed->sockets[1], 2));
	assert_int_equal(bed->rolled, 2);
}

static void a_neighbour_serves_slots_that_there_are_no_more(void **state)
{
	struct bed *bed = *state;

	serving(bed, 3);
	make_plan(bed, 1, 1, 1);
	use(bed, 1);
	roll(bed);
	assert_true(hears(&bed->fakes[1], "drain;") && hears(&bed->fakes[2], "drain;"));
	sim_until(bed->loop, (listens(newest(bed)), strlen(newest(bed)->heard) >= 33));
	assert_true(hears(newest(bed), "listen 0 0;listen 1 0;listen 2 0;"));
	/* The next roll's worker takes them over; nobody hears of them twice. */
	make_plan(bed, 2, 1, 1);
	use(bed, 2);
	roll(bed);
	sim_until(bed->loop, (listens(newest(bed)), strlen(newest(bed)->heard) >= 33));
	sim_while(bed->loop, 150, (listens(newest(bed)), strlen(newest(bed)->heard) == 33));
}

static void a_surplus_worker_that_ends_in_the_roll_does_not_come_back(void **state)
{
	struct bed *bed = *state;

	serving(bed, 3);
	make_plan(bed, 1, 1, 1);
	use(bed, 1);
	workers_roll(bed->workers);
	ends(bed, &bed->fakes[2], W_EXITCODE(0, SIGSEGV));
	says(bed, newest(bed), "ready");
	assert_int_equal(bed->rolled, 2);
	sim_while(bed->loop, 200, bed->n == 4);
}

static void a_roll_that_fails_goes_back_and_starts_what_is_missing(void **state)
{
	struct bed *bed = *state;

	serving(bed, 2);
	make_plan(bed, 1, 2, 1);
	use(bed, 1);
	/* One of the old ends while the roll waits for the first new one. */
	workers_roll(bed->workers);
	ends(bed, &bed->fakes[0], W_EXITCODE(0, SIGSEGV));
	ends(bed, &bed->fakes[2], W_EXITCODE(1, 0));
	assert_int_equal(bed->rolled, 2);
	assert_int_equal(bed->failed, 1);
	sim_until(bed->loop, bed->n == 4);
	assert_int_equal(newest(bed)->slot, 0);
	says(bed, newest(bed), "ready");
	assert_true(hears(newest(bed), "listen 0 0;"));
	assert_int_equal(bed->rolled, 2);
	/* And the next one works. */
	make_plan(bed, 2, 2, 1);
	use(bed, 2);
	roll(bed);
}

static void a_roll_without_a_fork_fails_and_leaves_no_slot_alone(void **state)
{
	struct bed *bed = *state;

	serving(bed, 2);
	ends(bed, &bed->fakes[1], W_EXITCODE(0, SIGSEGV));
	make_plan(bed, 1, 2, 1);
	use(bed, 1);
	workers_roll(bed->workers);
	bed->no_forks = 1;
	says(bed, &bed->fakes[2], "ready");
	assert_int_equal(bed->rolled, 2);
	assert_int_equal(bed->failed, EXIT_RUNTIME);
	sim_until(bed->loop, bed->n == 4 && newest(bed)->slot == 1);
}

/* ---- draining */

static void two_generations_drain_and_failed_rolls_are_none(void **state)
{
	struct bed *bed = *state;

	serving(bed, 1);
	make_plan(bed, 1, 1, 1);
	use(bed, 1);
	roll(bed);
	assert_true(hears(&bed->fakes[0], "drain;"));
	for (int i = 0; i < 4; i++) {
		use(bed, 1);
		workers_roll(bed->workers);
		ends(bed, newest(bed), W_EXITCODE(1, 0));
		assert_int_equal(bed->failed, 1);
	}
	use(bed, 1);
	roll(bed);
	assert_true(hears(&bed->fakes[0], ""));
	use(bed, 1);
	roll(bed);
	assert_true(hears(&bed->fakes[0], "stop;"));
	assert_true(hears(&bed->fakes[1], "listen 0 0;drain;"));
	/* Whoever lives has a cell of its own. */
	for (int i = 0; i < bed->n; i++)
		for (int k = 0; k < i; k++)
			if (bed->fakes[i].fd >= 0 && bed->fakes[k].fd >= 0)
				assert_int_not_equal(bed->fakes[i].cell, bed->fakes[k].cell);
}

static void gauges_of_one_that_ended_are_zero_and_of_others_stay(void **state)
{
	struct bed *bed = *state;

	serving(bed, 2);
	counter_set(counters_cell_of(bed->counters, "x_open", bed->fakes[0].cell), 7);
	counter_set(counters_cell_of(bed->counters, "x_open", bed->fakes[1].cell), 5);
	counter_set(counters_cell_of(bed->counters, "x_total", bed->fakes[0].cell), 9);
	ends(bed, &bed->fakes[0], W_EXITCODE(0, SIGKILL));
	assert_int_equal(counters_sum(bed->counters, "x_open"), 5);
	assert_int_equal(counters_sum(bed->counters, "x_total"), 9);
}

static void draining_all_is_told_when_the_last_has_gone(void **state)
{
	struct bed *bed = *state;

	serving(bed, 2);
	make_plan(bed, 1, 2, 1);
	use(bed, 1);
	workers_roll(bed->workers);
	workers_drain(bed->workers);
	for (int i = 0; i < 3; i++)
		assert_true(hears(&bed->fakes[i], "drain;"));
	says(bed, &bed->fakes[2], "ready"); /* in the middle of its start */
	assert_true(hears(&bed->fakes[2], "drain;"));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(bed->drained, 0);
		ends(bed, &bed->fakes[i], i == 1 ? W_EXITCODE(0, SIGSEGV) : 0);
	}
	assert_int_equal(bed->drained, 1);
	assert_true(workers_gone(bed->workers));
	sim_while(bed->loop, 150, bed->n == 3);
}

int main(void)
{
#define WORKERS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
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
		WORKERS_TEST(a_roll_replaces_one_after_the_other),
		WORKERS_TEST(further_slots_listen_when_their_worker_is_ready),
		WORKERS_TEST(a_neighbour_serves_slots_that_there_are_no_more),
		WORKERS_TEST(a_surplus_worker_that_ends_in_the_roll_does_not_come_back),
		WORKERS_TEST(a_roll_that_fails_goes_back_and_starts_what_is_missing),
		WORKERS_TEST(a_roll_without_a_fork_fails_and_leaves_no_slot_alone),
		WORKERS_TEST(two_generations_drain_and_failed_rolls_are_none),
		WORKERS_TEST(gauges_of_one_that_ended_are_zero_and_of_others_stay),
		WORKERS_TEST(draining_all_is_told_when_the_last_has_gone),
	};

	return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
