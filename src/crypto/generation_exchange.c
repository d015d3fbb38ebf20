/*
 * generation_exchange.c: what key services tell each other, and what is taken of it. Called by the key
 * service's loop, with the time passed in. The one invariant: a secret is ratcheted to this server's
 * own window before it is stored, and what stands here is never replaced by a peer's word.
 */
#include "config.h"

#include <openssl/crypto.h>

#include <string.h>

#include "crypto/generation.h"

#include "base/poison.h"

/* Ratchet steps that one offer may cost: a server whose clock is right is an epoch behind at most. */
enum { STEPS_MAX = 20000 };

void generation_put(struct writer *w, const struct generation *x)
{
	writer_put(w, x->id, EPOCH_ID_LEN);
	writer_u8(w, x->kind);
	writer_u64(w, x->start);
	writer_u64(w, x->base);
	writer_put(w, x->secret, EPOCH_KEY_LEN);
}

bool generation_take(struct cursor *c, struct generation *x)
{
	struct bytes id = cursor_take(c, EPOCH_ID_LEN), secret;

	x->kind = cursor_u8(c);
	x->start = cursor_u64(c);
	x->base = cursor_u64(c);
	secret = cursor_take(c, EPOCH_KEY_LEN);
	if (!c->ok || (x->kind != EPOCH_MADE && x->kind != EPOCH_ORPHAN) || x->base < x->start)
		return false;
	memcpy(x->id, id.at, EPOCH_ID_LEN);
	memcpy(x->secret, secret.at, EPOCH_KEY_LEN);
	return id.at[0] != 0 || id.at[1] != 0;
}

void revocations_put(struct writer *w, const struct revocation *r, size_t n)
{
	writer_u16(w, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		writer_put(w, r[i].id, EPOCH_ID_LEN);
		writer_u64(w, r[i].when);
	}
}

bool revocations_take(struct cursor *c, struct revocation *r, size_t max, size_t *n)
{
	size_t announced = cursor_u16(c);

	if (!c->ok || announced > max)
		return false;
	for (*n = 0; *n < announced; ++*n) {
		struct bytes id = cursor_take(c, EPOCH_ID_LEN);
		uint64_t when = cursor_u64(c);

		if (!c->ok)
			return false;
		memcpy(r[*n].id, id.at, EPOCH_ID_LEN);
		r[*n].when = when;
	}
	return true;
}

/* ---- told and read */

int generations_offer(const struct generations *g, const uint8_t sender[static EPOCH_ID_LEN],
    uint64_t unix_now, bool held, struct writer *w)
{
	writer_put(w, sender, EPOCH_ID_LEN);
	writer_u64(w, unix_now);
	writer_u32(w, g->period);
	writer_u8(w, held);
	writer_u16(w, (uint16_t)g->n);
	for (size_t i = 0; i < g->n; i++)
		generation_put(w, &g->at[i]);
	revocations_put(w, g->revoked, g->revoked_n);
	return w->ok ? 0 : -1;
}

void generations_offer_clear(struct generations_offer *offer)
{
	OPENSSL_cleanse(offer, sizeof(*offer));
}

enum parse generations_offer_parse(struct bytes in, struct generations_offer *out)
{
	struct cursor c = cursor_of(in);
	struct bytes sender;
	uint8_t held;
	size_t n;

	memset(out, 0, sizeof(*out));
	sender = cursor_take(&c, EPOCH_ID_LEN);
	out->unix_now = cursor_u64(&c);
	out->period = cursor_u32(&c);
	held = cursor_u8(&c);
	n = cursor_u16(&c);
	if (!c.ok || held > 1 || n > GENERATIONS_MAX || !generation_period_valid(out->period))
		goto bad;
	memcpy(out->sender, sender.at, EPOCH_ID_LEN);
	out->held = held == 1;
	while (out->n < n) {
		if (!generation_take(&c, &out->at[out->n]))
			goto bad;
		out->n++;
	}
	if (revocations_take(&c, out->revoked, EPOCH_REVOKED_MAX, &out->revoked_n) &&
	    cursor_left(&c) == 0)
		return PARSE_OK;
bad:
	generations_offer_clear(out);
	return PARSE_BAD;
}

/* ---- taken */

static const struct generation *known(const struct generations *g, const uint8_t *id)
{
	for (size_t i = 0; i < g->n; i++) {
		if (memcmp(g->at[i].id, id, EPOCH_ID_LEN) == 0)
			return &g->at[i];
	}
	return NULL;
}

/* Moves x on within what is left of the offer's steps. */
static int step_to(struct kit *kit, struct generation *x, uint64_t e, uint64_t *steps)
{
	if (e <= x->base)
		return 0;
	if (e - x->base > *steps)
		return -1;
	*steps -= e - x->base;
	return generation_ratchet(kit, x, e);
}

/* The same generation? Both secrets are moved to the later of the two bases. */
static bool same(struct kit *kit, const struct generation *mine, const struct generation *theirs,
    uint64_t *steps)
{
	struct generation a = *mine, b = *theirs;
	bool equal = a.kind == b.kind && a.start == b.start &&
		     step_to(kit, &a, b.base, steps) == 0 && step_to(kit, &b, a.base, steps) == 0 &&
		     CRYPTO_memcmp(a.secret, b.secret, sizeof(a.secret)) == 0;

	OPENSSL_cleanse(&a, sizeof(a));
	OPENSSL_cleanse(&b, sizeof(b));
	return equal;
}

static bool take_revocations(struct generations *g, const struct generations_offer *offer,
    uint64_t unix_now, struct generations_taken *taken)
{
	bool changed = false;

	for (size_t i = 0; i < offer->revoked_n; i++) {
		const struct revocation *r = &offer->revoked[i];
		uint64_t when = r->when < unix_now ? r->when : unix_now;

		if (generations_is_revoked(g, r->id) || unix_now - when > GENERATIONS_REVOKED_S)
			continue;
		if (generations_revoke(g, r->id, when) == -1) {
			taken->full++;
			continue;
		}
		taken->revoked++;
		changed = true;
	}
	return changed;
}

static bool too_far_ahead(
    const struct generations *g, const struct generation *x, uint64_t unix_now)
{
	uint64_t now = generations_epoch(g, unix_now);

	return x->start > now + GENERATION_START_MAX_S / g->period ||
	       (x->base > x->start && x->base > now + 1);
}

static bool add(struct generations *g, struct kit *kit, const struct generation *x,
    uint64_t unix_now, uint64_t *steps, struct generations_taken *taken)
{
	struct generation *at = &g->at[g->n];

	if (g->n == GENERATIONS_MAX) {
		taken->full++;
		return false;
	}
	*at = *x;
	if (step_to(kit, at, generations_oldest(g, unix_now), steps) == -1) {
		OPENSSL_cleanse(at, sizeof(*at));
		taken->failed++;
		return false;
	}
	g->n++;
	generations_prune(g, unix_now); /* it, if it rules nothing; or what it has outranked */
	if (known(g, x->id) != NULL)
		taken->made++;
	return true;
}

static bool take_one(struct generations *g, struct kit *kit, const struct generation *x,
    uint64_t unix_now, uint64_t *steps, struct generations_taken *taken)
{
	const struct generation *mine = known(g, x->id);

	if (mine != NULL) {
		if (same(kit, mine, x, steps))
			return false;
		taken->conflicts++;
	} else if (generations_is_revoked(g, x->id) || generations_is_dropped(g, x->id)) {
		return false;
	} else if (too_far_ahead(g, x, unix_now)) {
		taken->ahead++;
	} else {
		return add(g, kit, x, unix_now, steps, taken);
	}
	memcpy(taken->id, x->id, sizeof(taken->id));
	return false;
}

bool generations_take(struct generations *g, struct kit *kit, const struct generations_offer *offer,
    uint64_t unix_now, bool held, struct generations_taken *taken)
{
	uint64_t apart = offer->unix_now > unix_now ? offer->unix_now - unix_now
						    : unix_now - offer->unix_now;
	uint64_t steps = STEPS_MAX;
	bool changed;

	memset(taken, 0, sizeof(*taken));
	changed = take_revocations(g, offer, unix_now, taken);
	taken->other_period = offer->period != g->period;
	taken->other_clock = apart > g->period;
	if (taken->other_period || taken->other_clock || held)
		return changed;
	for (size_t i = 0; i < offer->n; i++) {
		if (take_one(g, kit, &offer->at[i], unix_now, &steps, taken))
			changed = true;
	}
	return changed;
}
