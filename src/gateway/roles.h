/*
 * roles.h: the processes that the master makes of its own program, and what it tells them on their
 * command line: sslgw --role NAME SLOT CELL UID GID OWNER KEY_ADDRESS CACHE_ADDRESS ("-": none of this machine), with the descriptors "config",
 * "counters", "token", "tickets" and "channel" (proc/inherited.h). Not for users.
 */
#ifndef GATEWAY_ROLES_H
#define GATEWAY_ROLES_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/conf.h"
#include "base/counters.h"
#include "gateway/gateway_conf.h"
#include "net/endpoint.h"
#include "proc/adminconf.h"
#include "proc/inherited.h"

/* Cells of the counters table: one for each worker process that lives, those that drain too; the last ones are
 * the monitor's and the master's. */
enum { ROLES_WORKERS_MAX = 64, ROLES_CELL_MONITOR = 2 * ROLES_WORKERS_MAX, ROLES_CELL_MASTER };

#define ROLES_BEAT                                                                                 \
	"sslgw_beat_milliseconds" /* CLOCK_MONOTONIC, written every second by worker and monitor */

struct roles_given {
	unsigned slot, cell;
	uid_t uid;
	gid_t gid;
	uid_t owner; /* the master's: who listens on the services' sockets */
	struct endpoint keys, cache; /* of embedded services; len 0: gateway.conf names others */
	struct inherited inherited;
	struct gateway_conf *conf;
	struct counters *counters;
	int channel;
};

/* The master's half. Descriptors stay the caller's; selfsigned, token and tickets: -1 for none. The pid, or -1: errno. */
struct roles_spawn {
	unsigned slot, cell;
	uid_t uid;
	gid_t gid;
	const struct endpoint *keys, *cache; /* len 0: none */
	int config, counters, token, tickets, channel, selfsigned;
	const struct adminconf_sockets *admin; /* the monitor's; NULL: none */
};
pid_t roles_spawn(const char *role, const struct roles_spawn *);

/* argv from the role's name on. Ends the process on failure: only the master starts roles. */
void role_load(struct roles_given *, int argc, char **argv);
int worker_main(int argc, char **argv);
int monitor_main(int argc, char **argv);

#endif
