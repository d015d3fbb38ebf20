/*
 * secrets.c: keeps each group's epoch keys fresh and wipes them when they are void. Called by ticket
 * and session through the two look-ups. The wall clock decides nothing here: an operator who sets it
 * does not end a session.
 *
 * Two key servers are asked where there are two, and the Rule is applied to what both have. Every 30 s
 * they are asked for ids: what is revoked goes at once, and a generation that is not known yet has the
 * keys fetched; else they are fetched once an epoch, when the next one's are missing.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

#include "gateway/cluster/keyclient.h"
#include "gateway/cluster/ownsecrets.h"
#include "gateway/cluster/secrets.h"

#include "base/poison.h"

/* Answers count in whole seconds, so between two of them an epoch may end before the next begins. */
enum { SECRETS_GAP_MS = 2000 };
enum { SERVERS_ASKED = 2 };

struct group {
	struct secrets *secrets;
	const char *name; /* conf's */
	struct epoch_set set;
	struct keyclient_ask *ask; /* in flight */
	struct deadline retry; /* set: the first server did not answer */
	uint32_t retry_ms;
	bool second; /* ask is the second server's */
	bool stale; /* a server names a generation whose keys are not here */
	bool answered; /* once, ever */
	bool said_missing; /* the log knows that there is no current key */
};

struct secrets {
	struct loop *loop;
	struct keyclient *keys;
	struct ownsecrets *own; /* NULL: the key service makes the keys */
	const char **names; /* own's: of the groups, in their order */
	struct group *groups;
	size_t n;
	struct epoch_set *incoming; /* scratch: too large for a stack */
	struct deadline poll;
	struct keyclient_ask *ids_ask; /* in flight */
	struct epoch_ids *ids; /* SERVERS_ASKED, of this poll */
	size_t ids_n;
	unsigned ids_slot; /* of the first */
	uint64_t differ_since; /* ms of CLOCK_BOOTTIME; 0: they agree */
	bool said_differ;
	struct deadline turn; /* when time alone changes what is current or accepted */
	struct later tell_ready;
	void (*changed)(void *arg);
	void *changed_arg;
	void (*ready)(void *arg);
	void *ready_arg;
};

static void answered_cb(void *arg, enum reason, struct bytes);
static void ids_cb(void *arg, enum reason, struct bytes);
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

/* While keys are being fetched it is too early to say so. */
static void say_if_missing(struct group *g, uint64_t now)
{
	if (!g->answered || current(g, now) != NULL) {
		g->said_missing = false;
		return;
	}
	if (g->said_missing || g->stale || g->ask != NULL)
		return;
	g->said_missing = true;
	log_warnx("group %s: no current epoch key: new sessions cannot be resumed until the key "
		  "service answers",
	    g->name);
}

/* What was derived from keys that are gone must go with them. */
static void tell_changed(struct secrets *s)
{
	uint64_t now = boottime_ms();

	for (size_t i = 0; i < s->n; i++) {
		epoch_set_expire(&s->groups[i].set, now);
		say_if_missing(&s->groups[i], now);
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

/* ---- keys */

static void fetch_again(struct deadline *);

static void fetch_later(struct group *g, uint32_t ms)
{
	deadline_set(g->secrets->loop, &g->retry, ms, fetch_again);
}

static void fetch(struct group *g)
{
	struct secrets *s = g->secrets;
	enum reason why;

	assert(g->ask == NULL);
	g->second = g->stale = false;
	g->ask = keyclient_epoch_keys(s->keys, bytes_str(g->name), 0, answered_cb, g, &why);
	if (g->ask == NULL)
		fetch_later(g, SECRETS_RETRY_MAX_MS / 4);
}

static void fetch_again(struct deadline *d)
{
	fetch(CONTAINER_OF(d, struct group, retry));
}

/* The union with another server's answer; one that fails now is asked again in the next round. */
static void fetch_second(struct group *g, unsigned first)
{
	struct secrets *s = g->secrets;
	enum reason why;

	if (g->second || keyclient_servers_n(s->keys) < SERVERS_ASKED)
		return;
	g->second = true;
	g->ask = keyclient_epoch_keys(
	    s->keys, bytes_str(g->name), UINT64_C(1) << first, answered_cb, g, &why);
}

static void fetch_failed(struct group *g, enum reason reason)
{
	say_if_missing(g, boottime_ms());
	if (g->second)
		return;
	g->retry_ms = g->retry_ms == 0 ? SECRETS_FIRST_MS : 2 * g->retry_ms;
	if (g->retry_ms > SECRETS_RETRY_MAX_MS)
		g->retry_ms = SECRETS_RETRY_MAX_MS;
	if (reason == REASON_KEY_REFUSED && !g->answered)
		log_warnx("group %s: the key service gives this gateway no epoch keys: its "
			  "policy must name the group",
		    g->name);
	fetch_later(g, g->retry_ms);
}

static void answered_cb(void *arg, enum reason reason, struct bytes answer)
{
	struct group *g = arg;
	struct secrets *s = g->secrets;
	uint64_t server_unix, now = boottime_ms();

	g->ask = NULL;
	if (reason == REASON_NONE &&
	    epoch_answer_parse(answer, now, s->incoming, &server_unix) != PARSE_OK)
		reason = REASON_SERVICE_PROTOCOL;
	if (reason != REASON_NONE) {
		fetch_failed(g, reason);
		return;
	}
	if (epoch_set_merge(&g->set, s->incoming, now) == -1)
		log_warnx("group %s: more epoch keys than fit: the newest are missing", g->name);
	epoch_set_clear(s->incoming);
	g->answered = true;
	g->retry_ms = 0;
	fetch_second(g, keyclient_slot(s->keys));
	tell_changed(s);
	if (s->ready != NULL && secrets_ready(s))
		loop_later(s->loop, &s->tell_ready, tell_ready_later);
}

/* ---- ids */

static bool has_next(const struct epoch_set *set, uint64_t now)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->at[i].current_at > now)
			return true;
	}
	return false;
}

static bool has_id(uint8_t (*ids)[EPOCH_ID_LEN], size_t n, const uint8_t *id)
{
	for (size_t i = 0; i < n; i++) {
		if (memcmp(ids[i], id, EPOCH_ID_LEN) == 0)
			return true;
	}
	return false;
}

/* In any order: the lists have no id twice. */
static bool same_list(
    uint8_t (*a)[EPOCH_ID_LEN], size_t a_n, uint8_t (*b)[EPOCH_ID_LEN], size_t b_n)
{
	for (size_t i = 0; i < a_n; i++) {
		if (!has_id(b, b_n, a[i]))
			return false;
	}
	return a_n == b_n;
}

static void compare(struct secrets *s)
{
	struct epoch_ids *a = &s->ids[0], *b = &s->ids[1];
	uint64_t now = boottime_ms();

	if (s->ids_n < SERVERS_ASKED)
		return; /* one of them is down: neither the same nor another */
	if (same_list(a->at, a->n, b->at, b->n) &&
	    same_list(a->revoked, a->revoked_n, b->revoked, b->revoked_n)) {
		if (s->said_differ)
			log_info("the key servers agree about ticket keys again");
		s->differ_since = 0;
		s->said_differ = false;
		return;
	}
	if (s->differ_since == 0)
		s->differ_since = now;
	if (s->said_differ || now - s->differ_since < SECRETS_DIFFER_MS)
		return;
	s->said_differ = true;
	log_errorx("two key servers have named different ticket keys for over 2 minutes: sessions "
		   "may not resume everywhere; see \"sslgwctl epoch show\" on each: they must name "
		   "each other as peers");
}

static void poll_over(struct secrets *s, bool all)
{
	uint64_t now = boottime_ms();

	compare(s);
	for (size_t i = 0; i < s->n; i++) {
		struct group *g = &s->groups[i];

		if (g->ask == NULL && !deadline_is_set(&g->retry) &&
		    (all || g->stale || !has_next(&g->set, now)))
			fetch(g);
	}
	deadline_set(s->loop, &s->poll, SECRETS_POLL_MS, poll_cb);
}

static void take_ids(struct secrets *s, const struct epoch_ids *ids)
{
	bool gone = false;

	for (size_t i = 0; i < s->n; i++) {
		struct group *g = &s->groups[i];

		if (epoch_set_revoke(&g->set, ids->revoked, ids->revoked_n))
			gone = g->stale = true;
		for (size_t k = 0; k < ids->n; k++)
			g->stale |= !epoch_set_knows(&g->set, ids->at[k]);
	}
	if (gone) {
		log_warnx("ticket keys were revoked: their sessions end");
		tell_changed(s);
	}
}

static void ask_ids(struct secrets *s, uint64_t avoid)
{
	enum reason why;

	s->ids_ask = keyclient_epoch_ids(s->keys, avoid, ids_cb, s, &why);
	if (s->ids_ask == NULL)
		poll_over(s, false);
}

static void ids_cb(void *arg, enum reason reason, struct bytes answer)
{
	struct secrets *s = arg;
	struct epoch_ids *ids = &s->ids[s->ids_n];
	unsigned slot = keyclient_slot(s->keys);
	bool first = s->ids_n == 0;

	s->ids_ask = NULL;
	if (reason != REASON_NONE || epoch_ids_parse(answer, ids) != PARSE_OK) {
		/* A service that has no such function gives the keys at least. */
		poll_over(s, reason == REASON_KEY_REFUSED);
		return;
	}
	take_ids(s, ids);
	if (first || slot != s->ids_slot)
		s->ids_n++;
	s->ids_slot = slot;
	if (first && keyclient_servers_n(s->keys) >= SERVERS_ASKED)
		ask_ids(s, UINT64_C(1) << slot);
	else
		poll_over(s, false);
}

static void poll_cb(struct deadline *d)
{
	struct secrets *s = CONTAINER_OF(d, struct secrets, poll);

	s->ids_n = 0;
	ask_ids(s, 0);
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

static void own_changed(void *arg)
{
	struct secrets *s = arg;

	if (s->changed != NULL)
		s->changed(s->changed_arg);
}

/* No questions: all is here. */
static int use_own(struct secrets *s, const struct ticketsecrets *own)
{
	s->names = calloc(s->n + 1, sizeof(*s->names));
	if (s->names == NULL)
		return -1;
	for (size_t i = 0; i < s->n; i++) {
		s->names[i] = s->groups[i].name;
		s->groups[i].answered = true;
	}
	s->own = ownsecrets_new(s->loop, own, s->names, s->n, own_changed, s);
	return s->own != NULL ? 0 : -1;
}

static int begin_asking(struct secrets *s)
{
	s->ids = calloc(SERVERS_ASKED, sizeof(*s->ids));
	s->incoming = calloc(1, sizeof(*s->incoming));
	if (s->ids == NULL || s->incoming == NULL)
		return -1;
	for (size_t i = 0; i < s->n; i++)
		fetch(&s->groups[i]);
	/* Workers that start together do not all ask at once for ever. */
	deadline_set(s->loop, &s->poll,
	    SECRETS_POLL_MS / 2 + arc4random_uniform(SECRETS_POLL_MS / 2 + 1), poll_cb);
	return 0;
}

struct secrets *secrets_new(struct loop *loop, struct keyclient *keys,
    const struct gateway_conf *conf, const struct ticketsecrets *own)
{
	struct secrets *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->loop = loop;
	s->keys = keys;
	if (collect_groups(s, conf) == -1 ||
	    (own != NULL ? use_own(s, own) : begin_asking(s)) == -1) {
		secrets_free(s);
		return NULL;
	}
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
		deadline_clear(s->loop, &g->retry);
		epoch_set_clear(&g->set);
	}
	if (s->ids_ask != NULL)
		keyclient_cancel(s->ids_ask);
	deadline_clear(s->loop, &s->poll);
	deadline_clear(s->loop, &s->turn);
	loop_later_cancel(&s->tell_ready);
	if (s->incoming != NULL)
		epoch_set_clear(s->incoming);
	ownsecrets_free(s->own);
	free(s->names);
	free(s->incoming);
	free(s->ids);
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
	if (s->own != NULL)
		return ownsecrets_current(s->own, group, boottime_ms());
	return current(&s->groups[group], boottime_ms());
}

const struct epoch_record *secrets_find(
    struct secrets *s, unsigned group, uint16_t tag, uint32_t e24)
{
	assert(group < s->n);
	if (s->own != NULL)
		return ownsecrets_find(s->own, group, boottime_ms(), tag, e24);
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
