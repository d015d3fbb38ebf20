/*
 * commands_entries.c: the verbs of entries. Nothing is copied but what the store keeps.
 */
#include <stdio.h>

#include "cachesvc/commands_private.h"

#include "base/poison.h"

static const char not_an_integer[] = "ERR value is not an integer or out of range";
static const char claims_stay[] =
    "ERR a claim is set once, with NX and PX or EX, and stays until its end";

/* A time to live in ms, out of a word that counts units of so many ms. False: the error is written. */
static bool ttl_of(struct run *r, struct bytes word, uint64_t unit_ms, uint64_t *ttl_ms)
{
	char text[128];
	int64_t v;

	if (!run_integer(word, &v)) {
		run_error(r, not_an_integer);
		return false;
	}
	if (v <= 0 || (uint64_t)v > STORE_TTL_MAX_MS / unit_ms) {
		snprintf(
		    text, sizeof(text), "ERR invalid expire time in '%s' command", r->verb->name);
		run_error(r, text);
		return false;
	}
	*ttl_ms = (uint64_t)v * unit_ms;
	return true;
}

/* Is one of the names a claim's? Then the error is written. */
static bool names_claim(struct run *r)
{
	for (uint32_t i = 1; i < r->cmd->argc; i++)
		if (store_is_claim(run_arg(r, i))) {
			run_error(r, claims_stay);
			return true;
		}
	return false;
}

void run_get(struct run *r)
{
	struct bytes value;

	if (store_get(r->commands->store, run_arg(r, 1), r->now_ms, &value))
		run_value(r, value);
	else
		resp_write_nil(&r->w);
}

/* The value is read out before its chunk is free; nothing writes there until the answer has left. */
void run_getdel(struct run *r)
{
	if (names_claim(r))
		return;
	run_get(r);
	if (r->has_value)
		store_del(r->commands->store, run_arg(r, 1), r->now_ms);
}

static void put(struct run *r, struct bytes value, uint64_t ttl_ms, bool only_new)
{
	switch (store_set(r->commands->store, run_arg(r, 1), value, ttl_ms, only_new, r->now_ms)) {
	case STORE_OK:
		resp_write_simple(&r->w, "OK");
		break;
	case STORE_EXISTS:
		resp_write_nil(&r->w);
		break;
	case STORE_TOO_LARGE:
		run_error(r, "ERR key or value too large");
		break;
	case STORE_FULL:
		run_error(r, "OOM command not allowed when used memory > 'maxmemory'.");
		break;
	case STORE_CLAIM:
		run_error(r, claims_stay);
		break;
	}
}

/* All words are looked at before any number is, as Redis does. */
void run_set(struct run *r)
{
	struct bytes end = { NULL, 0 };
	uint64_t unit_ms = 0, ttl_ms = 0;
	bool only_new = false;

	for (uint32_t i = 3; i < r->cmd->argc; i++) {
		bool ex = run_arg_is(r, i, "EX"), px = run_arg_is(r, i, "PX");

		if (run_arg_is(r, i, "NX")) {
			only_new = true;
		} else if ((ex || px) && unit_ms == 0 && i + 1 < r->cmd->argc) {
			unit_ms = ex ? 1000 : 1;
			end = run_arg(r, ++i);
		} else {
			run_error(r, "ERR syntax error");
			return;
		}
	}
	if (unit_ms != 0 && !ttl_of(r, end, unit_ms, &ttl_ms))
		return;
	put(r, run_arg(r, 2), ttl_ms, only_new);
}

void run_setex(struct run *r)
{
	uint64_t ttl_ms;

	if (ttl_of(r, run_arg(r, 2), 1000, &ttl_ms))
		put(r, run_arg(r, 3), ttl_ms, false);
}

void run_del(struct run *r)
{
	int64_t n = 0;

	if (names_claim(r))
		return;
	for (uint32_t i = 1; i < r->cmd->argc; i++)
		n += store_del(r->commands->store, run_arg(r, i), r->now_ms);
	resp_write_integer(&r->w, n);
}

void run_exists(struct run *r)
{
	int64_t n = 0;

	for (uint32_t i = 1; i < r->cmd->argc; i++)
		n += store_has(r->commands->store, run_arg(r, i), r->now_ms);
	resp_write_integer(&r->w, n);
}

void run_pttl(struct run *r)
{
	resp_write_integer(&r->w, store_ttl(r->commands->store, run_arg(r, 1), r->now_ms));
}

/* Rounded, as Redis does. */
void run_ttl(struct run *r)
{
	int64_t ms = store_ttl(r->commands->store, run_arg(r, 1), r->now_ms);

	resp_write_integer(&r->w, ms < 0 ? ms : (ms + 500) / 1000);
}

static void expire(struct run *r, uint64_t unit_ms)
{
	uint64_t ttl_ms;
	int64_t v;

	if (run_integer(run_arg(r, 2), &v) && v <= 0)
		ttl_ms = 0; /* in the past: gone at once */
	else if (!ttl_of(r, run_arg(r, 2), unit_ms, &ttl_ms))
		return;
	if (store_is_claim(run_arg(r, 1)))
		run_error(r, claims_stay);
	else
		resp_write_integer(
		    &r->w, store_expire(r->commands->store, run_arg(r, 1), ttl_ms, r->now_ms));
}

void run_expire(struct run *r)
{
	expire(r, 1000);
}

void run_pexpire(struct run *r)
{
	expire(r, 1);
}

void run_dbsize(struct run *r)
{
	struct store_stats stats;

	store_stats(r->commands->store, &stats);
	resp_write_integer(&r->w, (int64_t)stats.entries);
}

/* Claims go too, so whoever relies on one has to be able to notice: by the new run_id. The owner closes the
 * connections of those who know the old one. */
void run_flushall(struct run *r)
{
	if (r->cmd->argc == 2 && !run_arg_is(r, 1, "SYNC") && !run_arg_is(r, 1, "ASYNC")) {
		run_error(r, "ERR syntax error");
	} else if (!r->caller->may_flush) {
		r->commands->refused++;
		run_error(r, "NOPERM this user has no permissions to run the 'flushall' command");
	} else {
		store_flush(r->commands->store);
		commands_new_run_id(r->commands);
		r->commands->flushes++;
		r->caller->knows_run = false;
		resp_write_simple(&r->w, "OK");
	}
}
