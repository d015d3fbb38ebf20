/*
 * test_healthword.c: the monitor's words of servers, compared with the configuration; statuses of good checks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "gateway/healthword.h"

#include "base/poison.h"

static char a[] = "10.0.0.1:80", b[] = "unix:/run/the app.sock", c[] = "app.example:80";
static char one[] = "one", two[] = "the two", path[] = "/healthz";

static struct gateway_conf *configured(void)
{
	static struct server_conf servers[] = { { .address = a }, { .address = b },
		{ .address = c } };
	static struct pool_conf pools[3];
	static struct gateway_conf conf;

	pools[0] = (struct pool_conf){ .name = one, .servers = { servers, 1 } };
	pools[1] = (struct pool_conf){
		.name = two, .servers = { servers, 3 }, .health_check = { .path = path }
	};
	conf.pools.at = pools;
	conf.pools.n = 2;
	return &conf;
}

static void words_are_written_and_read_back(void **state)
{
	const struct gateway_conf *conf = configured();
	char text[128];

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct healthword word = { i % 2 == 0, 1, i / 2 }, again;

		assert_int_equal(healthword_print(conf, &word, text, sizeof text), 0);
		assert_int_equal(healthword_parse(text, conf, &again), 0);
		assert_int_equal(again.up, word.up);
		assert_int_equal(again.pool, word.pool);
		assert_int_equal(again.server, word.server);
		assert_int_equal(healthword_print(conf, &word, text, strlen(text)), -1);
	}
	assert_string_equal(text, "down the two app.example:8"); /* cut, and said to be so */
}

static void what_is_no_server_that_is_checked_is_refused(void **state)
{
	static const char *const bad[] = { "", "up", "up ", "up the two", "up the two ",
		"UP the two 10.0.0.1:80", "up the two 10.0.0.1:8", "up the two 10.0.0.1:80 ",
		"up the two  10.0.0.1:80", " up the two 10.0.0.1:80", "up the tw 10.0.0.1:80",
		"up one 10.0.0.1:80", "down the two 10.0.0.1:80\n", "sideways the two 10.0.0.1:80",
		"down the two unix:/run/the", "up the two 10.0.0.1:80 10.0.0.1:80" };
	struct healthword word;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (healthword_parse(bad[i], configured(), &word) != -1)
			fail_msg("read: %s", bad[i]);
}

static void statuses_are_ranges_and_numbers(void **state)
{
	static const char *const bad[] = { "", "2", "20", "2000", "199", "600", "200-", "-200",
		"200-199", "200,", ",200", "200 ", "200-299-300", "2xx", "200;204", "0200" };

	(void)state;
	assert_int_equal(pool_conf_status("200-399", 200), 1);
	assert_int_equal(pool_conf_status("200-399", 399), 1);
	assert_int_equal(pool_conf_status("200-399", 400), 0);
	assert_int_equal(pool_conf_status("200,204,301-302", 204), 1);
	assert_int_equal(pool_conf_status("200,204,301-302", 302), 1);
	assert_int_equal(pool_conf_status("200,204,301-302", 303), 0);
	assert_int_equal(pool_conf_status("404", 404), 1);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (pool_conf_status(bad[i], 200) != -1)
			fail_msg("taken: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_written_and_read_back),
		cmocka_unit_test(what_is_no_server_that_is_checked_is_refused),
		cmocka_unit_test(statuses_are_ranges_and_numbers),
	};

	return cmocka_run_group_tests_name("healthword", tests, NULL, NULL);
}
