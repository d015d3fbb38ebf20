/*
 * secrets.c: keeps each group's epoch keys fresh by polling the key service, and wipes them when
 * they are void. Called by ticket and session through the two look-ups. The wall clock decides
 * nothing here: an operator who sets it does not end a session.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

#include "gateway/cluster/keyclient.h"
#include "gateway/cluster/secrets.h"

#include "base/poison.h"

/* Answers count in whole seconds, so between two of them an epoch may end before the next begins. */
enum { SECRETS_GAP_MS = 2000 };

struct group {
	struct secrets *secrets;
	const char *name; /* conf's */
	struct epoch_set set;
	struct keyclient_ask *ask; /* in flight */
	struct deadline poll;
	uint32_t retry_ms;
	bool answered; /* once, ever */
	bool said_missing; /* the log knows that there is no current key */
};

struct secrets {
	struct loop *loop;
	struct keyclient *keys;
	struct group *groups;
	size_t n;
	struct epoch_set *incoming; /* scratch: too large for a stack */
	struct deadline turn; /* when time alone changes what is current or accepted */
	struct later tell_ready;
	void (*changed)(void *arg);
	void *changed_arg;
	void (*ready)(void *arg);
	void *ready_arg;
};

static void poll_cb(struct deadline *);
static void turn_cb(struct deadline *);

static uint64_t boottime_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- changes by time */

static const struct epoch_record *current(const struct group *g, uint64_t now)
{
	const struct epoch_record *r = epoch_set_current(&g->set, now);

	if (r == NULL && now > SECRETS_GAP_MS)
		r = epoch_set_current(&g->set, now - SECRETS_GAP_MS);
	return r;
}

static void arm_turn(struct secrets *s)
{
	uint64_t now = boottime_ms(), next = UINT64_MAX;

	for (size_t i = 0; i < s->n; i++) {
		uint64_t at = epoch_set_next(&s->groups[i].set, now);

		next = at < next ? at : next;
		/* Living on the grace of a gap: see whether it closes. */
		if (epoch_set_current(&s->groups[i].set, now) == NULL &&
		    current(&s->groups[i], now) != NULL && next > now + SECRETS_GAP_MS)
			next = now + SECRETS_GAP_MS;
	}
	deadline_clear(s->loop, &s->turn);
	if (next != UINT64_MAX)
		deadline_set(s->loop, &s->turn, next > now ? next - now : 1, turn_cb);
}

/* What was derived from keys that are gone must go with them. */
static void tell_changed(struct secrets *s)
{
	uint64_t now = boottime_ms();

	for (size_t i = 0; i < s->n; i++) {
		struct group *g = &s->groups[i];
		bool missing;

		epoch_set_expire(&g->set, now);
		missing = g->answered && current(g, now) == NULL;
		if (missing && !g->said_missing)
			log_warnx("group %s: no current epoch key: new sessions cannot be resumed "
				  "until the "
				  "key service answers",
			    g->name);
		g->said_missing = missing;
	}
	if (s->changed != NULL)
		s->changed(s->changed_arg);
	arm_turn(s);
}

static void turn_cb(struct deadline *d)
{
	tell_changed(CONTAINER_OF(d, struct secrets, turn));
}

/* ---- polling */

static void tell_ready_later(struct later *l)
{
	struct secrets *s = CONTAINER_OF(l, struct secrets, tell_ready);
	void (*ready)(void *arg) = s->ready;

	s->ready = NULL;
	if (ready != NULL)
		ready(s->ready_arg);
}

bool secrets_ready(const struct secrets *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!s->groups[i].answered)
			return false;
	}
	return true;
}

static void answered_cb(void *arg, enum reason reason, struct bytes answer)
{
	struct group *g = arg;
	struct secrets *s = g->secrets;
	uint64_t server_unix;

	g->ask = NULL;
	if (reason == REASON_NONE &&
	    epoch_answer_parse(answer, boottime_ms(), s->incoming, &server_unix) != PARSE_OK)
		reason = REASON_SERVICE_PROTOCOL;
	if (reason != REASON_NONE) {
		g->retry_ms = g->retry_ms == 0 ? SECRETS_FIRST_MS : 2 * g->retry_ms;
		if (g->retry_ms > SECRETS_RETRY_MAX_MS)
			g->retry_ms = SECRETS_RETRY_MAX_MS;
		if (reason == REASON_KEY_REFUSED && !g->answered)
			log_warnx("group %s: the key service gives this gateway no epoch keys: its "
				  "policy "
				  "must name the group",
			    g->name);
		deadline_set(s->loop, &g->poll, g->retry_ms, poll_cb);
		return;
	}
	if (epoch_set_merge(&g->set, s->incoming, boottime_ms()) == -1)
		log_warnx("group %s: more epoch keys than fit: the newest are missing", g->name);
	epoch_set_clear(s->incoming);
	g->answered = true;
	g->retry_ms = 0;
	deadline_set(s->loop, &g->poll, SECRETS_POLL_MS, poll_cb);
	tell_changed(s);
	if (s->ready != NULL && secrets_ready(s))
		loop_later(s->loop, &s->tell_ready, tell_ready_later);
}

static void poll_group(struct group *g)
{
	struct secrets *s = g->secrets;
	enum reason why;

	assert(g->ask == NULL);
	g->ask = keyclient_epoch_keys(s->keys, bytes_str(g->name), 0, answered_cb, g, &why);
	if (g->ask == NULL)
		deadline_set(s->loop, &g->poll, SECRETS_RETRY_MAX_MS / 4, poll_cb);
}

static void poll_cb(struct deadline *d)
{
	poll_group(CONTAINER_OF(d, struct group, poll));
}

/* ---- making and asking */

static int collect_groups(struct secrets *s, const struct gateway_conf *conf)
{
	s->groups = calloc(conf->sites.n, sizeof(*s->groups));
	if (s->groups == NULL)
		return -1;
	for (size_t i = 0; i < conf->sites.n; i++) {
		const char *name = conf->sites.at[i].group;
		size_t k = 0;

		while (k < s->n && strcmp(s->groups[k].name, name) != 0)
			k++;
		if (k < s->n)
			continue;
		s->groups[s->n].secrets = s;
		s->groups[s->n++].name = name;
	}
	return 0;
}

struct secrets *secrets_new(
    struct loop *loop, struct keyclient *keys, const struct gateway_conf *conf)
{
	struct secrets *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->loop = loop;
	s->keys = keys;
	if ((s->incoming = calloc(1, sizeof(*s->incoming))) == NULL ||
	    collect_groups(s, conf) == -1) {
		secrets_free(s);
		return NULL;
	}
	for (size_t i = 0; i < s->n; i++)
		poll_group(&s->groups[i]);
	return s;
}

void secrets_free(struct secrets *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++) {
		struct group *g = &s->groups[i];

		if (g->ask != NULL)
			keyclient_cancel(g->ask);
		deadline_clear(s->loop, &g->poll);
		epoch_set_clear(&g->set);
	}
	deadline_clear(s->loop, &s->turn);
	loop_later_cancel(s->loop, &s->tell_ready);
	if (s->incoming != NULL)
		epoch_set_clear(s->incoming);
	free(s->incoming);
	free(s->groups);
	free(s);
}

unsigned secrets_group(const struct secrets *s, const char *name)
{
	unsigned i = 0;

	while (i < s->n && strcmp(s->groups[i].name, name) != 0)
		i++;
	assert(i < s->n);
	return i;
}

const struct epoch_record *secrets_current(struct secrets *s, unsigned group)
{
	assert(group < s->n);
	return current(&s->groups[group], boottime_ms());
}

const struct epoch_record *secrets_find(
    struct secrets *s, unsigned group, uint16_t tag, uint32_t e24)
{
	assert(group < s->n);
	return epoch_set_find(&s->groups[group].set, boottime_ms(), tag, e24);
}

uint32_t secrets_left_s(const struct epoch_record *r)
{
	uint64_t now = boottime_ms();

	return r->void_at > now ? (uint32_t)((r->void_at - now) / 1000) : 0;
}

void secrets_on_change(struct secrets *s, void (*changed)(void *arg), void *arg)
{
	s->changed = changed;
	s->changed_arg = arg;
}

void secrets_on_ready(struct secrets *s, void (*ready)(void *arg), void *arg)
{
	s->ready = ready;
	s->ready_arg = arg;
	if (secrets_ready(s))
		loop_later(s->loop, &s->tell_ready, tell_ready_later);
}
