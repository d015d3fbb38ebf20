/*
 * report.h: what master and workers write into the table of counters for the monitor to show, beside
 * the counters themselves. These rows have a dot in their names: they are no metrics by themselves,
 * and a worker's are zeroed when it ends. The monitor believes none of it further than to show it.
 */
#ifndef GATEWAY_REPORT_H
#define GATEWAY_REPORT_H

#include <sys/types.h>

#include "base/counters.h"

/* The master's. */
#define REPORT_PHASE "master.phase" /* 1 + enum master_phase; 0: not yet */
#define REPORT_SERVING "master.serving" /* 1: it serves, and does not drain */
#define REPORT_STARTED "master.started" /* unix seconds */
#define REPORT_PID "master.pid"
#define REPORT_WORKERS "master.workers" /* as many as there should be */
#define REPORT_GENERATION "master.generation" /* of the configuration in force; 1 is the start's */
#define REPORT_INSTANCE "master.instance" /* drawn at its start, never 0: cluster/signcount.h */
#define REPORT_REFUSED "master.reload_refused" /* 1: the last reload was */

/* A worker's, in the cell of its process; written by the master. */
#define REPORT_WORKER_STATE "worker.state" /* enum report_state */
#define REPORT_WORKER_PID "worker.pid"
#define REPORT_WORKER_SLOT "worker.slot"
#define REPORT_WORKER_GENERATION "worker.generation"

/* A worker's, written by itself. */
#define REPORT_GROUPS "worker.groups" /* of sites: each has session keys of its own */
#define REPORT_GROUPS_KEYED "worker.groups_keyed" /* of these, those that have a key now */
#define REPORT_KEYED_S "worker.keyed_s" /* the first of these ends in so many seconds */
/* Then "key_server.up ADDRESS": 1 while connected; .broken: its breaker is open; .asks: in flight. */
#define REPORT_KEY_SERVER "key_server."
#define REPORT_CACHE_SERVER "cache_server."

/* Of a server of a pool, which report_server_row() names: how this worker has it. */
enum report_server {
	REPORT_SERVER_WELL,
	REPORT_SERVER_UNREACHABLE, /* spared: connections to it failed */
	REPORT_SERVER_FAILING, /* spared: it took requests, and failed them */
	REPORT_SERVER_SLOW, /* it came back, and gets less than its share yet (slow_start) */
};
enum { REPORT_SERVER_ROW_SIZE = 32 };

/* These stay when a worker ends. "kept asked ADDRESS": signatures that this key server was asked for, since the
 * gateway's start; "kept claimed ADDRESS", in the master's cell: of these, what it has been told of. */
#define REPORT_KEPT "kept "
#define REPORT_ASKED REPORT_KEPT "asked "
#define REPORT_CLAIMED REPORT_KEPT "claimed "

enum report_state { REPORT_NONE, REPORT_STARTING, REPORT_READY, REPORT_DRAINING };

/* In the master's cell: its own rows, and REPORT_CLAIMED; a worker's. */
void report_master(struct counters *, const char *row, uint64_t value);
void report_worker(
    struct counters *, unsigned cell, unsigned slot, pid_t, unsigned generation, enum report_state);
/* Names of any length come to rows of one length; of an address that stands twice in a pool, to one row. */
void report_server_row(
    char row[static REPORT_SERVER_ROW_SIZE], const char *pool, const char *address);

#endif
