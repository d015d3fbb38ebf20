/*
 * counters.h: the one table that the processes of a gateway share: rows by name, one cell for each
 * process, relaxed atomics. It lies in a memfd made by the master. Nobody takes an index or a
 * length out of it: the layout is fixed by this header and the caller's own cell number.
 */
#ifndef BASE_COUNTERS_H
#define BASE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

enum { COUNTERS_ROWS = 1024, COUNTERS_CELLS = 136, COUNTERS_NAME_MAX = 64 };

struct counters;

struct counters *counters_create(int *fd); /* fd: to hand to children; caller closes. NULL: errno */
struct counters *counters_attach(int fd, unsigned cell); /* fd may be closed after. NULL: errno */
void counters_detach(struct counters *);

/* This process's cell of the row; the row is made at first use. Full or over-long: a cell that is
 * counted nowhere, so callers need no check. Look it up once, keep the pointer. */
_Atomic uint64_t *counters_cell(struct counters *, const char *name);
_Atomic uint64_t *counters_cell_of(struct counters *, const char *name, unsigned cell);
uint64_t counters_sum(
    const struct counters *, const char *name); /* over all cells; 0: no such row */
void counters_each(
    const struct counters *, void (*row)(void *arg, const char *name, uint64_t sum), void *arg);

void counter_add(_Atomic uint64_t *, uint64_t);
void counter_sub(_Atomic uint64_t *, uint64_t);
void counter_set(_Atomic uint64_t *, uint64_t);
uint64_t counter_get(const _Atomic uint64_t *);

#endif
