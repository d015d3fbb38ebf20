/*
 * test_store.c: the store under a hand-moved clock: against a model, in floods, and at its bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "cachesvc/store.h"

#define MIB (UINT64_C(1) << 20)

struct name {
	char at[40];
};

/* xorshift64, so that each run is the same. */
static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static struct bytes name_of(struct name *buf, char kind, uint64_t n)
{
	snprintf(buf->at, sizeof(buf->at), "%c:%020llu:session", kind, (unsigned long long)n);
	return bytes_str(buf->at);
}

/* A value that tells of its name and length, at both ends. */
static uint8_t *value_buf(void)
{
	static const size_t size = STORE_VALUE_MAX + 1;
	uint8_t *buf = calloc(1, size);

	assert_non_null(buf);
	return buf;
}

static struct bytes value_of(uint8_t *buf, uint64_t n, size_t len)
{
	for (size_t i = 0; i < len && i < 8; i++)
		buf[i] = (uint8_t)(n >> (8 * i));
	if (len > 8)
		buf[len - 1] = (uint8_t)(n * 31 + len);
	return bytes_of(buf, len);
}

static struct store *new_store(uint64_t max_memory)
{
	struct store *s = store_new(max_memory, 1000000);

	assert_non_null(s);
	return s;
}

static struct store_stats stats_of(const struct store *s)
{
	struct store_stats stats;

	store_stats(s, &stats);
	return stats;
}

static bool get(struct store *s, char kind, uint64_t n, uint64_t now, struct bytes *value)
{
	struct name name;

	return store_get(s, name_of(&name, kind, n), now, value);
}

static void set(
    struct store *s, char kind, uint64_t n, struct bytes value, uint64_t ttl, uint64_t now)
{
	struct name name;

	assert_int_equal(store_set(s, name_of(&name, kind, n), value, ttl, false, now), STORE_OK);
}

static void what_is_stored_is_found(void **state)
{
	struct store *s = new_store(8 * MIB);
	struct bytes v;
	uint64_t now = 1000000;

	(void)state;
	assert_false(store_get(s, bytes_str("a"), now, &v));
	assert_int_equal(store_set(s, bytes_str("a"), bytes_str("1"), 0, false, now), STORE_OK);
	assert_true(store_get(s, bytes_str("a"), now, &v));
	assert_true(bytes_equal_str(v, "1"));
	assert_int_equal(store_set(s, bytes_str("a"), bytes_str("22"), 0, true, now), STORE_EXISTS);
	assert_int_equal(store_set(s, bytes_str("a"), bytes_str("333"), 0, false, now), STORE_OK);
	assert_true(store_get(s, bytes_str("a"), now, &v));
	assert_true(bytes_equal_str(v, "333"));
	assert_false(store_get(s, bytes_str("A"), now, &v));
	assert_true(store_has(s, bytes_str("a"), now));
	assert_true(store_del(s, bytes_str("a"), now));
	assert_false(store_del(s, bytes_str("a"), now));
	assert_false(store_has(s, bytes_str("a"), now));
	/* Empty and binary names and values. */
	assert_int_equal(
	    store_set(s, bytes_of(NULL, 0), bytes_of(NULL, 0), 0, true, now), STORE_OK);
	assert_true(store_get(s, bytes_of("", 0), now, &v));
	assert_int_equal(v.len, 0);
	assert_int_equal(
	    store_set(s, bytes_of("\0a", 2), bytes_of("\0\r\n", 3), 0, true, now), STORE_OK);
	assert_false(store_get(s, bytes_of("\0", 1), now, &v));
	assert_true(store_get(s, bytes_of("\0a", 2), now, &v));
	assert_true(bytes_equal(v, bytes_of("\0\r\n", 3)));
	assert_int_equal(stats_of(s).hits, 4);
	assert_int_equal(stats_of(s).misses, 3);
	store_free(s);
}

static void bounds_of_names_and_values_hold(void **state)
{
	struct store *s = new_store(8 * MIB);
	uint8_t *buf = value_buf();
	struct bytes v;

	(void)state;
	assert_int_equal(store_set(s, bytes_of(buf, STORE_KEY_MAX), bytes_of(buf, STORE_VALUE_MAX),
			     0, false, 1000000),
	    STORE_OK);
	assert_true(store_get(s, bytes_of(buf, STORE_KEY_MAX), 1000000, &v));
	assert_int_equal(v.len, STORE_VALUE_MAX);
	assert_int_equal(
	    store_set(s, bytes_of(buf, STORE_KEY_MAX + 1), bytes_str("x"), 0, false, 1000000),
	    STORE_TOO_LARGE);
	assert_int_equal(
	    store_set(s, bytes_str("k"), bytes_of(buf, STORE_VALUE_MAX + 1), 0, false, 1000000),
	    STORE_TOO_LARGE);
	assert_false(store_get(s, bytes_of(buf, STORE_KEY_MAX + 1), 1000000, &v));
	free(buf);
	store_free(s);
}

static void an_entry_ends_at_its_millisecond_and_is_gone_in_its_second(void **state)
{
	static const uint64_t ttls[] = { 1, 999, 1000, 1001, 1500, 59999, 60000, 64000, 3600000,
		86400000, 604800000 };

	(void)state;
	for (size_t i = 0; i < sizeof(ttls) / sizeof(ttls[0]); i++) {
		for (uint64_t start = 1000000; start < 1001000; start += 333) {
			struct store *s = store_new(8 * MIB, 5000);
			struct bytes v;
			uint64_t end = start + ttls[i];

			assert_non_null(s);
			set(s, 'a', 1, bytes_str("x"), ttls[i], start);
			set(s, 'b', 1, bytes_str("x"), ttls[i], start);
			assert_int_equal(store_ttl(s, bytes_str("nobody"), start), -2);
			assert_true(get(s, 'a', 1, end - 1, &v));
			assert_false(get(s, 'a', 1, end, &v));
			assert_int_equal(stats_of(s).expired, end % 1000 == 0 ? 2 : 1);
			/* The other one goes by itself, when its second is over. */
			store_tick(s, (end + 999) / 1000 * 1000);
			assert_int_equal(stats_of(s).expired, 2);
			assert_int_equal(stats_of(s).entries, 0);
			store_free(s);
		}
	}
}

static void an_end_can_be_moved(void **state)
{
	struct store *s = new_store(8 * MIB);
	struct name n;
	struct bytes v, name = name_of(&n, 'a', 1);

	(void)state;
	set(s, 'a', 1, bytes_str("x"), 0, 1000000);
	assert_int_equal(store_ttl(s, name, 1000000), -1);
	assert_true(store_expire(s, name, 2500, 1000000));
	assert_int_equal(store_ttl(s, name, 1000500), 2000);
	assert_true(store_expire(s, name, 10000, 1002000));
	assert_true(get(s, 'a', 1, 1011999, &v));
	set(s, 'a', 1, bytes_str("x"), 0, 1011999); /* a SET without an end takes the end away */
	assert_int_equal(store_ttl(s, name, 1012000), -1);
	assert_true(get(s, 'a', 1, 9012000, &v));
	assert_true(store_expire(s, name, 0, 9012000));
	assert_false(get(s, 'a', 1, 9012000, &v));
	assert_false(store_expire(s, name, 1, 9012000));
	assert_int_equal(store_set(s, name, bytes_str("x"), UINT64_MAX, false, 9012000), STORE_OK);
	assert_int_equal(store_ttl(s, name, 9012000), STORE_TTL_MAX_MS);
	store_free(s);
}

/* ---- a model: what the store answers is what a plain table says, or the entry was evicted. */

enum { MODEL_NAMES = 4000 };

struct model {
	struct {
		bool there;
		size_t len;
		uint64_t mark, end; /* end 0: none */
	} at[MODEL_NAMES];
};

static size_t random_len(uint64_t r)
{
	switch (r % 16) {
	case 0:
		return r / 16 % (STORE_VALUE_MAX + 1);
	case 1:
	case 2:
		return r / 16 % 5000;
	default:
		return 100 + r / 16 % 300;
	}
}

static void model_step(
    struct store *s, struct model *m, uint64_t *x, uint64_t now, uint8_t *buf, uint64_t *lost)
{
	uint64_t r = next_random(x);
	size_t i = next_random(x) % MODEL_NAMES;
	bool there = m->at[i].there && (m->at[i].end == 0 || m->at[i].end > now);
	struct name n;
	struct bytes name = name_of(&n, 'm', i), v;

	if (r % 10 < 4) {
		bool found = store_get(s, name, now, &v);

		assert_true(!found || there); /* nothing that was not put there */
		*lost += there && !found;
		m->at[i].there = found;
		if (!found)
			return;
		assert_int_equal(v.len, m->at[i].len);
		assert_memory_equal(v.at, value_of(buf, m->at[i].mark, v.len).at, v.len);
	} else if (r % 10 < 9) {
		m->at[i].there = true;
		m->at[i].mark = r;
		m->at[i].len = random_len(r >> 8);
		m->at[i].end = r % 3 == 0 ? 0 : now + 1 + (r >> 40) % 100000;
		assert_int_equal(store_set(s, name, value_of(buf, r, m->at[i].len),
				     m->at[i].end == 0 ? 0 : m->at[i].end - now, false, now),
		    STORE_OK);
		/* value_of() leaves its last mark behind: clear it for the next. */
		if (m->at[i].len > 8)
			buf[m->at[i].len - 1] = 0;
		return;
	} else {
		bool found = store_del(s, name, now);

		assert_true(!found || there);
		m->at[i].there = false;
		return;
	}
	if (m->at[i].len > 8)
		buf[m->at[i].len - 1] = 0;
}

static void it_agrees_with_a_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		/* 64 MiB hold all of it: nothing may be lost. 8 MiB do not. */
		struct store *s = new_store(seed == 1 ? 64 * MIB : 8 * MIB);
		struct model *m = calloc(1, sizeof(*m));
		uint8_t *buf = value_buf();
		uint64_t x = seed * 77777, now = 1000000, lost = 0;

		assert_non_null(m);
		for (int i = 0; i < 200000; i++) {
			model_step(s, m, &x, now, buf, &lost);
			now += next_random(&x) % 40;
			assert_true(stats_of(s).used_memory <= stats_of(s).max_memory);
		}
		if (seed == 1)
			assert_int_equal(lost + stats_of(s).evicted, 0);
		else
			assert_true(lost > 0 && stats_of(s).pages_moved > 0);
		/* All that has an end ends; the rest can be deleted: the count comes to nothing. */
		store_tick(s, now + 200000);
		for (size_t i = 0; i < MODEL_NAMES; i++) {
			struct name n;

			store_del(s, name_of(&n, 'm', i), now + 200000);
		}
		assert_int_equal(stats_of(s).entries, 0);
		assert_int_equal(stats_of(s).used_memory, stats_of(s).index_memory);
		free(buf);
		free(m);
		store_free(s);
	}
}

/* ---- floods */

/* n entries of len bytes, each read once. */
static void put_and_read(struct store *s, char kind, uint64_t n, size_t len, uint64_t now)
{
	uint8_t *buf = value_buf();
	struct bytes v;

	for (uint64_t i = 0; i < n; i++) {
		set(s, kind, i, bytes_of(buf, len), 0, now);
		assert_true(get(s, kind, i, now, &v));
	}
	free(buf);
}

static uint64_t count_left(struct store *s, char kind, uint64_t n, uint64_t now)
{
	struct name name;
	uint64_t left = 0;

	for (uint64_t i = 0; i < n; i++)
		left += store_has(s, name_of(&name, kind, i), now);
	return left;
}

static void flood(struct store *s, uint64_t n, size_t min, size_t max, uint64_t *now)
{
	uint8_t *buf = value_buf();
	uint64_t x = 4711;

	for (uint64_t i = 0; i < n; i++) {
		size_t len = min + next_random(&x) % (max - min + 1);

		set(s, 'f', i, bytes_of(buf, len), 3600000, *now);
		*now += i % 2;
		assert_true(stats_of(s).used_memory <= stats_of(s).max_memory);
	}
	free(buf);
}

static void a_flood_cannot_push_out_what_was_read(void **state)
{
	static const struct {
		size_t min, max;
		uint64_t n;
	} floods[] = {
		{ 200, 200, 200000 }, /* of the same size */
		{ 0, 3, 400000 }, /* tiny: fills the index first */
		{ 900, 1000, 50000 }, /* of another size: takes pages */
		{ 65536, 65536, 1000 }, /* the largest */
		{ 0, 65536, 3000 }, /* all */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
		struct store *s = new_store(16 * MIB);
		uint64_t now = 1000000, n = 16 * MIB * 6 / 10 / 320; /* 60 % of it */

		put_and_read(s, 'p', n, 200, now);
		assert_int_equal(count_left(s, 'p', n, now), n);
		flood(s, floods[i].n, floods[i].min, floods[i].max, &now);
		if (count_left(s, 'p', n, now) != n)
			fail_msg("flood %zu: %llu of %llu are left", i,
			    (unsigned long long)count_left(s, 'p', n, now), (unsigned long long)n);
		assert_true(stats_of(s).evicted > 0);
		assert_int_equal(stats_of(s).evicted_read, 0);
		/* And the flood itself was never refused: its last entry is there. */
		assert_int_equal(count_left(s, 'f', floods[i].n, now) > 0, 1);
		store_free(s);
	}
}

static void nothing_is_refused_whatever_came_before(void **state)
{
	static const size_t lens[] = { 0, 65536, 200, 30000, 1000, 5000, 65000, 64 };
	uint8_t *buf = value_buf();
	struct store *s = new_store(STORE_MEMORY_MIN);
	uint64_t now = 1000000;
	struct bytes v;

	(void)state;
	for (size_t round = 0; round < sizeof(lens) / sizeof(lens[0]); round++) {
		/* All read: all protected, so the next size finds no page that is free to go. */
		for (uint64_t i = 0; i < 60000; i++) {
			set(s, (char)('a' + round), i, bytes_of(buf, lens[round]), 0, now);
			assert_true(get(s, (char)('a' + round), i, now, &v));
			now += i % 50 == 0;
			if (lens[round] > 10000 && i > 1000)
				break;
		}
		assert_true(stats_of(s).used_memory <= STORE_MEMORY_MIN);
	}
	free(buf);
	store_free(s);
}

static void memory_follows_what_is_asked_for(void **state)
{
	struct store *s = new_store(16 * MIB);
	uint64_t now = 1000000, left;

	(void)state;
	/* Entries of 200 bytes fill it, then the sessions get larger: those take over most of it. */
	flood(s, 100000, 200, 200, &now);
	for (uint64_t i = 0; i < 60000; i++) {
		uint8_t value[900] = { 0 };

		set(s, 'g', i, bytes_of(value, sizeof(value)), 3600000, now);
		now += 10;
	}
	left = count_left(s, 'g', 60000, now);
	assert_true(left * 1024 > 12 * MIB);
	store_free(s);
}

static void expired_entries_make_room_first(void **state)
{
	struct store *s = new_store(16 * MIB);
	uint8_t *buf = value_buf();
	uint64_t now = 1000000;

	(void)state;
	for (uint64_t i = 0; i < 20000; i++)
		set(s, 'a', i, bytes_of(buf, 200), 0, now); /* unread, older */
	for (uint64_t i = 0; i < 20000; i++)
		set(s, 'b', i, bytes_of(buf, 200), 5000, now);
	assert_int_equal(stats_of(s).evicted, 0);
	now += 6000;
	for (uint64_t i = 0; i < 20000; i++)
		set(s, 'c', i, bytes_of(buf, 200), 0, now);
	assert_int_equal(stats_of(s).evicted, 0);
	assert_int_equal(stats_of(s).expired, 20000);
	assert_int_equal(count_left(s, 'a', 20000, now), 20000);
	store_free(s);
	/* Also when the room has to change its size: here half of each page falls free. */
	s = new_store(16 * MIB);
	for (uint64_t i = 0; i < 20000; i++) {
		set(s, 'a', i, bytes_of(buf, 200), 0, now);
		set(s, 'b', i, bytes_of(buf, 200), 1000, now);
	}
	now += 2000;
	for (uint64_t i = 0; i < 5000; i++)
		set(s, 'c', i, bytes_of(buf, 900), 0, now);
	assert_int_equal(stats_of(s).evicted, 0);
	assert_true(stats_of(s).pages_moved > 0);
	assert_int_equal(count_left(s, 'a', 20000, now), 20000);
	assert_int_equal(count_left(s, 'c', 5000, now), 5000);
	free(buf);
	store_free(s);
}

static void the_age_at_eviction_is_told(void **state)
{
	struct store *s = new_store(8 * MIB);
	uint8_t value[200] = { 0 };
	uint64_t now = 1000000;
	struct store_stats stats;

	(void)state;
	for (uint64_t i = 0; i < 100000; i++) {
		set(s, 'a', i, bytes_of(value, sizeof(value)), 0, now);
		now += 1;
	}
	stats = stats_of(s);
	assert_true(stats.evicted > 50000);
	/* Some 25,000 entries of 288 bytes live at a time, one a millisecond. */
	assert_in_range(stats.evicted_age_last_s, 15, 30);
	assert_in_range(stats.evicted_age_s / stats.evicted, 15, 30);
	store_free(s);
}

static void a_flush_leaves_nothing(void **state)
{
	struct store *s = new_store(8 * MIB);
	uint64_t now = 1000000;

	(void)state;
	put_and_read(s, 'p', 1000, 200, now);
	flood(s, 2000, 0, 5000, &now);
	store_flush(s);
	assert_int_equal(stats_of(s).entries, 0);
	assert_int_equal(stats_of(s).used_memory, stats_of(s).index_memory);
	flood(s, 2000, 0, 5000, &now);
	assert_true(stats_of(s).entries > 0);
	store_free(s);
}

/* Not a measurement: that it does not get slow with many entries. Figures: bench/. */
static enum store_result claim(struct store *s, uint64_t n, uint64_t ttl_ms, uint64_t now)
{
	char name[32];

	snprintf(name, sizeof(name), STORE_CLAIM_PREFIX "%llu", (unsigned long long)n);
	return store_set(s, bytes_str(name), bytes_str("1"), ttl_ms, true, now);
}

/* Whatever the others store; and they never get more than a tenth. */
static void claims_outlive_every_flood_until_their_end(void **state)
{
	struct store *s = store_new(8u << 20, 1000);
	struct store_stats stats;
	uint64_t n = 0, now = 1000;

	(void)state;
	flood(s, 100000, 100, 2000, &now);
	while (claim(s, n, 600000, now) == STORE_OK)
		n++;
	assert_int_equal(claim(s, n, 600000, now), STORE_FULL);
	store_stats(s, &stats);
	assert_int_equal(stats.claims, n);
	assert_int_equal(stats.claims_max, n);
	assert_int_equal(stats.claims_refused, 2);
	assert_true(stats.claims_memory <= stats.max_memory / 10);
	assert_true(n > 8 << 20 >> 12); /* more than one for 4 KiB of memory */
	flood(s, 100000, 100, 60000, &now);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(claim(s, i, 600000, now), STORE_EXISTS);
	store_flush(s);
	assert_int_equal(claim(s, 0, 2000, now), STORE_OK);
	assert_false(store_del(s, bytes_str("claim:0"), now));
	assert_false(store_expire(s, bytes_str("claim:0"), 0, now));
	assert_int_equal(
	    store_set(s, bytes_str("claim:0"), bytes_str("2"), 9, false, now), STORE_CLAIM);
	assert_int_equal(claim(s, 1, 0, now), STORE_CLAIM);
	assert_int_equal(claim(s, 0, 2000, now + 1999), STORE_EXISTS);
	assert_int_equal(claim(s, 0, 2000, now + 2000), STORE_OK);
	store_tick(s, now + 60000);
	store_stats(s, &stats);
	assert_int_equal(stats.claims, 0);
	assert_int_equal(stats.claims_memory, 0);
	store_free(s);
}

static void a_claim_that_is_too_long_is_refused(void **state)
{
	struct store *s = store_new(STORE_MEMORY_MIN, 1000);
	char name[STORE_CLAIM_MAX + 1] = STORE_CLAIM_PREFIX;

	(void)state;
	memset(name + 6, 'x', sizeof(name) - 6);
	assert_int_equal(
	    store_set(s, bytes_of(name, sizeof(name) - 1), bytes_str("1"), 9, true, 1000),
	    STORE_TOO_LARGE);
	assert_int_equal(
	    store_set(s, bytes_of(name, sizeof(name) - 2), bytes_str("1"), 9, true, 1000),
	    STORE_OK);
	store_free(s);
}

static void a_million_entries_are_as_quick_as_few(void **state)
{
	struct store *s = new_store(512 * MIB);
	uint8_t value[200] = { 0 };
	struct bytes v;
	uint64_t x = 99, found = 0;

	(void)state;
	for (uint64_t i = 0; i < 1200000; i++)
		set(s, 'a', i, bytes_of(value, sizeof(value)), 3600000, 1000000 + i / 1000);
	assert_int_equal(stats_of(s).evicted, 0);
	assert_int_equal(stats_of(s).entries, 1200000);
	for (uint64_t i = 0; i < 500000; i++)
		found += get(s, 'a', next_random(&x) % 1200000, 1002000, &v);
	assert_int_equal(found, 500000);
	store_tick(s, 1000000 + 1200 + 3600000 + 1000);
	assert_int_equal(stats_of(s).entries, 0);
	assert_int_equal(stats_of(s).expired, 1200000);
	store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_stored_is_found),
		cmocka_unit_test(bounds_of_names_and_values_hold),
		cmocka_unit_test(an_entry_ends_at_its_millisecond_and_is_gone_in_its_second),
		cmocka_unit_test(an_end_can_be_moved),
		cmocka_unit_test(it_agrees_with_a_model),
		cmocka_unit_test(a_flood_cannot_push_out_what_was_read),
		cmocka_unit_test(nothing_is_refused_whatever_came_before),
		cmocka_unit_test(memory_follows_what_is_asked_for),
		cmocka_unit_test(expired_entries_make_room_first),
		cmocka_unit_test(the_age_at_eviction_is_told),
		cmocka_unit_test(a_flush_leaves_nothing),
		cmocka_unit_test(claims_outlive_every_flood_until_their_end),
		cmocka_unit_test(a_claim_that_is_too_long_is_refused),
		cmocka_unit_test(a_million_entries_are_as_quick_as_few),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
