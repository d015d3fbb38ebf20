/*
 * epochs.c: a timer that checks the clock, moves the generations on, has them made and exchanged, and
 * writes the file. Called by main (life) and keysvc (answers).
 */
#include "config.h"

#include "keysvc/epochs.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "keysvc/epochfile.h"
#include "keysvc/epochs_private.h"

#include "base/poison.h"

enum { ASIDE_MAX = 10, WRITE_RETRY_S = 60, SOON_MS = 50 };

static void system_clock(void *arg, uint64_t *wall, uint64_t *boot)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	*boot = (uint64_t)ts.tv_sec;
	*wall = (uint64_t)time(NULL);
}

struct epochs_time epochs_time(const struct epochs *e)
{
	struct epochs_time now;

	e->read_clock(e->clock_arg, &now.wall, &now.boot);
	return now;
}

uint64_t epochs_serve_time(const struct epochs *e)
{
	struct epochs_time now = epochs_time(e);

	return epochclock_believed(&e->clock, now.wall, now.boot);
}

int epochs_write(struct epochs *e)
{
	struct epochs_time now = epochs_time(e);

	if (e->path == NULL)
		return 0;
	if (!e->clock.held)
		e->g.written = now.wall;
	if (epochfile_write(e->path, &e->g) == 0) {
		if (e->told_write)
			log_info("%s: written again", e->path);
		e->dirty = e->told_write = false;
		return 0;
	}
	e->dirty = true;
	e->write_at = now.boot + WRITE_RETRY_S;
	if (!e->told_write)
		log_warn("%s: cannot be written: a restart would end all sessions; make its folder "
			 "writable for this user",
		    e->path);
	e->told_write = true;
	return -1;
}

static void say_hold(struct epochs *e, uint64_t boot)
{
	e->said_hold = boot;
	log_errorx("the wall clock has leapt, or disagrees with %s: ticket keys stay as they are; "
		   "set the clock right, or if it is right now: sslgwctl epoch accept-clock",
	    e->path == NULL ? "this process's start" : e->path);
}

/* Is the clock to be believed? */
static bool check_clock(struct epochs *e, struct epochs_time now)
{
	bool changed = epochclock_check(&e->clock, now.wall, now.boot);

	if (e->clock.held && epochs_peers_agree(e, now)) {
		epochclock_accept(&e->clock, now.wall, now.boot);
		log_info("most key services show the same time");
		changed = true;
	}
	if (e->clock.held) {
		if (changed || e->said_hold == 0 || now.boot - e->said_hold >= EPOCHS_SAY_S)
			say_hold(e, now.boot);
		return false;
	}
	if (e->said_hold != 0)
		log_info("the wall clock is believed again");
	e->said_hold = 0;
	return true;
}

static void write_if_due(struct epochs *e, uint64_t boot)
{
	if (e->dirty && (!e->told_write || boot >= e->write_at))
		(void)epochs_write(e); /* it has been said */
}

void epochs_work(struct epochs *e)
{
	struct epochs_time now = epochs_time(e);

	if (check_clock(e, now)) {
		switch (generations_advance(&e->g, e->kit, now.wall)) {
		case 1:
			e->dirty = true;
			break;
		case -1:
			log_warnx("a generation of ticket keys could not be moved on and was "
				  "dropped");
			e->dirty = true;
			break;
		}
		epochs_make_if_due(e, now);
	}
	write_if_due(e, now.boot);
	if (e->exchange != NULL && now.boot >= e->round_at) {
		if (!exchange_ask(e->exchange))
			return;
		e->round_at = now.boot + (now.boot - e->clock.started < EPOCHS_FIRST_S
						 ? EPOCHS_FIRST_ROUNDS_S
						 : EPOCHS_ROUND_S);
		e->rounded = now.boot;
		for (size_t i = 0; i < e->peers_n; i++)
			e->peers[i].answered = false;
	}
}

static void round_done(void *arg)
{
	struct epochs *e = arg;
	struct epochs_time now = epochs_time(e);

	if (check_clock(e, now)) {
		epochs_decide(e, now);
		epochs_make_if_due(e, now); /* the present may be ruled now */
	}
	write_if_due(e, now.boot);
}

static bool on_answer(void *arg, size_t peer, struct bytes payload)
{
	return epochs_peer_said(arg, peer, payload);
}

static void tick(struct deadline *deadline)
{
	struct epochs *e = CONTAINER_OF(deadline, struct epochs, tick);

	epochs_work(e);
	deadline_set(e->loop, &e->tick,
	    e->wanting_since != 0 ? EPOCHS_WANTING_TICK_MS : EPOCHS_TICK_MS, tick);
}

/* A file that is of no use is kept for the operator, since another one takes its place; without its secrets there
 * are full handshakes. Never over one that was put aside before: the older has the sessions. */
static void put_aside(const char *path, const char *suffix, const char *what)
{
	char *aside = NULL;
	struct stat there;

	for (int n = 0; n < ASIDE_MAX; n++) {
		free(aside);
		if (asprintf(&aside, n == 0 ? "%s.%s" : "%s.%s.%d", path, suffix, n) == -1)
			return;
		if (lstat(aside, &there) == -1)
			break;
		errno = EEXIST;
	}
	if (errno == ENOENT && rename(path, aside) == 0)
		log_errorx(
		    "%s: %s: moved to %s; all sessions made before begin anew", path, what, aside);
	else
		log_error("%s: %s, and cannot be moved aside", path, what);
	free(aside);
}

static void load(struct epochs *e, uint32_t period)
{
	switch (epochfile_read(e->path, &e->g)) {
	case EPOCHFILE_OK:
		if (e->g.period != period)
			log_warnx("%s: its period of %u s goes on, not the %u s of the "
				  "configuration: remove "
				  "the file to change it (all sessions end)",
			    e->path, e->g.period, period);
		return;
	case EPOCHFILE_NONE:
		break;
	case EPOCHFILE_DAMAGED:
		put_aside(e->path, "damaged", "damaged");
		break;
	case EPOCHFILE_FAILED:
		log_warn("%s: cannot be read", e->path);
		put_aside(e->path, "unread",
		    "to have its secrets back, mend its owner and mode (0600), move it back and "
		    "restart");
		break;
	}
	generations_init(&e->g, period);
	e->dirty = true;
}

void epochs_ask_soon(struct epochs *e)
{
	if (e->exchange == NULL)
		return;
	e->round_at = epochs_time(e).boot;
	deadline_set(e->loop, &e->tick, SOON_MS, tick);
}

static int start_exchange(struct epochs *e, const struct epochs_params *params)
{
	struct exchange_params exchange = { .peers = params->peers,
		.n = params->peers_n,
		.tls = params->tls,
		.answered = on_answer,
		.done = round_done,
		.arg = e };

	if (params->peers_n == 0)
		return 0;
	e->peers_n = params->peers_n < EPOCHS_PEERS_MAX ? params->peers_n : EPOCHS_PEERS_MAX;
	for (size_t i = 0; i < e->peers_n; i++)
		e->peers[i].endpoint = params->peers[i];
	exchange.n = e->peers_n;
	e->offer = calloc(1, sizeof(*e->offer));
	e->exchange = exchange_new(e->loop, &exchange);
	return e->offer != NULL && e->exchange != NULL ? 0 : -1;
}

struct epochs *epochs_new(struct loop *loop, const struct epochs_params *params)
{
	struct epochs *e = calloc(1, sizeof(*e));
	struct epochs_time now;

	if (e == NULL)
		return NULL;
	e->loop = loop;
	e->lifetime_s = params->lifetime_s;
	e->read_clock = params->clock != NULL ? params->clock : system_clock;
	e->clock_arg = params->clock_arg;
	arc4random_buf(e->sender, sizeof(e->sender));
	e->kit = kit_new();
	if (params->path != NULL)
		e->path = strdup(params->path);
	if (e->kit == NULL || (params->path != NULL && e->path == NULL))
		goto fail;
	generations_init(&e->g, params->period);
	if (e->path != NULL)
		load(e, params->period);
	if (start_exchange(e, params) == -1)
		goto fail;
	now = epochs_time(e);
	epochclock_start(&e->clock, e->g.period, e->g.written, now.wall, now.boot);
	epochs_work(e);
	if (e->g.n == 0 && !e->clock.held && e->exchange == NULL)
		goto fail;
	deadline_set(
	    loop, &e->tick, e->wanting_since != 0 ? EPOCHS_WANTING_TICK_MS : EPOCHS_TICK_MS, tick);
	return e;
fail:
	epochs_free(e);
	return NULL;
}

void epochs_free(struct epochs *e)
{
	if (e == NULL)
		return;
	deadline_clear(e->loop, &e->tick);
	exchange_free(e->exchange);
	generations_clear(&e->g);
	if (e->offer != NULL)
		generations_offer_clear(e->offer);
	free(e->offer);
	kit_free(e->kit);
	free(e->path);
	free(e);
}

bool epochs_ready(const struct epochs *e)
{
	return generations_ruler(&e->g, generations_epoch(&e->g, epochs_serve_time(e))) != NULL;
}

/* With nothing to say, another server is the one to ask; but a revocation is for all to hear. */
static bool has_answer(const struct epochs *e)
{
	return epochs_ready(e) || e->g.revoked_n > 0;
}

/* It may have leapt since the timer ran. */
static void look_at_clock(struct epochs *e)
{
	struct epochs_time now = epochs_time(e);

	epochclock_check(&e->clock, now.wall, now.boot);
}

int epochs_answer(struct epochs *e, struct bytes group, struct writer *w)
{
	look_at_clock(e);
	if (!has_answer(e))
		return -1;
	return generations_answer(&e->g, e->kit, group, epochs_serve_time(e), w);
}

int epochs_ids(struct epochs *e, struct writer *w)
{
	look_at_clock(e);
	return has_answer(e) ? generations_ids(&e->g, epochs_serve_time(e), w) : -1;
}

int epochs_generations(struct epochs *e, struct writer *w)
{
	look_at_clock(e);
	if (epochs_time(e).boot - e->rounded >= EPOCHS_ECHO_S)
		epochs_ask_soon(e); /* somebody is new, or has news */
	return generations_offer(&e->g, e->sender, epochs_time(e).wall, e->clock.held, w);
}

bool epochs_held(const struct epochs *e)
{
	return e->clock.held;
}

bool epochs_lasting(const struct epochs *e)
{
	return e->path != NULL && !e->told_write;
}
