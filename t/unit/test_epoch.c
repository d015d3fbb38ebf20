/* test_epoch.c: derivation against fixed vectors, the Rule, the gateway's set over time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/epoch.h"
#include "crypto/mkcert.h"

#include "t/vectors/crypto.h"

#include "base/poison.h"

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS };

static void derivation_matches_the_vectors(void **state)
{
	struct scope scope = { .site = "shop.example.com", .verify = 2, .depth = 3, .crl = 1 };
	uint8_t out[32];
	struct scope_keys keys;
	struct kit *kit = kit_new();

	(void)state;
	assert_int_equal(epoch_group_key(kit, vec_epoch_key, bytes_str("shop"), out), 0);
	assert_memory_equal(out, vec_group_key, 32);
	assert_int_equal(scope_ca_digest(NULL, scope.ca_digest), 0);
	scope_hash(&scope, out);
	assert_memory_equal(out, vec_scope, 32);
	assert_int_equal(scope_keys_derive(kit, vec_group_key, vec_scope, 0x0303, &keys), 0);
	assert_memory_equal(keys.ticket_cipher, vec_ticket_0303, 32);
	assert_memory_equal(keys.ticket_hmac, vec_ticket_0303 + 32, 32);
	assert_memory_equal(keys.seal, vec_seal_0303, 64);
	assert_memory_equal(keys.name, vec_name_0303, 10);
	assert_int_equal(scope_keys_derive(kit, vec_group_key, vec_scope, 0x0304, &keys), 0);
	assert_memory_equal(keys.ticket_cipher, vec_ticket_0304, 32);
	assert_memory_equal(keys.seal, vec_seal_0304, 64);
	assert_memory_equal(keys.name, vec_name_0304, 10);
	kit_free(kit);
}

static void every_part_of_a_scope_counts(void **state)
{
	struct scope a = { .site = "a", .verify = 1, .depth = 2, .crl = 0 }, b;
	uint8_t ha[32], hb[32];

	(void)state;
	scope_hash(&a, ha);
	b = a, b.site = "b";
	scope_hash(&b, hb), assert_memory_not_equal(ha, hb, 32);
	b = a, b.verify = 2;
	scope_hash(&b, hb), assert_memory_not_equal(ha, hb, 32);
	b = a, b.depth = 1;
	scope_hash(&b, hb), assert_memory_not_equal(ha, hb, 32);
	b = a, b.crl = 1;
	scope_hash(&b, hb), assert_memory_not_equal(ha, hb, 32);
	b = a, b.ca_digest[31] = 1;
	scope_hash(&b, hb), assert_memory_not_equal(ha, hb, 32);
	scope_hash(&a, hb), assert_memory_equal(ha, hb, 32);
}

static void ca_digest_ignores_order_and_copies(void **state)
{
	STACK_OF(X509) *one = sk_X509_new_null(), *two = sk_X509_new_null();
	const char *names[] = { "a" };
	EVP_PKEY *key[2];
	X509 *cert[2];
	uint8_t a[32], b[32];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(mkcert(names, 1, 30, &key[i], &cert[i]), 0);
	sk_X509_push(one, cert[0]), sk_X509_push(one, cert[1]);
	sk_X509_push(two, cert[1]), sk_X509_push(two, cert[0]), sk_X509_push(two, cert[1]);
	assert_int_equal(scope_ca_digest(one, a), 0);
	assert_int_equal(scope_ca_digest(two, b), 0);
	assert_memory_equal(a, b, 32);
	sk_X509_pop(one);
	assert_int_equal(scope_ca_digest(one, a), 0);
	assert_memory_not_equal(a, b, 32);
	sk_X509_free(one), sk_X509_free(two);
	for (int i = 0; i < 2; i++)
		X509_free(cert[i]), EVP_PKEY_free(key[i]);
}

/* ---- the set */

static struct epoch_record record(uint16_t tag, uint8_t kind, uint64_t start, uint64_t e)
{
	struct epoch_record r = { .kind = kind, .start = start, .e = e };

	r.id[0] = (uint8_t)(tag >> 8);
	r.id[1] = (uint8_t)tag;
	memset(r.group_key, (int)(tag + e), sizeof(r.group_key));
	return r;
}

struct answer {
	uint8_t buf[EPOCH_ANSWER_MAX];
	struct writer w;
};

static struct answer *answer_new(const struct epoch_set *revoked)
{
	struct answer *a = malloc(sizeof(*a));

	a->w = writer_of(a->buf, sizeof(a->buf));
	epoch_answer_begin(&a->w, 1800000000, revoked);
	return a;
}

/* The server's record as it would write it, at now = begin of epoch e_now and a period of an hour. */
static void add(struct answer *a, uint64_t e_now, const struct epoch_record *r)
{
	uint64_t until = r->e > e_now ? (r->e - e_now) * 3600 : 0;

	epoch_answer_add(&a->w, r, (uint32_t)until, (uint32_t)((r->e + 25 - e_now) * 3600));
}

static void take(struct answer *a, uint64_t now_ms, struct epoch_set *set)
{
	uint64_t unix_now;

	assert_true(a->w.ok);
	assert_int_equal(
	    epoch_answer_parse(bytes_of(a->buf, writer_len(&a->w)), now_ms, set, &unix_now),
	    PARSE_OK);
	assert_int_equal(unix_now, 1800000000);
	free(a);
}

static void set_follows_the_clock(void **state)
{
	struct epoch_set *set = calloc(1, sizeof(*set));
	struct answer *a = answer_new(NULL);
	uint64_t now = 5 * DAY_MS;

	(void)state;
	for (uint64_t e = 976; e <= 1001; e++) { /* now is 1000: the window of 24, and the next */
		struct epoch_record r = record(0x0102, EPOCH_MADE, 900, e);

		add(a, 1000, &r);
	}
	take(a, now, set);
	assert_int_equal(set->n, 26);
	assert_int_equal(epoch_set_current(set, now)->e, 1000);
	assert_int_equal(epoch_set_next(set, now), now + HOUR_MS);
	assert_int_equal(epoch_set_current(set, now + HOUR_MS - 1)->e, 1000);
	assert_int_equal(epoch_set_current(set, now + HOUR_MS)->e, 1001);
	assert_int_equal(epoch_set_current(set, now + 2 * HOUR_MS - 1)->e, 1001);
	/* No answer came any more: nothing new is made, what there is is taken until it is void. */
	assert_null(epoch_set_current(set, now + 2 * HOUR_MS));
	assert_non_null(epoch_set_find(set, now, 0x0102, 976));
	assert_non_null(epoch_set_find(set, now, 0x0102, 1001));
	assert_null(epoch_set_find(set, now, 0x0102, 975));
	assert_null(epoch_set_find(set, now, 0x0103, 1000));
	assert_null(epoch_set_find(set, now + HOUR_MS, 0x0102, 976));
	assert_non_null(epoch_set_find(set, now + HOUR_MS, 0x0102, 977));
	assert_int_equal(epoch_set_expire(set, now + HOUR_MS), 25);
	assert_int_equal(epoch_set_expire(set, now + 26 * HOUR_MS), 0);
	for (size_t i = 0; i < 26; i++) /* wiped, not only forgotten */
		assert_int_equal(set->at[i].group_key[0] | set->at[i].group_key[31], 0);
	free(set);
}

static void an_hour_after_boot_works_too(void **state)
{
	struct epoch_set *set = calloc(1, sizeof(*set));
	struct answer *a = answer_new(NULL);
	struct epoch_record r = record(0x0102, EPOCH_ORPHAN, 1000, 1000);

	(void)state;
	add(a, 1000, &r);
	take(a, 10, set);
	assert_int_equal(epoch_set_current(set, 10)->e, 1000);
	assert_int_equal(epoch_set_next(set, 10), 10 + HOUR_MS);
	free(set);
}

static void only_the_low_24_bits_of_the_epoch_are_named(void **state)
{
	struct epoch_set *set = calloc(1, sizeof(*set));
	struct answer *a = answer_new(NULL);
	uint64_t e = 0x1000002;
	struct epoch_record r = record(0x0102, EPOCH_MADE, 1, e);

	(void)state;
	add(a, e, &r);
	take(a, 0, set);
	assert_int_equal(epoch_e24(&r), 2);
	assert_ptr_equal(epoch_set_find(set, 0, 0x0102, 2), &set->at[0]);
	free(set);
}

static void loser_of_an_epoch_is_not_accepted(void **state)
{
	static const struct {
		struct {
			uint16_t tag;
			uint8_t kind;
			uint64_t start;
		} winner, loser;
	} cases[] = {
		{ { 9, EPOCH_MADE, 10 }, { 1, EPOCH_MADE, 9 } }, /* the latest made */
		{ { 1, EPOCH_MADE, 10 }, { 2, EPOCH_MADE, 10 } }, /* ties: the lowest id */
		{ { 9, EPOCH_MADE, 20 }, { 1, EPOCH_ORPHAN, 10 } }, /* made before orphan */
		{ { 9, EPOCH_MADE, 10 }, { 1, EPOCH_ORPHAN, 20 } },
		{ { 9, EPOCH_ORPHAN, 9 }, { 1, EPOCH_ORPHAN, 10 } }, /* the earliest orphan */
		{ { 1, EPOCH_ORPHAN, 10 }, { 2, EPOCH_ORPHAN, 10 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct epoch_record w = record(
		    cases[i].winner.tag, cases[i].winner.kind, cases[i].winner.start, 30);
		struct epoch_record l = record(
		    cases[i].loser.tag, cases[i].loser.kind, cases[i].loser.start, 30);

		for (int turn = 0; turn < 2; turn++) { /* whichever comes first */
			struct epoch_set *set = calloc(1, sizeof(*set)),
					 *other = calloc(1, sizeof(*set));
			struct answer *a = answer_new(NULL), *b = answer_new(NULL);

			add(a, 30, turn ? &l : &w);
			add(b, 30, turn ? &w : &l);
			take(a, 0, set), take(b, 0, other);
			assert_int_equal(epoch_set_merge(set, other, 0), 0);
			assert_int_equal(epoch_set_merge(set, other, 0), 0); /* known already */
			assert_int_equal(set->n, 2);
			/* Until the epoch ends what is used goes on being used. */
			assert_int_equal(epoch_tag(epoch_set_current(set, 0)),
			    turn ? cases[i].loser.tag : cases[i].winner.tag);
			assert_int_equal(epoch_set_next(set, HOUR_MS - 1), HOUR_MS);
			assert_int_equal(epoch_tag(epoch_set_current(set, HOUR_MS - 1)),
			    turn ? cases[i].loser.tag : cases[i].winner.tag);
			assert_non_null(epoch_set_find(set, HOUR_MS, cases[i].winner.tag, 30));
			assert_null(epoch_set_find(set, HOUR_MS, cases[i].loser.tag, 30));
			free(set), free(other);
		}
	}
}

static void revocation_outranks_records(void **state)
{
	struct epoch_set *set = calloc(1, sizeof(*set)), *other = calloc(1, sizeof(*set));
	struct epoch_record bad = record(0x0500, EPOCH_MADE, 20, 30),
			    good = record(0x0600, EPOCH_MADE, 10, 30);
	struct answer *a = answer_new(NULL), *b;

	(void)state;
	add(a, 30, &bad), add(a, 30, &good);
	take(a, 0, set);
	assert_int_equal(epoch_tag(epoch_set_current(set, 0)), 0x0500);
	memcpy(other->revoked[0], bad.id, sizeof(bad.id));
	other->revoked_n = 1;
	b = answer_new(other);
	add(b, 30, &bad); /* a slow server still sends it */
	take(b, 0, other);
	assert_int_equal(other->revoked_n, 1);
	assert_null(epoch_set_current(other, 0));
	assert_int_equal(epoch_set_merge(set, other, 0), 0);
	assert_int_equal(epoch_tag(epoch_set_current(set, 0)), 0x0600);
	assert_null(epoch_set_find(set, 0, 0x0500, 30));
	assert_int_equal(epoch_set_expire(set, 0), 1);
	free(set), free(other);
}

static void revocation_switches_at_once(void **state)
{
	struct epoch_set *set = calloc(1, sizeof(*set)), *other = calloc(1, sizeof(*set));
	struct epoch_record stolen = record(0x0500, EPOCH_MADE, 20, 30),
			    fresh = record(0x0600, EPOCH_MADE, 30, 30);
	struct answer *a = answer_new(NULL), *b = answer_new(NULL);

	(void)state;
	add(a, 30, &stolen), add(b, 30, &stolen), add(b, 30, &fresh);
	take(a, 0, set);
	take(b, 0, other);
	assert_int_equal(epoch_set_merge(set, other, 0), 0);
	assert_int_equal(epoch_tag(epoch_set_current(set, 0)), 0x0500); /* until the next epoch */
	assert_true(epoch_set_knows(set, fresh.id));
	assert_true(epoch_set_revoke(set, &stolen.id, 1));
	assert_false(epoch_set_revoke(set, &stolen.id, 1));
	assert_int_equal(epoch_tag(epoch_set_current(set, 0)), 0x0600);
	assert_false(epoch_set_knows(set, stolen.id));
	assert_null(epoch_set_find(set, 0, 0x0500, 30));
	assert_int_equal(set->at[1].group_key[0] | set->at[1].group_key[31], 0); /* wiped */
	/* Both in one answer, to a gateway that knew of neither. */
	epoch_set_clear(set);
	add(a = answer_new(NULL), 30, &stolen);
	take(a, 0, set);
	memcpy(other->revoked[other->revoked_n++], stolen.id, sizeof(stolen.id));
	assert_int_equal(epoch_set_merge(set, other, 0), 0);
	assert_int_equal(epoch_tag(epoch_set_current(set, 0)), 0x0600);
	free(set), free(other);
}

/* Two generations with the same first two bytes: the name does not tell them apart, the Rule does. */
static void one_tag_of_two_ids_finds_the_ruler(void **state)
{
	struct epoch_set *set = calloc(1, sizeof(*set));
	struct epoch_record a = record(0x0500, EPOCH_MADE, 20, 30),
			    b = record(0x0500, EPOCH_MADE, 25, 30),
			    c = record(0x0500, EPOCH_MADE, 20, 24);
	struct answer *answer = answer_new(NULL);

	(void)state;
	b.id[7] = 1;
	add(answer, 30, &a), add(answer, 30, &b), add(answer, 30, &c);
	take(answer, 0, set);
	assert_int_equal(epoch_set_find(set, 0, 0x0500, 30)->id[7], 1);
	assert_int_equal(epoch_set_find(set, 0, 0x0500, 24)->id[7], 0);
	free(set);
}

static void ids_are_read_whole_or_not_at_all(void **state)
{
	uint8_t buf[8 + 1 + 8 + 17] = { 0 };
	struct epoch_ids *ids = calloc(1, sizeof(*ids));

	(void)state;
	buf[8] = 1;
	memset(buf + 9, 7, 8);
	memset(buf + 17, 9, 8);
	buf[25] = EPOCH_ORPHAN;
	for (size_t n = 0; n < sizeof(buf); n++) {
		assert_int_equal(epoch_ids_parse(bytes_of(buf, n), ids),
		    n == 17 ? PARSE_OK : PARSE_BAD); /* none rules: an answer too */
		assert_int_equal(ids->n, 0);
	}
	assert_int_equal(epoch_ids_parse(bytes_of(buf, sizeof(buf)), ids), PARSE_OK);
	assert_int_equal(ids->n, 1);
	assert_int_equal(ids->revoked_n, 1);
	assert_int_equal(ids->at[0][0], 9);
	assert_int_equal(ids->revoked[0][7], 7);
	buf[25] = 3;
	assert_int_equal(epoch_ids_parse(bytes_of(buf, sizeof(buf)), ids), PARSE_BAD);
	free(ids);
}

static void broken_answers_leave_nothing(void **state)
{
	struct epoch_set *set = calloc(1, sizeof(*set));
	struct epoch_record r = record(0x0102, EPOCH_MADE, 20, 30);
	struct answer *a = answer_new(NULL);
	uint64_t unix_now;
	size_t len;

	(void)state;
	add(a, 30, &r);
	len = writer_len(&a->w);
	for (size_t n = 0; n < len; n++) {
		/* With no record at all it is an answer too: the service has no epoch. */
		enum parse want = n == 9 ? PARSE_OK : PARSE_BAD;

		assert_int_equal(epoch_answer_parse(bytes_of(a->buf, n), 0, set, &unix_now), want);
		assert_int_equal(set->n, 0);
	}
	a->buf[8] = 2; /* more revoked ids than there are bytes for: the record is eaten up */
	assert_int_equal(epoch_answer_parse(bytes_of(a->buf, len), 0, set, &unix_now), PARSE_BAD);
	a->buf[8] = 0;
	a->buf[9 + 8] = 3; /* kind */
	assert_int_equal(epoch_answer_parse(bytes_of(a->buf, len), 0, set, &unix_now), PARSE_BAD);
	a->buf[9 + 8] = EPOCH_MADE;
	a->buf[9 + 9] = 1; /* start after e */
	assert_int_equal(epoch_answer_parse(bytes_of(a->buf, len), 0, set, &unix_now), PARSE_BAD);
	a->buf[9 + 9] = 0;
	a->buf[9] = a->buf[10] = 0; /* tag 0 */
	assert_int_equal(epoch_answer_parse(bytes_of(a->buf, len), 0, set, &unix_now), PARSE_BAD);
	a->buf[9] = 1;
	memcpy(a->buf + len, a->buf + 9, len - 9); /* twice the same */
	assert_int_equal(
	    epoch_answer_parse(bytes_of(a->buf, 2 * len - 9), 0, set, &unix_now), PARSE_BAD);
	assert_int_equal(epoch_answer_parse(bytes_of(a->buf, len), 0, set, &unix_now), PARSE_OK);
	free(a), free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(derivation_matches_the_vectors),
		cmocka_unit_test(every_part_of_a_scope_counts),
		cmocka_unit_test(ca_digest_ignores_order_and_copies),
		cmocka_unit_test(set_follows_the_clock),
		cmocka_unit_test(an_hour_after_boot_works_too),
		cmocka_unit_test(only_the_low_24_bits_of_the_epoch_are_named),
		cmocka_unit_test(loser_of_an_epoch_is_not_accepted),
		cmocka_unit_test(revocation_outranks_records),
		cmocka_unit_test(revocation_switches_at_once),
		cmocka_unit_test(one_tag_of_two_ids_finds_the_ruler),
		cmocka_unit_test(ids_are_read_whole_or_not_at_all),
		cmocka_unit_test(broken_answers_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
