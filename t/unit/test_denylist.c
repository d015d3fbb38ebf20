/*
 * test_denylist.c: the list of those who are no longer wanted, as an operator may write it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/denylist.h"

#include "t/sim/pki.h"

static int setup(void **state)
{
	struct pki *pki = calloc(1, sizeof(*pki));

	assert_non_null(pki);
	pki_init(pki);
	*state = pki;
	return 0;
}

static int teardown(void **state)
{
	pki_clear(*state);
	free(*state);
	return 0;
}

static void a_list_is_found_whatever_its_order_and_writing(void **state)
{
	struct denylist list;
	char path[128], error[256], *text = calloc(1, 8192), *at = text;
	uint8_t spki[DENYLIST_SPKI_LEN] = { 0 };

	for (int i = 99; i >= 0; i--)
		at += snprintf(at, 80, "%s%02X%062d%s\n", i % 3 == 0 ? " \t" : "", (i * 37) % 256,
		    0, i % 2 == 0 ? "\r" : " # why");
	pki_write(*state, "list", text);
	assert_non_null(text);
	denylist_init(&list);
	assert_int_equal(
	    denylist_load(&list, pki_path(*state, "list", path), error, sizeof(error)), 0);
	assert_int_equal(list.n, 100);
	for (int i = 0; i < 256; i++) {
		bool in = false;

		for (int j = 0; j < 100; j++)
			in |= (j * 37) % 256 == i;
		spki[0] = (uint8_t)i;
		assert_int_equal(denylist_has(&list, spki), in);
	}
	assert_false(denylist_is_stale(&list, path));
	pki_write(*state, "list", text);
	assert_true(denylist_is_stale(&list, path)); /* another file, if with the same words */
	denylist_clear(&list);
	free(text);
	assert_false(denylist_has(&list, spki));
}

static void a_bad_list_leaves_the_former_one(void **state)
{
	static const char *const bad[] = {
		"12\n", /* short */
		"000000000000000000000000000000000000000000000000000000000000000g\n",
		"00000000000000000000000000000000000000000000000000000000000000001\n", /* long */
		"AB:00\n",
		"\n\n  half a li",
	};
	uint8_t spki[DENYLIST_SPKI_LEN] = { 7 };
	struct denylist list;
	char path[128], error[256];

	denylist_init(&list);
	pki_deny(*state, spki);
	assert_int_equal(
	    denylist_load(&list, pki_path(*state, "deny", path), error, sizeof(error)), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		pki_write(*state, "deny", bad[i]);
		assert_int_equal(denylist_load(&list, path, error, sizeof(error)), -1);
		assert_non_null(strstr(error, i == 4 ? "deny:3:" : "deny:1:"));
		assert_true(denylist_has(&list, spki));
		assert_true(denylist_is_stale(&list, path));
	}
	assert_int_equal(denylist_load(&list, "/nowhere/deny", error, sizeof(error)), -1);
	assert_int_equal(denylist_load(&list, "/dev/zero", error, sizeof(error)), -1);
	assert_int_equal(denylist_load(&list, "/tmp", error, sizeof(error)), -1);
	assert_true(denylist_has(&list, spki));
	pki_write(*state, "deny", "");
	assert_int_equal(denylist_load(&list, path, error, sizeof(error)), 0);
	assert_false(denylist_has(&list, spki));
	denylist_clear(&list);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_list_is_found_whatever_its_order_and_writing),
		T(a_bad_list_leaves_the_former_one),
	};
#undef T

	return cmocka_run_group_tests_name("denylist", tests, NULL, NULL);
}
