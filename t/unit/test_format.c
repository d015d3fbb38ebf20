/*
 * test_format.c: lines of the access log, which nobody may forge.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "gateway/exchange/format.h"

#include "base/poison.h"

static struct format_facts plain(void)
{
	return (struct format_facts){
		.peer = bytes_str("192.0.2.7"),
		.time = bytes_str("24/Nov/2026:08:21:47 +0000"),
		.method = bytes_str("GET"),
		.target = bytes_str("/a?b"),
		.minor = 1,
		.status = 200,
		.length = 5,
		.referer = bytes_str("http://x/"),
		.agent = bytes_str("curl/7"),
	};
}

static void expect_line(const struct format_facts *f, const char *expected)
{
	static char line[FORMAT_LINE_MAX];
	size_t len = format_combined(f, line, sizeof(line));

	assert_int_equal(len, strlen(expected));
	assert_memory_equal(line, expected, len);
}

static void a_line_is_apaches_combined(void **state)
{
	struct format_facts f = plain();

	(void)state;
	expect_line(&f, "192.0.2.7 - - [24/Nov/2026:08:21:47 +0000] \"GET /a?b HTTP/1.1\" 200 5 "
			"\"http://x/\" \"curl/7\"\n");
	f.minor = 0;
	f.length = 0;
	f.referer = f.agent = bytes_str("");
	expect_line(&f,
	    "192.0.2.7 - - [24/Nov/2026:08:21:47 +0000] \"GET /a?b HTTP/1.0\" 200 - \"-\" \"-\"\n");
	f.method = bytes_str("");
	f.status = 0;
	expect_line(&f, "192.0.2.7 - - [24/Nov/2026:08:21:47 +0000] \"-\" - - \"-\" \"-\"\n");
}

static void what_strangers_write_is_escaped(void **state)
{
	struct format_facts f = plain();

	(void)state;
	f.target = bytes_str("/\"\\");
	f.referer = bytes_of("\n\r\t\x1b[31m\x00", 9);
	f.agent = bytes_of("\x7f\x80\xff \xc3\xa9", 6);
	expect_line(&f,
	    "192.0.2.7 - - [24/Nov/2026:08:21:47 +0000] \"GET /\\\"\\\\ HTTP/1.1\" 200 5 "
	    "\"\\x0a\\x0d\\x09\\x1b[31m\\x00\" \"\\x7f\\x80\\xff \\xc3\\xa9\"\n");
}

static void the_longest_texts_fit(void **state)
{
	static char line[FORMAT_LINE_MAX], text[100000];
	struct format_facts f = plain();
	size_t len;

	(void)state;
	f.method = f.target = f.referer = f.agent = bytes_of(text, sizeof(text));
	len = format_combined(&f, line, sizeof(line));
	assert_true(len > (size_t)16 * FORMAT_TEXT_MAX);
	assert_int_equal(line[len - 1], '\n');
	assert_ptr_equal(memchr(line, '\n', len), line + len - 1);
	assert_int_equal(format_combined(&f, line, 1000), 0);
}

static void the_time_has_the_months_english_name(void **state)
{
	char buf[FORMAT_TIME_SIZE];
	size_t len;

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	len = format_time(1795508507, buf);
	assert_int_equal(len, strlen("24/Nov/2026:08:21:47 +0000"));
	assert_memory_equal(buf, "24/Nov/2026:08:21:47 +0000", len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_apaches_combined),
		cmocka_unit_test(what_strangers_write_is_escaped),
		cmocka_unit_test(the_longest_texts_fit),
		cmocka_unit_test(the_time_has_the_months_english_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
