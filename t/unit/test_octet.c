/*
 * test_octet.c: the table of octets against the grammars' own words, and the fast run against the
 * slow one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/octet.h"

#include "base/poison.h"

static bool is_alnum(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool among(int c, const char *set)
{
	return c != 0 && strchr(set, c) != NULL;
}

static void test_table_is_what_the_grammars_say(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		unsigned want = 0;

		if (is_alnum(c) || among(c, "!#$%&'*+-.^_`|~"))
			want |= OCTET_TOKEN;
		if (c > ' ' && c < 0x7f && c != '#')
			want |= OCTET_TARGET;
		if (c == '\t' || (c >= ' ' && c != 0x7f))
			want |= OCTET_TEXT;
		if (is_alnum(c) || among(c, "-._~"))
			want |= OCTET_HOST;
		if (c >= '0' && c <= '9')
			want |= OCTET_DIGIT;
		if (among(c, "0123456789abcdefABCDEF"))
			want |= OCTET_HEX;
		if (among(c, "%.\\"))
			want |= OCTET_ODD;
		if (octet_class[c] != want)
			fail_msg("octet 0x%02x has 0x%02x, not 0x%02x", (unsigned)c, octet_class[c],
			    want);
	}
}

/* Every octet at every place of a text of up to three words, among octets that borrow and carry. */
static void test_text_run_stops_at_the_first_control(void **state)
{
	static const uint8_t fillers[] = { 'a', ' ', '~', 0x80, 0xff, '\t' };
	uint8_t text[24];

	(void)state;
	for (size_t f = 0; f < sizeof fillers; f++)
		for (size_t len = 0; len <= sizeof text; len++)
			for (size_t at = 0; at < len; at++)
				for (int c = 0; c < 256; c++) {
					memset(text, fillers[f], sizeof text);
					text[at] = (uint8_t)c;
					assert_int_equal(octet_text_run(text, len),
					    octet_run(text, len, OCTET_TEXT));
				}
}

static void test_text_run_sees_two_controls_in_a_word(void **state)
{
	uint8_t text[8];

	(void)state;
	for (int first = 0; first < 256; first++)
		for (int second = 0; second < 256; second++) {
			memset(text, 'x', sizeof text);
			text[2] = (uint8_t)first;
			text[3] = (uint8_t)second;
			assert_int_equal(octet_text_run(text, 8), octet_run(text, 8, OCTET_TEXT));
		}
}

static void test_hexadecimal_and_escapes(void **state)
{
	(void)state;
	assert_int_equal(octet_hex('0'), 0);
	assert_int_equal(octet_hex('9'), 9);
	assert_int_equal(octet_hex('a'), 10);
	assert_int_equal(octet_hex('F'), 15);
	assert_int_equal(octet_hex('g'), -1);
	assert_int_equal(octet_hex('@'), -1);
	assert_int_equal(octet_escape((const uint8_t *)"%2Fx", 4), '/');
	assert_int_equal(octet_escape((const uint8_t *)"%ff", 3), 255);
	assert_int_equal(octet_escape((const uint8_t *)"%2F", 2), -1);
	assert_int_equal(octet_escape((const uint8_t *)"%2g", 3), -1);
	assert_int_equal(octet_escape((const uint8_t *)"%g2", 3), -1);
	assert_int_equal(octet_escape((const uint8_t *)"a2F", 3), -1);
}

static void test_trim_takes_white_space_off_both_ends(void **state)
{
	(void)state;
	assert_true(bytes_equal_str(octet_trim(bytes_str(" \t a b\t ")), "a b"));
	assert_true(bytes_equal_str(octet_trim(bytes_str("a")), "a"));
	assert_int_equal(octet_trim(bytes_str(" \t")).len, 0);
	assert_int_equal(octet_trim(bytes_str("")).len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_is_what_the_grammars_say),
		cmocka_unit_test(test_text_run_stops_at_the_first_control),
		cmocka_unit_test(test_text_run_sees_two_controls_in_a_word),
		cmocka_unit_test(test_hexadecimal_and_escapes),
		cmocka_unit_test(test_trim_takes_white_space_off_both_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
