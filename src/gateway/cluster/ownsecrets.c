/*
 * ownsecrets.c: see ownsecrets.h. The records of a group: for each secret those of all accepted epochs,
 * derived anew when the epoch changes; a day's worth of each costs about a hundred HMACs.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "gateway/cluster/ownsecrets.h"

#include "base/poison.h"

struct ownsecrets {
	struct loop *loop;
	struct kit *kit;
	struct ticketsecrets secrets;
	const char *const *groups; /* borrowed */
	size_t n; /* of groups */
	size_t per_group; /* records */
	struct epoch_record *records; /* group by group, secret by secret, in order of epochs */
	uint64_t e; /* the epoch that they were made in; 0: there are none */
	struct deadline look;
	void (*changed)(void *arg);
	void *arg;
};

static uint64_t boottime_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void wipe(struct ownsecrets *s)
{
	explicit_bzero(s->records, s->n * s->per_group * sizeof(*s->records));
	s->e = 0;
}

static int derive_group(struct ownsecrets *s, size_t group, uint64_t unix_now, uint64_t now_ms)
{
	struct epoch_record *at = &s->records[group * s->per_group];
	uint64_t first = s->e - TICKETSECRET_PAST;

	for (size_t i = 0; i < s->secrets.n; i++) {
		for (uint64_t e = first; e < first + TICKETSECRET_EPOCHS; e++) {
			if (ticketsecret_record(s->kit, s->secrets.at[i],
				bytes_str(s->groups[group]), e, unix_now, now_ms, at++) != 0)
				return -1;
		}
	}
	return 0;
}

/* All of the present epoch. On failure (no memory) there are none, and it is tried again. */
static void derive(struct ownsecrets *s, uint64_t unix_now)
{
	uint64_t now_ms = boottime_ms();
	int rc = 0;

	wipe(s);
	s->e = unix_now / TICKETSECRET_PERIOD_S;
	if (s->e < TICKETSECRET_PAST) { /* a clock that was never set */
		s->e = 0;
		return;
	}
	for (size_t i = 0; i < s->n && rc == 0; i++)
		rc = derive_group(s, i, unix_now, now_ms);
	if (rc == 0)
		return;
	wipe(s);
	log_warnx("out of memory: no ticket keys for now");
}

/* At the latest when the epoch ends. */
static void look(struct deadline *d)
{
	struct ownsecrets *s = CONTAINER_OF(d, struct ownsecrets, look);
	uint64_t unix_now = (uint64_t)time(NULL),
		 left = TICKETSECRET_PERIOD_S - unix_now % TICKETSECRET_PERIOD_S;

	deadline_set(s->loop, &s->look,
	    left * 1000 < OWNSECRETS_LOOK_MS ? left * 1000 : OWNSECRETS_LOOK_MS, look);
	if (unix_now / TICKETSECRET_PERIOD_S == s->e)
		return;
	derive(s, unix_now);
	s->changed(s->arg);
}

struct ownsecrets *ownsecrets_new(struct loop *loop, const struct ticketsecrets *secrets,
    const char *const *groups, size_t n, void (*changed)(void *arg), void *arg)
{
	struct ownsecrets *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->loop = loop;
	s->secrets = *secrets;
	s->groups = groups;
	s->n = n;
	s->per_group = secrets->n * TICKETSECRET_EPOCHS;
	s->changed = changed;
	s->arg = arg;
	s->kit = kit_new();
	s->records = calloc(n * s->per_group + 1, sizeof(*s->records));
	if (s->kit == NULL || s->records == NULL) {
		ownsecrets_free(s);
		return NULL;
	}
	derive(s, (uint64_t)time(NULL));
	deadline_set(loop, &s->look, 1000, look);
	return s;
}

void ownsecrets_free(struct ownsecrets *s)
{
	if (s == NULL)
		return;
	deadline_clear(s->loop, &s->look);
	if (s->records != NULL)
		wipe(s);
	free(s->records);
	kit_free(s->kit);
	ticketsecrets_clear(&s->secrets);
	free(s);
}

/* The first secret's. */
const struct epoch_record *ownsecrets_current(
    const struct ownsecrets *s, size_t group, uint64_t now_ms)
{
	const struct epoch_record *r = &s->records[group * s->per_group + TICKETSECRET_PAST];

	return s->e != 0 && r->current_at <= now_ms && now_ms < r->void_at ? r : NULL;
}

const struct epoch_record *ownsecrets_find(
    const struct ownsecrets *s, size_t group, uint64_t now_ms, uint16_t tag, uint32_t e24)
{
	const struct epoch_record *all = &s->records[group * s->per_group];

	for (size_t i = 0; s->e != 0 && i < s->per_group; i++) {
		if (epoch_e24(&all[i]) == e24 && epoch_tag(&all[i]) == tag &&
		    now_ms < all[i].void_at)
			return &all[i];
	}
	return NULL;
}
