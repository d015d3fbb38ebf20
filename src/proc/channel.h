/*
 * channel.h: the control channel between the master and one child: a SOCK_SEQPACKET socketpair.
 * A message is one line of text without newline, at most CHANNEL_TEXT_MAX bytes, with at most
 * CHANNEL_FDS_MAX descriptors. Words are separated by one space; the last may hold spaces.
 *
 *   master to child: "listen SLOT MODE" + fd | "unlisten SLOT" | "resolved HOST TTL ADDR ADDR..." |
 *                    "health up|down POOL ADDRESS" | "drain" | "stop" | "reopen" | "keys-begin NUMBER" |
 *                    "key NAME" + fd | "keys-done" | "keys-forget" | "selfsigned NAMES" | "reload" + fd
 *   child to master: "ready" | "drained" | "leaving" | "key NAME ok SKIHEX TYPE" | "key NAME error TEXT" |
 *                    "keys-begun NUMBER" | "keys-done ok|error TEXT" | "selfsigned PEM...|error TEXT" |
 *                    "resolved HOST TTL ADDR ADDR..." |
 *                    "health up|down POOL ADDRESS" | "failed TEXT"
 */
#ifndef PROC_CHANNEL_H
#define PROC_CHANNEL_H

#include "base/bytes.h"
#include "net/loop.h"

enum { CHANNEL_TEXT_MAX = 32 * 1024, CHANNEL_FDS_MAX = 4 };

struct channel;

struct channel_events {
	/* text is NUL-terminated, borrowed; descriptors are the receiver's (it closes what it does not keep). */
	void (*message)(void *arg, char *text, int *fds, int fds_n);
	void (*closed)(void *arg); /* the other end is gone; call channel_free() */
};

int channel_pair(int fds[static 2]); /* close-on-exec, non-blocking. 0 or -1: errno */
struct channel *channel_new(
    struct loop *, int fd, const struct channel_events *, void *arg); /* owns fd */
/* Queued while the socket is full, up to 8 MiB and 256 descriptors; 0, -1: the channel is dead or that full. fds
 * stay the caller's. */
int channel_send(struct channel *, const int *fds, int fds_n, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void channel_free(struct channel *); /* closes; no callback follows */

#endif
