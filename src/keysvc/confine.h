/*
 * confine.h: what a process that holds private keys does to itself before it reads any, besides
 * proc/privileges.h.
 */
#ifndef KEYSVC_CONFINE_H
#define KEYSVC_CONFINE_H

#include "keysvc/keysvc_conf.h"

void confine_lock(void); /* memory is not swapped, where the limits allow it; else a warning */
/* Becomes conf's user and group, for good; nothing without them. 0; -1: said in the log. */
int confine_drop(const struct keysvc_conf *) __attribute__((warn_unused_result));

/* How many connections there are descriptors for, after the limit was raised as far as it goes: at most
 * conf's, and fewer is said. Ends the process where there are too few to begin with. */
uint32_t confine_connections(const struct keysvc_conf *);

#endif
