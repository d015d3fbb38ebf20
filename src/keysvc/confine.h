/*
 * confine.h: what a process that holds private keys does to itself before it reads any.
 */
#ifndef KEYSVC_CONFINE_H
#define KEYSVC_CONFINE_H

#include "keysvc/keysvc_conf.h"

void confine_start(void); /* no core dumps, no ptrace, no new privileges */
void confine_lock(void); /* memory is not swapped, where the limits allow it; else a warning */
/* Becomes conf's user and group, for good; nothing without them. 0; -1: said in the log. */
int confine_drop(const struct keysvc_conf *) __attribute__((warn_unused_result));

#endif
