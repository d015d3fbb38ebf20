/*
 * epoch.c: a gateway's set of group keys: parsed, merged, looked up by what a ticket names. Called
 * by whoever holds the cluster's secrets; `now` is passed in. The key service uses the same Rule.
 */
#include "config.h"

#include <openssl/crypto.h>

#include <assert.h>
#include <string.h>

#include "crypto/epoch.h"

#include "base/poison.h"

bool epoch_outranks(const uint8_t *a_id, uint8_t a_kind, uint64_t a_start, const uint8_t *b_id,
    uint8_t b_kind, uint64_t b_start)
{
	if (a_kind != b_kind)
		return a_kind == EPOCH_MADE;
	if (a_start != b_start)
		return a_kind == EPOCH_MADE ? a_start > b_start : a_start < b_start;
	return memcmp(a_id, b_id, EPOCH_ID_LEN) < 0;
}

static bool is_revoked(const struct epoch_set *set, const uint8_t *id)
{
	for (size_t i = 0; i < set->revoked_n; i++) {
		if (memcmp(set->revoked[i], id, EPOCH_ID_LEN) == 0)
			return true;
	}
	return false;
}

static bool usable(const struct epoch_set *set, const struct epoch_record *r, uint64_t now_ms)
{
	return now_ms < r->void_at && !is_revoked(set, r->id);
}

/* A record is current from current_at to the end of its epoch, 24 h before it is void. */
static bool is_current(const struct epoch_record *r, uint64_t now_ms)
{
	return r->current_at <= now_ms && now_ms + EPOCH_ACCEPT_S * UINT64_C(1000) < r->void_at;
}

static bool rules(const struct epoch_set *set, const struct epoch_record *r, uint64_t now_ms)
{
	if (r->rules_at > now_ms)
		return false;
	for (size_t i = 0; i < set->n; i++) {
		const struct epoch_record *other = &set->at[i];

		if (other != r && other->e == r->e && other->rules_at <= now_ms &&
		    !is_revoked(set, other->id) &&
		    epoch_outranks(other->id, other->kind, other->start, r->id, r->kind, r->start))
			return false;
	}
	return true;
}

const struct epoch_record *epoch_set_current(const struct epoch_set *set, uint64_t now_ms)
{
	const struct epoch_record *best = NULL;

	for (size_t i = 0; i < set->n; i++) {
		const struct epoch_record *r = &set->at[i];

		/* Two servers' clocks differ a little: for a moment two epochs may be current. */
		if (is_current(r, now_ms) && usable(set, r, now_ms) && rules(set, r, now_ms) &&
		    (best == NULL || r->e > best->e))
			best = r;
	}
	return best;
}

const struct epoch_record *epoch_set_find(
    const struct epoch_set *set, uint64_t now_ms, uint16_t tag, uint32_t e24)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct epoch_record *r = &set->at[i];

		if (epoch_tag(r) == tag && epoch_e24(r) == e24 && usable(set, r, now_ms) &&
		    rules(set, r, now_ms))
			return r;
	}
	return NULL;
}

uint64_t epoch_set_next(const struct epoch_set *set, uint64_t now_ms)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < set->n; i++) {
		const struct epoch_record *r = &set->at[i];
		uint64_t accept = EPOCH_ACCEPT_S * UINT64_C(1000);
		uint64_t ends = r->void_at > accept ? r->void_at - accept : 0;

		if (r->rules_at > now_ms && r->rules_at < next)
			next = r->rules_at;
		if (r->current_at > now_ms && r->current_at < next)
			next = r->current_at;
		if (ends > now_ms && ends < next)
			next = ends;
		if (r->void_at > now_ms && r->void_at < next)
			next = r->void_at;
	}
	return next;
}

uint16_t epoch_tag(const struct epoch_record *r)
{
	return (uint16_t)(r->id[0] << 8 | r->id[1]);
}

uint32_t epoch_e24(const struct epoch_record *r)
{
	return (uint32_t)(r->e & 0xffffff);
}

/* ---- the set */

void epoch_set_clear(struct epoch_set *set)
{
	OPENSSL_cleanse(set, sizeof(*set));
}

size_t epoch_set_expire(struct epoch_set *set, uint64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n; i++) {
		if (usable(set, &set->at[i], now_ms)) {
			if (kept != i)
				set->at[kept] = set->at[i];
			kept++;
		}
	}
	OPENSSL_cleanse(&set->at[kept], (set->n - kept) * sizeof(set->at[0]));
	set->n = kept;
	return kept;
}

static bool holds(const struct epoch_set *set, const struct epoch_record *r)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->at[i].e == r->e && memcmp(set->at[i].id, r->id, EPOCH_ID_LEN) == 0)
			return true;
	}
	return false;
}

bool epoch_set_knows(const struct epoch_set *set, const uint8_t id[static EPOCH_ID_LEN])
{
	for (size_t i = 0; i < set->n; i++) {
		if (memcmp(set->at[i].id, id, EPOCH_ID_LEN) == 0)
			return true;
	}
	return false;
}

bool epoch_set_revoke(struct epoch_set *set, const uint8_t ids[][EPOCH_ID_LEN], size_t n)
{
	size_t had = set->revoked_n, kept = 0;

	for (size_t i = 0; i < n && set->revoked_n < EPOCH_REVOKED_MAX; i++) {
		if (!is_revoked(set, ids[i]))
			memcpy(set->revoked[set->revoked_n++], ids[i], EPOCH_ID_LEN);
	}
	if (set->revoked_n == had)
		return false;
	for (size_t i = 0; i < set->n; i++) {
		if (is_revoked(set, set->at[i].id))
			continue;
		if (kept != i)
			set->at[kept] = set->at[i];
		set->at[kept++].rules_at = 0; /* what comes after a theft comes at once */
	}
	OPENSSL_cleanse(&set->at[kept], (set->n - kept) * sizeof(set->at[0]));
	set->n = kept;
	return true;
}

static bool contested(const struct epoch_set *set, const struct epoch_record *r)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->at[i].e == r->e)
			return true;
	}
	return false;
}

int epoch_set_merge(struct epoch_set *into, const struct epoch_set *from, uint64_t now_ms)
{
	bool revoked = epoch_set_revoke(into, from->revoked, from->revoked_n);
	const struct epoch_record *current = revoked ? NULL : epoch_set_current(into, now_ms);
	uint64_t e = current != NULL ? current->e : 0, ends = 0;
	int rc = 0;

	if (current != NULL)
		ends = current->void_at - EPOCH_ACCEPT_S * UINT64_C(1000);
	for (size_t i = 0; i < from->revoked_n && rc == 0; i++)
		rc = is_revoked(into, from->revoked[i]) ? 0 : -1;
	for (size_t i = 0; i < from->n; i++) {
		struct epoch_record *at;

		if (holds(into, &from->at[i]) || is_revoked(into, from->at[i].id))
			continue;
		if (into->n == EPOCH_SET_MAX)
			return -1;
		at = &into->at[into->n];
		*at = from->at[i];
		at->rules_at = at->e <= e && contested(into, at) ? ends : 0;
		into->n++;
	}
	return rc;
}

/* ---- the answer to sslgw/epoch-keys */

void epoch_answer_begin(struct writer *w, uint64_t unix_now, const struct epoch_set *revoked)
{
	size_t n = revoked == NULL ? 0 : revoked->revoked_n;

	writer_u64(w, unix_now);
	writer_u8(w, (uint8_t)n);
	for (size_t i = 0; i < n; i++)
		writer_put(w, revoked->revoked[i], EPOCH_ID_LEN);
}

void epoch_answer_add(
    struct writer *w, const struct epoch_record *r, uint32_t until_current_s, uint32_t until_void_s)
{
	writer_put(w, r->id, EPOCH_ID_LEN);
	writer_u8(w, r->kind);
	writer_u64(w, r->start);
	writer_u64(w, r->e);
	writer_put(w, r->group_key, EPOCH_KEY_LEN);
	writer_u32(w, until_current_s);
	writer_u32(w, until_void_s);
}

static bool parse_record(struct cursor *c, uint64_t now_ms, struct epoch_record *r)
{
	struct bytes id = cursor_take(c, EPOCH_ID_LEN), key;

	r->kind = cursor_u8(c);
	r->start = cursor_u64(c);
	r->e = cursor_u64(c);
	key = cursor_take(c, EPOCH_KEY_LEN);
	r->current_at = now_ms + cursor_u32(c) * UINT64_C(1000);
	r->void_at = now_ms + cursor_u32(c) * UINT64_C(1000);
	if (!c->ok)
		return false;
	memcpy(r->id, id.at, EPOCH_ID_LEN);
	memcpy(r->group_key, key.at, EPOCH_KEY_LEN);
	return (r->kind == EPOCH_MADE || r->kind == EPOCH_ORPHAN) && r->start <= r->e &&
	       epoch_tag(r) != 0 && r->void_at >= r->current_at;
}

enum parse epoch_answer_parse(
    struct bytes answer, uint64_t now_ms, struct epoch_set *out, uint64_t *server_unix)
{
	struct cursor c = cursor_of(answer);
	size_t n;

	epoch_set_clear(out);
	*server_unix = cursor_u64(&c);
	n = cursor_u8(&c);
	for (size_t i = 0; i < n; i++) {
		struct bytes id = cursor_take(&c, EPOCH_ID_LEN);

		if (!c.ok)
			goto bad;
		memcpy(out->revoked[out->revoked_n++], id.at, EPOCH_ID_LEN);
	}
	while (c.ok && cursor_left(&c) > 0) {
		struct epoch_record *r = &out->at[out->n];

		if (out->n == EPOCH_SET_MAX || !parse_record(&c, now_ms, r) || holds(out, r))
			goto bad;
		out->n++;
	}
	if (c.ok)
		return PARSE_OK;
bad:
	epoch_set_clear(out);
	return PARSE_BAD;
}

enum parse epoch_ids_parse(struct bytes answer, struct epoch_ids *out)
{
	struct cursor c = cursor_of(answer);
	struct bytes id;
	size_t n;

	memset(out, 0, sizeof(*out));
	cursor_u64(&c); /* the server's time is nothing to a gateway */
	n = cursor_u8(&c);
	while (out->revoked_n < n) {
		id = cursor_take(&c, EPOCH_ID_LEN);
		if (!c.ok)
			goto bad;
		memcpy(out->revoked[out->revoked_n++], id.at, EPOCH_ID_LEN);
	}
	while (c.ok && cursor_left(&c) > 0) {
		struct cursor rest;

		id = cursor_take(&c, EPOCH_ID_LEN);
		rest = cursor_of(cursor_take(&c, EPOCH_ID_RECORD_LEN - EPOCH_ID_LEN));
		n = cursor_u8(&rest);
		if (!c.ok || out->n == EPOCH_IDS_MAX || (n != EPOCH_MADE && n != EPOCH_ORPHAN))
			goto bad;
		memcpy(out->at[out->n++], id.at, EPOCH_ID_LEN);
	}
	if (c.ok)
		return PARSE_OK;
bad:
	memset(out, 0, sizeof(*out));
	return PARSE_BAD;
}
