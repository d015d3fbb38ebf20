/* test_policy.c: who a caller is, by name, role and network, and which keys, groups, operations and rate
 * it gets. A valid request with one part changed gets nothing. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "crypto/mkcert.h"
#include "keysvc/chain.h"
#include "keysvc/policy.h"
#include "net/tlsctx.h"

#include "base/poison.h"

#define CONF(callers)                                                                              \
	"listen = [ \"*:2407\" ]; keys = [ \"/k\" ]; identity = \"/i\"; identity_key = \"/j\";\n"  \
	"ca_file = \"/c\"; callers = ( " callers " );\n"

static struct keysvc_conf *conf_of(const char *text, char *why, size_t size)
{
	struct conf_errors *errors = conf_errors_new();
	struct conf_text *t = conf_text_of("keysvc.conf", text, strlen(text));
	struct keysvc_conf *conf = keysvc_conf_new(t, false, errors);

	if (conf == NULL)
		snprintf(why, size, "%s", conf_errors_at(errors, 0));
	conf_text_free(t);
	conf_errors_free(errors);
	return conf;
}

static struct key *add(struct keystore *set, const char *name)
{
	char why[100];
	struct key *key = key_new(EVP_EC_gen("P-256"), name, why, sizeof(why));

	assert_int_equal(keystore_add(set, key), 0);
	return key;
}

struct fixture {
	struct keysvc_conf *conf;
	struct keystore *keys;
	struct key *a, *b;
	struct policy policy;
};

static void begin(struct fixture *f, const char *text)
{
	char why[600] = "";

	*f = (struct fixture){ .keys = keystore_new() };
	f->a = add(f->keys, "/etc/sslgw/private/shop.key");
	f->b = add(f->keys, "/etc/sslgw/private/bank.key");
	keystore_seal(f->keys);
	f->conf = conf_of(text, why, sizeof(why));
	if (f->conf == NULL)
		fail_msg("%s", why);
	policy_set_rules(&f->policy, rules_new(f->conf));
	assert_int_equal(rules_bind(f->policy.rules, f->keys), 0);
}

static void end(struct fixture *f)
{
	policy_clear(&f->policy);
	keysvc_conf_free(f->conf);
	keystore_free(f->keys);
}

static struct identity who(const char *name, unsigned role, const char *ip)
{
	struct identity id = { .tls = true, .name = name, .role = role };

	assert_int_equal(endpoint_of_ip(&id.address, ip, 4711), 0);
	return id;
}

static struct caller *caller(
    struct fixture *f, const char *name, unsigned role, const char *ip, uint64_t now)
{
	struct identity id = who(name, role, ip);

	assert_int_equal(
	    policy_admits(&f->policy, &id), policy_caller(&f->policy, &id, now) != NULL);
	return policy_caller(&f->policy, &id, now);
}

static size_t place(const struct fixture *f, const struct key *key)
{
	return (size_t)keystore_index(f->keys, key->ski);
}

static void networks_hold_their_addresses(void **state)
{
	static const struct {
		const char *network, *address;
		bool holds;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.1.2", true },
		{ "10.0.0.0/8", "11.0.0.1", false },
		{ "10.0.0.0/8", "::ffff:10.1.1.1", true },
		{ "10.1.2.3", "10.1.2.3", true },
		{ "10.1.2.3", "10.1.2.2", false },
		{ "10.1.2.0/23", "10.1.3.255", true },
		{ "10.1.2.0/23", "10.1.4.0", false },
		{ "0.0.0.0/0", "255.1.2.3", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "10.0.0.1", true },
		{ "fd00::/8", "fdff::1", true },
		{ "fd00::/8", "fe80::1", false },
	};
	static const char *const bad[] = { "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8",
		"10.0.0/8", "fd00::/129", "gw1.example", "10.0.0.0/-1", "10.0.0.0/ 8",
		"10.0.0.0/8x", "10.0.0.0/+8",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc/8" };
	struct network network;
	struct endpoint at;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(network_parse(&network, cases[i].network), 0);
		assert_int_equal(endpoint_of_ip(&at, cases[i].address, 1), 0);
		if (network_holds(&network, &at) != cases[i].holds)
			fail_msg("%s and %s", cases[i].network, cases[i].address);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (network_parse(&network, bad[i]) != -1)
			fail_msg("\"%s\" is taken", bad[i]);
	}
	assert_int_equal(network_parse(&network, "::/0"), 0);
	assert_int_equal(endpoint_parse(&at, "unix:/x"), 0);
	assert_false(network_holds(&network, &at));
}

static void patterns_match_as_a_shell_does(void **state)
{
	(void)state;
	assert_true(rules_match("gw*", "gw1", true));
	assert_true(rules_match("gw*", "gw", true));
	assert_true(rules_match("GW1", "gw1", true));
	assert_false(rules_match("GW1", "gw1", false));
	assert_false(rules_match("gw*", "xgw1", true));
	assert_false(rules_match("gw1", "gw1.evil.example", true));
	assert_false(rules_match("gw1", "gw", true));
	assert_true(rules_match("*.a.*.c", "x.a.a.b.c", true));
	assert_false(rules_match("*.a.*.c", "x.a.b.cd", true));
	assert_true(rules_match("*", "", true));
	assert_false(rules_match("", "a", true));
	assert_false(rules_match("g[w]1", "gw1", true));
}

static void caller_is_name_and_role_and_network(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, CONF("{ name = \"gw*\"; networks = [ \"10.0.0.0/8\", \"fd00::/8\" ]; keys = [ "
		       "\"shop.key\" ]; groups = [ \"shop\" ]; }"));
	assert_non_null(caller(&f, "gw1", ROLE_GATEWAY, "10.0.0.1", 0));
	assert_non_null(caller(&f, "gw1", ROLE_GATEWAY, "fd00::7", 0));
	assert_null(caller(&f, "gw1", ROLE_GATEWAY, "11.0.0.1", 0)); /* after it was known */
	assert_non_null(caller(&f, "gw1", ROLE_GATEWAY, "10.0.0.1", 0));
	assert_null(caller(&f, "xw1", ROLE_GATEWAY, "10.0.0.1", 0));
	assert_null(caller(&f, "", ROLE_GATEWAY, "10.0.0.1", 0));
	assert_null(caller(&f, "gw1", ROLE_OPERATOR, "10.0.0.1", 0));
	assert_null(caller(&f, "gw1", ROLE_NONE, "10.0.0.1", 0));
	assert_null(caller(&f, "gw1", ROLE_CACHESVC, "10.0.0.1", 0));
	end(&f);
}

static void key_services_get_generations_and_nothing_else(void **state)
{
	struct fixture f;
	struct caller *c;

	(void)state;
	begin(&f, CONF("{ name = \"*\"; keys = [ \"*\" ]; groups = [ \"*\" ]; }"));
	c = caller(&f, "ks2", ROLE_KEYSVC, "10.0.0.1", 0);
	assert_non_null(c);
	for (unsigned grant = 1; grant <= GRANT_RAW_RSA; grant <<= 1)
		assert_int_equal(
		    policy_grants(&f.policy, c, (enum grant)grant), grant == GRANT_GENERATIONS);
	assert_false(policy_key(c, 0));
	assert_false(policy_group(c, bytes_str("default")));
	assert_false(policy_take(c, 0));
	c = caller(&f, "gw1", ROLE_GATEWAY, "10.0.0.1", 0);
	assert_false(policy_grants(&f.policy, c, GRANT_GENERATIONS));
	assert_false(policy_grants(&f.policy, c, GRANT_DIGEST_SIGN)); /* by default */
	assert_false(policy_grants(&f.policy, c, GRANT_RAW_RSA));
	assert_true(policy_grants(&f.policy, c, GRANT_TLS_SIGN));
	end(&f);
}

static void each_caller_has_its_own_keys_groups_and_operations(void **state)
{
	struct fixture f;
	struct caller *c;

	(void)state;
	begin(
	    &f, CONF("{ name = \"gw1\"; keys = [ \"shop.key\" ]; groups = [ \"shop\" ]; allow = [ "
		     "\"tls-sign\", \"epoch-keys\" ]; },"
		     "{ name = \"old\"; role = \"none\"; keys = [ \"*/bank.*\" ]; allow = [ "
		     "\"digest-sign\" ]; unsafe_raw_rsa = [ \"shop.key\" ]; },"
		     "{ name = \"gw*\"; keys = [ \"*\" ]; groups = [ \"*\" ]; }"));
	c = caller(&f, "gw1", ROLE_GATEWAY, "10.0.0.1", 0); /* the first that fits */
	assert_true(policy_key(c, place(&f, f.a)));
	assert_false(policy_key(c, place(&f, f.b)));
	assert_false(policy_key(c, 2));
	assert_false(policy_raw_key(c, place(&f, f.a)));
	assert_true(policy_group(c, bytes_str("shop")));
	assert_false(policy_group(c, bytes_str("shoq")));
	assert_false(policy_group(c, bytes_str("")));
	assert_false(policy_group(c, bytes_str("*")));
	assert_false(policy_grants(&f.policy, c, GRANT_KEYS));
	c = caller(&f, "old", ROLE_NONE, "10.0.0.1", 0);
	assert_false(policy_key(c, place(&f, f.a)));
	assert_true(policy_key(c, place(&f, f.b)));
	assert_true(policy_raw_key(c, place(&f, f.a)));
	assert_false(policy_raw_key(c, place(&f, f.b)));
	assert_true(policy_grants(&f.policy, c, GRANT_RAW_RSA));
	assert_false(policy_grants(&f.policy, c, GRANT_TLS_SIGN));
	c = caller(&f, "gw2", ROLE_GATEWAY, "10.0.0.1", 0);
	assert_true(policy_key(c, 0) && policy_key(c, 1));
	assert_true(policy_group(c, bytes_str("anything")));
	end(&f);
}

static void keys_are_named_by_ski_and_certificate_too(void **state)
{
	struct fixture f = { .keys = keystore_new() };
	char *text, ski[41], why[600] = "", *pem;
	struct caller *c;
	EVP_PKEY *pkey;
	X509 *cert;
	uint8_t found[20];
	struct key *by_name;

	(void)state;
	f.a = add(f.keys, "/k/a");
	f.b = add(f.keys, "/k/b");
	assert_int_equal(
	    mkcert((const char *const[]){ "shop.example", "*.shop.example" }, 2, 30, &pkey, &cert),
	    0);
	pem = mkcert_pem(cert);
	by_name = key_new(pkey, "/k/c", why, sizeof(why));
	by_name->chain = chain_parse(bytes_str(pem), "c.pem", found, why, sizeof(why));
	assert_non_null(by_name->chain);
	assert_memory_equal(found, by_name->ski, 20);
	assert_int_equal(keystore_add(f.keys, by_name), 0);
	keystore_seal(f.keys);
	for (size_t i = 0; i < 20; i++)
		snprintf(ski + 2 * i, 3, "%02X", f.b->ski[i]);
	assert_true(
	    asprintf(&text,
		CONF("{ name = \"gw1\"; keys = [ \"SHOP.example\", \"%s\" ]; groups = [ \"g\" ]; },"
		     "{ name = \"gw2\"; keys = [ \"hop.example\", \"*hop.examplf\" ]; groups = [ "
		     "\"g\" "
		     "]; }"),
		ski) > 0);
	f.conf = conf_of(text, why, sizeof(why));
	policy_set_rules(&f.policy, rules_new(f.conf));
	assert_int_equal(rules_bind(f.policy.rules, f.keys), 0);
	c = caller(&f, "gw1", ROLE_GATEWAY, "10.0.0.1", 0);
	assert_false(policy_key(c, place(&f, f.a)));
	assert_true(policy_key(c, place(&f, f.b)));
	assert_true(policy_key(c, place(&f, by_name)));
	c = caller(&f, "gw2", ROLE_GATEWAY, "10.0.0.1", 0);
	for (size_t i = 0; i < 3; i++)
		assert_false(policy_key(c, i));
	X509_free(cert), free(pem), free(text);
	end(&f);
}

static void rate_is_the_caller_s_whatever_it_connects_from(void **state)
{
	struct fixture f;
	unsigned got = 0;

	(void)state;
	begin(
	    &f, CONF("{ name = \"gw*\"; keys = [ \"*\" ]; groups = [ \"g\" ]; rate = \"10/s\"; }"));
	for (int i = 0; i < 40; i++)
		got += policy_take(
		    caller(&f, "gw1", ROLE_GATEWAY, i % 2 == 0 ? "10.0.0.1" : "10.0.0.2", 1000),
		    1000);
	assert_int_equal(got, 10);
	assert_true(policy_take(caller(&f, "gw2", ROLE_GATEWAY, "10.0.0.1", 1000), 1000));
	assert_true(policy_take(caller(&f, "gw1", ROLE_GATEWAY, "10.0.0.1", 1100), 1100));
	assert_false(policy_take(caller(&f, "gw1", ROLE_GATEWAY, "10.0.0.1", 1100), 1100));
	end(&f);
}

static void callers_are_bounded_and_the_oldest_goes(void **state)
{
	struct fixture f;
	char name[32];

	(void)state;
	begin(
	    &f, CONF("{ name = \"gw*\"; keys = [ \"*\" ]; groups = [ \"g\" ]; rate = \"1/s\"; }"));
	assert_true(policy_take(caller(&f, "gw", ROLE_GATEWAY, "10.0.0.1", 0), 0));
	for (int i = 0; i < CALLERS_MAX - 1; i++) {
		snprintf(name, sizeof(name), "gw%d", i);
		assert_true(policy_take(caller(&f, name, ROLE_GATEWAY, "10.0.0.1", 0), 0));
	}
	assert_false(
	    policy_take(caller(&f, "gw", ROLE_GATEWAY, "10.0.0.1", 0), 0)); /* youngest now */
	assert_true(policy_take(caller(&f, "gwx", ROLE_GATEWAY, "10.0.0.1", 0), 0)); /* gw0 went */
	assert_false(policy_take(caller(&f, "gw", ROLE_GATEWAY, "10.0.0.1", 0), 0));
	assert_true(policy_take(caller(&f, "gw0", ROLE_GATEWAY, "10.0.0.1", 0), 0));
	end(&f);
}

static void wrong_callers_are_told_with_the_fix(void **state)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{ "listen = [ \"*:2407\" ]; keys = [ \"/k\" ];", "identity = \"ks1.pem\"" },
		{ "listen = [ \"*:2407\" ]; keys = [ \"/k\" ]; identity = \"i\"; ca_file = \"c\"; "
		  "callers = ( { name = \"g\"; keys = [ \"*\" ]; groups = [ \"g\" ]; } );",
		    "identity_key = " },
		{ "listen = [ \"*:2407\" ]; keys = [ \"/k\" ]; identity = \"i\"; identity_key = "
		  "\"j\"; callers = ( { name = \"g\"; keys = [ \"*\" ]; groups = [ \"g\" ]; } );",
		    "ca_file = " },
		{ "listen = [ \"*:2407\" ]; keys = [ \"/k\" ]; identity = \"i\"; identity_key = "
		  "\"j\"; ca_file = \"c\";",
		    "nobody may ask by TLS" },
		{ "listen = [ \"2407\" ]; keys = [ \"/k\" ];", "\"*:2407\"" },
		{ "listen = [ \"unix:@x\" ]; keys = [ \"/k\" ];", "unix:/path" },
		{ CONF("{ keys = [ \"*\" ]; groups = [ \"g\" ]; }"), "name" },
		{ CONF("{ name = \"g\"; groups = [ \"g\" ]; }"), "has no keys" },
		{ CONF("{ name = \"g\"; keys = [ \"*\" ]; }"), "has no groups" },
		{ CONF("{ name = \"g\"; keys = [ \"*\" ]; groups = [ \"g\" ]; role = \"cachesvc\"; "
		       "}"),
		    "gateway" },
		{ CONF("{ name = \"g\"; keys = [ \"*\" ]; groups = [ \"g\" ]; networks = [ "
		       "\"10.0.0.1/8\" ]; }"),
		    "10.0.0.1/8" },
		{ CONF("{ name = \"g\"; keys = [ \"*\" ]; groups = [ \"g\" ]; rate = \"0/s\"; }"),
		    "rate" },
		{ CONF("{ name = \"g\"; keys = [ \"*\" ]; groups = [ \"g\" ]; allow = [ "
		       "\"tls-sing\" ]; }"),
		    "tls-sign" },
	};
	char why[600];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why[0] = '\0';
		if (conf_of(cases[i].text, why, sizeof(why)) != NULL)
			fail_msg("taken: %s", cases[i].text);
		if (strstr(why, cases[i].part) == NULL)
			fail_msg("\"%s\" lacks \"%s\"", why, cases[i].part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks_hold_their_addresses),
		cmocka_unit_test(patterns_match_as_a_shell_does),
		cmocka_unit_test(caller_is_name_and_role_and_network),
		cmocka_unit_test(key_services_get_generations_and_nothing_else),
		cmocka_unit_test(each_caller_has_its_own_keys_groups_and_operations),
		cmocka_unit_test(keys_are_named_by_ski_and_certificate_too),
		cmocka_unit_test(rate_is_the_caller_s_whatever_it_connects_from),
		cmocka_unit_test(callers_are_bounded_and_the_oldest_goes),
		cmocka_unit_test(wrong_callers_are_told_with_the_fix),
	};

	log_init("test_policy");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
