/*
 * test_remote.c: the servers of a service as gateway.conf names them, and the addresses of their names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/remote.h"

#include "base/poison.h"

static void texts_are_taken_apart(void **state)
{
	static const struct {
		const char *text;
		enum remote_kind kind;
		const char *host, *user;
		uint16_t port;
		bool numeric;
	} cases[] = {
		{ "10.0.1.1:2407", REMOTE_TLS, "10.0.1.1", "", 2407, true },
		{ "[::1]:2407", REMOTE_TLS, "::1", "", 2407, true },
		{ "keys.internal:1", REMOTE_TLS, "keys.internal", "", 1, false },
		{ "redis://h:6379", REMOTE_REDIS, "h", "", 6379, false },
		{ "redis://10.0.0.1:6379/0", REMOTE_REDIS, "10.0.0.1", "", 6379, true },
		{ "rediss://gw@h:6379/", REMOTE_REDISS, "h", "gw", 6379, false },
		{ "rediss://a@b@[::1]:6379/0", REMOTE_REDISS, "::1", "a@b", 6379, true },
		{ "unix:/run/k.sock", REMOTE_UNIX, "", "", 0, true },
	};
	struct remote r;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(remote_parse(cases[i].text, true, &r));
		assert_int_equal(r.kind, cases[i].kind);
		assert_string_equal(r.host, cases[i].host);
		assert_string_equal(r.user, cases[i].user);
		assert_int_equal(r.port, cases[i].port);
		assert_int_equal(r.at.len != 0, cases[i].numeric);
	}
}

static void what_is_none_is_told(void **state)
{
	static const char *const texts[] = { "", "h", "h:0", "h:65536", ":1", "*:1",
		"unix:", "unix:x", "redis://", "redis://h", "redis://h:1/x", "redis://h:1/0/0",
		"redis://@h:1", "redis://u:p@h:1", "http://h:1", "redis:///0", "rediss://h:1/1" };
	struct remote r;
	char user[600] = "redis://";

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (remote_parse(texts[i], true, &r) == NULL)
			fail_msg("\"%s\" was taken", texts[i]);
	}
	assert_non_null(remote_parse("redis://h:1", false, &r));
	memset(user + 8, 'u', 100);
	strlcpy(user + 108, "@h:1", sizeof(user) - 108);
	assert_non_null(remote_parse(user, true, &r));
	memset(user + 8, 'h', 500);
	strlcpy(user + 508, ":1", sizeof(user) - 508);
	assert_non_null(remote_parse(user, true, &r));
}

static void names_stand_for_all_their_addresses(void **state)
{
	char *texts[] = { (char *)(uintptr_t) "10.0.0.1:1", (char *)(uintptr_t) "name:2",
		(char *)(uintptr_t) "NAME:3" };
	struct conf_strings servers = { texts, 3 };
	struct remotes *all = remotes_new(&servers);
	struct endpoint list[8], found[2];
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	assert_non_null(all);
	assert_int_equal(remotes_list(all, list, 8), 1);
	assert_int_equal(endpoint_of_ip(&found[0], "10.0.0.7", 0), 0);
	assert_int_equal(endpoint_of_ip(&found[1], "::1", 0), 0);
	assert_false(remotes_resolved(all, "other", found, 2));
	assert_true(remotes_resolved(all, "Name", found, 2));
	assert_int_equal(remotes_list(all, list, 8), 5);
	assert_string_equal(endpoint_text(&list[1], text, sizeof(text)), "10.0.0.7:2");
	assert_string_equal(endpoint_text(&list[4], text, sizeof(text)), "[::1]:3");
	assert_int_equal(remotes_list(all, list, 3), 3);
	assert_true(remotes_resolved(all, "name", found, 1)); /* fewer now */
	assert_int_equal(remotes_list(all, list, 8), 3);
	remotes_free(all);
	remotes_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_taken_apart),
		cmocka_unit_test(what_is_none_is_told),
		cmocka_unit_test(names_stand_for_all_their_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
