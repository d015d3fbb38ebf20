/* test_ticketsecret.c: the file of ticket secrets, good and wrong, and its keys against fixed vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/ticketsecret.h"

#include "t/vectors/crypto.h"

#include "base/poison.h"

#define A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define B "F00102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"
#define C "100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define D "200102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define E "300102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

enum { EPOCH = 487654, HOUR = 3600 };

static void a_file_has_a_secret_a_line(void **state)
{
	static const char text[] = "# ours\n\n  " A " # since May\r\n\t" B "\n" C "\n" D;
	struct ticketsecrets s;
	unsigned line;

	(void)state;
	assert_null(ticketsecrets_parse(bytes_str(text), &s, &line));
	assert_int_equal(s.n, 4);
	assert_memory_equal(s.at[0], vec_secret, sizeof(vec_secret));
	assert_int_equal(s.at[1][0], 0xf0);
	assert_int_equal(s.at[3][0], 0x20);
	assert_int_equal(s.at[3][31], 0x1f);
	ticketsecrets_clear(&s);
	assert_int_equal(s.n, 0);
}

static void what_is_no_secret_is_told_by_its_line(void **state)
{
	static const struct {
		const char *text, *part;
		unsigned line;
	} wrong[] = {
		{ "", "no secret", 0 },
		{ "# " A "\n", "no secret", 1 },
		{ A "\n" A "0\n", "64 hex digits", 2 },
		{ "0" A, "64 hex digits", 1 },
		{ "\n\nx" A, "64 hex digits", 3 },
		{ "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "64 hex", 1 },
		{ A " " B, "64 hex digits", 1 },
		{ A "\n" B "\n" A "\n", "twice", 3 },
		{ A "\n" B "\n" C "\n" D "\n" E "\n", "more than 4", 5 },
		{ "abababababababababababababababababababababababababababababababab", "repeated",
		    1 },
	};
	struct ticketsecrets s;
	unsigned line;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *said = ticketsecrets_parse(bytes_str(wrong[i].text), &s, &line);

		assert_non_null(said);
		assert_non_null(strstr(said, wrong[i].part));
		assert_int_equal(line, wrong[i].line);
		assert_int_equal(s.n, 0);
	}
}

static struct epoch_record record(uint64_t e, uint64_t unix_now)
{
	struct kit *kit = kit_new();
	struct epoch_record r;

	assert_int_equal(
	    ticketsecret_record(kit, vec_secret, bytes_str("shop"), e, unix_now, 5000, &r), 0);
	kit_free(kit);
	return r;
}

static void keys_match_the_vector(void **state)
{
	struct epoch_record r = record(EPOCH, EPOCH * (uint64_t)HOUR);

	(void)state;
	assert_memory_equal(r.id, vec_own_id, sizeof(vec_own_id));
	assert_memory_equal(r.group_key, vec_own_group_key, sizeof(vec_own_group_key));
	r = record(EPOCH + 1, EPOCH * (uint64_t)HOUR);
	assert_memory_equal(r.id, vec_own_id, sizeof(vec_own_id));
	assert_memory_not_equal(r.group_key, vec_own_group_key, sizeof(vec_own_group_key));
}

static void an_epoch_is_an_hour_and_void_a_day_after_its_end(void **state)
{
	uint64_t begins = EPOCH * (uint64_t)HOUR;
	struct epoch_record r = record(EPOCH, begins + 10);

	(void)state;
	assert_int_equal(r.current_at, 5000);
	assert_int_equal(r.void_at, 5000 + (HOUR - 10 + EPOCH_ACCEPT_S) * UINT64_C(1000));
	r = record(EPOCH, begins - 10);
	assert_int_equal(r.current_at, 5000 + 10 * UINT64_C(1000));
	r = record(EPOCH, begins + HOUR + EPOCH_ACCEPT_S);
	assert_int_equal(r.void_at, 5000); /* now */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_has_a_secret_a_line),
		cmocka_unit_test(what_is_no_secret_is_told_by_its_line),
		cmocka_unit_test(keys_match_the_vector),
		cmocka_unit_test(an_epoch_is_an_hour_and_void_a_day_after_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
