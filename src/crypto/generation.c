/*
 * generation.c: generations made, ratcheted and forgotten. Called by the key service's loop, with
 * the time passed in. The one invariant: no secret here is older than its epoch's acceptance.
 */
#include "config.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <assert.h>
#include <string.h>

#include "crypto/generation.h"

#include "base/poison.h"

enum { DAY_S = 86400, MAKE_TRIES = 1000 };
/* A base further behind than this is a broken file or clock; each epoch costs one HMAC. */
enum { RATCHET_MAX = 366 * DAY_S / GENERATION_PERIOD_MIN_S };

bool generation_period_valid(uint64_t s)
{
	return s >= GENERATION_PERIOD_MIN_S && s <= GENERATION_PERIOD_MAX_S && DAY_S % s == 0;
}

void generations_init(struct generations *g, uint32_t period)
{
	assert(generation_period_valid(period));
	memset(g, 0, sizeof(*g));
	g->period = period;
}

void generations_clear(struct generations *g)
{
	OPENSSL_cleanse(g, sizeof(*g));
}

uint64_t generations_epoch(const struct generations *g, uint64_t unix_now)
{
	return unix_now / g->period;
}

uint64_t generations_oldest(const struct generations *g, uint64_t unix_now)
{
	uint64_t now = generations_epoch(g, unix_now), window = DAY_S / g->period;

	return now > window ? now - window : 0;
}

/* ---- the Rule */

const struct generation *generations_ruler(const struct generations *g, uint64_t e)
{
	const struct generation *best = NULL;

	for (size_t i = 0; i < g->n; i++) {
		const struct generation *x = &g->at[i];

		if (x->start <= e && (best == NULL || epoch_outranks(x->id, x->kind, x->start,
							  best->id, best->kind, best->start)))
			best = x;
	}
	return best;
}

/* Rulers change only where a generation starts, so it is enough to look there and at the window's
 * beginning. */
static bool rules_from(const struct generations *g, const struct generation *x, uint64_t from)
{
	if (generations_ruler(g, from > x->start ? from : x->start) == x)
		return true;
	for (size_t i = 0; i < g->n; i++) {
		if (g->at[i].start > from && generations_ruler(g, g->at[i].start) == x)
			return true;
	}
	return false;
}

/* ---- making and moving on */

static bool tag_taken(const struct generations *g, const uint8_t *id)
{
	if (id[0] == 0 && id[1] == 0)
		return true;
	for (size_t i = 0; i < g->n; i++) {
		if (memcmp(g->at[i].id, id, 2) == 0)
			return true;
	}
	for (size_t i = 0; i < g->revoked_n; i++) {
		if (memcmp(g->revoked[i].id, id, 2) == 0)
			return true;
	}
	return false;
}

/* It must win where it starts, or it would be of no use: by a tie's lowest id. */
static bool wins(const struct generations *g, const struct generation *x)
{
	const struct generation *ruler = generations_ruler(g, x->start);

	return ruler == NULL ||
	       epoch_outranks(x->id, x->kind, x->start, ruler->id, ruler->kind, ruler->start);
}

int generations_make(struct generations *g, enum epoch_kind kind, uint64_t unix_now, bool at_once)
{
	struct generation *x = &g->at[g->n];
	unsigned tries = 0;

	if (g->n == GENERATIONS_MAX)
		return -1;
	x->kind = (uint8_t)kind;
	x->start = generations_epoch(g, unix_now);
	if (kind == EPOCH_MADE && !at_once)
		x->start += GENERATION_AHEAD;
	x->base = x->start;
	do {
		if (tries++ == MAKE_TRIES || RAND_bytes(x->id, sizeof(x->id)) != 1)
			goto fail;
	} while (tag_taken(g, x->id) || !wins(g, x));
	if (RAND_priv_bytes(x->secret, sizeof(x->secret)) != 1)
		goto fail;
	g->n++;
	return 0;
fail:
	OPENSSL_cleanse(x, sizeof(*x));
	return -1;
}

bool generations_due(const struct generations *g, uint64_t unix_now, uint64_t lifetime_s)
{
	uint64_t now = generations_epoch(g, unix_now), newest = 0;

	if (generations_ruler(g, now) == NULL)
		return true;
	for (size_t i = 0; i < g->n; i++) {
		if (g->at[i].start > newest)
			newest = g->at[i].start;
	}
	return newest <= now && (now - newest) * g->period >= lifetime_s;
}

static int ratchet(struct kit *kit, uint8_t secret[static EPOCH_KEY_LEN])
{
	struct bytes label = bytes_str("sslgw ratchet");
	uint8_t next[EPOCH_KEY_LEN];

	if (kit_expand(kit, bytes_of(secret, EPOCH_KEY_LEN), &label, 1, next, sizeof(next)) == -1)
		return -1;
	memcpy(secret, next, sizeof(next));
	OPENSSL_cleanse(next, sizeof(next));
	return 0;
}

int generation_ratchet(struct kit *kit, struct generation *x, uint64_t e)
{
	if (e > x->base && e - x->base > RATCHET_MAX)
		return -1;
	while (x->base < e) {
		if (ratchet(kit, x->secret) == -1)
			return -1;
		x->base++;
	}
	return 0;
}

static void drop(struct generations *g, size_t i)
{
	memmove(&g->at[i], &g->at[i + 1], (g->n - i - 1) * sizeof(g->at[0]));
	g->n--;
	OPENSSL_cleanse(&g->at[g->n], sizeof(g->at[0]));
}

bool generations_is_dropped(const struct generations *g, const uint8_t id[static EPOCH_ID_LEN])
{
	for (size_t i = 0; i < g->dropped_n; i++) {
		if (memcmp(g->dropped[i].id, id, EPOCH_ID_LEN) == 0)
			return true;
	}
	return false;
}

bool generations_is_revoked(const struct generations *g, const uint8_t id[static EPOCH_ID_LEN])
{
	for (size_t i = 0; i < g->revoked_n; i++) {
		if (memcmp(g->revoked[i].id, id, EPOCH_ID_LEN) == 0)
			return true;
	}
	return false;
}

/* The oldest note makes room: what it names has ruled nothing for longest. */
static void note_dropped(struct generations *g, const uint8_t *id, uint64_t unix_now)
{
	struct revocation *at;

	if (generations_is_dropped(g, id))
		return;
	if (g->dropped_n == GENERATIONS_DROPPED_MAX) {
		g->dropped_n--;
		memmove(&g->dropped[0], &g->dropped[1], g->dropped_n * sizeof(g->dropped[0]));
	}
	at = &g->dropped[g->dropped_n++];
	memcpy(at->id, id, EPOCH_ID_LEN);
	at->when = unix_now;
}

bool generations_prune(struct generations *g, uint64_t unix_now)
{
	uint64_t oldest = generations_oldest(g, unix_now);
	bool any = false;

	for (size_t i = g->n; i-- > 0;) {
		if (rules_from(g, &g->at[i], oldest))
			continue;
		note_dropped(g, g->at[i].id, unix_now);
		drop(g, i);
		any = true;
	}
	return any;
}

static bool is_older(const struct revocation *r, uint64_t age_s, uint64_t unix_now)
{
	return r->when < unix_now && unix_now - r->when > age_s;
}

/* Revocations are kept for a year: longer than any backup that may be restored. */
static bool forget_revocations(struct generations *g, uint64_t unix_now)
{
	size_t kept = 0, had = g->revoked_n;

	for (size_t i = 0; i < had; i++) {
		if (!is_older(&g->revoked[i], GENERATIONS_REVOKED_S, unix_now))
			g->revoked[kept++] = g->revoked[i];
	}
	memset(&g->revoked[kept], 0, (had - kept) * sizeof(g->revoked[0]));
	g->revoked_n = kept;
	return kept < had;
}

int generations_advance(struct generations *g, struct kit *kit, uint64_t unix_now)
{
	uint64_t oldest = generations_oldest(g, unix_now);
	int rc = 0;

	if (forget_revocations(g, unix_now))
		rc = 1;
	if (generations_prune(g, unix_now))
		rc = 1;
	for (size_t i = g->n; i-- > 0;) {
		struct generation *x = &g->at[i];

		if (x->base >= oldest)
			continue;
		if (generation_ratchet(kit, x, oldest) == -1) {
			drop(g, i);
			rc = -1;
		} else if (rc == 0) {
			rc = 1;
		}
	}
	return rc;
}

int generations_revoke(struct generations *g, const uint8_t id[static EPOCH_ID_LEN], uint64_t when)
{
	if (generations_is_revoked(g, id))
		return 0;
	if (g->revoked_n == EPOCH_REVOKED_MAX)
		return -1;
	memcpy(g->revoked[g->revoked_n].id, id, EPOCH_ID_LEN);
	g->revoked[g->revoked_n++].when = when;
	for (size_t i = g->n; i-- > 0;) {
		if (memcmp(g->at[i].id, id, EPOCH_ID_LEN) == 0)
			drop(g, i);
	}
	return 0;
}

int generations_revoke_all(
    struct generations *g, const uint8_t keep[static EPOCH_ID_LEN], uint64_t unix_now)
{
	size_t n = 0, lost = 0;
	uint8_t ids[GENERATIONS_MAX + GENERATIONS_DROPPED_MAX][EPOCH_ID_LEN];

	for (size_t i = 0; i < g->n; i++) {
		if (memcmp(g->at[i].id, keep, EPOCH_ID_LEN) != 0)
			memcpy(ids[n++], g->at[i].id, EPOCH_ID_LEN);
	}
	/* A server that was away may still have what was dropped here lately. */
	for (size_t i = 0; i < g->dropped_n; i++) {
		if (!is_older(&g->dropped[i], GENERATIONS_AWAY_S, unix_now))
			memcpy(ids[n++], g->dropped[i].id, EPOCH_ID_LEN);
	}
	for (size_t i = 0; i < n; i++)
		lost += generations_revoke(g, ids[i], unix_now) == -1;
	return lost == 0 ? 0 : -1;
}

/* ---- the answer to sslgw/epoch-keys */

static void answer_begin(const struct generations *g, uint64_t unix_now, struct writer *w)
{
	writer_u64(w, unix_now);
	writer_u8(w, (uint8_t)g->revoked_n);
	for (size_t i = 0; i < g->revoked_n; i++)
		writer_put(w, g->revoked[i].id, EPOCH_ID_LEN);
}

static int derive_group(
    struct kit *kit, const struct generation *x, uint64_t e, struct bytes group, uint8_t *out)
{
	uint8_t e_be[8], key[EPOCH_KEY_LEN];
	struct writer w = writer_of(e_be, sizeof(e_be));
	struct bytes info[] = { bytes_str("sslgw epoch"), bytes_of(x->id, EPOCH_ID_LEN),
		bytes_of(e_be, sizeof(e_be)) };
	int rc = -1;

	writer_u64(&w, e);
	if (kit_expand(kit, bytes_of(x->secret, EPOCH_KEY_LEN), info, 3, key, sizeof(key)) == 0 &&
	    epoch_group_key(kit, key, group, out) == 0)
		rc = 0;
	OPENSSL_cleanse(key, sizeof(key));
	return rc;
}

static int answer_epoch(const struct generations *g, struct kit *kit, struct generation *x,
    uint64_t e, struct bytes group, uint64_t unix_now, struct writer *w)
{
	struct epoch_record r = { .kind = x->kind, .start = x->start, .e = e };
	uint64_t begins = e * g->period, voids = (e + 1) * g->period + EPOCH_ACCEPT_S;

	if (derive_group(kit, x, e, group, r.group_key) == -1)
		return -1;
	memcpy(r.id, x->id, EPOCH_ID_LEN);
	epoch_answer_add(w, &r, begins > unix_now ? (uint32_t)(begins - unix_now) : 0,
	    (uint32_t)(voids - unix_now));
	OPENSSL_cleanse(&r, sizeof(r));
	return w->ok ? 0 : -1;
}

int generations_answer(const struct generations *g, struct kit *kit, struct bytes group,
    uint64_t unix_now, struct writer *w)
{
	uint64_t now = generations_epoch(g, unix_now), oldest = generations_oldest(g, unix_now);
	struct generation x = { 0 };
	int rc = 0;

	answer_begin(g, unix_now, w);
	/* A copy of the ruler walks along with e; it is taken anew where the ruler changes. */
	for (uint64_t e = oldest; e <= now + 1 && rc == 0; e++) {
		const struct generation *ruler = generations_ruler(g, e);

		if (ruler == NULL)
			continue;
		if (memcmp(ruler->id, x.id, EPOCH_ID_LEN) != 0)
			x = *ruler;
		if (x.base > e)
			continue; /* not moved on yet since the clock went back: older ones are forgotten */
		rc = generation_ratchet(kit, &x, e);
		if (rc == 0)
			rc = answer_epoch(g, kit, &x, e, group, unix_now, w);
	}
	OPENSSL_cleanse(&x, sizeof(x));
	return rc;
}

/* ---- the answer to sslgw/epoch-ids */

int generations_ids(const struct generations *g, uint64_t unix_now, struct writer *w)
{
	uint64_t now = generations_epoch(g, unix_now);
	const struct generation *last = NULL;

	answer_begin(g, unix_now, w);
	for (uint64_t e = generations_oldest(g, unix_now); e <= now + 1; e++) {
		const struct generation *x = generations_ruler(g, e);

		if (x == NULL || x == last)
			continue;
		last = x;
		writer_put(w, x->id, EPOCH_ID_LEN);
		writer_u8(w, x->kind);
		writer_u64(w, x->start);
	}
	return w->ok ? 0 : -1;
}
