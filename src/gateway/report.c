/*
 * report.c: see report.h. The master's half.
 */
#include "gateway/report.h"

#include "gateway/roles.h"

#include "base/poison.h"

void report_master(struct counters *counters, const char *row, uint64_t value)
{
	counter_set(counters_cell_of(counters, row, ROLES_CELL_MASTER), value);
}

void report_worker(struct counters *counters, unsigned cell, unsigned slot, pid_t pid,
    unsigned generation, enum report_state state)
{
	counter_set(counters_cell_of(counters, REPORT_WORKER_PID, cell), (uint64_t)pid);
	counter_set(counters_cell_of(counters, REPORT_WORKER_SLOT, cell), slot);
	counter_set(counters_cell_of(counters, REPORT_WORKER_GENERATION, cell), generation);
	counter_set(counters_cell_of(counters, REPORT_WORKER_STATE, cell), state);
}
