/*
 * test_target.c: targets, authorities, what is odd about a path, and which paths a route holds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/target.h"

#include "base/poison.h"

static void expect_split(const char *text, enum target_form form, const char *authority,
    const char *path, const char *query)
{
	struct target t;

	if (!target_split(bytes_str(text), &t))
		fail_msg("%s is no target", text);
	assert_int_equal(t.form, form);
	assert_true(bytes_equal_str(t.authority, authority));
	assert_true(bytes_equal_str(t.path, path));
	assert_int_equal(query == NULL, t.query.at == NULL);
	assert_true(bytes_equal_str(t.query, query));
}

static void test_forms_are_split(void **state)
{
	(void)state;
	expect_split("/", TARGET_ORIGIN, "", "/", NULL);
	expect_split("/a?", TARGET_ORIGIN, "", "/a", "");
	expect_split("/a?b?c", TARGET_ORIGIN, "", "/a", "b?c");
	expect_split("*", TARGET_ASTERISK, "", "*", NULL);
	expect_split("http://h", TARGET_ABSOLUTE, "h", "/", NULL);
	expect_split("HTTPS://h:1/p?q", TARGET_ABSOLUTE, "h:1", "/p", "q");
	expect_split("http://h?q/r", TARGET_ABSOLUTE, "h", "/", "q/r");
	expect_split("http://", TARGET_ABSOLUTE, "", "/", NULL);
}

static void test_other_forms_are_refused(void **state)
{
	static const char *const bad[] = { "", "a", "**", "*a", "?q", "h:80", "http",
		"http:", "http:/h", "http:h", "ftp://h/", "httpx://h/", "://h/", "\\h\\", ".",
		"mailto:a@b" };
	struct target t;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (target_split(bytes_str(bad[i]), &t))
			fail_msg("%s is a target", bad[i]);
}

static void expect_authority(const char *text, const char *host, uint16_t port)
{
	struct authority a;

	if (!target_authority(bytes_str(text), &a))
		fail_msg("%s is no authority", text);
	assert_true(bytes_equal_str(a.host, host));
	assert_int_equal(a.port, port);
}

static void test_authorities_have_a_host_and_perhaps_a_port(void **state)
{
	(void)state;
	expect_authority("a", "a", 0);
	expect_authority("a.", "a", 0);
	expect_authority("A.b.:65535", "A.b", 65535);
	expect_authority("a:00080", "a", 80);
	expect_authority("1.2.3.4", "1.2.3.4", 0);
	expect_authority("[::]", "[::]", 0);
	expect_authority("[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]", 1);
}

static void test_other_authorities_are_refused(void **state)
{
	static const char *const bad[] = { "", ":", ":80", ".", "..", "a..", ".a", "a..b",
		"a:", "a:0", "a:65536", "a:99999", "a:100000", "a:8 0", "a: 80", "a:+80", "a b",
		"a@b", "a/b", "a,b", "a%41", "[", "[]", "[:]", "[::", "[::]]", "[::]a", "[::1%1]",
		"[v1.a]", "[1.2.3.4]", "[1:2:3:4:5:6:7:8:9]",
		"[00000000000000000000000000000000000000000000000000000000::]", "a]", "a:80:80",
		"\xe4" };
	struct authority a;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (target_authority(bytes_str(bad[i]), &a))
			fail_msg("%s is an authority", bad[i]);
	assert_false(target_authority(bytes_of("[::\0]", 5), &a));
}

static void test_authorities_are_equal_by_host_and_effective_port(void **state)
{
	(void)state;
	assert_true(target_authority_equal(bytes_str("A.b"), bytes_str("a.B.:80"), 80));
	assert_true(target_authority_equal(bytes_str("a:443"), bytes_str("a"), 443));
	assert_false(target_authority_equal(bytes_str("a:443"), bytes_str("a"), 80));
	assert_false(target_authority_equal(bytes_str("a"), bytes_str("b"), 80));
	assert_false(target_authority_equal(bytes_str("a"), bytes_str(""), 80));
}

static void test_host_is_lowered_or_does_not_fit(void **state)
{
	char buf[6];

	(void)state;
	assert_int_equal(target_host_lower(bytes_str("Ab-Z1"), buf, sizeof buf), 5);
	assert_string_equal(buf, "ab-z1");
	assert_int_equal(target_host_lower(bytes_str("abcdef"), buf, sizeof buf), 0);
	assert_int_equal(target_host_lower(bytes_str("a"), buf, 0), 0);
}

static void test_oddities_of_paths(void **state)
{
	static const struct {
		const char *path;
		unsigned odd;
	} cases[] = { { "/", 0 }, { "*", 0 }, { "/a/b/", 0 }, { "/a.b/..c/d../...", 0 },
		{ "/%41%20", 0 }, { "//", TARGET_EMPTY }, { "/a//b", TARGET_EMPTY }, { "/a/", 0 },
		{ "/.", TARGET_DOTS }, { "/a/..", TARGET_DOTS }, { "/a/./", TARGET_DOTS },
		{ "/%2e", TARGET_DOTS }, { "/a/%2E.", TARGET_DOTS }, { "/a/.%2e/b", TARGET_DOTS },
		{ "/a/..;x", TARGET_DOTS }, { "/a/.;", TARGET_DOTS }, { "/a/;", 0 },
		{ "/a;../b", 0 }, { "/..", TARGET_DOTS | TARGET_CLIMBS },
		{ "/a/../..", TARGET_DOTS | TARGET_CLIMBS },
		{ "/..;/x", TARGET_DOTS | TARGET_CLIMBS },
		{ "/%2e%2e", TARGET_DOTS | TARGET_CLIMBS },
		{ "/a/;x/../..", TARGET_DOTS | TARGET_CLIMBS },
		{ "//..", TARGET_EMPTY | TARGET_DOTS | TARGET_CLIMBS }, { "/a%2Fb", TARGET_SLASH },
		{ "/a\\b", TARGET_BACKSLASH }, { "/a%5cb", TARGET_BACKSLASH },
		{ "/a%2f..", TARGET_SLASH | TARGET_DOTS },
		{ "/..%2f", TARGET_SLASH | TARGET_DOTS | TARGET_CLIMBS },
		{ "/..\\", TARGET_BACKSLASH | TARGET_DOTS | TARGET_CLIMBS },
		{ "/a%5C..%5c..", TARGET_BACKSLASH | TARGET_DOTS | TARGET_CLIMBS },
		{ "/a%2fb/../..", TARGET_SLASH | TARGET_DOTS | TARGET_CLIMBS },
		/* above the root only for who takes one of the two for a separator */
		{ "/.;%5ca/..%2f..%2f",
		    TARGET_SLASH | TARGET_BACKSLASH | TARGET_DOTS | TARGET_CLIMBS },
		{ "/.;%2fa/..%5c..%5c",
		    TARGET_SLASH | TARGET_BACKSLASH | TARGET_DOTS | TARGET_CLIMBS },
		{ "/.;x%5cp/..%2fc",
		    TARGET_SLASH | TARGET_BACKSLASH | TARGET_DOTS | TARGET_CLIMBS },
		{ "/%00", TARGET_NUL }, { "/%", TARGET_ESCAPE }, { "/%4", TARGET_ESCAPE },
		{ "/%%41", TARGET_ESCAPE }, { "/%zz", TARGET_ESCAPE }, { "/%252e%252e", 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		unsigned odd = target_oddities(bytes_str(cases[i].path), bytes_of(NULL, 0));

		if (odd != cases[i].odd)
			fail_msg("%s: 0x%02x, not 0x%02x", cases[i].path, odd, cases[i].odd);
	}
}

static void test_query_may_hold_anything_but_is_watched(void **state)
{
	(void)state;
	assert_int_equal(target_oddities(bytes_str("/"), bytes_str("../%00%2f//")), 0);
	assert_int_equal(target_oddities(bytes_str("/"), bytes_str("50%")), TARGET_QUERY_ESCAPE);
	assert_int_equal(target_oddities(bytes_str("/"), bytes_str("")), 0);
}

static void test_route_holds_what_lies_under_its_prefix(void **state)
{
	static const struct {
		const char *path, *prefix;
		bool under;
	} cases[] = { { "/", "/", true }, { "/a", "/", true }, { "/asp", "/asp", true },
		{ "/asp/", "/asp", true }, { "/asp/x", "/asp", true }, { "/aspx", "/asp", false },
		{ "/as", "/asp", false }, { "/", "/asp", false }, { "/asp", "/asp/", false },
		{ "/asp/", "/asp/", true }, { "/asp/x", "/asp/", true }, { "/ASP", "/asp", false },
		{ "/%61sp/x", "/asp", true }, { "/%61sp%2fx", "/asp", false },
		{ "/asp%2f", "/asp/", false }, { "%2fasp", "/asp", false },
		{ "/asp%78", "/asp", false }, { "/a%20b", "/a b", true },
		{ "/asp%", "/asp", false }, { "/asp;x", "/asp", false }, { "*", "/", false },
		{ "/%2561sp", "/asp", false } };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (target_under(bytes_str(cases[i].path), cases[i].prefix, false) !=
		    cases[i].under)
			fail_msg(
			    "%s under %s: not %d", cases[i].path, cases[i].prefix, cases[i].under);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms_are_split),
		cmocka_unit_test(test_other_forms_are_refused),
		cmocka_unit_test(test_authorities_have_a_host_and_perhaps_a_port),
		cmocka_unit_test(test_other_authorities_are_refused),
		cmocka_unit_test(test_authorities_are_equal_by_host_and_effective_port),
		cmocka_unit_test(test_host_is_lowered_or_does_not_fit),
		cmocka_unit_test(test_oddities_of_paths),
		cmocka_unit_test(test_query_may_hold_anything_but_is_watched),
		cmocka_unit_test(test_route_holds_what_lies_under_its_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
