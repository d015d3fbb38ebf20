/*
 * test_range.c: Range fields and conditions against the words of RFC 9110.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/condition.h"
#include "http/range.h"

#include "base/poison.h"

#define WHOLE                                                                                      \
	{                                                                                          \
		0, 0                                                                               \
	}
enum { NOW = 1795507200 };
static const char modified[] = "Sun, 06 Nov 1994 08:49:37 GMT";
static const char later[] = "Sun, 06 Nov 1994 08:49:38 GMT";
static const char before[] = "Sun, 06 Nov 1994 08:49:36 GMT";

static void a_range_is_what_the_field_says(void **state)
{
	static const struct {
		const char *field;
		uint64_t size;
		enum range range;
		struct range_bytes bytes;
	} cases[] = {
		{ "bytes=0-0", 100, RANGE_PART, { 0, 1 } },
		{ "bytes=0-99", 100, RANGE_PART, { 0, 100 } },
		{ "bytes=0-100", 100, RANGE_PART, { 0, 100 } },
		{ "bytes=10-", 100, RANGE_PART, { 10, 90 } },
		{ "bytes=99-", 100, RANGE_PART, { 99, 1 } },
		{ "bytes=-1", 100, RANGE_PART, { 99, 1 } },
		{ "bytes=-100", 100, RANGE_PART, { 0, 100 } },
		{ "bytes=-101", 100, RANGE_PART, { 0, 100 } },
		{ "Bytes= 3-4 ", 100, RANGE_PART, { 3, 2 } },
		{ "bytes=,3-4,", 100, RANGE_PART, { 3, 2 } },
		{ "bytes=0-18446744073709551615", 100, RANGE_PART, { 0, 100 } },
		{ "bytes=5-99999999999999999999999", 100, RANGE_PART, { 5, 95 } },
		{ "bytes=100-", 100, RANGE_OUTSIDE, WHOLE },
		{ "bytes=100-200", 100, RANGE_OUTSIDE, WHOLE },
		{ "bytes=-0", 100, RANGE_OUTSIDE, WHOLE },
		{ "bytes=18446744073709551616-", 100, RANGE_OUTSIDE, WHOLE },
		{ "bytes=100-,200-", 100, RANGE_OUTSIDE, WHOLE },
		/* several: the whole */
		{ "bytes=0-1,3-4", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=0-,0-,0-,0-", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=0-1,100-", 100, RANGE_WHOLE, WHOLE },
		/* none that is understood */
		{ "", 100, RANGE_WHOLE, WHOLE },
		{ "bytes", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=-", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=--1", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=2-1", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=1", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=a-b", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=1-b", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=+1-2", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=0x1-2", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=1 - 2", 100, RANGE_WHOLE, WHOLE },
		{ "bytes=1-2;3", 100, RANGE_WHOLE, WHOLE },
		{ "lines=1-2", 100, RANGE_WHOLE, WHOLE },
		{ "bytes 1-2", 100, RANGE_WHOLE, WHOLE },
		/* of nothing there is no part */
		{ "bytes=0-", 0, RANGE_WHOLE, WHOLE },
		{ "bytes=-1", 0, RANGE_WHOLE, WHOLE },
		/* large files */
		{ "bytes=-1", UINT64_MAX / 2, RANGE_PART, { UINT64_MAX / 2 - 1, 1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct range_bytes got = { 0, 0 };
		enum range range = range_read(bytes_str(cases[i].field), cases[i].size, &got);

		if (range != cases[i].range)
			fail_msg("\"%s\" of %llu: %d", cases[i].field,
			    (unsigned long long)cases[i].size, (int)range);
		if (range == RANGE_PART &&
		    (got.first != cases[i].bytes.first || got.len != cases[i].bytes.len))
			fail_msg("\"%s\": %llu bytes from %llu", cases[i].field,
			    (unsigned long long)got.len, (unsigned long long)got.first);
	}
}

/* name, value pairs, then NULL */
static void fields_set(struct head *head, const char *const *text)
{
	head_init(head);
	for (; *text != NULL; text += 2)
		assert_true(head_add(head, bytes_str(text[0]), bytes_str(text[1])));
}

static void conditions_come_in_their_order(void **state)
{
	static const struct {
		const char *fields[9];
		enum condition want;
	} cases[] = {
		{ { NULL }, CONDITION_GO },
		{ { "If-None-Match", "\"a\"", NULL }, CONDITION_NOT_MODIFIED },
		{ { "if-none-match", "W/\"a\"", NULL }, CONDITION_NOT_MODIFIED },
		{ { "If-None-Match", "\"b\"", NULL }, CONDITION_GO },
		{ { "If-None-Match", "\"A\"", NULL }, CONDITION_GO },
		{ { "If-None-Match", "a", NULL }, CONDITION_GO },
		{ { "If-None-Match", "*", NULL }, CONDITION_NOT_MODIFIED },
		{ { "If-None-Match", "\"b\", W/\"c,\" ,\t\"a\"", NULL }, CONDITION_NOT_MODIFIED },
		{ { "If-None-Match", "\"b,\"a\"", NULL }, CONDITION_GO },
		{ { "If-None-Match", "\"a", NULL }, CONDITION_GO },
		{ { "If-None-Match", "W/", NULL }, CONDITION_GO },
		{ { "If-None-Match", "", NULL }, CONDITION_GO },
		{ { "If-None-Match", "\"b\"", "If-None-Match", "\"a\"", NULL },
		    CONDITION_NOT_MODIFIED },
		/* a tag says more than a time */
		{ { "If-None-Match", "\"b\"", "If-Modified-Since", modified, NULL }, CONDITION_GO },
		{ { "If-Modified-Since", modified, NULL }, CONDITION_NOT_MODIFIED },
		{ { "If-Modified-Since", later, NULL }, CONDITION_NOT_MODIFIED },
		{ { "If-Modified-Since", before, NULL }, CONDITION_GO },
		{ { "If-Modified-Since", "yesterday", NULL }, CONDITION_GO },
		{ { "If-Match", "\"a\"", NULL }, CONDITION_GO },
		{ { "If-Match", "*", NULL }, CONDITION_GO },
		{ { "If-Match", "\"b\"", NULL }, CONDITION_FAILED },
		{ { "If-Match", "W/\"a\"", NULL }, CONDITION_FAILED },
		{ { "If-Match", "\"b\"", "If-None-Match", "\"a\"", NULL }, CONDITION_FAILED },
		{ { "If-Match", "\"a\"", "If-None-Match", "\"a\"", NULL }, CONDITION_NOT_MODIFIED },
		{ { "If-Unmodified-Since", modified, NULL }, CONDITION_GO },
		{ { "If-Unmodified-Since", before, NULL }, CONDITION_FAILED },
		{ { "If-Unmodified-Since", "tomorrow", NULL }, CONDITION_GO },
		{ { "If-Match", "\"a\"", "If-Unmodified-Since", before, NULL }, CONDITION_GO },
	};
	struct head *head = calloc(1, sizeof *head);
	const struct validators v = { bytes_str("\"a\""), 784111777 };

	(void)state;
	assert_non_null(head);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		enum condition got;

		fields_set(head, cases[i].fields);
		got = condition_check(head, &v, NOW);
		if (got != cases[i].want)
			fail_msg("case %zu (%s): %d", i, cases[i].fields[0], (int)got);
	}
	free(head);
}

static void a_range_counts_only_of_the_same_state(void **state)
{
	static const struct {
		const char *fields[3];
		bool want;
	} cases[] = {
		{ { NULL }, true },
		{ { "If-Range", "\"a\"", NULL }, true },
		{ { "If-Range", "W/\"a\"", NULL }, false },
		{ { "If-Range", "\"b\"", NULL }, false },
		{ { "If-Range", "\"a\", \"b\"", NULL }, false },
		{ { "If-Range", "*", NULL }, false },
		{ { "If-Range", "", NULL }, false },
		{ { "If-Range", modified, NULL }, true },
		{ { "If-Range", later, NULL }, false },
		{ { "If-Range", before, NULL }, false },
	};
	struct head *head = calloc(1, sizeof *head);
	const struct validators v = { bytes_str("\"a\""), 784111777 };

	(void)state;
	assert_non_null(head);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		fields_set(head, cases[i].fields);
		if (condition_range(head, &v, NOW) != cases[i].want)
			fail_msg("case %zu", i);
	}
	/* of this very second, a time is no proof */
	fields_set(head, cases[7].fields);
	assert_false(condition_range(head, &v, 784111777));
	free(head);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_range_is_what_the_field_says),
		cmocka_unit_test(conditions_come_in_their_order),
		cmocka_unit_test(a_range_counts_only_of_the_same_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
