/*
 * test_serverinfo.c: which cache servers can hold claims, by what their INFO says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/cluster/serverinfo.h"

#include "base/poison.h"

#define RUN_ID "0123456789abcdef0123456789abcdef01234567"
#define OURS                                                                                       \
	"# Server\r\nserver_name:sslgw-cachesvc\r\nrun_id:" RUN_ID "\r\n\r\n# Memory\r\n"          \
	"maxmemory_policy:segmented-lru\r\n\r\n# Claims\r\nclaims_policy:noeviction\r\n"           \
	"\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"
#define REDIS(policy, role)                                                                        \
	"# Server\r\nredis_version:7.0.15\r\nrun_id:" RUN_ID "\r\n\r\n# Memory\r\n"                \
	"mem_not_counted_for_evict:0\r\nmaxmemory_policy:" policy "\r\n# Replication\r\n"          \
	"role:" role "\r\nmaster_replid:feed\r\n"

static const char *unfit(const char *text)
{
	struct serverinfo info;

	serverinfo_parse(bytes_str(text), &info);
	return serverinfo_unfit(&info);
}

static void our_own_and_a_redis_that_forgets_nothing_hold_claims(void **state)
{
	struct serverinfo info;

	(void)state;
	assert_null(unfit(OURS));
	assert_null(unfit(REDIS("noeviction", "master")));
	serverinfo_parse(bytes_str(OURS), &info);
	assert_true(bytes_equal_str(info.run_id, RUN_ID));
	assert_true(bytes_equal_str(info.role, "master"));
}

static void whoever_may_forget_or_is_not_the_one_does_not(void **state)
{
	static const char *const policies[] = { "allkeys-lru", "volatile-lru", "volatile-ttl",
		"allkeys-random", "noevictions", "" };
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		snprintf(text, sizeof(text),
		    "run_id:" RUN_ID "\r\nmaxmemory_policy:%s\r\nrole:master\r\n", policies[i]);
		assert_non_null(strstr(unfit(text), "maxmemory-policy"));
	}
	assert_non_null(strstr(unfit(REDIS("noeviction", "slave")), "replica"));
	assert_non_null(
	    strstr(unfit("run_id:" RUN_ID "\r\nmaxmemory_policy:noeviction\r\n"), "replica"));
	assert_non_null(strstr(unfit("maxmemory_policy:noeviction\r\nrole:master\r\n"), "run_id"));
	assert_non_null(strstr(
	    unfit("run_id:abc\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n"), "run_id"));
}

/* Names must be whole, and at the start of a line; what comes first counts. */
static void only_whole_names_count(void **state)
{
	struct serverinfo info;

	(void)state;
	serverinfo_parse(bytes_str("my_role:master\nrole:slave\nrole:master\nroles:x"), &info);
	assert_true(bytes_equal_str(info.role, "slave"));
	serverinfo_parse(bytes_str("x role:master\r\n:master\r\nrole\r\n role:master"), &info);
	assert_int_equal(info.role.len, 0);
	serverinfo_parse(bytes_str("role:a:b"), &info);
	assert_true(bytes_equal_str(info.role, "a:b"));
}

/* Cut anywhere it is read without a byte beyond its end (a copy of just that size, for the sanitizers). */
static void any_piece_is_read(void **state)
{
	struct serverinfo info;

	(void)state;
	for (size_t n = 0; n <= sizeof(OURS) - 1; n++) {
		uint8_t *copy = malloc(n > 0 ? n : 1);

		assert_non_null(copy);
		memcpy(copy, OURS, n);
		serverinfo_parse(bytes_of(copy, n), &info);
		(void)serverinfo_unfit(&info);
		for (size_t i = 0; i < n; i++)
			copy[i] = copy[i] == '\n' ? ':' : copy[i] == ':' ? '\n' : copy[i];
		serverinfo_parse(bytes_of(copy, n), &info);
		free(copy);
	}
	serverinfo_parse(bytes_of(NULL, 0), &info);
	assert_non_null(serverinfo_unfit(&info));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_own_and_a_redis_that_forgets_nothing_hold_claims),
		cmocka_unit_test(whoever_may_forget_or_is_not_the_one_does_not),
		cmocka_unit_test(only_whole_names_count),
		cmocka_unit_test(any_piece_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
