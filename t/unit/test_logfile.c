/*
 * test_logfile.c: the access log's file: buffering, reopening, and a FIFO that nobody reads.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/logfile.h"

#include "base/poison.h"

struct room {
	char dir[64], path[96], moved[96];
};

static int room_make(void **state)
{
	struct room *r = calloc(1, sizeof(*r));

	snprintf(r->dir, sizeof(r->dir), "/tmp/test_logfile.XXXXXX");
	if (mkdtemp(r->dir) == NULL)
		return -1;
	snprintf(r->path, sizeof(r->path), "%s/log", r->dir);
	snprintf(r->moved, sizeof(r->moved), "%s/log.1", r->dir);
	*state = r;
	return 0;
}

static int room_remove(void **state)
{
	struct room *r = *state;

	unlink(r->path);
	unlink(r->moved);
	rmdir(r->dir);
	free(r);
	return 0;
}

static size_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void lines_wait_for_a_flush(void **state)
{
	struct room *r = *state;
	struct logfile *lf = logfile_open(r->path);
	struct stat st;

	assert_non_null(lf);
	logfile_write(lf, bytes_str("one\n"));
	assert_int_equal(size_of(r->path), 0);
	logfile_flush(lf);
	assert_int_equal(size_of(r->path), 4);
	assert_int_equal(stat(r->path, &st), 0);
	assert_int_equal(st.st_mode & 027, 0);
	logfile_write(lf, bytes_str("two\n"));
	logfile_close(lf);
	assert_int_equal(size_of(r->path), 8);
}

static void a_fuller_buffer_goes_out_by_itself(void **state)
{
	struct room *r = *state;
	struct logfile *lf = logfile_open(r->path);
	char line[1000];

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < 200; i++)
		logfile_write(lf, bytes_of(line, sizeof(line)));
	assert_true(size_of(r->path) > 200 * 1000 - LOGFILE_FLUSH_BYTES - 1000);
	logfile_close(lf);
	assert_int_equal(size_of(r->path), 200 * 1000);
}

static void reopen_goes_on_in_a_new_file(void **state)
{
	struct room *r = *state;
	struct logfile *lf = logfile_open(r->path);

	logfile_write(lf, bytes_str("old\n"));
	assert_int_equal(rename(r->path, r->moved), 0);
	assert_int_equal(logfile_reopen(lf, -1), 0);
	logfile_write(lf, bytes_str("newer\n"));
	logfile_close(lf);
	assert_int_equal(size_of(r->moved), 4);
	assert_int_equal(size_of(r->path), 6);
}

static void reopen_that_fails_keeps_the_old_file(void **state)
{
	struct room *r = *state;
	struct logfile *lf = logfile_open(r->path);

	assert_int_equal(rename(r->path, r->moved), 0);
	assert_int_equal(mkdir(r->path, 0700), 0);
	assert_int_equal(logfile_reopen(lf, -1), -1);
	assert_int_equal(errno, EISDIR);
	logfile_write(lf, bytes_str("still\n"));
	logfile_close(lf);
	assert_int_equal(size_of(r->moved), 6);
	rmdir(r->path);
}

static void open_of_a_folder_says_why(void **state)
{
	struct room *r = *state;

	errno = 0;
	assert_null(logfile_open(r->dir));
	assert_int_equal(errno, EISDIR);
}

/* Reads all that is there and checks that every line is whole. */
static size_t whole_lines(int fd, const char *line)
{
	static char got[1 << 20];
	size_t len = 0, n = 0, each = strlen(line);
	ssize_t r;

	while ((r = read(fd, got + len, sizeof(got) - len)) > 0)
		len += (size_t)r;
	assert_int_equal(len % each, 0);
	for (size_t at = 0; at < len; at += each, n++)
		assert_memory_equal(got + at, line, each);
	return n;
}

static void a_fifo_that_nobody_reads_neither_fails_nor_hangs(void **state)
{
	struct room *r = *state;
	struct logfile *lf;
	char line[1000];

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	assert_int_equal(mkfifo(r->path, 0600), 0);
	lf = logfile_open(r->path);
	assert_non_null(lf);
	for (unsigned i = 0; i < 1000; i++)
		logfile_write(lf, bytes_of(line, sizeof(line)));
	assert_true(logfile_dropped(lf) > 0);
	logfile_close(lf);
}

static void what_a_slow_reader_gets_is_whole_and_the_rest_is_counted(void **state)
{
	const char *line = "a line of no round length, so that it lies across all borders\n";
	struct room *r = *state;
	const unsigned total = 5000;
	struct logfile *lf;
	uint64_t dropped;
	size_t got = 0;
	int ends[2], saved = dup(STDERR_FILENO);

	(void)r;
	assert_int_equal(pipe(ends), 0);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	lf = logfile_open("stderr");
	for (unsigned i = 0; i < total; i++)
		logfile_write(lf, bytes_str(line));
	dropped = logfile_dropped(lf);
	dup2(saved, STDERR_FILENO);
	close(saved);
	/* Emptied by a copy: the pipe's end may cut a line that goes on in the buffer. */
	{
		int all = open(r->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		char part[1024];
		ssize_t n;

		for (int i = 0; i < 1000; i++) {
			while ((n = read(ends[0], part, sizeof(part))) > 0)
				assert_int_equal(write(all, part, (size_t)n), n);
			logfile_flush(lf);
		}
		lseek(all, 0, SEEK_SET);
		got = whole_lines(all, line);
		close(all);
	}
	logfile_close(lf);
	close(ends[0]);
	assert_true(dropped > 0);
	assert_int_equal(got + dropped, total);
}

static void a_reader_that_is_gone_costs_lines_only(void **state)
{
	struct logfile *lf;
	int ends[2], saved = dup(STDERR_FILENO);

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	lf = logfile_open("stderr");
	close(ends[0]);
	logfile_write(lf, bytes_str("one\n"));
	logfile_write(lf, bytes_str("two\n"));
	logfile_flush(lf);
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(logfile_dropped(lf), 2);
	logfile_close(lf);
	logfile_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_wait_for_a_flush, room_make, room_remove),
		cmocka_unit_test_setup_teardown(
		    a_fuller_buffer_goes_out_by_itself, room_make, room_remove),
		cmocka_unit_test_setup_teardown(
		    reopen_goes_on_in_a_new_file, room_make, room_remove),
		cmocka_unit_test_setup_teardown(
		    reopen_that_fails_keeps_the_old_file, room_make, room_remove),
		cmocka_unit_test_setup_teardown(open_of_a_folder_says_why, room_make, room_remove),
		cmocka_unit_test_setup_teardown(
		    a_fifo_that_nobody_reads_neither_fails_nor_hangs, room_make, room_remove),
		cmocka_unit_test_setup_teardown(
		    what_a_slow_reader_gets_is_whole_and_the_rest_is_counted, room_make,
		    room_remove),
		cmocka_unit_test_setup_teardown(
		    a_reader_that_is_gone_costs_lines_only, room_make, room_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
