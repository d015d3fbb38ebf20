/*
 * test_bytes.c: borrowed memory, cursor and writer: every end is an end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

#include "base/poison.h"

static void sub_is_clamped(void **state)
{
	struct bytes b = bytes_str("abcdef");

	(void)state;
	assert_true(bytes_equal_str(bytes_sub(b, 2, 3), "cde"));
	assert_true(bytes_equal_str(bytes_sub(b, 2, SIZE_MAX), "cdef"));
	assert_int_equal(bytes_sub(b, 6, 1).len, 0);
	assert_int_equal(bytes_sub(b, 7, 1).len, 0);
	assert_int_equal(bytes_sub(b, SIZE_MAX, SIZE_MAX).len, 0);
	assert_int_equal(bytes_str(NULL).len, 0);
	assert_int_equal(bytes_sub(bytes_str(NULL), 0, 1).len, 0);
}

static void comparisons(void **state)
{
	(void)state;
	assert_true(bytes_equal(bytes_str(NULL), bytes_str("")));
	assert_true(bytes_equal(bytes_str("a"), bytes_str("a")));
	assert_false(bytes_equal(bytes_str("a"), bytes_str("ab")));
	assert_false(bytes_equal_str(bytes_of("a\0b", 3), "a"));
	assert_true(bytes_case_equal(bytes_str("Content-LENGTH"), bytes_str("content-length")));
	assert_true(bytes_case_equal_str(bytes_str("TE"), "te"));
	assert_false(bytes_case_equal(bytes_str("["), bytes_str("{")));
	assert_false(bytes_case_equal(bytes_str("\xc4"), bytes_str("\xe4")));
	assert_true(bytes_equal_consttime(bytes_str("secret"), bytes_str("secret")));
	assert_false(bytes_equal_consttime(bytes_str("secret"), bytes_str("secreT")));
	assert_false(bytes_equal_consttime(bytes_str("secret"), bytes_str("secre")));
}

static void dup_adds_the_nul(void **state)
{
	char *s = bytes_dup_str(bytes_sub(bytes_str("abcdef"), 1, 2));

	(void)state;
	assert_string_equal(s, "bc");
	free(s);
	s = bytes_dup_str(bytes_str(NULL));
	assert_string_equal(s, "");
	free(s);
}

static void cursor_reads_big_endian_and_stops_at_the_end(void **state)
{
	const uint8_t raw[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	struct cursor c = cursor_of(bytes_of(raw, sizeof(raw)));

	(void)state;
	assert_int_equal(cursor_u8(&c), 1);
	assert_int_equal(cursor_u16(&c), 0x0203);
	assert_int_equal(cursor_u32(&c), 0x04050607);
	assert_int_equal(cursor_u64(&c), UINT64_C(0x08090a0b0c0d0e0f));
	assert_int_equal(cursor_left(&c), 1);
	assert_true(c.ok);
	assert_int_equal(cursor_u16(&c), 0);
	assert_false(c.ok);
	assert_int_equal(cursor_u8(&c), 0); /* sticky, though one byte is there */
	assert_int_equal(cursor_take(&c, 1).len, 0);
}

static void cursor_take_of_too_much_gives_nothing(void **state)
{
	const uint8_t raw[] = { 1, 2, 3 };
	struct cursor c = cursor_of(bytes_of(raw, sizeof(raw)));
	struct bytes b = cursor_take(&c, 2);

	(void)state;
	assert_int_equal(b.len, 2);
	assert_ptr_equal(b.at, raw);
	assert_int_equal(cursor_take(&c, SIZE_MAX).len, 0);
	assert_false(c.ok);
	c = cursor_of(bytes_str(NULL));
	assert_int_equal(cursor_take(&c, 0).len, 0);
	assert_true(c.ok);
}

static void writer_writes_what_the_cursor_reads(void **state)
{
	uint8_t raw[32];
	struct writer w = writer_of(raw, sizeof(raw));
	struct cursor c;

	(void)state;
	writer_u8(&w, 0xfe);
	writer_u16(&w, 0xfedc);
	writer_u32(&w, 0xfedcba98);
	writer_u64(&w, UINT64_C(0xfedcba9876543210));
	writer_str(&w, "abc");
	writer_bytes(&w, bytes_str("de"));
	writer_put(&w, "f", 1);
	assert_true(w.ok);
	assert_int_equal(writer_len(&w), 21);
	c = cursor_of(bytes_of(raw, writer_len(&w)));
	assert_int_equal(cursor_u8(&c), 0xfe);
	assert_int_equal(cursor_u16(&c), 0xfedc);
	assert_int_equal(cursor_u32(&c), 0xfedcba98);
	assert_int_equal(cursor_u64(&c), UINT64_C(0xfedcba9876543210));
	assert_true(bytes_equal_str(cursor_take(&c, 6), "abcdef"));
}

static void writer_that_overflowed_writes_nothing_more(void **state)
{
	uint8_t raw[5] = { 0, 0, 0, 0, 0x55 };
	struct writer w = writer_of(raw, 4);

	(void)state;
	writer_u16(&w, 1);
	writer_u32(&w, 0xffffffff);
	assert_false(w.ok);
	writer_u8(&w, 0xff);
	assert_int_equal(writer_len(&w), 2);
	assert_memory_equal(raw, "\0\1\0\0\x55", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sub_is_clamped),
		cmocka_unit_test(comparisons),
		cmocka_unit_test(dup_adds_the_nul),
		cmocka_unit_test(cursor_reads_big_endian_and_stops_at_the_end),
		cmocka_unit_test(cursor_take_of_too_much_gives_nothing),
		cmocka_unit_test(writer_writes_what_the_cursor_reads),
		cmocka_unit_test(writer_that_overflowed_writes_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
