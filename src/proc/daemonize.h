/*
 * daemonize.h: into the background, with an exit status that tells how the start went, and the pid file.
 */
#ifndef PROC_DAEMONIZE_H
#define PROC_DAEMONIZE_H

struct pidfh;

/* Forks; the parent waits for daemonize_ready() or the child's end and exits with its status. Call before anything
 * is opened. Returns in the child only: a handle for daemonize_ready; -1: errno. */
int daemonize(void);
void daemonize_ready(
    int handle); /* the parent exits with 0; stdin, stdout and stderr become /dev/null; logs go to syslog */

/* pid file by libbsd's pidfile(3), taken before the start, written when ready. NULL: *other is the pid of a living
 * instance, or 0 with errno. */
struct pidfh *pidfile_take(const char *path, int *other);

#endif
