/*
 * generation.c: generations made, ratcheted and forgotten. Called by the key service's loop, with
 * the time passed in. The one invariant: no secret here is older than its epoch's acceptance.
 */
#include "config.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <assert.h>
#include <string.h>

#include "crypto/generation.h"

#include "base/poison.h"

enum { DAY_S = 86400, MAKE_TRIES = 1000, DIGEST_LEN = 32 };
/* A base further behind than this is a broken file or clock; each epoch costs one HMAC. */
enum { RATCHET_MAX = 366 * DAY_S / GENERATION_PERIOD_MIN_S };

static const char magic[8] = { 'S', 'S', 'L', 'G', 'W', 'E', 'P', 1 };

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

/* The oldest epoch whose tickets are still accepted. */
static uint64_t oldest_epoch(const struct generations *g, uint64_t unix_now)
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

int generations_make(struct generations *g, enum epoch_kind kind, uint64_t unix_now, bool at_once)
{
	struct generation *x = &g->at[g->n];
	unsigned tries = 0;

	if (g->n == GENERATIONS_MAX)
		return -1;
	do {
		if (tries++ == MAKE_TRIES || RAND_bytes(x->id, sizeof(x->id)) != 1)
			return -1;
	} while (tag_taken(g, x->id));
	if (RAND_priv_bytes(x->secret, sizeof(x->secret)) != 1)
		return -1;
	x->kind = (uint8_t)kind;
	x->start = generations_epoch(g, unix_now);
	if (kind == EPOCH_MADE && !at_once)
		x->start += GENERATION_AHEAD;
	x->base = x->start;
	g->n++;
	return 0;
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

static int ratchet_to(struct kit *kit, struct generation *x, uint64_t e)
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

int generations_advance(struct generations *g, struct kit *kit, uint64_t unix_now)
{
	uint64_t oldest = oldest_epoch(g, unix_now);
	int rc = 0;

	for (size_t i = g->n; i-- > 0;) {
		if (rules_from(g, &g->at[i], oldest))
			continue;
		drop(g, i);
		rc = 1;
	}
	for (size_t i = g->n; i-- > 0;) {
		struct generation *x = &g->at[i];

		if (x->base >= oldest)
			continue;
		if (ratchet_to(kit, x, oldest) == -1) {
			drop(g, i);
			rc = -1;
		} else if (rc == 0) {
			rc = 1;
		}
	}
	return rc;
}

int generations_revoke(
    struct generations *g, const uint8_t id[static EPOCH_ID_LEN], uint64_t unix_now)
{
	for (size_t i = 0; i < g->revoked_n; i++) {
		if (memcmp(g->revoked[i].id, id, EPOCH_ID_LEN) == 0)
			return 0;
	}
	if (g->revoked_n == EPOCH_REVOKED_MAX)
		return -1;
	memcpy(g->revoked[g->revoked_n].id, id, EPOCH_ID_LEN);
	g->revoked[g->revoked_n++].when = unix_now;
	for (size_t i = g->n; i-- > 0;) {
		if (memcmp(g->at[i].id, id, EPOCH_ID_LEN) == 0)
			drop(g, i);
	}
	return 0;
}

/* ---- the answer to sslgw/epoch-keys */

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
	uint64_t now = generations_epoch(g, unix_now), oldest = oldest_epoch(g, unix_now);
	struct generation x = { 0 };
	int rc = 0;

	writer_u64(w, unix_now);
	writer_u8(w, (uint8_t)g->revoked_n);
	for (size_t i = 0; i < g->revoked_n; i++)
		writer_put(w, g->revoked[i].id, EPOCH_ID_LEN);
	/* A copy of the ruler walks along with e; it is taken anew where the ruler changes. */
	for (uint64_t e = oldest; e <= now + 1 && rc == 0; e++) {
		const struct generation *ruler = generations_ruler(g, e);

		if (ruler == NULL)
			continue;
		if (memcmp(ruler->id, x.id, EPOCH_ID_LEN) != 0)
			x = *ruler;
		if (x.base > e)
			continue; /* not moved on yet since the clock went back: older ones are forgotten */
		rc = ratchet_to(kit, &x, e);
		if (rc == 0)
			rc = answer_epoch(g, kit, &x, e, group, unix_now, w);
	}
	OPENSSL_cleanse(&x, sizeof(x));
	return rc;
}

/* ---- the state file */

int generations_encode(const struct generations *g, uint8_t *out, size_t size, size_t *len)
{
	struct writer w = writer_of(out, size);
	uint8_t digest[DIGEST_LEN];

	writer_put(&w, magic, sizeof(magic));
	writer_u32(&w, g->period);
	writer_u64(&w, g->written);
	writer_u16(&w, (uint16_t)g->n);
	for (size_t i = 0; i < g->n; i++) {
		writer_put(&w, g->at[i].id, EPOCH_ID_LEN);
		writer_u8(&w, g->at[i].kind);
		writer_u64(&w, g->at[i].start);
		writer_u64(&w, g->at[i].base);
		writer_put(&w, g->at[i].secret, EPOCH_KEY_LEN);
	}
	writer_u16(&w, (uint16_t)g->revoked_n);
	for (size_t i = 0; i < g->revoked_n; i++) {
		writer_put(&w, g->revoked[i].id, EPOCH_ID_LEN);
		writer_u64(&w, g->revoked[i].when);
	}
	if (!w.ok)
		return -1;
	SHA256(out, writer_len(&w), digest);
	writer_put(&w, digest, sizeof(digest));
	*len = writer_len(&w);
	return w.ok ? 0 : -1;
}

static bool decode_generation(struct cursor *c, struct generation *x)
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

static bool decode_body(struct cursor *c, struct generations *g)
{
	size_t n;

	g->period = cursor_u32(c);
	g->written = cursor_u64(c);
	if (!c->ok || !generation_period_valid(g->period) || (n = cursor_u16(c)) > GENERATIONS_MAX)
		return false;
	while (g->n < n) {
		if (!decode_generation(c, &g->at[g->n]))
			return false;
		g->n++;
	}
	if ((n = cursor_u16(c)) > EPOCH_REVOKED_MAX)
		return false;
	while (g->revoked_n < n) {
		struct bytes id = cursor_take(c, EPOCH_ID_LEN);

		if (!c->ok)
			return false;
		memcpy(g->revoked[g->revoked_n].id, id.at, EPOCH_ID_LEN);
		g->revoked[g->revoked_n++].when = cursor_u64(c);
	}
	return c->ok && cursor_left(c) == 0;
}

enum parse generations_decode(struct bytes in, struct generations *out)
{
	uint8_t digest[DIGEST_LEN];
	struct cursor c;

	memset(out, 0, sizeof(*out));
	if (in.len < sizeof(magic) + DIGEST_LEN || memcmp(in.at, magic, sizeof(magic)) != 0)
		return PARSE_BAD;
	SHA256(in.at, in.len - DIGEST_LEN, digest);
	c = cursor_of(bytes_of(in.at + sizeof(magic), in.len - sizeof(magic) - DIGEST_LEN));
	if (memcmp(digest, in.at + in.len - DIGEST_LEN, DIGEST_LEN) == 0 && decode_body(&c, out))
		return PARSE_OK;
	generations_clear(out);
	return PARSE_BAD;
}
