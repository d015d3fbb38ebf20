/*
 * test_resolved.c: the line of what a name resolves to, read strictly, since strangers have a say in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/resolved.h"

#include "base/poison.h"

enum { TEXT_MAX = 1024 };

static int parse(const char *text, struct resolved *r)
{
	/* In a block of just its size, so that a sanitizer sees a read past the end. */
	char *copy = strdup(text);
	int rc;

	assert_non_null(copy);
	rc = resolved_parse(copy, r);
	free(copy);
	return rc;
}

static void lines_are_read_and_written_back(void **state)
{
	static const char *const good[] = {
		"a 0 10.0.0.1",
		"app.example.com 300 10.0.0.1 10.0.0.2 2001:db8::1",
		"app.example.com. 86400 ::1",
		"_under_score-1.X 5 0.0.0.0 255.255.255.255",
	};
	struct resolved *r = malloc(sizeof *r);
	char line[TEXT_MAX];

	(void)state;
	assert_non_null(r);
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		if (parse(good[i], r) != 0)
			fail_msg("not read: %s", good[i]);
		assert_int_equal(resolved_print(r, line, sizeof line), 0);
		assert_string_equal(line, good[i]);
	}
	assert_int_equal(parse(good[1], r), 0);
	assert_string_equal(r->host, "app.example.com");
	assert_int_equal(r->ttl, 300);
	assert_int_equal(r->n, 3);
	assert_int_equal(r->endpoints[0].addr.ss_family, AF_INET);
	assert_int_equal(r->endpoints[2].addr.ss_family, AF_INET6);
	for (size_t i = 0; i < r->n; i++)
		assert_int_equal(endpoint_port(&r->endpoints[i]), 0);
	free(r);
}

static void what_is_no_such_line_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"a",
		"a ",
		"a 5",
		"a 5 ",
		" a 5 10.0.0.1",
		"a  5 10.0.0.1",
		"a 5  10.0.0.1",
		"a 5 10.0.0.1 ",
		"a 5 10.0.0.1  10.0.0.2",
		"a 10.0.0.1 5",
		"a -1 10.0.0.1",
		"a +1 10.0.0.1",
		"a \t1 10.0.0.1",
		"a 1s 10.0.0.1",
		"a 0x1 10.0.0.1",
		"a 1.5 10.0.0.1",
		"a 86401 10.0.0.1",
		"a 99999999999999999999999 10.0.0.1",
		"a 5 b",
		"a 5 10.0.0.1:80",
		"a 5 [::1]",
		"a 5 10.0.0.1,10.0.0.2",
		"a 5 10.0.0.1\n",
		"a 5 10.0.0.1\t",
		"a 5 unix:/tmp/x",
		"a 5 fe80::1%lo",
		"a 5 10.0.0.256",
		"a/b 5 10.0.0.1",
		"a\tb 5 10.0.0.1",
		"a:80 5 10.0.0.1",
		"\xc3\xa4 5 10.0.0.1",
		"a\x01 5 10.0.0.1",
		"* 5 10.0.0.1",
	};
	struct resolved *r = malloc(sizeof *r);

	(void)state;
	assert_non_null(r);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (parse(bad[i], r) != -1)
			fail_msg("read: %s", bad[i]);
	free(r);
}

static void names_and_lists_have_an_end(void **state)
{
	struct resolved *r = malloc(sizeof *r);
	char text[TEXT_MAX];

	(void)state;
	assert_non_null(r);
	for (size_t len = RESOLVED_HOST_MAX - 2; len <= RESOLVED_HOST_MAX + 1; len++) {
		memset(text, 'a', len);
		strlcpy(text + len, " 5 ::1", sizeof text - len);
		assert_int_equal(parse(text, r), len < RESOLVED_HOST_MAX ? 0 : -1);
	}
	strlcpy(text, "a 5", sizeof text);
	for (int n = 1; n <= RESOLVED_ADDRESSES_MAX + 2; n++) {
		strlcat(text, " 10.0.0.1", sizeof text);
		assert_int_equal(parse(text, r), n <= RESOLVED_ADDRESSES_MAX ? 0 : -1);
		if (n <= RESOLVED_ADDRESSES_MAX)
			assert_int_equal(r->n, n);
	}
	free(r);
}

static void a_line_fits_or_is_refused(void **state)
{
	static const char text[] = "app.example.com 300 10.0.0.1 2001:db8::1";
	struct resolved *r = malloc(sizeof *r);
	char line[TEXT_MAX];

	(void)state;
	assert_non_null(r);
	assert_int_equal(parse(text, r), 0);
	for (size_t size = 1; size <= sizeof text; size++) {
		memset(line, '~', sizeof line);
		assert_int_equal(resolved_print(r, line, size), size == sizeof text ? 0 : -1);
		assert_int_equal(line[size], '~');
	}
	assert_string_equal(line, text);
	free(r);
}

/* Whatever the monitor may say, its reader takes: the longest host and addresses, as many as can be. */
static void the_largest_line_is_read_again(void **state)
{
	struct resolved *r = calloc(1, sizeof *r), *again = malloc(sizeof *again);
	char line[1400]; /* the monitor's room */

	(void)state;
	assert_non_null(r);
	assert_non_null(again);
	memset(r->host, 'a', RESOLVED_HOST_MAX - 1);
	r->ttl = RESOLVED_TTL_MAX;
	for (r->n = 0; r->n < RESOLVED_ADDRESSES_MAX; r->n++)
		assert_int_equal(endpoint_of_ip(&r->endpoints[r->n],
				     "1111:2222:3333:4444:5555:6666:7777:8888", 0),
		    0);
	assert_int_equal(resolved_print(r, line, sizeof line), 0);
	assert_int_equal(parse(line, again), 0);
	assert_int_equal(again->n, RESOLVED_ADDRESSES_MAX);
	for (size_t i = 0; i < again->n; i++)
		assert_true(endpoint_equal(&again->endpoints[i], &r->endpoints[i]));
	free(r);
	free(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_read_and_written_back),
		cmocka_unit_test(what_is_no_such_line_is_refused),
		cmocka_unit_test(names_and_lists_have_an_end),
		cmocka_unit_test(a_line_fits_or_is_refused),
		cmocka_unit_test(the_largest_line_is_read_again),
	};

	return cmocka_run_group_tests_name("resolved", tests, NULL, NULL);
}
