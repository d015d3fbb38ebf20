/*
 * test_counters.c: the shared table as master and children see it: two maps of one memfd.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/counters.h"

#include "base/poison.h"

struct seen {
	unsigned rows;
	uint64_t sum;
};

static void count_row(void *arg, const char *name, uint64_t sum)
{
	struct seen *seen = arg;

	assert_true(strlen(name) > 0);
	seen->rows++;
	seen->sum += sum;
}

static void cells_of_two_processes_add_up(void **state)
{
	int fd = -1;
	struct counters *a = counters_create(&fd), *b;

	(void)state;
	assert_non_null(a);
	b = counters_attach(fd, 7);
	assert_non_null(b);
	close(fd);
	counter_add(counters_cell(a, "requests"), 5);
	counter_add(counters_cell(b, "requests"), 3);
	counter_add(counters_cell(b, "other"), 100);
	assert_int_equal(counters_sum(a, "requests"), 8);
	assert_int_equal(counters_sum(b, "requests"), 8);
	assert_int_equal(counters_sum(a, "nothing"), 0);
	assert_ptr_not_equal(counters_cell(a, "requests"), counters_cell(b, "requests"));
	assert_int_equal(counter_get(counters_cell_of(a, "requests", 7)), 3);
	counter_sub(counters_cell(b, "requests"), 3);
	counter_set(counters_cell(a, "requests"), 1);
	assert_int_equal(counters_sum(a, "requests"), 1);
	counters_detach(a);
	counters_detach(b);
}

static void each_gives_every_row_once(void **state)
{
	int fd = -1;
	struct counters *c = counters_create(&fd);
	struct seen seen = { 0, 0 };
	char name[32];

	(void)state;
	close(fd);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "row_%d", i);
		counter_add(counters_cell(c, name), 2);
		counter_add(counters_cell(c, name), 1);
	}
	counters_each(c, count_row, &seen);
	assert_int_equal(seen.rows, 300);
	assert_int_equal(seen.sum, 900);
	counters_detach(c);
}

static void a_full_table_counts_nowhere_and_keeps_what_it_has(void **state)
{
	int fd = -1;
	struct counters *c = counters_create(&fd);
	char name[32];

	(void)state;
	close(fd);
	for (int i = 0; i < COUNTERS_ROWS; i++) {
		snprintf(name, sizeof(name), "row_%d", i);
		counter_add(counters_cell(c, name), 1);
	}
	counter_add(counters_cell(c, "one too many"), 1);
	assert_int_equal(counters_sum(c, "one too many"), 0);
	for (int i = 0; i < COUNTERS_ROWS; i++) {
		snprintf(name, sizeof(name), "row_%d", i);
		assert_int_equal(counters_sum(c, name), 1);
	}
	counters_detach(c);
}

static void over_long_and_empty_names_and_wrong_cells_count_nowhere(void **state)
{
	int fd = -1;
	struct counters *c = counters_create(&fd);
	struct seen seen = { 0, 0 };
	char name[COUNTERS_NAME_MAX + 1];

	(void)state;
	close(fd);
	memset(name, 'x', COUNTERS_NAME_MAX);
	name[COUNTERS_NAME_MAX] = '\0';
	counter_add(counters_cell(c, name), 1);
	counter_add(counters_cell(c, ""), 1);
	counter_add(counters_cell_of(c, "fine", COUNTERS_CELLS), 1);
	counters_each(c, count_row, &seen);
	assert_int_equal(seen.rows, 0);
	name[COUNTERS_NAME_MAX - 1] = '\0';
	counter_add(counters_cell(c, name), 1);
	assert_int_equal(counters_sum(c, name), 1);
	counters_detach(c);
}

static void attach_refuses_what_is_no_table(void **state)
{
	int fd = -1, small = memfd_create("small", MFD_ALLOW_SEALING), ends[2];
	struct counters *c = counters_create(&fd);

	(void)state;
	errno = 0;
	assert_null(counters_attach(small, 1));
	assert_int_equal(errno, EINVAL);
	assert_null(counters_attach(fd, COUNTERS_CELLS));
	assert_int_equal(errno, EINVAL);
	assert_null(counters_attach(-1, 1));
	assert_int_equal(pipe(ends), 0);
	assert_null(counters_attach(ends[0], 1));
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(
	    ftruncate(fd, 0), -1); /* sealed: no child can make it shrink under others */
	close(small);
	close(fd);
	counters_detach(c);
	counters_detach(NULL);
}

static void children_that_make_the_same_rows_at_once_lose_nothing(void **state)
{
	enum { CHILDREN = 4, ROWS = 200, TIMES = 50 };
	int fd = -1, status;
	struct counters *c = counters_create(&fd);
	pid_t pids[CHILDREN];
	char name[32];

	(void)state;
	for (unsigned i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		assert_true(pids[i] != -1);
		if (pids[i] != 0)
			continue;
		struct counters *mine = counters_attach(fd, i + 1);
		for (int row = 0; mine != NULL && row < ROWS; row++) {
			snprintf(name, sizeof(name), "row_%d", row);
			for (int n = 0; n < TIMES; n++)
				counter_add(counters_cell(mine, name), 1);
		}
		_exit(mine == NULL);
	}
	for (unsigned i = 0; i < CHILDREN; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	for (int row = 0; row < ROWS; row++) {
		snprintf(name, sizeof(name), "row_%d", row);
		assert_int_equal(counters_sum(c, name), CHILDREN * TIMES);
	}
	close(fd);
	counters_detach(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cells_of_two_processes_add_up),
		cmocka_unit_test(each_gives_every_row_once),
		cmocka_unit_test(a_full_table_counts_nowhere_and_keeps_what_it_has),
		cmocka_unit_test(over_long_and_empty_names_and_wrong_cells_count_nowhere),
		cmocka_unit_test(attach_refuses_what_is_no_table),
		cmocka_unit_test(children_that_make_the_same_rows_at_once_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
