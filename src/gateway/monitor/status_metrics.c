/*
 * status_metrics.c: the rows of the table of counters as Prometheus's metrics. Rows that differ in one
 * word only become one metric with a label. A row without a line here is shown by its own name, so a
 * new counter is never lost; a test sees to it that each has its line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/reason.h"
#include "gateway/monitor/status.h"
#include "gateway/report.h"

#include "base/poison.h"

enum { METRIC_ROWS_MAX = COUNTERS_ROWS };

static const struct metric {
	const char *row; /* of the table */
	const char *name; /* NULL: the row's */
	const char *labels, *type, *help;
} metrics[] = {
	{ "sslgw_connections_total", NULL, NULL, "counter", "Client connections accepted." },
	{ "sslgw_connections_open", NULL, NULL, "gauge", "Client connections open." },
	{ "sslgw_handshakes_full_total", "sslgw_handshakes_total", "kind=\"full\"", "counter",
	    "TLS handshakes by kind: full, resumed by a ticket or from the session cache, "
	    "failed." },
	{ "sslgw_handshakes_resumed_ticket_total", "sslgw_handshakes_total", "kind=\"ticket\"",
	    "counter", "" },
	{ "sslgw_handshakes_resumed_cache_total", "sslgw_handshakes_total",
	    "kind=\"session_cache\"", "counter", "" },
	{ "sslgw_handshakes_failed_total", "sslgw_handshakes_total", "kind=\"failed\"", "counter",
	    "" },
	{ "sslgw_handshakes_open", NULL, NULL, "gauge", "TLS handshakes going on." },
	{ "sslgw_handshakes_paused", NULL, NULL, "gauge",
	    "TLS handshakes that wait for a signature or a session." },
	{ "sslgw_signatures_total", NULL, NULL, "counter", "Signatures from the key service." },
	{ "sslgw_signatures_failed_total", NULL, NULL, "counter",
	    "Signatures that the key service did not give." },
	{ "sslgw_signatures_shed_total", NULL, NULL, "counter",
	    "Handshakes refused since too many waited for signatures (limits.handshakes)." },
	{ "sslgw_sessions_delivered_total", NULL, NULL, "counter",
	    "Sessions that some server of the session cache had." },
	{ "sslgw_session_cache_hits_total", NULL, NULL, "counter",
	    "Questions to the session cache that led to a resumption." },
	{ "sslgw_session_cache_misses_total", NULL, NULL, "counter",
	    "Questions to the session cache for what it did not have." },
	{ "sslgw_session_cache_errors_total", NULL, NULL, "counter",
	    "Questions to the session cache without an answer in time." },
	{ "sslgw_session_cache_stores_total", NULL, NULL, "counter",
	    "Sessions given to the session cache." },
	{ "sslgw_session_cache_stores_limited_total", NULL, NULL, "counter",
	    "Sessions not stored, since their client's network had its share "
	    "(session_cache.stores_per_client)." },
	{ "sslgw_session_cache_repairs_total", NULL, NULL, "counter",
	    "Copies of sessions written back to a server of the session cache that lacked them." },
	{ "sslgw_session_claims_total", NULL, NULL, "counter",
	    "Sessions of resumption = stateful_once that were claimed, and so resumed." },
	{ "sslgw_session_claims_refused_total", NULL, NULL, "counter",
	    "Such sessions that came a second time: they had been claimed before." },
	{ "sslgw_session_claims_failed_total", NULL, NULL, "counter",
	    "Such sessions that could not be claimed: their server was out, new, or has not "
	    "answered." },
	{ "sslgw_requests_total", NULL, NULL, "counter", "Requests of clients." },
	{ "sslgw_requests_open", NULL, NULL, "gauge", "Requests going on." },
	{ "sslgw_retries_total", NULL, NULL, "counter",
	    "Requests sent once more, to another server of the pool." },
	{ "sslgw_request_buffers_full_total", NULL, NULL, "counter",
	    "Requests whose body was not kept, since limits.request_buffers was used up." },
	{ "sslgw_upstream_connections_total", NULL, NULL, "counter",
	    "Connections opened to servers of pools." },
	{ "sslgw_upstream_reused_total", NULL, NULL, "counter",
	    "Requests sent on a connection that was open already." },
	{ "sslgw_upstream_connections_open", NULL, NULL, "gauge",
	    "Connections open to servers of pools." },
	{ "sslgw_access_log_dropped_total", NULL, NULL, "counter",
	    "Lines of the access log that were dropped: the file took them too slowly." },
	{ "sslgw_service_asks_open", NULL, NULL, "gauge",
	    "Questions to key service and session cache without an answer yet." },
	{ "sslgw_fibres_open", NULL, NULL, "gauge", "Stacks of handshakes that are paused." },
	{ "sslgw_reloads_total", NULL, NULL, "counter", "Configurations taken since the start." },
	{ "sslgw_reloads_refused_total", NULL, NULL, "counter",
	    "Reloads that were refused; the former configuration stayed." },
};
enum { METRICS_N = sizeof metrics / sizeof metrics[0] };

#define ENDED_ROW "sslgw_ended_total_"
#define BEAT_ROW "sslgw_beat_milliseconds"

static const struct metric *find(const char *row)
{
	for (size_t i = 0; i < METRICS_N; i++)
		if (strcmp(metrics[i].row, row) == 0)
			return &metrics[i];
	return NULL;
}

bool status_metric_known(const char *row)
{
	return find(row) != NULL || strncmp(row, ENDED_ROW, strlen(ENDED_ROW)) == 0 ||
	       strcmp(row, BEAT_ROW) == 0;
}

/* ---- rows that have no line in the table: of newer counters, and those of servers */

struct rows {
	struct admin_out *out;
	unsigned n;
	const char *prefix, *metric, *help, *service; /* of servers' rows */
};

static bool ends(const char *text, const char *with)
{
	size_t n = strlen(text), m = strlen(with);

	return n >= m && strcmp(text + n - m, with) == 0;
}

/* The table is every worker's to write: only what can be a name passes. */
static bool is_name(const char *row)
{
	return strspn(row, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(row);
}

static void write_unknown(void *arg, const char *row, uint64_t sum)
{
	const struct rows *rows = arg;

	if (strncmp(row, "sslgw_", 6) == 0 && is_name(row) && !status_metric_known(row))
		admin_metric(rows->out, row, ends(row, "_total") ? "counter" : "gauge",
		    "A counter without a description.", NULL, (double)sum);
}

static void write_server(void *arg, const char *row, uint64_t sum)
{
	const struct rows *rows = arg;
	char labels[256], label[192];

	if (strncmp(row, rows->prefix, strlen(rows->prefix)) != 0)
		return;
	admin_label(label, sizeof label, "server", row + strlen(rows->prefix));
	snprintf(labels, sizeof labels, "service=\"%s\",%s", rows->service, label);
	admin_metric(rows->out, rows->metric, "gauge", rows->help, labels, (double)sum);
}

static void write_servers(struct counters *counters, struct admin_out *out)
{
	static const struct {
		const char *what, *metric, *help;
	} of[] = {
		{ "up ", "sslgw_service_server_connected_workers",
		    "Workers that are connected to this key or cache server." },
		{ "broken ", "sslgw_service_server_spared_workers",
		    "Workers that spare this key or cache server, since it failed too often." },
		{ "asks ", "sslgw_service_server_asks_open",
		    "Questions to this key or cache server without an answer yet." },
	};
	static const char *const services[][2] = { { REPORT_KEY_SERVER, "keys" },
		{ REPORT_CACHE_SERVER, "sessions" } };
	char prefix[32];

	for (size_t i = 0; i < sizeof of / sizeof of[0]; i++)
		for (size_t k = 0; k < 2; k++) {
			struct rows rows = { out, 0, prefix, of[i].metric, of[i].help,
				services[k][1] };

			snprintf(prefix, sizeof prefix, "%s%s", services[k][0], of[i].what);
			counters_each(counters, write_server, &rows);
		}
}

static void write_ended(const struct counters *counters, struct admin_out *out)
{
	static const char *const faults[] = { "none", "client", "backend", "service", "operator",
		"ours" };
	char row[COUNTERS_NAME_MAX], reason[96], labels[160];

	for (int r = 0; r < REASON_N; r++) {
		snprintf(row, sizeof row, ENDED_ROW "%s", reason_name((enum reason)r));
		admin_label(reason, sizeof reason, "reason", reason_name((enum reason)r));
		snprintf(labels, sizeof labels, "%s,fault=\"%s\"", reason,
		    faults[reason_fault((enum reason)r)]);
		admin_metric(out, "sslgw_ended_total", "counter",
		    "Connections and requests that ended, by reason and by whose fault.", labels,
		    (double)counters_sum(counters, row));
	}
}

static void write_workers(struct counters *counters, struct admin_out *out)
{
	static const char *const states[] = { "starting", "ready", "draining" };
	unsigned n[4] = { 0 };
	char label[48];

	for (unsigned cell = 0; cell < COUNTERS_CELLS; cell++) {
		uint64_t state = counter_get(counters_cell_of(counters, REPORT_WORKER_STATE, cell));

		if (state <= REPORT_DRAINING)
			n[state]++;
	}
	for (int i = 0; i < 3; i++)
		admin_metric(out, "sslgw_workers", "gauge", "Worker processes by state.",
		    admin_label(label, sizeof label, "state", states[i]), n[i + 1]);
	admin_metric(out, "sslgw_workers_configured", "gauge",
	    "Worker processes that there should be.", NULL,
	    (double)counters_sum(counters, REPORT_WORKERS));
	admin_metric(out, "sslgw_configuration_generation", "gauge",
	    "Which configuration is in force; 1 is the start's, and each reload is one more.", NULL,
	    (double)counters_sum(counters, REPORT_GENERATION));
	admin_metric(out, "sslgw_configuration_refused", "gauge",
	    "1 where the last reload was refused.", NULL,
	    (double)counters_sum(counters, REPORT_REFUSED));
	admin_metric(out, "sslgw_session_key_groups", "gauge",
	    "Groups of sites that need session keys, summed over workers.", NULL,
	    (double)counters_sum(counters, REPORT_GROUPS));
	admin_metric(out, "sslgw_session_key_groups_keyed", "gauge",
	    "Of these, those that have a current key.", NULL,
	    (double)counters_sum(counters, REPORT_GROUPS_KEYED));
}

void status_metrics(struct counters *counters, struct admin_out *out)
{
	struct rows rows = { .out = out };

	write_workers(counters, out);
	for (size_t i = 0; i < METRICS_N; i++) {
		const struct metric *m = &metrics[i];

		admin_metric(out, m->name != NULL ? m->name : m->row, m->type, m->help, m->labels,
		    (double)counters_sum(counters, m->row));
	}
	write_ended(counters, out);
	write_servers(counters, out);
	counters_each(counters, write_unknown, &rows);
}
