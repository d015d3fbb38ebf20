/*
 * status_pools.c: what the monitor knows of the servers that it checks, for its pages.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/monitor/health.h"
#include "gateway/monitor/status.h"

#include "base/poison.h"

static const char *state_name(enum health_state state)
{
	static const char *const names[] = { "unknown", "up", "down" };

	return names[state];
}

void status_pools(const struct health *health, uint64_t now_ms, struct admin_out *out)
{
	struct health_server s;

	admin_json_open(out, "checked_servers", '[');
	for (size_t i = 0; health_server(health, i, &s); i++) {
		admin_json_open(out, NULL, '{');
		admin_json_text(out, "pool", s.pool);
		admin_json_text(out, "server", s.address);
		admin_json_text(out, "state", state_name(s.state));
		admin_json_number(out, "since_s", (double)(now_ms - s.since_ms) / 1000);
		admin_json_number(out, "checks", (double)s.checks);
		admin_json_number(out, "failed", (double)s.failures);
		admin_json_text(out, "last_failure", s.why);
		admin_json_close(out, '}');
	}
	admin_json_close(out, ']');
}

void status_pools_problems(const struct health *health, struct admin_out *out)
{
	struct health_server s;

	for (size_t i = 0; health_server(health, i, &s); i++)
		if (s.state == HEALTH_DOWN)
			admin_problem(
			    out, "server %s of pool \"%s\" is down: %s", s.address, s.pool, s.why);
}

/* Samples of one name stand together. */
void status_pools_metrics(const struct health *health, struct admin_out *out)
{
	static const struct {
		const char *name, *type, *help;
	} of[] = {
		{ "sslgw_server_up", "gauge", "1 where the health check finds this server well." },
		{ "sslgw_server_checks_total", "counter", "Health checks of this server." },
		{ "sslgw_server_checks_failed_total", "counter",
		    "Health checks of this server that failed." },
	};
	char pool[600], server[300], labels[1000];
	struct health_server s;

	for (size_t k = 0; k < sizeof of / sizeof of[0]; k++)
		for (size_t i = 0; health_server(health, i, &s); i++) {
			const double values[] = { s.state != HEALTH_DOWN, (double)s.checks,
				(double)s.failures };

			admin_label(pool, sizeof pool, "pool", s.pool);
			admin_label(server, sizeof server, "server", s.address);
			snprintf(labels, sizeof labels, "%s,%s", pool, server);
			admin_metric(out, of[k].name, of[k].type, of[k].help, labels, values[k]);
		}
}
