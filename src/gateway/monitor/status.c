/*
 * status.c: see status.h. All figures are sums over the workers' cells; what the master and the workers
 * tell of themselves lies there too (gateway/report.h).
 */
#include "gateway/monitor/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/report.h"

#include "base/poison.h"

enum { STATUS_SERVERS_MAX = 128 };

struct server {
	char at[COUNTERS_NAME_MAX];
	uint64_t up, broken, asks; /* workers; workers; questions */
};

struct status {
	struct loop *loop;
	const struct gateway_conf *conf;
	struct counters *counters;
	struct admin *admin;
	const struct health *health; /* NULL: not now */
	bool (*pass)(void *arg, const char *command);
	void *pass_arg;
	const char *prefix; /* while servers are gathered */
	struct server servers[STATUS_SERVERS_MAX];
	size_t servers_n;
};

struct numbers {
	unsigned starting, ready, draining;
};

static uint64_t sum(const struct status *s, const char *row)
{
	return counters_sum(s->counters, row);
}

static uint64_t cell(const struct status *s, const char *row, unsigned of)
{
	return counter_get(counters_cell_of(s->counters, row, of));
}

static struct numbers count_workers(const struct status *s)
{
	struct numbers n = { 0 };

	for (unsigned i = 0; i < COUNTERS_CELLS; i++) {
		switch (cell(s, REPORT_WORKER_STATE, i)) {
		case REPORT_STARTING:
			n.starting++;
			break;
		case REPORT_READY:
			n.ready++;
			break;
		case REPORT_DRAINING:
			n.draining++;
			break;
		}
	}
	return n;
}

/* ---- servers of the key service and the session cache */

static struct server *server_of(struct status *s, const char *at)
{
	for (size_t i = 0; i < s->servers_n; i++)
		if (strcmp(s->servers[i].at, at) == 0)
			return &s->servers[i];
	if (s->servers_n == STATUS_SERVERS_MAX)
		return NULL;
	s->servers[s->servers_n] = (struct server){ 0 };
	strlcpy(s->servers[s->servers_n].at, at, sizeof s->servers[0].at);
	return &s->servers[s->servers_n++];
}

static void gather_server(void *arg, const char *row, uint64_t n)
{
	struct status *s = arg;
	struct server *server;
	const char *what = row + strlen(s->prefix), *at;

	if (strncmp(row, s->prefix, strlen(s->prefix)) != 0 || (at = strchr(what, ' ')) == NULL ||
	    (server = server_of(s, at + 1)) == NULL)
		return;
	if (strncmp(what, "up ", 3) == 0)
		server->up = n;
	else if (strncmp(what, "broken ", 7) == 0)
		server->broken = n;
	else if (strncmp(what, "asks ", 5) == 0)
		server->asks = n;
}

static void gather_servers(struct status *s, const char *prefix)
{
	s->prefix = prefix;
	s->servers_n = 0;
	counters_each(s->counters, gather_server, s);
}

static void write_service(
    struct status *s, const char *name, const char *prefix, struct admin_out *out)
{
	gather_servers(s, prefix);
	admin_json_open(out, name, '[');
	for (size_t i = 0; i < s->servers_n; i++) {
		admin_json_open(out, NULL, '{');
		admin_json_text(out, "server", s->servers[i].at);
		admin_json_number(out, "connected_workers", (double)s->servers[i].up);
		admin_json_number(out, "spared_by_workers", (double)s->servers[i].broken);
		admin_json_number(out, "asks", (double)s->servers[i].asks);
		admin_json_close(out, '}');
	}
	admin_json_close(out, ']');
}

/* ---- what is not well */

static void service_problems(struct status *s, const char *name, const char *prefix,
    const char *consequence, unsigned workers, struct admin_out *out)
{
	size_t broken = 0;

	gather_servers(s, prefix);
	for (size_t i = 0; i < s->servers_n; i++) {
		if (s->servers[i].broken == 0)
			continue;
		broken++;
		admin_problem(out,
		    "%s at %s failed too often and is spared by %" PRIu64 " of %u workers", name,
		    s->servers[i].at, s->servers[i].broken, workers);
	}
	if (s->servers_n > 0 && broken == s->servers_n)
		admin_problem(out, "no %s can be asked: %s", name, consequence);
}

static void worker_problems(const struct status *s, const struct numbers *n, struct admin_out *out)
{
	uint64_t wanted = sum(s, REPORT_WORKERS);

	if (n->ready < wanted)
		admin_problem(out,
		    "%u of %" PRIu64 " workers are ready: see the log for why the others are not",
		    n->ready, wanted);
	if (sum(s, REPORT_SERVING) == 0)
		admin_problem(out, "it does not serve: it starts, or was told to end");
	if (sum(s, REPORT_REFUSED) > 0)
		admin_problem(out,
		    "the last reload was refused, the former configuration is in force: the log "
		    "says why, sslgw -t checks the file");
	if (sum(s, REPORT_GROUPS_KEYED) < sum(s, REPORT_GROUPS))
		admin_problem(out,
		    "there are no keys for session tickets in some workers: every handshake there "
		    "is a full one; look at the key servers");
}

/* ---- the page */

static void write_workers(const struct status *s, struct admin_out *out)
{
	static const char *const names[] = { "none", "starting", "ready", "draining" };

	admin_json_open(out, "workers", '[');
	for (unsigned i = 0; i < COUNTERS_CELLS; i++) {
		uint64_t state = cell(s, REPORT_WORKER_STATE, i);

		if (state == REPORT_NONE || state > REPORT_DRAINING)
			continue;
		admin_json_open(out, NULL, '{');
		admin_json_number(out, "slot", (double)cell(s, REPORT_WORKER_SLOT, i));
		admin_json_number(out, "pid", (double)cell(s, REPORT_WORKER_PID, i));
		admin_json_text(out, "state", names[state]);
		admin_json_number(out, "generation", (double)cell(s, REPORT_WORKER_GENERATION, i));
		admin_json_number(out, "connections", (double)cell(s, "sslgw_connections_open", i));
		admin_json_number(out, "requests", (double)cell(s, "sslgw_requests_open", i));
		admin_json_close(out, '}');
	}
	admin_json_close(out, ']');
}

static void write_numbers(const struct status *s, struct admin_out *out)
{
	static const struct {
		const char *name, *row;
	} of[] = {
		{ "connections_open", "sslgw_connections_open" },
		{ "connections", "sslgw_connections_total" },
		{ "requests", "sslgw_requests_total" },
		{ "handshakes_full", "sslgw_handshakes_full_total" },
		{ "handshakes_ticket", "sslgw_handshakes_resumed_ticket_total" },
		{ "handshakes_session_cache", "sslgw_handshakes_resumed_cache_total" },
		{ "handshakes_failed", "sslgw_handshakes_failed_total" },
		{ "signatures", "sslgw_signatures_total" },
		{ "signatures_failed", "sslgw_signatures_failed_total" },
		{ "signatures_shed", "sslgw_signatures_shed_total" },
		{ "reloads", "sslgw_reloads_total" },
		{ "reloads_refused", "sslgw_reloads_refused_total" },
	};

	for (size_t i = 0; i < sizeof of / sizeof of[0]; i++)
		admin_json_number(out, of[i].name, (double)sum(s, of[i].row));
}

static struct status_pools pools_of(const struct status *s, const struct numbers *n)
{
	return (struct status_pools){ .conf = s->conf,
		.health = s->health,
		.counters = s->counters,
		.workers = n->ready + n->draining,
		.now_ms = loop_now_ms(s->loop) };
}

static void write_status(void *arg, struct admin_out *out)
{
	struct status *s = arg;
	struct numbers n = count_workers(s);
	struct status_pools pools = pools_of(s, &n);
	char headline[200];

	snprintf(headline, sizeof headline,
	    "%u of %" PRIu64 " workers, %" PRIu64 " connections, %" PRIu64
	    " requests, configuration %" PRIu64,
	    n.ready, sum(s, REPORT_WORKERS), sum(s, "sslgw_connections_open"),
	    sum(s, "sslgw_requests_total"), sum(s, REPORT_GENERATION));
	admin_json_text(out, "role", "gateway");
	admin_json_text(out, "headline", headline);
	admin_json_number(out, "generation", (double)sum(s, REPORT_GENERATION));
	admin_json_bool(out, "reload_refused", sum(s, REPORT_REFUSED) > 0);
	write_numbers(s, out);
	admin_json_number(out, "session_key_groups", (double)sum(s, REPORT_GROUPS));
	admin_json_number(out, "session_key_groups_keyed", (double)sum(s, REPORT_GROUPS_KEYED));
	write_workers(s, out);
	write_service(s, "key_servers", REPORT_KEY_SERVER, out);
	write_service(s, "cache_servers", REPORT_CACHE_SERVER, out);
	status_pools(&pools, out);
	admin_json_open(out, "problems", '[');
	worker_problems(s, &n, out);
	service_problems(s, "key server", REPORT_KEY_SERVER,
	    "new clients are refused, resumed sessions go on", n.ready + n.draining, out);
	service_problems(s, "cache server", REPORT_CACHE_SERVER,
	    "sessions that no ticket holds are not resumed", n.ready + n.draining, out);
	status_pools_problems(&pools, out);
	admin_json_close(out, ']');
}

static void write_metrics(void *arg, struct admin_out *out)
{
	const struct status *s = arg;
	struct numbers n = count_workers(s);
	struct status_pools pools = pools_of(s, &n);

	status_metrics(s->counters, out);
	status_pools_metrics(&pools, out);
}

static bool is_ready(void *arg)
{
	const struct status *s = arg;

	return sum(s, REPORT_SERVING) > 0 && count_workers(s).ready > 0;
}

/* ---- commands */

static bool on_command(void *arg, int argc, char *const argv[], struct admin_out *out)
{
	static const struct {
		const char *word, *said;
	} of[] = {
		{ "reload", "reloading: the log says what comes of it\n" },
		{ "drain", "draining: open requests are finished, then it ends\n" },
		{ "reopen", "logs are opened anew\n" },
	};
	const struct status *s = arg;

	for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
		if (argc != 1 || strcmp(argv[0], of[i].word) != 0)
			continue;
		if (s->pass == NULL || !s->pass(s->pass_arg, of[i].word)) {
			admin_printf(out, "the master cannot be reached\n");
			return false;
		}
		admin_printf(out, "%s", of[i].said);
		return true;
	}
	admin_printf(out, "unknown command; sslgw takes reload, drain, reopen\n");
	return false;
}

/* ---- life */

struct status *status_new(struct loop *loop, const struct gateway_conf *conf,
    struct counters *counters, uid_t operator_uid, struct adminconf_sockets *sockets)
{
	struct status *s = calloc(1, sizeof *s);
	struct admin_params admin = { .program = "sslgw",
		.metrics = write_metrics,
		.status = write_status,
		.ready = is_ready,
		.command = on_command,
		.arg = s,
		.started = (int64_t)counters_sum(counters, REPORT_STARTED),
		.pid = (pid_t)counters_sum(counters, REPORT_PID),
		.uids = { 0, operator_uid },
		.uids_n = 2 };

	if (s == NULL)
		return NULL;
	s->loop = loop;
	s->conf = conf;
	s->counters = counters;
	adminconf_params(&conf->admin, &admin);
	s->admin = admin_new(loop, &admin);
	if (s->admin == NULL || adminconf_serve(loop, sockets, s->admin) != 0) {
		status_free(s);
		return NULL;
	}
	return s;
}

void status_begin(struct status *s, const struct health *health,
    bool (*pass)(void *arg, const char *command), void *arg)
{
	s->health = health;
	s->pass = pass;
	s->pass_arg = arg;
}

void status_free(struct status *s)
{
	if (s == NULL)
		return;
	admin_free(s->admin);
	free(s);
}
