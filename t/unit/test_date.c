/*
 * test_date.c: the times that HTTP writes, in their three forms, and what only looks like one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "http/date.h"
#include "http/write.h"

#include "base/poison.h"

enum { NOW = 1795507200 }; /* 24 Nov 2026 */

static void the_three_forms_are_one_time(void **state)
{
	static const char *const forms[] = { "Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994" };

	(void)state;
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		time_t t = 0;

		assert_true(date_read(bytes_str(forms[i]), NOW, &t));
		assert_int_equal(t, 784111777);
	}
}

static void what_is_written_is_read_back(void **state)
{
	char text[WRITE_DATE_SIZE];

	(void)state;
	/* Of each day since 1970, and some seconds. */
	for (time_t t = 0; t < (time_t)200 * 366 * 86400; t += 86400 + 3701) {
		time_t back = -1;

		write_date(t, text);
		assert_true(date_read(bytes_str(text), NOW, &back));
		assert_int_equal(back, t);
	}
}

static void two_digits_are_at_most_fifty_years_ahead(void **state)
{
	time_t t;

	(void)state;
	assert_true(date_read(bytes_str("Tuesday, 24-Nov-76 00:00:00 GMT"), NOW, &t));
	assert_int_equal(t, 3373401600); /* 2076 */
	assert_true(date_read(bytes_str("Thursday, 24-Nov-77 00:00:00 GMT"), NOW, &t));
	assert_int_equal(t, 249177600); /* 1977 */
}

static void anything_else_is_no_time(void **state)
{
	static const char *const wrong[] = { "", "Sun", "Sun,", "Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 29 Feb 2025 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 1969 08:49:37 GMT",
		"sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
		"Sun, 06 Nov -994 08:49:37 GMT", "Sun Nov 06 08:49 1994", "784111777", "0",
		"Sunday 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 19940 08:49:37 GMT" };

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		time_t t;

		if (date_read(bytes_str(wrong[i]), NOW, &t))
			fail_msg("\"%s\" was taken for a time", wrong[i]);
	}
}

static void no_cut_of_a_time_is_one(void **state)
{
	static const char whole[] = "Sun, 06 Nov 1994 08:49:37 GMT";
	time_t t;

	(void)state;
	for (size_t n = 0; n < sizeof whole - 1; n++)
		assert_false(date_read(bytes_of(whole, n), NOW, &t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_three_forms_are_one_time),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(two_digits_are_at_most_fifty_years_ahead),
		cmocka_unit_test(anything_else_is_no_time),
		cmocka_unit_test(no_cut_of_a_time_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
