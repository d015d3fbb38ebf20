/*
 * epochs_command.c: what sslgwctl epoch asks for: how the epochs stand, a new generation, the clock's
 * acceptance. Called by the admin socket's command hook. No secret is ever in these texts.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"
#include "base/log.h"
#include "keysvc/epochs_private.h"

#include "base/poison.h"

enum { ID_TEXT = 2 * EPOCH_ID_LEN + 1, TIME_TEXT = 24, SPAN_TEXT = 32 };

struct text {
	char *at;
	size_t left;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->at, t->left, fmt, args);
	va_end(args);
	if (n < 0 || t->left == 0)
		return;
	if ((size_t)n >= t->left)
		n = (int)t->left - 1; /* cut off: the sizes in the header make it unlikely */
	t->at += n;
	t->left -= (size_t)n;
}

static const char *time_text(uint64_t unix_time, char out[static TIME_TEXT])
{
	time_t t = (time_t)unix_time;
	struct tm tm;

	if (unix_time > INT32_MAX * UINT64_C(100) || gmtime_r(&t, &tm) == NULL ||
	    strftime(out, TIME_TEXT, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		snprintf(out, TIME_TEXT, "%s", "never");
	return out;
}

static const char *span_text(uint64_t s, char out[static SPAN_TEXT])
{
	unsigned long long n = s;

	if (s < 120)
		snprintf(out, SPAN_TEXT, "%llu s", n);
	else if (s < 7200)
		snprintf(out, SPAN_TEXT, "%llu min", n / 60);
	else if (s < 2 * 86400)
		snprintf(out, SPAN_TEXT, "%llu h", n / 3600);
	else
		snprintf(out, SPAN_TEXT, "%llu days", n / 86400);
	return out;
}

static const char *kind_text(uint8_t kind)
{
	return kind == EPOCH_MADE ? "made" : "orphan";
}

/* ---- show */

static const char *rule_text(const struct epochs *e, const struct generation *x, uint64_t now)
{
	if (x->start > now)
		return "ahead";
	return generations_ruler(&e->g, now) == x ? "rules" : "ends";
}

static void show_generations(const struct epochs *e, uint64_t now, struct text *t)
{
	char id[ID_TEXT], time[TIME_TEXT];

	if (e->g.n == 0)
		put(t, "  none: no new sessions can be resumed\n");
	for (size_t i = 0; i < e->g.n; i++) {
		const struct generation *x = &e->g.at[i];

		put(t, "  %s  %-6s  %-5s  from %s\n", hex_write(id, x->id, EPOCH_ID_LEN),
		    kind_text(x->kind), rule_text(e, x, now),
		    time_text(x->start * e->g.period, time));
	}
	for (size_t i = 0; i < e->g.revoked_n; i++)
		put(t, "  %s  revoked %s\n", hex_write(id, e->g.revoked[i].id, EPOCH_ID_LEN),
		    time_text(e->g.revoked[i].when, time));
}

static void show_peers(const struct epochs *e, struct epochs_time now, struct text *t)
{
	char address[ENDPOINT_TEXT_MAX], span[SPAN_TEXT];
	int64_t mine = (int64_t)(now.wall - now.boot);

	put(t, "other key services:%s\n", e->peers_n == 0 ? " none (peers of keysvc.conf)" : "");
	for (size_t i = 0; i < e->peers_n; i++) {
		const struct epochs_peer *p = &e->peers[i];

		put(t, "  %s  ", endpoint_text(&p->endpoint, address, sizeof(address)));
		if (p->self)
			put(t, "this server, or one that is listed before\n");
		else if (!p->ever)
			put(t, "has not answered since the start\n");
		else
			put(t, "answered %s ago, its clock %+lld s%s%s%s\n",
			    span_text(now.boot - p->at, span), (long long)(p->ahead - mine),
			    p->held ? ", held" : "", p->trouble == TROUBLE_NONE ? "" : "; ",
			    epochs_trouble_text(p->trouble));
	}
}

static void show_text(const struct epochs *e, struct text *t)
{
	struct epochs_time now = epochs_time(e);
	uint64_t serve = epochs_serve_time(e), epoch = generations_epoch(&e->g, serve);
	char span[SPAN_TEXT], time[TIME_TEXT];

	put(t, "epoch %llu of %u s, ends in %s\n", (unsigned long long)epoch, e->g.period,
	    span_text((epoch + 1) * e->g.period - serve, span));
	put(t, "clock: %s\n",
	    e->clock.held ? "HELD: it has leapt; nothing is made or forgotten. Set it right, or if "
			    "it is right now: sslgwctl epoch accept-clock"
			  : "believed");
	if (e->path == NULL)
		put(t, "file: none: a restart ends all sessions (cluster_secret_file)\n");
	else
		put(t, "file: %s, %s %s\n", e->path,
		    epochs_lasting(e) ? "written" : "CANNOT BE WRITTEN; last",
		    time_text(e->g.written, time));
	put(t, "generations:\n");
	show_generations(e, epoch, t);
	show_peers(e, now, t);
}

static void put_json_peer(const struct epochs_peer *p, struct epochs_time now, struct text *t)
{
	char address[ENDPOINT_TEXT_MAX];
	int64_t mine = (int64_t)(now.wall - now.boot);

	/* An address and our own texts: nothing in them needs an escape but a socket's path. */
	endpoint_text(&p->endpoint, address, sizeof(address));
	for (char *c = address; *c != '\0'; c++) {
		if (*c == '"' || *c == '\\' || (unsigned char)*c < 0x20)
			*c = '?';
	}
	put(t, "{\"address\":\"%s\",\"self\":%s", address, p->self ? "true" : "false");
	if (p->ever)
		put(t, ",\"answered_s_ago\":%llu,\"clock_ahead_s\":%lld,\"held\":%s",
		    (unsigned long long)(now.boot - p->at), (long long)(p->ahead - mine),
		    p->held ? "true" : "false");
	put(t, ",\"trouble\":\"%s\"}", epochs_trouble_text(p->trouble));
}

static void show_json(const struct epochs *e, struct text *t)
{
	struct epochs_time now = epochs_time(e);
	uint64_t epoch = generations_epoch(&e->g, epochs_serve_time(e));
	char id[ID_TEXT];

	put(t, "{\"epoch\":%llu,\"period_s\":%u,\"held\":%s,\"lasting\":%s,\"written\":%llu",
	    (unsigned long long)epoch, e->g.period, e->clock.held ? "true" : "false",
	    epochs_lasting(e) ? "true" : "false", (unsigned long long)e->g.written);
	put(t, ",\"generations\":[");
	for (size_t i = 0; i < e->g.n; i++) {
		const struct generation *x = &e->g.at[i];

		put(t, "%s{\"id\":\"%s\",\"kind\":\"%s\",\"start\":%llu,\"state\":\"%s\"}",
		    i == 0 ? "" : ",", hex_write(id, x->id, EPOCH_ID_LEN), kind_text(x->kind),
		    (unsigned long long)x->start, rule_text(e, x, epoch));
	}
	put(t, "],\"revoked\":[");
	for (size_t i = 0; i < e->g.revoked_n; i++)
		put(t, "%s{\"id\":\"%s\",\"unix\":%llu}", i == 0 ? "" : ",",
		    hex_write(id, e->g.revoked[i].id, EPOCH_ID_LEN),
		    (unsigned long long)e->g.revoked[i].when);
	put(t, "],\"peers\":[");
	for (size_t i = 0; i < e->peers_n; i++) {
		put(t, "%s", i == 0 ? "" : ",");
		put_json_peer(&e->peers[i], now, t);
	}
	put(t, "]}\n");
}

void epochs_show(const struct epochs *e, bool json, char *buf, size_t size)
{
	struct text t = { buf, size };

	if (size > 0)
		buf[0] = '\0';
	(json ? show_json : show_text)(e, &t);
}

/* ---- new, accept-clock */

static void tell_made(const struct epochs *e, const struct generation *x, uint64_t wall,
    size_t revoked, struct text *t)
{
	char id[ID_TEXT], time[TIME_TEXT], span[SPAN_TEXT];
	uint64_t begins = x->start * e->g.period;

	put(t, "generation %s: ", hex_write(id, x->id, EPOCH_ID_LEN));
	if (begins > wall)
		put(t, "rules from %s, in %s; old tickets are taken for a day more.\n",
		    time_text(begins, time), span_text(begins - wall, span));
	else if (revoked > 0)
		put(t,
		    "rules now; %zu older ones are void: every session made before begins anew.\n"
		    "Other key services hear of it in a moment, gateways within half a minute.\n",
		    revoked);
	else
		put(t, "rules now; gateways use it from the next epoch on.\n");
	if (e->path != NULL && !epochs_lasting(e))
		put(t, "But %s cannot be written: a restart here would lose it.\n", e->path);
	log_warnx("generation %s was made at the operator's command%s", id,
	    revoked > 0 ? ", and all older ones revoked" : "");
}

bool epochs_make(struct epochs *e, bool at_once, bool revoke_old, char *said, size_t size)
{
	struct epochs_time now = epochs_time(e);
	struct text t = { said, size };
	struct generation made;
	size_t had = e->g.revoked_n;
	bool all = true;

	epochclock_check(&e->clock, now.wall, now.boot);
	if (revoke_old && !at_once) {
		put(&t, "--revoke-old needs --now: else nothing would rule until the new one "
			"begins\n");
		return false;
	}
	if (e->clock.held) {
		put(&t, "the clock is not believed, so nothing is made: set it right, or if it is "
			"right now: sslgwctl epoch accept-clock\n");
		return false;
	}
	if (generations_make(&e->g, EPOCH_MADE, now.wall, at_once) == -1) {
		put(&t, "too many begin in this epoch already: try again in the next, or use --now "
			"--revoke-old on another key service\n");
		return false;
	}
	made = e->g.at[e->g.n - 1];
	memset(made.secret, 0, sizeof(made.secret));
	if (revoke_old && generations_revoke_all(&e->g, made.id, now.wall) == -1)
		all = false;
	generations_prune(&e->g, now.wall);
	e->make_at = 0;
	(void)epochs_write(e); /* what failed is in the text */
	epochs_ask_soon(e); /* those that are asked ask back, and so hear of it */
	tell_made(e, &made, now.wall, e->g.revoked_n - had, &t);
	if (!all)
		put(&t,
		    "The list of revoked ids is full (%d in a year): not all could be "
		    "revoked.\n",
		    EPOCH_REVOKED_MAX);
	return all;
}

bool epochs_accept_clock(struct epochs *e, char *said, size_t size)
{
	struct epochs_time now = epochs_time(e);
	struct text t = { said, size };
	char time[TIME_TEXT];

	epochclock_check(&e->clock, now.wall, now.boot);
	if (!e->clock.held) {
		put(&t, "the clock is believed already: %s\n", time_text(now.wall, time));
		return true;
	}
	epochclock_accept(&e->clock, now.wall, now.boot);
	log_warnx("the wall clock is believed at the operator's command");
	epochs_work(e);
	put(&t, "it is %s: ticket keys move on from here\n", time_text(now.wall, time));
	return true;
}

/* ---- the words */

static bool has_word(int *argc, char *const argv[], const char *word)
{
	if (*argc > 0 && strcmp(argv[*argc - 1], word) == 0) {
		--*argc;
		return true;
	}
	return false;
}

bool epochs_command(struct epochs *e, int argc, char *const argv[], char *said, size_t size)
{
	bool json, now = false, revoke = false;
	int n = argc;

	if (size > 0)
		said[0] = '\0';
	if (argc >= 2 && strcmp(argv[1], "show") == 0) {
		json = has_word(&n, argv, "--json");
		if (n == 2) {
			epochs_show(e, json, said, size);
			return true;
		}
	} else if (argc >= 2 && strcmp(argv[1], "new") == 0) {
		for (int before = 0; before != n;) { /* in any order */
			before = n;
			now |= has_word(&n, argv, "--now");
			revoke |= has_word(&n, argv, "--revoke-old");
		}
		if (n == 2)
			return epochs_make(e, now, revoke, said, size);
	} else if (argc == 2 && strcmp(argv[1], "accept-clock") == 0) {
		return epochs_accept_clock(e, said, size);
	}
	snprintf(said, size, "%s",
	    "usage: epoch show [--json] | new [--now [--revoke-old]] | accept-clock\n");
	return false;
}
