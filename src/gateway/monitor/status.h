/*
 * status.h: the gateway's admin address, in the monitor: pages from the table of counters, and the
 * commands that are passed on to the master.
 */
#ifndef GATEWAY_MONITOR_STATUS_H
#define GATEWAY_MONITOR_STATUS_H

#include <sys/types.h>

#include "base/counters.h"
#include "gateway/gateway_conf.h"
#include "proc/adminconf.h"

struct status;
struct health;

/* Takes the sockets over; conf and counters are borrowed for its life. operator: the master's user; it and root
 * may use the Unix socket, workers may not. NULL: no memory. */
struct status *status_new(struct loop *, const struct gateway_conf *, struct counters *,
    uid_t operator_uid, struct adminconf_sockets *);
/* health: shown, borrowed until the next call. pass: takes "reload", "drain", "reopen" to the master; false: it
 * cannot be reached. NULL: none any more. */
void status_begin(struct status *, const struct health *,
    bool (*pass)(void *arg, const char *command), void *arg);
void status_free(struct status *);

/* status_metrics.c: the whole page. */
void status_metrics(struct counters *, struct admin_out *);
/* status_pools.c: the servers of pools. */
struct status_pools {
	const struct gateway_conf *conf;
	const struct health *health; /* NULL: not now */
	struct counters *counters;
	unsigned workers; /* that serve or drain */
	uint64_t now_ms;
};
void status_pools(const struct status_pools *, struct admin_out *);
void status_pools_problems(const struct status_pools *, struct admin_out *);
void status_pools_metrics(const struct status_pools *, struct admin_out *);
/* What a row of the table of counters is called as a metric, with its help; for tests. False: it has none. */
bool status_metric_known(const char *row);

#endif
