/*
 * status.c: see status.h. Counts are the audit's; names of keys and callers are not shown, and of the
 * cluster's secrets only what epochs_show() tells.
 */
#include "keysvc/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keysvc/lanes.h"

#include "base/poison.h"

#define NAME(end) "sslgw_keysvc_" end

enum { DRAIN_MS = 100 }; /* for the answer to go out: the end may come at once */

struct status {
	struct status_params params;
	struct loop *loop;
	struct admin *admin;
	struct deadline drain;
	char text[EPOCHS_TEXT_MAX]; /* what epochs say */
};

/* What the audit's events are to an operator. */
static const struct {
	enum audit_event event;
	enum { OPERATION, REFUSAL, ALARM } what;
} events[] = {
	{ AUDIT_SIGNED, OPERATION },
	{ AUDIT_DECRYPTED, OPERATION },
	{ AUDIT_EPOCH_KEYS, OPERATION },
	{ AUDIT_KEYS, OPERATION },
	{ AUDIT_CHAINS, OPERATION },
	{ AUDIT_EPOCH_IDS, OPERATION },
	{ AUDIT_GENERATIONS, OPERATION },
	{ AUDIT_CLAIMS, OPERATION },
	{ AUDIT_UNCLAIMED, ALARM },
	{ AUDIT_PINGS, OPERATION },
	{ AUDIT_STRANGERS, REFUSAL },
	{ AUDIT_REFUSED, REFUSAL },
	{ AUDIT_NO_KEY, REFUSAL },
	{ AUDIT_NO_SECRET, REFUSAL },
	{ AUDIT_RATE, REFUSAL },
	{ AUDIT_FORMAT, REFUSAL },
	{ AUDIT_FULL, REFUSAL },
	{ AUDIT_LATE, REFUSAL },
	{ AUDIT_CALLER_LEFT, REFUSAL },
	{ AUDIT_FAILED, REFUSAL },
};

_Static_assert(sizeof events / sizeof events[0] == AUDIT_N, "each event has its place here");

static const char *const lane_names[LANES_N] = { "fast", "slow" };

static uint64_t sum(const struct audit *audit, int what)
{
	uint64_t n = 0;

	for (size_t i = 0; i < AUDIT_N; i++)
		if ((int)events[i].what == what)
			n += audit->n[events[i].event];
	return n;
}

static void write_events(const struct audit *audit, int what, const char *name, const char *label,
    const char *help, struct admin_out *out)
{
	char text[64];

	for (size_t i = 0; i < AUDIT_N; i++)
		if ((int)events[i].what == what)
			admin_metric(out, name, "counter", help,
			    admin_label(text, sizeof text, label, audit_name(events[i].event)),
			    (double)audit->n[events[i].event]);
}

static void write_metrics(void *arg, struct admin_out *out)
{
	const struct status *s = arg;
	const struct audit *audit = keysvc_audit(s->params.keysvc);
	struct keysvc_counts counts;
	char text[64];

	keysvc_counts(s->params.keysvc, &counts);
	write_events(audit, OPERATION, NAME("operations_total"), "operation",
	    "What callers asked for and got; signed is signatures.", out);
	write_events(audit, REFUSAL, NAME("refusals_total"), "reason",
	    "What callers asked for and did not get, by reason.", out);
	admin_metric(out, NAME("unclaimed_signatures_total"), "counter",
	    "Signatures that were asked for with a gateway's identity and that no gateway claims: "
	    "alarm.",
	    NULL, (double)audit->n[AUDIT_UNCLAIMED]);
	admin_metric(out, NAME("connections"), "gauge", "Connections of callers.", NULL,
	    (double)counts.connections);
	admin_metric(out, NAME("callers"), "gauge", "Callers by TLS that have asked lately.", NULL,
	    (double)counts.callers);
	admin_metric(out, NAME("keys"), "gauge", "Private keys held.", NULL,
	    (double)keystore_n(keysvc_keys(s->params.keysvc)));
	for (int i = 0; i < LANES_N; i++)
		admin_metric(out, NAME("queue_length"), "gauge",
		    "Private-key operations that wait for a thread, by lane.",
		    admin_label(text, sizeof text, "lane", lane_names[i]), counts.waiting[i]);
	for (int i = 0; i < LANES_N; i++)
		admin_metric(out, NAME("threads"), "gauge", "Threads that sign, by lane.",
		    admin_label(text, sizeof text, "lane", lane_names[i]), counts.threads[i]);
	admin_metric(out, NAME("epochs_ready"), "gauge",
	    "1 where a secret for session tickets rules the present.", NULL,
	    epochs_ready(s->params.epochs));
	admin_metric(out, NAME("epochs_clock_held"), "gauge",
	    "1 where the wall clock is not believed: no secret is made or forgotten.", NULL,
	    epochs_held(s->params.epochs));
	admin_metric(out, NAME("epochs_lasting"), "gauge",
	    "1 where the secrets outlive a restart: they are in a file.", NULL,
	    epochs_lasting(s->params.epochs));
}

static void write_alarm(void *arg, const struct caller *caller)
{
	struct admin_out *out = arg;
	const struct claims *c = &caller->claims;

	if (c->unclaimed > 0)
		admin_problem(out,
		    "ALARM: as \"%s\" %" PRIu64
		    " signatures were asked for that no gateway of this "
		    "name claims: if its identity was stolen, sslgwctl pki deny %s; else sslgwctl "
		    "reload ends the alarm",
		    caller->name, c->unclaimed, caller->name);
	if (c->doubled)
		admin_problem(out,
		    "ALARM: two gateways use the identity \"%s\": give each its own; if there is "
		    "only one, sslgwctl pki deny %s",
		    caller->name, caller->name);
}

static void write_problems(const struct status *s, struct admin_out *out)
{
	const struct audit *audit = keysvc_audit(s->params.keysvc);

	admin_json_open(out, "problems", '[');
	if (s->params.draining(s->params.arg))
		admin_problem(out, "it drains: it was told to end");
	keysvc_alarms(s->params.keysvc, write_alarm, out);
	if (!epochs_ready(s->params.epochs))
		admin_problem(out,
		    "no secret for session tickets rules the present: gateways make no tickets; "
		    "see sslgwctl epoch show");
	if (epochs_held(s->params.epochs))
		admin_problem(
		    out, "the wall clock is not believed: set it, or sslgwctl epoch accept-clock");
	if (s->params.wants_file && !epochs_lasting(s->params.epochs))
		admin_problem(out,
		    "cluster_secret_file cannot be written: a restart ends all sessions; see "
		    "the log");
	if (keystore_n(keysvc_keys(s->params.keysvc)) == 0)
		admin_problem(out, "it holds no private key: nothing can be signed");
	if (audit->n[AUDIT_FAILED] > 0)
		admin_problem(out,
		    "%" PRIu64 " signatures failed in the cryptographic library: "
		    "see the log",
		    audit->n[AUDIT_FAILED]);
	admin_json_close(out, ']');
}

static void write_status(void *arg, struct admin_out *out)
{
	const struct status *s = arg;
	const struct audit *audit = keysvc_audit(s->params.keysvc);
	struct keysvc_counts counts;
	char headline[200];

	keysvc_counts(s->params.keysvc, &counts);
	snprintf(headline, sizeof headline,
	    "%zu keys, %" PRIu64 " signed, %" PRIu64 " refused, %zu connections",
	    keystore_n(keysvc_keys(s->params.keysvc)), audit->n[AUDIT_SIGNED], sum(audit, REFUSAL),
	    counts.connections);
	admin_json_text(out, "role", "keysvc");
	admin_json_text(out, "headline", headline);
	admin_json_number(out, "keys", (double)keystore_n(keysvc_keys(s->params.keysvc)));
	admin_json_number(out, "connections", (double)counts.connections);
	admin_json_number(out, "callers", (double)counts.callers);
	admin_json_open(out, "queue", '{');
	for (int i = 0; i < LANES_N; i++)
		admin_json_number(out, lane_names[i], counts.waiting[i]);
	admin_json_close(out, '}');
	admin_json_open(out, "counts", '{');
	for (size_t i = 0; i < AUDIT_N; i++)
		admin_json_number(
		    out, audit_name(events[i].event), (double)audit->n[events[i].event]);
	admin_json_close(out, '}');
	admin_json_open(out, "epochs", '{');
	admin_json_bool(out, "ready", epochs_ready(s->params.epochs));
	admin_json_bool(out, "clock_held", epochs_held(s->params.epochs));
	admin_json_bool(out, "lasting", epochs_lasting(s->params.epochs));
	admin_json_close(out, '}');
	write_problems(s, out);
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
	bool good;

	if (strcmp(argv[0], "epoch") == 0) {
		s->text[0] = '\0';
		good = epochs_command(s->params.epochs, argc, argv, s->text, sizeof s->text);
		admin_printf(out, "%s%s", s->text,
		    s->text[0] != '\0' && s->text[strlen(s->text) - 1] == '\n' ? "" : "\n");
		return good;
	}
	if (s->params.reload == NULL) {
		admin_printf(out,
		    "it is embedded in a gateway: tell that one (admin.sock beside this "
		    "socket); here is epoch only\n");
		return false;
	}
	if (argc == 1 && strcmp(argv[0], "reload") == 0) {
		s->params.reload(s->params.arg);
		admin_printf(out, "reloaded: the log says what came of it\n");
	} else if (argc == 1 && strcmp(argv[0], "reopen") == 0) {
		s->params.reopen(s->params.arg);
		admin_printf(out, "what was done so far is in the log, which goes to stderr\n");
	} else if (argc == 1 && strcmp(argv[0], "drain") == 0) {
		deadline_set(s->loop, &s->drain, DRAIN_MS, drain);
		admin_printf(out, "draining\n");
	} else {
		admin_printf(
		    out, "unknown command; sslgw-keysvc takes reload, reopen, drain, epoch\n");
		return false;
	}
	return true;
}

struct status *status_new(
    struct loop *loop, const struct status_params *params, struct adminconf_sockets *sockets)
{
	struct status *s = calloc(1, sizeof *s);
	struct admin_params admin = { .program = "sslgw-keysvc",
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
