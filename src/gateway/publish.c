/*
 * publish.c: see publish.h. Rows are found by name each time: a second is long, and servers come and
 * go as their names resolve.
 */
#include "gateway/publish.h"

#include <stdio.h>
#include <string.h>

#include "gateway/cluster/keyclient.h"
#include "gateway/cluster/secrets.h"
#include "gateway/cluster/sessioncache.h"
#include "gateway/origin/pool.h"
#include "gateway/report.h"
#include "gateway/worker.h"
#include "net/peers.h"

#include "base/poison.h"

enum { PUBLISH_SITES_MAX = 256 };

static void set_server(
    struct counters *counters, const char *service, const char *what, const char *at, uint64_t n)
{
	char row[COUNTERS_NAME_MAX];

	if ((size_t)snprintf(row, sizeof row, "%s%s %s", service, what, at) < sizeof row)
		counter_set(counters_cell(counters, row), n);
}

static void servers(struct counters *counters, const char *service, const struct peers *peers)
{
	struct peers_server server;
	char at[ENDPOINT_TEXT_MAX];

	for (unsigned slot = 0; peers_server(peers, slot, &server); slot++) {
		endpoint_text(&server.endpoint, at, sizeof at);
		if (server.endpoint.addr.ss_family == AF_UNIX)
			strlcpy(
			    at, "local", sizeof at); /* its path is long, and new at each start */
		set_server(counters, service, "up", at, server.up);
		set_server(counters, service, "broken", at, server.broken);
		set_server(counters, service, "asks", at, server.in_flight);
	}
}

static bool is_first_of_group(const struct gateway_conf *conf, size_t site)
{
	for (size_t i = 0; i < site; i++)
		if (strcmp(conf->sites.at[i].group, conf->sites.at[site].group) == 0)
			return false;
	return true;
}

static void session_keys(const struct worker *w, struct counters *counters)
{
	uint64_t groups = 0, keyed = 0, left = 0;

	for (size_t i = 0; i < w->conf->sites.n; i++) {
		const struct epoch_record *record;

		/* Of ten thousand sites the first are looked at: a second has other work, too. */
		if (i >= PUBLISH_SITES_MAX || !is_first_of_group(w->conf, i))
			continue;
		groups++;
		record = secrets_current(
		    w->secrets, secrets_group(w->secrets, w->conf->sites.at[i].group));
		if (record == NULL)
			continue;
		if (keyed++ == 0 || secrets_left_s(record) < left)
			left = secrets_left_s(record);
	}
	counter_set(counters_cell(counters, REPORT_GROUPS), groups);
	counter_set(counters_cell(counters, REPORT_GROUPS_KEYED), keyed);
	counter_set(counters_cell(counters, REPORT_KEYED_S), left);
}

void publish(const struct worker *w, struct counters *counters)
{
	if (w->keys != NULL)
		servers(counters, REPORT_KEY_SERVER, keyclient_peers(w->keys));
	if (w->sessions != NULL)
		servers(counters, REPORT_CACHE_SERVER, sessioncache_peers(w->sessions));
	if (w->pools != NULL)
		pools_publish(w->pools, counters);
	if (w->secrets != NULL)
		session_keys(w, counters);
}
