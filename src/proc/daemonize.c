/*
 * daemonize.c: see daemonize.h. The parent stays until the child serves, so that its exit status
 * tells the truth to whoever started it.
 */
#include "proc/daemonize.h"

#include <errno.h>
#include <fcntl.h>
#include <libutil.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

#include "base/poison.h"

/* One byte: it serves. The end of the pipe without it: the child has ended, or will. */
static void wait_and_exit(int fd, pid_t child)
{
	char byte;
	int status;
	ssize_t n;

	while ((n = read(fd, &byte, 1)) < 0 && errno == EINTR)
		;
	if (n == 1)
		_exit(0);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_RUNTIME);
}

int daemonize(void)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return -1;
	pid = fork();
	if (pid < 0) {
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	if (pid > 0) {
		close(fds[1]);
		wait_and_exit(fds[0], pid);
	}
	close(fds[0]);
	setsid();
	setenv("SSLGW_LOG", "syslog", 1); /* for the children: their stderr is nobody's */
	return fds[1];
}

void daemonize_ready(int handle)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char byte = 0;

	log_set(LOG_TARGET_SYSLOG, LOG_LEVEL_INFO);
	if (null >= 0) {
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
			dup2(null, fd);
		close(null);
	}
	(void)!write(handle, &byte, 1);
	close(handle);
}

struct pidfh *pidfile_take(const char *path, int *other)
{
	pid_t pid = 0;
	struct pidfh *handle = pidfile_open(path, 0644, &pid);

	*other = handle == NULL && errno == EEXIST ? (int)pid : 0;
	return handle;
}
