/*
 * watch.h: a descriptor that is no stream (an eventfd, a signalfd) watched for reading.
 */
#ifndef NET_WATCH_H
#define NET_WATCH_H

#include "net/loop.h"

struct watch;

/* ready() comes in each turn in which fd can be read; it may free the watch. fd stays the caller's.
 * NULL: no memory, or the descriptor cannot be polled. */
struct watch *watch_new(struct loop *, int fd, void (*ready)(void *arg), void *arg);
void watch_free(struct watch *);

#endif
