/*
 * test_child.c: what a child is started with: the descriptors that were named and no others, default
 * signals, its variable. The test starts itself as the child, which tells what it finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/child.h"
#include "proc/inherited.h"

#include "base/poison.h"

enum { REPORT_MAX = 32 * 1024 };

/* ---- the child: lines of what it is like, to the descriptor that is named "report" */

static void tell_descriptors(FILE *out)
{
	DIR *dir = opendir("/proc/self/fd");

	fprintf(out, "open");
	for (const struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;)
		if (d->d_name[0] != '.' && strtol(d->d_name, NULL, 10) != dirfd(dir))
			fprintf(out, " %s", d->d_name);
	fprintf(out, "\n");
	if (dir != NULL)
		closedir(dir);
}

static void tell_signals(FILE *out)
{
	sigset_t blocked;

	sigprocmask(SIG_SETMASK, NULL, &blocked);
	for (int i = 1; i < NSIG; i++) {
		struct sigaction action;

		if (sigismember(&blocked, i) == 1)
			fprintf(out, "blocked %d\n", i);
		if (sigaction(i, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			fprintf(out, "ignored %d\n", i);
	}
}

static int child_main(int argc, char **argv)
{
	struct inherited *in = calloc(1, sizeof *in);
	FILE *out;
	int report;

	if (in == NULL)
		return 3;
	inherited_load(in);
	report = inherited_take(in, "report");
	if (report < 0 || (out = fdopen(report, "w")) == NULL)
		return 4;
	tell_descriptors(out);
	tell_signals(out);
	for (int i = 0; i < in->n; i++) {
		struct stat st = { 0 };
		int flags = fcntl(in->at[i].fd, F_GETFD);

		if (in->at[i].fd < 0)
			continue;
		fstat(in->at[i].fd, &st);
		fprintf(out, "fd %d %s %ju%s\n", in->at[i].fd, in->at[i].name, (uintmax_t)st.st_ino,
		    flags & FD_CLOEXEC ? " cloexec" : "");
	}
	for (int fd = 0; fd < 3; fd++) {
		struct stat st = { 0 };

		fstat(fd, &st);
		fprintf(out, "std %d %ju:%ju\n", fd, (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	}
	for (int i = 0; i < argc; i++)
		fprintf(out, "arg %s\n", argv[i]);
	for (char **e = environ; *e != NULL; e++)
		fprintf(out, "env %s\n", *e);
	fprintf(out, "end\n");
	fclose(out);
	free(in);
	return 0;
}

/* ---- the test's side */

struct bed {
	struct child_fd fds[CHILD_FDS_MAX + 1];
	size_t n;
	int pipe[2];
	char report[REPORT_MAX];
};

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);

	assert_non_null(bed);
	assert_int_equal(pipe2(bed->pipe, O_CLOEXEC), 0);
	bed->fds[bed->n++] = (struct child_fd){ bed->pipe[1], "report" };
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	for (int i = 0; i < 2; i++)
		if (bed->pipe[i] >= 0)
			close(bed->pipe[i]);
	free(bed);
	return 0;
}

static int exit_status(pid_t pid)
{
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Starts the child, waits for its end, and gathers its report. */
static void bed_run(struct bed *bed, const char *env)
{
	char title[] = "title", as[] = "--as-child", more[] = "two words";
	char *argv[] = { title, as, more, NULL };
	pid_t pid = child_spawn("/proc/self/exe", argv, env, bed->fds, bed->n);
	size_t len = 0;
	ssize_t n;

	close(bed->pipe[1]);
	bed->pipe[1] = -1;
	while ((n = read(bed->pipe[0], bed->report + len, sizeof bed->report - 1 - len)) > 0)
		len += (size_t)n;
	bed->report[len] = '\0';
	assert_int_equal(exit_status(pid), 0);
	assert_non_null(strstr(bed->report, "\nend\n"));
}

static int lines(const struct bed *bed, const char *line)
{
	size_t len = strlen(line);
	int n = 0;

	for (const char *at = bed->report; (at = strstr(at, line)) != NULL; at += len)
		n += (at == bed->report || at[-1] == '\n') && at[len] == '\n';
	return n;
}

#define has(bed, ...)                                                                              \
	do {                                                                                       \
		char has_line[256];                                                                \
		snprintf(has_line, sizeof has_line, __VA_ARGS__);                                  \
		if (lines(bed, has_line) != 1)                                                     \
			fail_msg("\"%s\" is not one line of:\n%s", has_line, (bed)->report);       \
	} while (0)

static uintmax_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uintmax_t)st.st_ino;
}

static int a_file(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void descriptors_have_their_names_from_3_on_and_nothing_else_is_open(void **state)
{
	struct bed *bed = *state;
	int one = a_file(), two = a_file(), stray = dup(0);

	assert_true(stray >= 0); /* no close-on-exec, and not named */
	bed->fds[bed->n++] = (struct child_fd){ one, "listener" };
	bed->fds[bed->n++] = (struct child_fd){ two, "config" };
	bed->fds[bed->n++] = (struct child_fd){ one, "listener" };
	bed_run(bed, NULL);
	has(bed, "open 0 1 2 3 4 5 6");
	has(bed, "fd 4 listener %ju cloexec", inode_of(one));
	has(bed, "fd 5 config %ju cloexec", inode_of(two));
	has(bed, "fd 6 listener %ju cloexec", inode_of(one));
	/* The parent's are as they were. */
	assert_true(fcntl(one, F_GETFD) & FD_CLOEXEC);
	close(one);
	close(two);
	close(stray);
}

static void descriptors_that_lie_in_each_others_place_are_sorted_out(void **state)
{
	struct bed *bed = *state;
	int at[8];

	/* Those of the parent fill 3, 4, 5...: named from the highest down. */
	for (int i = 0; i < 8; i++)
		at[i] = a_file();
	for (int i = 7; i >= 0; i--)
		bed->fds[bed->n++] = (struct child_fd){ at[i], "x" };
	bed_run(bed, NULL);
	has(bed, "open 0 1 2 3 4 5 6 7 8 9 10 11");
	for (int i = 0; i < 8; i++) {
		has(bed, "fd %d x %ju cloexec", 4 + i, inode_of(at[7 - i]));
		close(at[7 - i]);
	}
}

static void descriptors_come_down_from_where_they_lie(void **state)
{
	struct bed *bed = *state;
	int low = a_file(), at[3];

	/* Then the first free number of the parent is the first of the child's. */
	for (int i = 0; i < 2; i++) {
		int high = fcntl(bed->pipe[i], F_DUPFD_CLOEXEC, 60);

		close(bed->pipe[i]);
		bed->pipe[i] = high;
	}
	bed->fds[0].fd = bed->pipe[1];
	for (int i = 0; i < 3; i++) {
		at[i] = fcntl(low, F_DUPFD_CLOEXEC, 70 - i);
		bed->fds[bed->n++] = (struct child_fd){ at[i], "x" };
	}
	close(low);
	bed_run(bed, NULL);
	has(bed, "open 0 1 2 3 4 5 6");
	for (int i = 0; i < 3; i++) {
		has(bed, "fd %d x %ju cloexec", 4 + i, inode_of(at[i]));
		close(at[i]);
	}
}

static void as_many_pass_as_may_and_no_more(void **state)
{
	struct bed *bed = *state;
	char title[] = "title", *argv[] = { title, NULL };
	int fd = a_file();

	while (bed->n < CHILD_FDS_MAX + 1)
		bed->fds[bed->n++] = (struct child_fd){ fd, "x" };
	assert_int_equal(child_spawn("/proc/self/exe", argv, NULL, bed->fds, bed->n), -1);
	assert_int_equal(errno, E2BIG);
	bed->n--;
	bed_run(bed, NULL);
	has(bed, "fd %d x %ju cloexec", 3 + CHILD_FDS_MAX - 1, inode_of(fd));
	close(fd);
}

static void a_low_limit_of_descriptors_is_enough(void **state)
{
	struct bed *bed = *state;
	int fd = a_file();
	struct rlimit limit, low = { 24, 24 };

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low.rlim_max = limit.rlim_max;
	bed->fds[bed->n++] = (struct child_fd){ fd, "config" };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	bed_run(bed, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	has(bed, "fd 4 config %ju cloexec", inode_of(fd));
	close(fd);
}

static void signals_are_as_at_the_start_of_the_world(void **state)
{
	struct bed *bed = *state;
	sigset_t some, before;

	sigemptyset(&some);
	sigaddset(&some, SIGTERM);
	sigaddset(&some, SIGCHLD);
	sigprocmask(SIG_BLOCK, &some, &before);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGRTMAX, SIG_IGN);
	bed_run(bed, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGRTMAX, SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	assert_null(strstr(bed->report, "blocked "));
	assert_null(strstr(bed->report, "ignored "));
}

static void the_parents_own_signals_stay(void **state)
{
	struct bed *bed = *state;
	sigset_t some, before, after;

	/* Just this one, whatever the tests before have left. */
	sigemptyset(&some);
	sigaddset(&some, SIGUSR2);
	sigprocmask(SIG_SETMASK, &some, &before);
	bed_run(bed, NULL);
	sigprocmask(SIG_SETMASK, &before, &after);
	for (int i = 1; i < SIGRTMIN; i++) /* libc keeps some above for itself */
		assert_int_equal(sigismember(&after, i), i == SIGUSR2);
}

static void the_arguments_and_the_variable_arrive(void **state)
{
	struct bed *bed = *state;

	setenv("TEST_CHILD_STAYS", "yes", 1);
	bed_run(bed, "TEST_CHILD=a value = of its own");
	unsetenv("TEST_CHILD_STAYS");
	has(bed, "arg title");
	has(bed, "arg --as-child");
	has(bed, "arg two words");
	has(bed, "env TEST_CHILD=a value = of its own");
	has(bed, "env TEST_CHILD_STAYS=yes");
	assert_null(getenv("TEST_CHILD"));
}

static void the_variable_takes_the_place_of_the_parents(void **state)
{
	struct bed *bed = *state;

	setenv("TEST_CHILD", "the parent's", 1);
	setenv("TEST_CHILD_TOO", "stays", 1);
	bed_run(bed, "TEST_CHILD=its own");
	unsetenv("TEST_CHILD");
	unsetenv("TEST_CHILD_TOO");
	has(bed, "env TEST_CHILD=its own");
	has(bed, "env TEST_CHILD_TOO=stays");
	assert_null(strstr(bed->report, "env TEST_CHILD=the"));
}

static void names_that_do_not_fit_are_refused(void **state)
{
	struct bed *bed = *state;
	char name[64], title[] = "title", *argv[] = { title, NULL };

	memset(name, 'x', sizeof name);
	name[sizeof name - 1] = '\0';
	while (bed->n < 15)
		bed->fds[bed->n++] = (struct child_fd){ 0, name };
	bed_run(bed, NULL);
	has(bed, "fd 17 %s %ju cloexec", name, inode_of(0));
	/* Cut short, the last would not be known by the child. */
	bed->fds[bed->n++] = (struct child_fd){ 0, name };
	bed->fds[bed->n++] = (struct child_fd){ 0, name };
	assert_int_equal(child_spawn("/proc/self/exe", argv, NULL, bed->fds, bed->n), -1);
	assert_int_equal(errno, E2BIG);
}

static void what_the_parent_was_started_with_does_not_reach_the_child(void **state)
{
	struct bed *bed = *state;
	int fd = a_file();

	/* As systemd starts a service with sockets; the child has its own list, which it then forgets. */
	setenv("LISTEN_FDS", "7", 1);
	setenv("LISTEN_FDNAMES", "of:the:parent", 1);
	setenv("LISTEN_PID", "1", 1);
	bed->fds[bed->n++] = (struct child_fd){ fd, "mine" };
	bed_run(bed, NULL);
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("LISTEN_PID");
	has(bed, "fd 4 mine %ju cloexec", inode_of(fd));
	assert_null(strstr(bed->report, "env LISTEN_"));
	close(fd);
}

static void has_std(const struct bed *bed, int fd, const struct stat *st)
{
	has(bed, "std %d %ju:%ju", fd, (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);
}

static void input_is_null_and_what_it_says_goes_where_the_parents_goes(void **state)
{
	struct bed *bed = *state;
	struct stat null, out, err;
	char *was = getenv("SSLGW_LOG");
	int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), other = a_file();

	if (was != NULL)
		was = strdup(was);
	unsetenv("SSLGW_LOG");
	assert_int_equal(stat("/dev/null", &null), 0);
	assert_int_equal(fstat(STDOUT_FILENO, &out), 0);
	assert_int_equal(fstat(STDERR_FILENO, &err), 0);
	/* The parent's own is something else. */
	assert_int_equal(dup2(other, STDIN_FILENO), STDIN_FILENO);
	bed_run(bed, NULL);
	close(other);
	if (in < 0)
		close(STDIN_FILENO);
	else
		dup2(in, STDIN_FILENO);
	close(in);
	has_std(bed, 0, &null);
	has_std(bed, 1, &out);
	has_std(bed, 2, &err);
	if (was != NULL)
		setenv("SSLGW_LOG", was, 1);
	free(was);
}

static void in_the_background_what_it_says_goes_nowhere(void **state)
{
	struct bed *bed = *state;
	struct stat null;

	assert_int_equal(stat("/dev/null", &null), 0);
	bed_run(bed, "SSLGW_LOG=syslog"); /* the child's alone: the parent's stderr is somebody's */
	assert_int_equal(lines(bed, "env SSLGW_LOG=syslog"), 1);
	setenv("SSLGW_LOG", "syslog", 1);
	assert_int_equal(pipe2(bed->pipe, O_CLOEXEC), 0);
	bed->fds[0].fd = bed->pipe[1];
	bed_run(bed, NULL);
	unsetenv("SSLGW_LOG");
	for (int fd = 0; fd < 3; fd++)
		has_std(bed, fd, &null);
}

static void a_program_that_is_not_there_is_status_127(void **state)
{
	char title[] = "title", *argv[] = { title, NULL };

	(void)state;
	assert_int_equal(
	    exit_status(child_spawn("/nonexistent/program", argv, NULL, NULL, 0)), 127);
	assert_int_equal(exit_status(child_spawn("/dev/null", argv, NULL, NULL, 0)), 127);
}

/* ---- inherited: what is not for this process, and secrets */

static void a_list_for_another_process_is_not_taken(void **state)
{
	struct inherited *in = calloc(1, sizeof *in);
	static const char *const counts[] = { "2", "-1", "", "2x", "257", "99999999999999999999" };
	char pid[16];

	(void)state;
	assert_non_null(in);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		in->n = 5;
		setenv("LISTEN_PID", i == 0 ? "1" : pid, 1);
		setenv("LISTEN_FDS", counts[i], 1);
		setenv("LISTEN_FDNAMES", "a:b", 1);
		inherited_load(in);
		assert_int_equal(in->n, 0);
		assert_int_equal(inherited_take(in, "a"), -1);
		assert_null(getenv("LISTEN_PID"));
		assert_null(getenv("LISTEN_FDS"));
		assert_null(getenv("LISTEN_FDNAMES"));
	}
	free(in);
}

static void names_may_repeat_lack_or_be_long(void **state)
{
	struct inherited *in = calloc(1, sizeof *in);
	char pid[16], names[256] = "a::a:";

	(void)state;
	assert_non_null(in);
	memset(names + 5, 'x', 100);
	strlcpy(names + 105, ":b", sizeof names - 105);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "6", 1);
	setenv("LISTEN_FDNAMES", names, 1);
	inherited_load(in);
	assert_int_equal(in->n, 6);
	assert_int_equal(inherited_take(in, "a"), 3);
	assert_int_equal(inherited_take(in, "a"), 5);
	assert_int_equal(inherited_take(in, "a"), -1);
	assert_int_equal(strlen(in->at[3].name), sizeof in->at[3].name - 1);
	assert_int_equal(inherited_take(in, "b"), 7);
	assert_int_equal(inherited_take(in, ""), 4);
	assert_int_equal(inherited_take(in, ""), 8); /* it had no name */
	assert_int_equal(inherited_take(in, ""), -1);
	free(in);
}

static void a_secret_is_read_whole_or_not_at_all(void **state)
{
	char buf[8];
	int fd = a_file(), two = dup(fd);

	(void)state;
	/* The position is at the end, as another reader has left it. */
	assert_int_equal(write(fd, "12345678", 8), 8);
	assert_int_equal(inherited_read_secret(fd, buf, 8), 0);
	assert_memory_equal(buf, "12345678", 8);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(ftruncate(two, 7), 0);
	assert_int_equal(inherited_read_secret(two, buf, 8), -1);
	assert_int_equal(fcntl(two, F_GETFD), -1);
}

int main(int argc, char **argv)
{
#define CHILD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CHILD_TEST(descriptors_have_their_names_from_3_on_and_nothing_else_is_open),
		CHILD_TEST(descriptors_that_lie_in_each_others_place_are_sorted_out),
		CHILD_TEST(descriptors_come_down_from_where_they_lie),
		CHILD_TEST(as_many_pass_as_may_and_no_more),
		CHILD_TEST(a_low_limit_of_descriptors_is_enough),
		CHILD_TEST(signals_are_as_at_the_start_of_the_world),
		CHILD_TEST(the_parents_own_signals_stay),
		CHILD_TEST(the_arguments_and_the_variable_arrive),
		CHILD_TEST(the_variable_takes_the_place_of_the_parents),
		CHILD_TEST(names_that_do_not_fit_are_refused),
		CHILD_TEST(what_the_parent_was_started_with_does_not_reach_the_child),
		CHILD_TEST(input_is_null_and_what_it_says_goes_where_the_parents_goes),
		CHILD_TEST(in_the_background_what_it_says_goes_nowhere),
		CHILD_TEST(a_program_that_is_not_there_is_status_127),
		cmocka_unit_test(a_list_for_another_process_is_not_taken),
		cmocka_unit_test(names_may_repeat_lack_or_be_long),
		cmocka_unit_test(a_secret_is_read_whole_or_not_at_all),
	};

	if (argc > 1 && strcmp(argv[1], "--as-child") == 0)
		return child_main(argc, argv);
	return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
