/*
 * status_pools.c: the servers of pools on the monitor's pages: what its own checks found, and how the
 * workers have them, who go by what happened to their requests.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/monitor/health.h"
#include "gateway/monitor/status.h"
#include "gateway/report.h"

#include "base/poison.h"

/* One server; the order is the configuration's. */
struct view {
	const char *pool, *address;
	int64_t weight;
	bool backup;
	bool checked; /* then health has been filled */
	struct health_server health;
	unsigned spared, slow; /* by so many workers */
	bool unreachable; /* by one of them: connections to it fail */
};

/* Goes over all of them. */
struct views {
	const struct status_pools *from;
	size_t pool, server, checked; /* the next; the next that is checked */
};

/* A row is there from a server's first trouble on. */
static void ask_workers(struct counters *counters, struct view *v)
{
	char row[REPORT_SERVER_ROW_SIZE];

	report_server_row(row, v->pool, v->address);
	if (counters_sum(counters, row) == 0)
		return;
	for (unsigned cell = 0; cell < COUNTERS_CELLS; cell++) {
		switch (counter_get(counters_cell_of(counters, row, cell))) {
		case REPORT_SERVER_UNREACHABLE:
			v->unreachable = true;
			v->spared++;
			break;
		case REPORT_SERVER_FAILING:
			v->spared++;
			break;
		case REPORT_SERVER_SLOW:
			v->slow++;
			break;
		}
	}
}

static bool next_view(struct views *all, struct view *v)
{
	const struct gateway_conf *conf = all->from->conf;
	const struct pool_conf *pool;
	const struct server_conf *server;

	while (all->pool < conf->pools.n && all->server == conf->pools.at[all->pool].servers.n) {
		all->pool++;
		all->server = 0;
	}
	if (all->pool == conf->pools.n)
		return false;
	pool = &conf->pools.at[all->pool];
	server = &pool->servers.at[all->server++];
	*v = (struct view){ .pool = pool->name,
		.address = server->address,
		.weight = server->weight,
		.backup = server->backup };
	if (pool_conf_interval(pool) > 0)
		v->checked = health_server(all->from->health, all->checked++, &v->health);
	ask_workers(all->from->counters, v);
	return true;
}

static bool is_down(const struct view *v)
{
	return v->checked && v->health.state == HEALTH_DOWN;
}

/* What weighs most stands for all. */
static const char *state_of(const struct view *v, unsigned workers)
{
	if (is_down(v))
		return "down";
	if (v->spared > 0)
		return v->spared >= workers ? "spared" : "spared by some";
	if (v->weight == 0)
		return "drained";
	if (v->slow > 0)
		return "slow start";
	return v->checked && v->health.state == HEALTH_UNKNOWN ? "unknown" : "up";
}

static void why(const struct view *v, unsigned workers, char *buf, size_t size)
{
	buf[0] = '\0';
	if (is_down(v))
		strlcpy(buf, v->health.why, size);
	else if (v->spared > 0)
		snprintf(buf, size, "%s; spared by %u of %u workers",
		    v->unreachable ? "connections to it failed" : "requests to it failed",
		    v->spared, workers);
	else if (v->weight == 0)
		strlcpy(buf, "its weight is 0", size);
	else if (v->slow > 0)
		snprintf(buf, size, "it came back; less than its share by %u of %u workers",
		    v->slow, workers);
}

void status_pools(const struct status_pools *from, struct admin_out *out)
{
	struct views all = { .from = from };
	struct view v;
	char text[200];

	admin_json_open(out, "servers", '[');
	while (next_view(&all, &v)) {
		why(&v, from->workers, text, sizeof text);
		admin_json_open(out, NULL, '{');
		admin_json_text(out, "pool", v.pool);
		admin_json_text(out, "server", v.address);
		admin_json_text(out, "state", state_of(&v, from->workers));
		admin_json_text(out, "why", text);
		admin_json_number(out, "weight", (double)v.weight);
		admin_json_bool(out, "backup", v.backup);
		admin_json_number(out, "spared_by_workers", v.spared);
		admin_json_number(out, "slow_start_in_workers", v.slow);
		admin_json_bool(out, "checked", v.checked);
		if (v.checked) {
			admin_json_number(
			    out, "since_s", (double)(from->now_ms - v.health.since_ms) / 1000);
			admin_json_number(out, "checks", (double)v.health.checks);
			admin_json_number(out, "failed", (double)v.health.failures);
			admin_json_text(out, "last_failure", v.health.why);
		}
		admin_json_close(out, '}');
	}
	admin_json_close(out, ']');
}

void status_pools_problems(const struct status_pools *from, struct admin_out *out)
{
	struct views all = { .from = from };
	struct view v;
	char text[200];

	while (next_view(&all, &v)) {
		why(&v, from->workers, text, sizeof text);
		if (is_down(&v))
			admin_problem(
			    out, "server %s of pool \"%s\" is down: %s", v.address, v.pool, text);
		else if (v.spared > 0)
			admin_problem(out, "server %s of pool \"%s\": %s", v.address, v.pool, text);
	}
}

static const struct metric {
	const char *name, *type, *help;
	bool checked; /* of those only that are checked */
} metrics[] = {
	{ "sslgw_server_up", "gauge", "1 where the health check finds this server well.", true },
	{ "sslgw_server_checks_total", "counter", "Health checks of this server.", true },
	{ "sslgw_server_checks_failed_total", "counter",
	    "Health checks of this server that failed.", true },
	{ "sslgw_server_spared_workers", "gauge",
	    "Workers that spare this server, since it failed too often.", false },
	{ "sslgw_server_slow_start_workers", "gauge",
	    "Workers that give this server less than its share yet, since it came back.", false },
};

static void write_sample(
    const struct metric *m, const struct view *v, double value, struct admin_out *out)
{
	char pool[600], server[300], labels[1000];

	admin_label(pool, sizeof pool, "pool", v->pool);
	admin_label(server, sizeof server, "server", v->address);
	snprintf(labels, sizeof labels, "%s,%s", pool, server);
	admin_metric(out, m->name, m->type, m->help, labels, value);
}

/* Samples of one name stand together. */
void status_pools_metrics(const struct status_pools *from, struct admin_out *out)
{
	struct view v;

	for (size_t k = 0; k < sizeof metrics / sizeof metrics[0]; k++) {
		struct views all = { .from = from };

		while (next_view(&all, &v)) {
			const double values[] = { !is_down(&v), (double)v.health.checks,
				(double)v.health.failures, v.spared, v.slow };

			if (v.checked || !metrics[k].checked)
				write_sample(&metrics[k], &v, values[k], out);
		}
	}
}
