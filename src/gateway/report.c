/*
 * report.c: see report.h.
 */
#include "gateway/report.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
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

void report_server_row(
    char row[static REPORT_SERVER_ROW_SIZE], const char *pool, const char *address)
{
	/* Any process has to come to the same; who chooses these names is the operator. */
	static const struct hash_key fixed = { { 0, 0 } };
	struct hash_key of_pool = { { hash_bytes(&fixed, bytes_str(pool)), 0 } };

	snprintf(row, REPORT_SERVER_ROW_SIZE, "pool_server.%016" PRIx64,
	    hash_bytes(&of_pool, bytes_str(address)));
}
