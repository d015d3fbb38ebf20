/* test_generation.c: the ratchet against fixed vectors, the window, the Rule over time, the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/generation.h"

#include "t/vectors/crypto.h"

#include "base/poison.h"

enum { HOUR = 3600, EPOCH = 487654, FILE_MAX = GENERATIONS_FILE_MAX };

struct fixture {
	struct kit *kit;
	struct generations g;
	struct epoch_set set;
	uint8_t buf[EPOCH_ANSWER_MAX];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->kit = kit_new();
	generations_init(&f->g, HOUR);
	*state = f;
	return f->kit == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kit_free(f->kit);
	generations_clear(&f->g);
	free(f);
	return 0;
}

static uint64_t at(uint64_t e)
{
	return e * HOUR;
}

static struct generation *put(struct fixture *f, uint8_t tag, uint8_t kind, uint64_t start)
{
	struct generation *x = &f->g.at[f->g.n++];

	memset(x, 0, sizeof(*x));
	memcpy(x->id, vec_generation_id, sizeof(x->id));
	x->id[0] = tag;
	memcpy(x->secret, vec_secret, sizeof(x->secret));
	x->kind = kind;
	x->start = x->base = start;
	return x;
}

/* What a gateway makes of the answer. */
static const struct epoch_record *answered(struct fixture *f, uint64_t unix_now, uint64_t e)
{
	struct writer w = writer_of(f->buf, sizeof(f->buf));
	uint64_t server;

	assert_int_equal(generations_answer(&f->g, f->kit, bytes_str("shop"), unix_now, &w), 0);
	assert_int_equal(
	    epoch_answer_parse(bytes_of(f->buf, writer_len(&w)), 0, &f->set, &server), PARSE_OK);
	assert_int_equal(server, unix_now);
	for (size_t i = 0; i < f->set.n; i++) {
		if (f->set.at[i].e == e)
			return &f->set.at[i];
	}
	return NULL;
}

static void answers_match_the_vectors(void **state)
{
	struct fixture *f = *state;

	put(f, vec_generation_id[0], EPOCH_MADE, EPOCH);
	assert_memory_equal(answered(f, at(EPOCH), EPOCH)->group_key, vec_group_key, 32);
	assert_memory_equal(
	    answered(f, at(EPOCH + 26), EPOCH + 27)->group_key, vec_group_key_27, 32);
	/* The same after moving on. */
	assert_int_equal(generations_advance(&f->g, f->kit, at(EPOCH + 24)), 0);
	assert_int_equal(generations_advance(&f->g, f->kit, at(EPOCH + 25)),
	    1); /* at once, not an epoch later */
	assert_int_equal(f->g.at[0].base, EPOCH + 1);
	assert_int_equal(generations_advance(&f->g, f->kit, at(EPOCH + 30)), 1);
	assert_int_equal(f->g.at[0].base, EPOCH + 6);
	assert_memory_equal(
	    answered(f, at(EPOCH + 30), EPOCH + 27)->group_key, vec_group_key_27, 32);
	assert_int_equal(generations_advance(&f->g, f->kit, at(EPOCH + 30)), 0);
	assert_int_equal(generations_advance(&f->g, f->kit, at(EPOCH + 27 + 24)), 1);
	assert_memory_equal(f->g.at[0].secret, vec_secret_27, 32);
	/* What is past the window is gone for good. */
	assert_null(answered(f, at(EPOCH + 30), EPOCH + 26));
	assert_non_null(answered(f, at(EPOCH + 30), EPOCH + 27));
}

static void answer_covers_the_window_and_the_next_epoch(void **state)
{
	struct fixture *f = *state;

	put(f, 1, EPOCH_MADE, EPOCH - 100);
	assert_non_null(answered(f, at(EPOCH) + 100, EPOCH));
	assert_int_equal(f->set.n, 26);
	assert_null(answered(f, at(EPOCH), EPOCH + 2));
	assert_null(answered(f, at(EPOCH), EPOCH - 25));
	assert_non_null(answered(f, at(EPOCH), EPOCH - 24));
	assert_int_equal(answered(f, at(EPOCH) + 100, EPOCH + 1)->current_at, (HOUR - 100) * 1000);
	assert_int_equal(answered(f, at(EPOCH) + 100, EPOCH)->current_at, 0);
	assert_int_equal(answered(f, at(EPOCH) + 100, EPOCH)->void_at, (25 * HOUR - 100) * 1000);
	assert_int_equal(answered(f, at(EPOCH) + 100, EPOCH - 24)->void_at, (HOUR - 100) * 1000);
}

static void group_and_id_make_the_key(void **state)
{
	struct fixture *f = *state;
	struct writer w = writer_of(f->buf, sizeof(f->buf));
	uint8_t shop[32];
	uint64_t server;

	put(f, 1, EPOCH_MADE, EPOCH);
	memcpy(shop, answered(f, at(EPOCH), EPOCH)->group_key, 32);
	assert_int_equal(generations_answer(&f->g, f->kit, bytes_str("shoq"), at(EPOCH), &w), 0);
	assert_int_equal(
	    epoch_answer_parse(bytes_of(f->buf, writer_len(&w)), 0, &f->set, &server), PARSE_OK);
	assert_memory_not_equal(f->set.at[0].group_key, shop, 32);
	f->g.at[0].id[7] ^= 1;
	assert_memory_not_equal(answered(f, at(EPOCH), EPOCH)->group_key, shop, 32);
}

static void made_rules_from_its_start_on(void **state)
{
	struct fixture *f = *state;

	put(f, 1, EPOCH_ORPHAN, EPOCH);
	put(f, 2, EPOCH_ORPHAN, EPOCH - 1);
	put(f, 3, EPOCH_MADE, EPOCH + 5);
	put(f, 4, EPOCH_MADE, EPOCH + 9);
	assert_null(generations_ruler(&f->g, EPOCH - 2));
	assert_int_equal(generations_ruler(&f->g, EPOCH - 1)->id[0], 2);
	assert_int_equal(generations_ruler(&f->g, EPOCH + 4)->id[0], 2);
	assert_int_equal(generations_ruler(&f->g, EPOCH + 5)->id[0], 3);
	assert_int_equal(generations_ruler(&f->g, EPOCH + 8)->id[0], 3);
	assert_int_equal(generations_ruler(&f->g, EPOCH + 9)->id[0], 4);
	/* 1 never rules; it goes at once. 2 goes when its last epoch, +4, leaves the window. */
	assert_int_equal(generations_advance(&f->g, f->kit, at(EPOCH)), 1);
	assert_int_equal(f->g.n, 3);
	assert_true(generations_advance(&f->g, f->kit, at(EPOCH + 4 + 24)) >= 0);
	assert_int_equal(f->g.n, 3);
	assert_int_equal(answered(f, at(EPOCH + 28), EPOCH + 4)->id[0], 2);
	assert_int_equal(answered(f, at(EPOCH + 28), EPOCH + 5)->id[0], 3);
	assert_int_equal(answered(f, at(EPOCH + 28), EPOCH + 9)->id[0], 4);
	assert_int_equal(generations_advance(&f->g, f->kit, at(EPOCH + 5 + 24)), 1);
	assert_int_equal(f->g.n, 2);
	assert_int_equal(f->g.at[0].id[0], 3);
	assert_int_equal(
	    f->g.at[2].secret[0] | f->g.at[2].secret[31] | f->g.at[2].id[0], 0); /* wiped */
}

static void new_ones_are_made_in_time(void **state)
{
	struct fixture *f = *state;
	uint64_t now = at(EPOCH), week = 7 * 24 * HOUR;

	assert_true(generations_due(&f->g, now, week));
	assert_int_equal(generations_make(&f->g, EPOCH_ORPHAN, now, false), 0);
	assert_int_equal(f->g.at[0].start, EPOCH);
	assert_false(generations_due(&f->g, now, week));
	assert_false(generations_due(&f->g, now + week - HOUR, week));
	assert_true(generations_due(&f->g, now + week, week));
	assert_int_equal(generations_make(&f->g, EPOCH_MADE, now + week, false), 0);
	assert_int_equal(f->g.at[1].start, EPOCH + 7 * 24 + GENERATION_AHEAD);
	assert_false(generations_due(&f->g, now + week, week)); /* one lies ahead */
	assert_int_equal(generations_ruler(&f->g, EPOCH + 7 * 24 + 1)->kind, EPOCH_ORPHAN);
	assert_int_equal(generations_ruler(&f->g, EPOCH + 7 * 24 + 2)->kind, EPOCH_MADE);
	assert_int_equal(generations_make(&f->g, EPOCH_MADE, now, true), 0);
	assert_int_equal(f->g.at[2].start, EPOCH);
	for (size_t i = 0; i < f->g.n; i++) {
		assert_true(f->g.at[i].id[0] != 0 || f->g.at[i].id[1] != 0);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(f->g.at[i].id, f->g.at[j].id, 2);
	}
	while (f->g.n < GENERATIONS_MAX)
		assert_int_equal(generations_make(&f->g, EPOCH_MADE, now + f->g.n * HOUR, true), 0);
	assert_int_equal(generations_make(&f->g, EPOCH_MADE, now + 99 * HOUR, true), -1);
}

static void revoked_ones_are_gone_and_told(void **state)
{
	struct fixture *f = *state;
	uint8_t id[8];

	memcpy(id, put(f, 1, EPOCH_MADE, EPOCH)->id, 8);
	put(f, 2, EPOCH_ORPHAN, EPOCH);
	assert_int_equal(answered(f, at(EPOCH), EPOCH)->id[0], 1);
	assert_int_equal(generations_revoke(&f->g, id, at(EPOCH)), 0);
	assert_int_equal(generations_revoke(&f->g, id, at(EPOCH)), 0); /* again */
	assert_int_equal(f->g.revoked_n, 1);
	assert_int_equal(answered(f, at(EPOCH), EPOCH)->id[0], 2);
	assert_int_equal(f->set.revoked_n, 1);
	assert_memory_equal(f->set.revoked[0], id, 8);
}

static void file_comes_back_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct generations *back = calloc(1, sizeof(*back));
	uint8_t *file = malloc(FILE_MAX), *bad = malloc(FILE_MAX), id[8] = { 9, 9 };
	size_t len;

	put(f, 1, EPOCH_MADE, EPOCH);
	put(f, 2, EPOCH_ORPHAN, EPOCH + 1);
	f->g.written = at(EPOCH) + 5;
	assert_int_equal(generations_revoke(&f->g, id, at(EPOCH) + 1), 0);
	assert_int_equal(generations_encode(&f->g, file, FILE_MAX, &len), 0);
	assert_int_equal(generations_decode(bytes_of(file, len), back), PARSE_OK);
	assert_memory_equal(back, &f->g, sizeof(*back));
	for (size_t n = 0; n < len; n++) { /* torn or altered: never half taken */
		assert_int_equal(generations_decode(bytes_of(file, n), back), PARSE_BAD);
		memcpy(bad, file, len);
		bad[n] ^= 0x40;
		assert_int_equal(generations_decode(bytes_of(bad, len), back), PARSE_BAD);
		assert_int_equal(back->n, 0);
	}
	assert_int_equal(generations_encode(&f->g, file, len - 1, &len), -1);
	while (f->g.n < GENERATIONS_MAX)
		put(f, 3, EPOCH_MADE, EPOCH);
	assert_int_equal(generations_encode(&f->g, file, FILE_MAX, &len), 0);
	free(file), free(bad), free(back);
}

static void periods_divide_a_day(void **state)
{
	(void)state;
	assert_true(generation_period_valid(600));
	assert_true(generation_period_valid(900));
	assert_true(generation_period_valid(3600));
	assert_false(generation_period_valid(0));
	assert_false(generation_period_valid(599));
	assert_false(generation_period_valid(601));
	assert_false(generation_period_valid(7200));
}

static void longest_answer_fits(void **state)
{
	struct fixture *f = *state;

	generations_init(&f->g, 600);
	put(f, 1, EPOCH_MADE, 100);
	for (unsigned i = 0; i < EPOCH_REVOKED_MAX; i++) {
		uint8_t id[8] = { 200, (uint8_t)i };

		assert_int_equal(generations_revoke(&f->g, id, 1), 0);
	}
	assert_int_equal(generations_revoke(&f->g, (const uint8_t[8]){ 1, 1, 1 }, 1), -1);
	assert_non_null(answered(f, 1000 * 600, 1000));
	assert_int_equal(f->set.n, 146);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_match_the_vectors, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    answer_covers_the_window_and_the_next_epoch, setup, teardown),
		cmocka_unit_test_setup_teardown(group_and_id_make_the_key, setup, teardown),
		cmocka_unit_test_setup_teardown(made_rules_from_its_start_on, setup, teardown),
		cmocka_unit_test_setup_teardown(new_ones_are_made_in_time, setup, teardown),
		cmocka_unit_test_setup_teardown(revoked_ones_are_gone_and_told, setup, teardown),
		cmocka_unit_test_setup_teardown(file_comes_back_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(longest_answer_fits, setup, teardown),
		cmocka_unit_test(periods_divide_a_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
