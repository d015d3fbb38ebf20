/*
 * status.c: see status.h. The metrics are one table, so that the page and its help cannot part.
 */
#include "cachesvc/status.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

enum { DRAIN_MS = 100 }; /* for the answer to go out: the end may come at once */

struct status {
	struct status_params params;
	struct loop *loop;
	struct admin *admin;
	struct deadline drain;
};

/* All that is shown, gathered for one page. */
struct figures {
	struct store_stats store;
	struct cachesvc_counts counts;
};

#define STORE(field) offsetof(struct figures, store.field)
#define COUNT(field) offsetof(struct figures, counts.field)

static const struct {
	const char *name, *type, *help;
	size_t at; /* of a uint64_t in struct figures */
} metrics[] = {
	{ "connections", "gauge", "Connections of callers.", COUNT(connections) },
	{ "commands_total", "counter", "Commands that were run.", COUNT(run) },
	{ "refused_total", "counter", "Commands refused for want of AUTH or of a grant.",
	    COUNT(refused) },
	{ "hits_total", "counter", "Sessions asked for that were there.", STORE(hits) },
	{ "misses_total", "counter", "Sessions asked for that were not there.", STORE(misses) },
	{ "stored_total", "counter", "Sessions stored.", STORE(stored) },
	{ "deleted_total", "counter", "Sessions deleted by a caller.", STORE(deleted) },
	{ "expired_total", "counter", "Sessions that ended by their time.", STORE(expired) },
	{ "evicted_total", "counter", "Sessions that gave way to others before their time.",
	    STORE(evicted) },
	{ "evicted_in_use_total", "counter", "Of the evicted, those that had been read.",
	    STORE(evicted_read) },
	{ "evicted_age_seconds_total", "counter",
	    "Ages of the evicted, added up: divided by evicted_total, how long max_memory lasts.",
	    STORE(evicted_age_s) },
	{ "evicted_age_last_seconds", "gauge", "Age of the session that was evicted last.",
	    STORE(evicted_age_last_s) },
	{ "entries", "gauge", "Sessions held.", STORE(entries) },
	{ "entries_in_use", "gauge", "Of these, those that have been read.",
	    STORE(protected_entries) },
	{ "claims", "gauge", "Names claimed, for single use.", STORE(claims) },
	{ "claims_max", "gauge", "Names that can be claimed at once.", STORE(claims_max) },
	{ "claims_refused_total", "counter", "Claims refused for want of room.",
	    STORE(claims_refused) },
	{ "memory_bytes", "gauge", "Memory that holds sessions and their index.",
	    STORE(used_memory) },
	{ "memory_max_bytes", "gauge", "max_memory of the configuration.", STORE(max_memory) },
};

static void gather(const struct status *s, struct figures *f)
{
	cachesvc_stats(s->params.cachesvc, &f->store);
	cachesvc_counts(s->params.cachesvc, &f->counts);
}

static uint64_t figure(const struct figures *f, size_t at)
{
	uint64_t value;

	memcpy(&value, (const char *)f + at, sizeof value);
	return value;
}

static void write_metrics(void *arg, struct admin_out *out)
{
	struct figures f;
	char name[128];

	gather(arg, &f);
	for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
		snprintf(name, sizeof name, "sslgw_cachesvc_%s", metrics[i].name);
		admin_metric(out, name, metrics[i].type, metrics[i].help, NULL,
		    (double)figure(&f, metrics[i].at));
	}
}

static void write_status(void *arg, struct admin_out *out)
{
	struct status *s = arg;
	struct figures f;
	char headline[160];

	gather(s, &f);
	snprintf(headline, sizeof headline,
	    "%" PRIu64 " sessions, %" PRIu64 " of %" PRIu64 " MiB, %" PRIu64 " connections",
	    f.store.entries, f.store.used_memory >> 20, f.store.max_memory >> 20,
	    f.counts.connections);
	admin_json_text(out, "role", "cachesvc");
	admin_json_text(out, "headline", headline);
	for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
		admin_json_number(out, metrics[i].name, (double)figure(&f, metrics[i].at));
	admin_json_open(out, "problems", '[');
	if (s->params.draining(s->params.arg))
		admin_problem(out, "it drains: it was told to end");
	if (f.store.claims_refused > 0)
		admin_problem(out,
		    "%" PRIu64 " claims were refused for want of room: raise max_memory",
		    f.store.claims_refused);
	admin_json_close(out, ']');
}

static bool is_ready(void *arg)
{
	const struct status *s = arg;

	return !s->params.draining(s->params.arg);
}

static void drain(struct deadline *deadline)
{
	struct status *s = CONTAINER_OF(deadline, struct status, drain);

	if (!s->params.draining(s->params.arg)) /* once more would be to end now */
		s->params.drain(s->params.arg);
}

static bool on_command(void *arg, int argc, char *const argv[], struct admin_out *out)
{
	struct status *s = arg;

	if (argc == 1 && strcmp(argv[0], "reload") == 0) {
		s->params.reload(s->params.arg);
		admin_printf(out, "reloading: the log says what came of it\n");
		return true;
	}
	if (argc == 1 && strcmp(argv[0], "drain") == 0) {
		deadline_set(s->loop, &s->drain, DRAIN_MS, drain);
		admin_printf(out, "draining\n");
		return true;
	}
	if (argc == 1 && strcmp(argv[0], "reopen") == 0) {
		admin_printf(out, "nothing to open anew: it logs to stderr\n");
		return true;
	}
	admin_printf(out, "unknown command; sslgw-cachesvc takes reload, drain, reopen\n");
	return false;
}

struct status *status_new(
    struct loop *loop, const struct status_params *params, struct adminconf_sockets *sockets)
{
	struct status *s = calloc(1, sizeof *s);
	struct admin_params admin = { .program = "sslgw-cachesvc",
		.metrics = write_metrics,
		.status = write_status,
		.ready = is_ready,
		.command = on_command,
		.arg = s };

	if (s == NULL)
		return NULL;
	s->params = *params;
	s->loop = loop;
	adminconf_params(params->conf, &admin);
	s->admin = admin_new(loop, &admin);
	if (s->admin == NULL || adminconf_serve(loop, sockets, s->admin) != 0) {
		status_free(s);
		return NULL;
	}
	return s;
}

void status_free(struct status *s)
{
	if (s == NULL)
		return;
	deadline_clear(s->loop, &s->drain);
	admin_free(s->admin);
	free(s);
}
