/*
 * test_write.c: what is built, byte for byte; and that nothing which ends a line early gets in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <locale.h>

#include "http/write.h"

#include "base/poison.h"

static char buf[1024];

static struct writer fresh(void)
{
	memset(buf, 0, sizeof buf);
	return writer_of(buf, sizeof buf - 1);
}

static void test_request_line(void **state)
{
	struct writer w = fresh();

	(void)state;
	assert_true(write_request_line(&w, bytes_str("GET"), bytes_str("/a"), bytes_of(NULL, 0)));
	assert_string_equal(buf, "GET /a HTTP/1.1\r\n");
	w = fresh();
	assert_true(write_request_line(&w, bytes_str("GET"), bytes_str("/a"), bytes_str("")));
	assert_string_equal(buf, "GET /a? HTTP/1.1\r\n");
	w = fresh();
	assert_true(
	    write_request_line(&w, bytes_str("M-SEARCH"), bytes_str("*"), bytes_str("b?c")));
	assert_string_equal(buf, "M-SEARCH *?b?c HTTP/1.1\r\n");
}

static void test_request_line_takes_nothing_that_ends_it(void **state)
{
	static const char *const bad[] = { "/ ", "/\r\n", "/\n", "/\t", "/#", "/\x7f", "/\xe4",
		"" };
	struct writer w = fresh();

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_false(
		    write_request_line(&w, bytes_str("GET"), bytes_str(bad[i]), bytes_of(NULL, 0)));
		if (bad[i][0] != '\0')
			assert_false(write_request_line(
			    &w, bytes_str("GET"), bytes_str("/"), bytes_str(bad[i])));
	}
	assert_false(write_request_line(&w, bytes_str("G T"), bytes_str("/"), bytes_of(NULL, 0)));
	assert_false(write_request_line(&w, bytes_str(""), bytes_str("/"), bytes_of(NULL, 0)));
	assert_false(
	    write_request_line(&w, bytes_str("GET"), bytes_of("/\0", 2), bytes_of(NULL, 0)));
	assert_int_equal(writer_len(&w), 0);
	assert_true(w.ok);
}

static void test_status_line(void **state)
{
	struct writer w = fresh();

	(void)state;
	write_status_line(&w, 404);
	assert_string_equal(buf, "HTTP/1.1 404 Not Found\r\n");
	w = fresh();
	assert_true(write_status_phrase(&w, 299, bytes_str("So \xfc")));
	assert_string_equal(buf, "HTTP/1.1 299 So \xfc\r\n");
	w = fresh();
	write_status_line(&w, 599);
	assert_string_equal(buf, "HTTP/1.1 599 Server Error\r\n");
	w = fresh();
	assert_false(write_status_phrase(&w, 200, bytes_str("a\r\nb")));
	assert_int_equal(writer_len(&w), 0);
}

static void test_phrases(void **state)
{
	(void)state;
	assert_string_equal(write_phrase(200), "OK");
	assert_string_equal(write_phrase(421), "Misdirected Request");
	assert_string_equal(write_phrase(511), "Network Authentication Required");
	assert_string_equal(write_phrase(199), "Informational");
	assert_string_equal(write_phrase(299), "Success");
	assert_string_equal(write_phrase(399), "Redirection");
	assert_string_equal(write_phrase(499), "Client Error");
	assert_string_equal(write_phrase(99), "Unknown");
	assert_string_equal(write_phrase(600), "Unknown");
}

static void test_fields(void **state)
{
	struct writer w = fresh();

	(void)state;
	assert_true(write_field(&w, bytes_str("X-A"), bytes_str("b\tc \xff")));
	assert_true(write_field(&w, bytes_str("Y"), bytes_str("")));
	write_field_str(&w, "Connection", "close");
	write_field_number(&w, "Content-Length", 0);
	write_field_number(&w, "Big", UINT64_MAX);
	write_end(&w);
	assert_string_equal(buf,
	    "X-A: b\tc \xff\r\nY: \r\nConnection: close\r\nContent-Length: 0\r\n"
	    "Big: 18446744073709551615\r\n\r\n");
}

static void test_fields_take_no_octet_that_is_not_theirs(void **state)
{
	struct writer w = fresh();

	(void)state;
	for (int c = 0; c < 256; c++) {
		uint8_t text[9] = "aaaaaaaa";
		bool in_value = c == '\t' || (c >= ' ' && c != 0x7f);
		bool in_name = c > ' ' && c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;

		text[3] = (uint8_t)c;
		w = fresh();
		assert_int_equal(write_field(&w, bytes_str("n"), bytes_of(text, 8)), in_value);
		assert_int_equal(writer_len(&w) > 0, in_value);
		w = fresh();
		assert_int_equal(write_field(&w, bytes_of(text, 8), bytes_str("v")), in_name);
		assert_int_equal(writer_len(&w) > 0, in_name);
	}
	assert_false(write_field(&w, bytes_str(""), bytes_str("v")));
}

static void test_writer_that_is_full_says_so(void **state)
{
	char small[16];
	struct writer w = writer_of(small, sizeof small);

	(void)state;
	write_status_line(&w, 200);
	assert_false(w.ok);
	assert_true(writer_len(&w) <= sizeof small);
}

static void test_dates(void **state)
{
	char date[WRITE_DATE_SIZE];

	(void)state;
	setlocale(LC_ALL, "");
	write_date(784111777, date);
	assert_string_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT");
	write_date(0, date);
	assert_string_equal(date, "Thu, 01 Jan 1970 00:00:00 GMT");
	write_date(1709164800, date);
	assert_string_equal(date, "Thu, 29 Feb 2024 00:00:00 GMT");
	write_date(4102444799, date);
	assert_string_equal(date, "Thu, 31 Dec 2099 23:59:59 GMT");
}

static void test_error_page_reflects_nothing_unescaped(void **state)
{
	struct writer w = fresh();

	(void)state;
	write_error_page(&w, 502, bytes_str("0123abc"));
	assert_non_null(strstr(buf, "<title>502 Bad Gateway</title>"));
	assert_non_null(strstr(buf, "<code>0123abc</code>"));
	w = fresh();
	write_error_page(&w, 400, bytes_str("<script>\"'&"));
	assert_null(strstr(buf, "<script>"));
	assert_non_null(strstr(buf, "&lt;script&gt;&quot;&#39;&amp;"));
	w = fresh();
	write_error_page(&w, 400, bytes_of(NULL, 0));
	assert_null(strstr(buf, "Request <code>"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_line),
		cmocka_unit_test(test_request_line_takes_nothing_that_ends_it),
		cmocka_unit_test(test_status_line),
		cmocka_unit_test(test_phrases),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_fields_take_no_octet_that_is_not_theirs),
		cmocka_unit_test(test_writer_that_is_full_says_so),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_error_page_reflects_nothing_unescaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
