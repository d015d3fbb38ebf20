/*
 * test_filepath.c: which file a path names, and the many ways to write one that it may not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/origin/filetypes.h"
#include "http/filepath.h"

#include "base/poison.h"

static void a_path_is_decoded_once_and_loses_its_prefix(void **state)
{
	static const struct {
		const char *path, *prefix, *want;
		bool folder;
	} cases[] = {
		{ "/", "/", ".", true },
		{ "/a", "/", "a", false },
		{ "/a/", "/", "a", true },
		{ "/a/b.html", "/", "a/b.html", false },
		{ "//a///b//", "/", "a/b", true },
		{ "/%61%20b", "/", "a b", false },
		{ "/a%2561", "/", "a%61", false },
		{ "/a%252e%252e", "/", "a%2e%2e", false },
		{ "/%C3%A4", "/", "\xc3\xa4", false },
		{ "/a..b/c.", "/", "a..b/c.", false },
		{ "/static/a", "/static/", "a", false },
		{ "/static/", "/static/", ".", true },
		{ "/%73tatic/a", "/static/", "a", false },
		{ "/static//a", "/static/", "a", false },
		{ "/static/a", "/static", "a", false },
		{ "/static", "/static", ".", false },
		{ "/static/", "/static", ".", true },
		{ "/.well-known/acme-challenge/x", "/", ".well-known/acme-challenge/x", false },
		{ "/.well-known", "/", ".well-known", false },
	};
	char *buf = malloc(FILEPATH_MAX);

	(void)state;
	assert_non_null(buf);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool folder = !cases[i].folder;

		if (!filepath_read(bytes_str(cases[i].path), cases[i].prefix, false, buf, &folder))
			fail_msg("%s: refused", cases[i].path);
		if (strcmp(buf, cases[i].want) != 0 || folder != cases[i].folder)
			fail_msg("%s: \"%s\", folder %d", cases[i].path, buf, folder);
	}
	free(buf);
}

static void what_could_be_another_file_is_refused(void **state)
{
	static const struct {
		const char *path, *prefix;
	} cases[] = {
		{ "/..", "/" },
		{ "/../x", "/" },
		{ "/a/../x", "/" },
		{ "/a/..", "/" },
		{ "/%2e%2e/x", "/" },
		{ "/.%2e/x", "/" },
		{ "/%2E./x", "/" },
		{ "/./x", "/" },
		{ "/a/.", "/" },
		{ "/.git/config", "/" },
		{ "/a/.htaccess", "/" },
		{ "/%2ehtaccess", "/" },
		{ "/...", "/" },
		{ "/a/.well-known/x", "/" },
		{ "/.well-knownx", "/" },
		{ "/.well-know", "/" },
		{ "/a%2fb", "/" },
		{ "/..%2fx", "/" },
		{ "/%2f%2e%2e%2fx", "/" },
		{ "/a%5cb", "/" },
		{ "/a\\b", "/" },
		{ "/..\\x", "/" },
		{ "/..%5cx", "/" },
		{ "/a%00", "/" },
		{ "/a%00.html", "/" },
		{ "/a%0a", "/" },
		{ "/a%7f", "/" },
		{ "/a%", "/" },
		{ "/a%4", "/" },
		{ "/a%zz", "/" },
		{ "/%u002e%u002e/x", "/" },
		{ "*", "/" },
		{ "", "/" },
		{ "/static", "/static/" },
		{ "/staticx", "/static" },
		{ "/stati%2f", "/static/" },
		{ "/static%2fa", "/static/" },
		{ "/static/../x", "/static/" },
		{ "/static../x", "/static" },
	};
	char *buf = malloc(FILEPATH_MAX);

	(void)state;
	assert_non_null(buf);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool folder;

		if (filepath_read(bytes_str(cases[i].path), cases[i].prefix, false, buf, &folder))
			fail_msg("%s: taken for \"%s\"", cases[i].path, buf);
	}
	free(buf);
}

/* Under the sanitizers a byte too far is seen. */
static void a_path_that_is_too_long_is_refused(void **state)
{
	char *path = malloc(2 * FILEPATH_MAX), *buf = malloc(FILEPATH_MAX);
	bool folder;

	(void)state;
	assert_non_null(path);
	assert_non_null(buf);
	memset(path, 'a', 2 * FILEPATH_MAX);
	path[0] = '/';
	for (size_t n = FILEPATH_MAX - 4; n < FILEPATH_MAX + 4; n++) {
		bool good = filepath_read(bytes_of(path, n), "/", false, buf, &folder);

		assert_true(good == (n <= FILEPATH_MAX));
		if (good)
			assert_int_equal(strlen(buf), n - 1);
	}
	for (size_t n = 2; n < FILEPATH_MAX + 4; n++) {
		path[n - 1] = '/';
		(void)!filepath_read(bytes_of(path, n), "/", false, buf, &folder);
		path[n - 1] = n % 7 == 0 ? '/' : 'a';
	}
	free(path);
	free(buf);
}

static void types_go_by_the_end_of_the_name(void **state)
{
	static const char text[] = "# text/wrong html\n"
				   "text/html\t\t\thtml htm # a remark\n"
				   "application/x-one  ONE two\r\n"
				   "application/x-late one\n"
				   "no-type bad\n"
				   "text/evil\x01type bad2\n"
				   "a/b/c bad3\n"
				   "application/alone\n"
				   "application/gzip gz";
	static const struct {
		const char *name, *type;
	} cases[] = {
		{ "a.html", "text/html" },
		{ "A.HTM", "text/html" },
		{ "x/y.One", "application/x-one" },
		{ "x.two", "application/x-one" },
		{ "x.tar.gz", "application/gzip" },
		{ "x.css", "text/css" }, /* of our own */
		{ "x.bad", FILETYPES_OTHER },
		{ "x.bad2", FILETYPES_OTHER },
		{ "x.bad3", FILETYPES_OTHER },
		{ "README", FILETYPES_OTHER },
		{ "x.", FILETYPES_OTHER },
		{ "html", FILETYPES_OTHER },
		{ "x.html/README", FILETYPES_OTHER },
		{ "x.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", FILETYPES_OTHER },
	};
	struct filetypes *types = filetypes_of(bytes_of(text, sizeof text - 1));

	(void)state;
	assert_non_null(types);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_string_equal(filetypes_find(types, cases[i].name), cases[i].type);
	filetypes_free(types);
}

static void without_the_file_pages_have_their_types(void **state)
{
	struct filetypes *types = filetypes_new("/nonexistent/mime.types");

	(void)state;
	assert_non_null(types);
	assert_string_equal(filetypes_find(types, "index.html"), "text/html");
	assert_string_equal(filetypes_find(types, "a.js"), "text/javascript");
	assert_string_equal(filetypes_find(types, "a.woff2"), "font/woff2");
	filetypes_free(types);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_decoded_once_and_loses_its_prefix),
		cmocka_unit_test(what_could_be_another_file_is_refused),
		cmocka_unit_test(a_path_that_is_too_long_is_refused),
		cmocka_unit_test(types_go_by_the_end_of_the_name),
		cmocka_unit_test(without_the_file_pages_have_their_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
