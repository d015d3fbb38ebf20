/*
 * test_path.c: the one normalisation of paths, and how else servers behind may read them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/path.h"

#include "base/poison.h"

struct row {
	const char *path;
	unsigned habits;
	const char *becomes; /* NULL: it climbs */
};

static void check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t buf[64];
		struct bytes path = bytes_str(rows[i].path);
		size_t len = path_resolve(path, rows[i].habits, buf);

		assert_true(len <= path.len + 1);
		if (rows[i].becomes == NULL ? len != 0
					    : !bytes_equal_str(bytes_of(buf, len), rows[i].becomes))
			fail_msg("%s (%u) became \"%.*s\"", rows[i].path, rows[i].habits, (int)len,
			    (const char *)buf);
	}
}

static void dot_segments_are_resolved_and_nothing_else(void **state)
{
	static const struct row rows[] = { { "/", 0, "/" }, { "/a/b", 0, "/a/b" },
		{ "/a/./b", 0, "/a/b" }, { "/a/../b", 0, "/b" }, { "/a/..", 0, "/" },
		{ "/a/b/..", 0, "/a/" }, { "/a/b/../", 0, "/a/" }, { "/a/.", 0, "/a/" },
		{ "/.", 0, "/" }, { "/a/%2e%2E/b", 0, "/b" }, { "/a/.%2e/b", 0, "/b" },
		{ "/a/%2e", 0, "/a/" }, { "/a/.../b", 0, "/a/.../b" }, { "/a/..b", 0, "/a/..b" },
		{ "/a/%2e%2e%2e", 0, "/a/%2e%2e%2e" }, { "/..", 0, NULL }, { "/a/../..", 0, NULL },
		{ "/%61//b;c/%2F%5c\\", 0, "/%61//b;c/%2F%5c\\" }, { "/a//../b", 0, "/a/b" },
		{ "/a/..;x/b", 0, "/a/..;x/b" }, { "/a/..%2fb", 0, "/a/..%2fb" },
		{ "/%252e%252e/", 0, "/%252e%252e/" } };

	(void)state;
	check(rows, sizeof(rows) / sizeof(rows[0]));
}

static void each_habit_reads_a_path_its_own_way(void **state)
{
	static const struct row rows[] = { { "/a%2Fb", PATH_SLASH, "/a/b" },
		{ "/a%2f..%2fb", PATH_SLASH, "/b" }, { "/a%5cb", PATH_SLASH, "/a%5cb" },
		{ "/a\\b%5Cc", PATH_BACKSLASH, "/a/b/c" }, { "/a/..%5c..\\", PATH_BACKSLASH, NULL },
		{ "/a;x/b;y=1", PATH_PARAMETERS, "/a/b" }, { "/a/..;/b", PATH_PARAMETERS, "/b" },
		{ "/a/;x/b", PATH_PARAMETERS, "/a//b" }, { "//a///b//", PATH_MERGED, "/a/b/" },
		{ "/a//../b", PATH_MERGED, "/b" }, { "/a/;x/%2f..;%5cb", PATH_HABITS, "/b" } };

	(void)state;
	check(rows, sizeof(rows) / sizeof(rows[0]));
}

static void habits_that_matter_are_found(void **state)
{
	(void)state;
	assert_int_equal(path_habits(bytes_str("/a/b.%20c/..d,e=1")), 0);
	assert_int_equal(path_habits(bytes_str("/a%2Fb")), PATH_SLASH | PATH_MERGED);
	assert_int_equal(path_habits(bytes_str("/a%5cb")), PATH_BACKSLASH | PATH_MERGED);
	assert_int_equal(path_habits(bytes_str("/a\\b")), PATH_BACKSLASH | PATH_MERGED);
	assert_int_equal(path_habits(bytes_str("/a;b")), PATH_PARAMETERS | PATH_MERGED);
	assert_int_equal(path_habits(bytes_str("/a//b")), PATH_MERGED);
	assert_int_equal(path_habits(bytes_str("/%252f")), 0);
}

/* A resolved path has nothing left to resolve: what is matched is what is sent. */
static void resolving_twice_is_resolving_once(void **state)
{
	static const char signs[] = "/.a;\\%2eF5c";

	(void)state;
	for (uint32_t seed = 1; seed < 200000; seed++) {
		uint8_t path[13] = "/", once[14], twice[15];
		uint32_t r = seed * 2654435761u;
		size_t n, m;

		for (size_t i = 1; i < sizeof(path); i++, r = r * 1664525 + 1013904223)
			path[i] = (uint8_t)signs[(r >> 24) % (sizeof(signs) - 1)];
		n = path_resolve(bytes_of(path, sizeof(path)), 0, once);
		if (n == 0)
			continue;
		m = path_resolve(bytes_of(once, n), 0, twice);
		assert_true(m == n && memcmp(once, twice, n) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dot_segments_are_resolved_and_nothing_else),
		cmocka_unit_test(each_habit_reads_a_path_its_own_way),
		cmocka_unit_test(habits_that_matter_are_found),
		cmocka_unit_test(resolving_twice_is_resolving_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
