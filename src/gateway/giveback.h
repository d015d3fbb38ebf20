/*
 * giveback.h: what a rush of clients took goes back to the system when it is over: the stacks of
 * handshakes that waited, exchanges, and what the allocator keeps of both.
 */
#ifndef GATEWAY_GIVEBACK_H
#define GATEWAY_GIVEBACK_H

#include <stdint.h>

struct worker;

/* Once a second or so, from the loop. not_before: 0 at first; ns, kept by the caller. */
void giveback_look(struct worker *, uint64_t *not_before);

#endif
