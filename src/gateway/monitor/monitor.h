/*
 * monitor.h: the monitor process: resolves the names of back-ends, and looks after those that are to be
 * checked. It speaks only to the master.
 */
#ifndef GATEWAY_MONITOR_MONITOR_H
#define GATEWAY_MONITOR_MONITOR_H

#include <stdatomic.h>
#include <stdint.h>

#include "gateway/gateway_conf.h"
#include "net/loop.h"

struct status;

/* Until the channel closes or the master says "stop". Sends "ready" once each name has had an answer, good or
 * bad, or after 3 s; "resolved LINE" (gateway/resolved.h) at each change, and "health LINE" (gateway/healthword.h). beat: written every second. status (NULL: none):
 * its commands are passed to the master by the same channel. The exit status. */
int monitor_run(struct loop *, const struct gateway_conf *, int channel_fd, _Atomic uint64_t *beat,
    struct status *);

#endif
