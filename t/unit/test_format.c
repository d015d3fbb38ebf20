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
#include "t/unit/client_at.h"

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
	assert_in_range(len, 4 * FORMAT_TEXT_MAX, FORMAT_LINE_MAX);
	assert_int_equal(line[len - 1], '\n');
	assert_ptr_equal(memchr(line, '\n', len), line + len - 1);
	assert_int_equal(format_combined(&f, line, 1000), 0);
}

static struct client the_client(void)
{
	struct client client = { .version = "TLSv1.3",
		.cipher = "TLS_X",
		.resumed = CLIENT_BY_CACHE,
		.verify = "NONE" };

	client_at(&client, "192.0.2.7", 999, "192.0.2.1", 443);
	return client;
}

static void expect_written(const char *format, const struct format_facts *f, const char *expected)
{
	static char line[FORMAT_LINE_MAX];
	static struct format parsed;
	char why[1024];
	size_t len;

	assert_null(format_parse(&parsed, format, why, sizeof(why)));
	len = format_write(&parsed, f, line, sizeof(line));
	if (len != strlen(expected) || memcmp(line, expected, len) != 0)
		fail_msg("%.*s", (int)len, line);
}

static void variables_stand_for_what_is_known(void **state)
{
	struct client client = the_client();
	struct format_facts f = plain();

	(void)state;
	f.client = &client;
	f.ms = FORMAT_NONE;
	f.tries = 2;
	expect_written("%{client} %{peer_port} %{ms} %{tries} %{status}%{method}", &f,
	    "192.0.2.7 999 - 2 200GET\n");
	expect_written("a %%{status} %{resumed} 5% %%", &f, "a %{status} cache 5% %%\n");
	expect_written("%{sni}|%{client_subject}|%{reason}|", &f, "-|-|-|\n");
	f.agent = bytes_str("a\"\n\\");
	expect_written("\"%{user_agent}\"", &f, "\"a\\\"\\x0a\\\\\"\n");
}

static void what_is_wrong_with_a_format_is_said(void **state)
{
	static const char *const wrong[] = { "common", "", "%{", "%{status", "%{}", "%{colour}",
		"%{status}\n" };
	static struct format parsed;
	char why[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_non_null(format_parse(&parsed, wrong[i], why, sizeof(why)));
}

static void expect_json(struct bytes text, const char *expected)
{
	static char out[8192];
	struct writer w = writer_of(out, sizeof(out));

	format_write_json(&w, text, 4096);
	assert_true(w.ok);
	if (writer_len(&w) != strlen(expected) || memcmp(out, expected, writer_len(&w)) != 0)
		fail_msg("%.*s", (int)writer_len(&w), out);
}

static void text_in_json_is_ascii_and_cannot_end(void **state)
{
	(void)state;
	expect_json(bytes_str("a\"b\\c"), "\"a\\\"b\\\\c\"");
	expect_json(bytes_of("\0\n\x1b\x7f", 4), "\"\\u0000\\u000a\\u001b\\u007f\"");
	expect_json(
	    bytes_str("\xc3\xa9\xe2\x80\xae\xf0\x9f\x98\x80"), "\"\\u00e9\\u202e\\ud83d\\ude00\"");
	/* Overlong, a surrogate, past the end of Unicode, cut short. */
	expect_json(bytes_str("\xc0\xaf"), "\"\\ufffd\\ufffd\"");
	expect_json(bytes_str("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
	expect_json(bytes_str("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	expect_json(bytes_str("\xe2\x80"), "\"\\ufffd\\ufffd\"");
	expect_json(bytes_str("\xff\xfe"), "\"\\ufffd\\ufffd\"");
}

/* A line that does not fit is written once more with its texts cut: nobody can keep his own out of the log. */
static void long_texts_are_cut_until_the_line_fits(void **state)
{
	static char line[8192], text[100000];
	struct client client = the_client();
	struct format_facts f = plain();
	static struct format parsed;
	char why[64];
	size_t len;

	(void)state;
	f.client = &client;
	f.target = f.referer = f.agent = f.host = bytes_of(text, sizeof(text));
	assert_null(format_parse(&parsed, "json", why, sizeof(why)));
	len = format_write(&parsed, &f, line, sizeof(line));
	assert_in_range(len, 4 * 200, sizeof(line));
	assert_memory_equal(line + len - 2, "}\n", 2);
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
		cmocka_unit_test(variables_stand_for_what_is_known),
		cmocka_unit_test(what_is_wrong_with_a_format_is_said),
		cmocka_unit_test(text_in_json_is_ascii_and_cannot_end),
		cmocka_unit_test(long_texts_are_cut_until_the_line_fits),
		cmocka_unit_test(the_time_has_the_months_english_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
