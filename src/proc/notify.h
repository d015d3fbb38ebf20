/*
 * notify.h: sd_notify(3)'s datagram, by hand: one line to the socket that NOTIFY_SOCKET names. Does
 * nothing where there is none. The variable is left for children of the same unit to see or not:
 * notify_forget() takes it away.
 */
#ifndef PROC_NOTIFY_H
#define PROC_NOTIFY_H

/* "READY=1", "STATUS=...", "MAINPID=...", "RELOADING=1", "STOPPING=1"; more lines by newline. */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void notify_forget(void);

#endif
