/*
 * test_cachesvc_conf.c: what cachesvc.conf may say, and what is refused, with its line and the mend.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cachesvc/cachesvc_conf.h"

static struct cachesvc_conf *parse(const char *text, bool embedded, struct conf_errors *errors)
{
	struct conf_text *t = conf_text_of("c", text, strlen(text));
	struct cachesvc_conf *conf;

	assert_non_null(t);
	conf = cachesvc_conf_new(t, embedded, errors);
	conf_text_free(t);
	return conf;
}

static void a_good_one_is_taken(void **state)
{
	struct conf_errors *errors = conf_errors_new();
	struct cachesvc_conf *conf;

	(void)state;
	conf = parse(
	    "listen = [ \"127.0.0.1:6380\", \"[::1]:6380\", \"unix:/run/c\" ];\n"
	    "max_memory = \"512M\"; user = \"0\"; group = \"12345\";\n"
	    "caller_users = [ \"root\", \"54321\" ]; connections = 50; idle_timeout = \"5m\";\n",
	    false, errors);
	if (conf == NULL)
		fail_msg("%s", conf_errors_at(errors, 0));
	assert_int_equal(conf->listen.n, 3);
	assert_int_equal(conf->max_memory, 512 << 20);
	assert_int_equal(conf->idle_timeout, 300000);
	assert_int_equal(conf->connections, 50);
	cachesvc_conf_free(conf);
	conf = parse(
	    "listen = [ \"*:6380\", \"unix:/c\" ]; listen_plain = [ \"127.0.0.1:6379\" ];\n"
	    "identity = \"cs1.pem\"; identity_key = \"cs1.key\"; ca_file = \"ca.pem\";",
	    false, errors);
	if (conf == NULL)
		fail_msg("%s", conf_errors_at(errors, 0));
	assert_true(cachesvc_conf_is_tls(conf, conf->listen.at[0]));
	assert_false(cachesvc_conf_is_tls(conf, conf->listen.at[1]));
	cachesvc_conf_free(conf);
	conf = parse("listen = [ \"10.0.0.1:6380\" ]; listen_plain = [ \"[::]:6379\" ];\n"
		     "allow_plain_network = true;",
	    false, errors);
	if (conf == NULL)
		fail_msg("%s", conf_errors_at(errors, 0));
	assert_false(cachesvc_conf_is_tls(conf, conf->listen.at[0]));
	cachesvc_conf_free(conf);
	conf = parse("", true, errors);
	assert_non_null(conf);
	assert_int_equal(conf->max_memory, 64 << 20);
	assert_int_equal(conf->idle_timeout, 0);
	cachesvc_conf_free(conf);
	conf_errors_free(errors);
}

static void a_wrong_one_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *where, *what;
	} wrong[] = {
		{ "", "c:1:", "nothing to listen on" },
		{ "max_memory = \"512K\";\nlisten = [ \"unix:/c\" ];", "c:1:", "1M to 64G" },
		{ "\nlisten = [ \"*:6380\" ];", "c:2:", "or write 127.0.0.1:6380 or unix:/path" },
		{ "\n\nlisten = [ \"10.0.0.1:6380\" ];",
		    "c:3:", "open to the network without TLS" },
		{ "listen = [ \"[::]:6380\" ];", "c:1:", "open to the network without TLS" },
		{ "listen = [ \"cache.example.com:6380\" ];", "c:1:", "is no address" },
		{ "listen = [ \"unix:/c\" ];\nuser = \"no-such-user\";", "c:2:", "does not exist" },
		{ "listen = [ \"unix:/c\" ];\ngroup = \"no-such-group\";",
		    "c:2:", "does not exist" },
		{ "listen = [ \"unix:/c\" ];\ncaller_users = [ \"root\", \"nobody-of-that-name\" "
		  "];",
		    "c:2:", "does not exist" },
		{ "listen_plain = [ \"[::]:6379\" ];", "c:1:", "allow_plain_network" },
		{ "listen_plain = [ \"unix:/c\" ];", "c:1:", "belongs into listen" },
		{ "listen = [ \"*:6380\" ]; identity = \"a\"; identity_key = \"b\"; ca_file = "
		  "\"c\";\n"
		  "listen_plain = [ \"*:6379\" ];",
		    "c:2:", "open to the network without TLS" },
		{ "listen = [ \"*:6380\" ];\nidentity = \"a\"; identity_key = \"b\";",
		    "c:1:", "add ca_file" },
		{ "listen = [ \"*:6380\" ];\nidentity = \"a\"; ca_file = \"b\";",
		    "c:1:", "add identity_key" },
		{ "listen = [ \"127.0.0.1:6380\" ];\nca_file = \"a\"; identity_key = \"b\";",
		    "c:1:", "add identity =" },
		{ "listen = [ \"127.0.0.1:6380\" ];\ndeny_file = \"a\";", "c:2:", "is for TLS" },
		{ "listen = [ \"unix:/c\" ];\nconnections = 0;", "c:2:", "out of range" },
		{ "listen = [ \"unix:/c\" ];\nmax_memroy = \"64M\";",
		    "c:2:", "did you mean max_memory" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct conf_errors *errors = conf_errors_new();
		const char *error;

		assert_null(parse(wrong[i].text, false, errors));
		assert_int_equal(conf_errors_n(errors), 1);
		error = conf_errors_at(errors, 0);
		if (strncmp(error, wrong[i].where, strlen(wrong[i].where)) != 0 ||
		    strstr(error, wrong[i].what) == NULL)
			fail_msg("case %zu: %s", i, error);
		conf_errors_free(errors);
	}
}

static void all_errors_are_told_at_once(void **state)
{
	struct conf_errors *errors = conf_errors_new();

	(void)state;
	assert_null(
	    parse("listen = [ \"*:1\", \"x\" ];\nmax_memory = \"1K\";\nuser = \"no-such-user\";\n",
		false, errors));
	assert_int_equal(conf_errors_n(errors), 4);
	conf_errors_free(errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_one_is_taken),
		cmocka_unit_test(a_wrong_one_is_refused_with_its_line),
		cmocka_unit_test(all_errors_are_told_at_once),
	};

	return cmocka_run_group_tests_name("cachesvc_conf", tests, NULL, NULL);
}
