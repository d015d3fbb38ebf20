/*
 * signals.h: signals as events of the loop, so a handler may do anything that a callback may.
 */
#ifndef PROC_SIGNALS_H
#define PROC_SIGNALS_H

#include "net/loop.h"

struct signals;

/* list ends with 0. SIGPIPE is ignored from then on. NULL: no memory. */
struct signals *signals_new(
    struct loop *, const int *list, void (*got)(void *arg, int signo), void *arg);
void signals_free(struct signals *); /* the default actions come back */

#endif
