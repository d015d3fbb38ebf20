/*
 * child.c: fork and exec. Between the two only async-signal-safe calls are made, and memory that was
 * laid out before.
 */
#include "proc/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/poison.h"

extern char **environ;

enum { CHILD_FIRST = 3, CHILD_NAMES_MAX = 1024, CHILD_FAILED = 127 };

/* Of two that have one name, getenv(3) takes the first. */
static bool is_replaced(const char *inherited, const char *own)
{
	return own != NULL && strncmp(inherited, own, strcspn(own, "=") + 1) == 0;
}

/* A copy of the environment with ours in it; the strings stay where they are. */
static char **make_env(char *const *own, size_t own_n)
{
	size_t n = 0, at = 0;
	char **env;

	while (environ[n] != NULL)
		n++;
	env = calloc(n + own_n + 1, sizeof *env);
	if (env == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "LISTEN_", 7) != 0 &&
		    !is_replaced(environ[i], own[own_n - 1]))
			env[at++] = environ[i];
	for (size_t i = 0; i < own_n; i++)
		if (own[i] != NULL)
			env[at++] = own[i];
	return env;
}

/* -1: they do not fit. */
static int join_names(char *text, size_t size, const struct child_fd *fds, size_t n)
{
	size_t len = strlcpy(text, "LISTEN_FDNAMES=", size);

	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strlcat(text, ":", size);
		len = strlcat(text, fds[i].name, size);
	}
	return len < size ? 0 : -1;
}

/* Decimal without snprintf, which is not async-signal-safe. */
static void put_number(char *at, long n)
{
	char digits[24];
	int len = 0;

	do
		digits[len++] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	while (len > 0)
		*at++ = digits[--len];
	*at = '\0';
}

static void place_fds(const struct child_fd *fds, size_t n, int quiet)
{
	int high[CHILD_FDS_MAX], null;

	/* First out of the way of 3.., then down in order; not higher than needed: the limit may be low. */
	for (size_t i = 0; i < n; i++)
		if ((high[i] = fcntl(fds[i].fd, F_DUPFD_CLOEXEC, CHILD_FIRST + (int)n)) < 0)
			_exit(CHILD_FAILED);
	for (size_t i = 0; i < n; i++)
		if (dup2(high[i], CHILD_FIRST + (int)i) < 0)
			_exit(CHILD_FAILED);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		if (quiet) {
			dup2(null, STDOUT_FILENO);
			dup2(null, STDERR_FILENO);
		}
	}
	close_range(CHILD_FIRST + (unsigned)n, ~0U, 0);
}

static void default_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

pid_t child_spawn(
    const char *path, char *const argv[], const char *env, const struct child_fd *fds, size_t n)
{
	static const char pid_is[] = "LISTEN_PID=";
	char count[32], names[CHILD_NAMES_MAX], pid_text[48], *own[4], **all;
	int quiet = getenv("SSLGW_LOG") != NULL; /* in the background: log.h */
	sigset_t every, before;
	pid_t pid;
	int err;

	if (n > CHILD_FDS_MAX || join_names(names, sizeof names, fds, n) != 0) {
		errno = E2BIG;
		return -1;
	}
	snprintf(count, sizeof count, "LISTEN_FDS=%zu", n);
	memcpy(pid_text, pid_is, sizeof pid_is);
	own[0] = count;
	own[1] = names;
	own[2] = pid_text;
	own[3] = (char *)(uintptr_t)env; /* last: make_env() */
	all = make_env(own, 4);
	if (all == NULL)
		return -1;
	/* A handler of the parent's, run in the child, would write into the parent's loop. */
	sigfillset(&every);
	sigprocmask(SIG_SETMASK, &every, &before);
	pid = fork();
	if (pid == 0) {
		default_signals();
		place_fds(fds, n, quiet);
		put_number(pid_text + sizeof pid_is - 1, (long)getpid());
		execve(path, argv, all);
		_exit(CHILD_FAILED);
	}
	err = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	free(all);
	errno = err;
	return pid;
}
