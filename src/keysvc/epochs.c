/*
 * epochs.c: a timer that checks the clock, moves the generations on and writes the file. Called by
 * main (life) and keysvc (answers).
 */
#include "config.h"

#include "keysvc/epochs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "keysvc/epochclock.h"
#include "keysvc/epochfile.h"

#include "base/poison.h"

enum {
	TICK_MS = 10 * 1000,
	WRITE_RETRY_TICKS = 6, /* a minute between two tries to write */
	HELD_LINE_TICKS = 60, /* ten minutes between two lines about a hold */
	MAKE_WAIT_S =
	    600, /* random wait before an automatic generation: another server may be first */
};

struct epochs {
	struct loop *loop;
	struct kit *kit;
	char *path;
	uint64_t lifetime_s;
	struct generations g;
	struct epochclock clock;
	struct deadline tick;
	uint64_t ticks;
	uint64_t make_at; /* unix: an automatic generation is made then; 0: none is due */
	bool dirty; /* the file lacks something */
	bool told_write;
};

static uint64_t boot_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

static uint64_t wall_s(void)
{
	return (uint64_t)time(NULL);
}

static void write_file(struct epochs *e)
{
	if (e->path == NULL)
		return;
	e->g.written = wall_s();
	if (epochfile_write(e->path, &e->g) == 0) {
		if (e->told_write)
			log_info("%s: written again", e->path);
		e->dirty = e->told_write = false;
		return;
	}
	e->dirty = true;
	if (!e->told_write)
		log_warn("%s: cannot be written: a restart would end all sessions; make its folder "
			 "writable for this user",
		    e->path);
	e->told_write = true;
}

/* Makes one if it is time. The first one is made at once: there is nothing to wait for. */
static void make_if_due(struct epochs *e, uint64_t now)
{
	enum epoch_kind kind = EPOCH_MADE;

	if (!generations_due(&e->g, now, e->lifetime_s)) {
		e->make_at = 0;
		return;
	}
	if (generations_ruler(&e->g, generations_epoch(&e->g, now)) == NULL) {
		kind = EPOCH_ORPHAN; /* starts now */
	} else if (e->make_at == 0) {
		e->make_at = now + arc4random_uniform(MAKE_WAIT_S + 1);
		return;
	} else if (now < e->make_at) {
		return;
	}
	e->make_at = 0;
	if (generations_make(&e->g, kind, now, false) == 0)
		e->dirty = true;
	else
		log_warnx(
		    "no new generation of ticket keys could be made: too many, or no randomness");
}

static void move_on(struct epochs *e, uint64_t now)
{
	switch (generations_advance(&e->g, e->kit, now)) {
	case 1:
		e->dirty = true;
		break;
	case -1:
		log_warnx("a generation of ticket keys could not be moved on and was dropped");
		e->dirty = true;
		break;
	}
	make_if_due(e, now);
}

static void say_hold(const struct epochs *e)
{
	log_warnx("the wall clock has leapt, or disagrees with %s: ticket keys stay as they are; "
		  "set the clock "
		  "right, or if it is right now, restart%s",
	    e->path == NULL ? "this process's start" : e->path,
	    e->path == NULL || e->clock.believed ? "" : " without that file");
}

static void work(struct epochs *e)
{
	uint64_t now = wall_s();
	bool changed = epochclock_check(&e->clock, now, boot_s());

	if (e->clock.held) {
		if (changed || e->ticks % HELD_LINE_TICKS == 0)
			say_hold(e);
		return;
	}
	if (changed)
		log_info("the wall clock is believed again");
	move_on(e, now);
	if (e->dirty && (!e->told_write || e->ticks % WRITE_RETRY_TICKS == 0))
		write_file(e);
}

static void tick(struct deadline *deadline)
{
	struct epochs *e = CONTAINER_OF(deadline, struct epochs, tick);

	e->ticks++;
	work(e);
	deadline_set(e->loop, &e->tick, TICK_MS, tick);
}

/* A broken file is kept for the operator; the secrets in it are lost, which costs full handshakes. */
static void put_aside(const char *path)
{
	char *aside;

	if (asprintf(&aside, "%s.damaged", path) == -1)
		return;
	if (rename(path, aside) == 0)
		log_errorx(
		    "%s: damaged: moved to %s; all sessions made before begin anew", path, aside);
	else
		log_error("%s: damaged, and cannot be moved aside", path);
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
		put_aside(e->path);
		break;
	case EPOCHFILE_FAILED:
		log_warn("%s: cannot be read: ticket keys are made anew and all sessions end; mend "
			 "its owner "
			 "and mode (0600)",
		    e->path);
		break;
	}
	generations_init(&e->g, period);
	e->dirty = true;
}

struct epochs *epochs_new(struct loop *loop, const struct epochs_params *params)
{
	struct epochs *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->loop = loop;
	e->lifetime_s = params->lifetime_s;
	e->kit = kit_new();
	if (params->path != NULL)
		e->path = strdup(params->path);
	if (e->kit == NULL || (params->path != NULL && e->path == NULL)) {
		epochs_free(e);
		return NULL;
	}
	generations_init(&e->g, params->period);
	if (e->path != NULL)
		load(e, params->period);
	epochclock_start(&e->clock, e->g.period, e->g.written, wall_s(), boot_s());
	work(e);
	if (e->g.n == 0 && !e->clock.held) {
		epochs_free(e);
		return NULL;
	}
	deadline_set(loop, &e->tick, TICK_MS, tick);
	return e;
}

void epochs_free(struct epochs *e)
{
	if (e == NULL)
		return;
	deadline_clear(e->loop, &e->tick);
	generations_clear(&e->g);
	kit_free(e->kit);
	free(e->path);
	free(e);
}

int epochs_answer(struct epochs *e, struct bytes group, struct writer *w)
{
	return generations_answer(&e->g, e->kit, group, wall_s(), w);
}

bool epochs_held(const struct epochs *e)
{
	return e->clock.held;
}

bool epochs_lasting(const struct epochs *e)
{
	return e->path != NULL && !e->told_write;
}
