/*
 * test_fieldset.c: templates over facts, rules for fields, rules for clients, and an answer's places
 * put into the client's terms.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/exchange/access.h"
#include "gateway/exchange/fieldset.h"
#include "gateway/exchange/rewrite.h"

#include "base/poison.h"

#define S(text) ((char *)(uintptr_t)(text))

static struct clientcert cert = { .subject = S("CN=alice,O=a"),
	.issuer = S("CN=ca"),
	.serial = S("0A"),
	.not_before = S("x"),
	.not_after = S("y"),
	.pem_urlencoded = S("pem"),
	.sans = S("DNS:alice.example\0URI:spiffe://a/b\0") };

static struct facts facts_of(const struct client *client)
{
	return (struct facts){ .client = client,
		.peer = bytes_str("192.0.2.7"),
		.id = bytes_str("0123"),
		.method = bytes_str("GET"),
		.host = bytes_str("a.example"),
		.path = bytes_str("/p"),
		.query = bytes_str("q=1") };
}

static const char *filled(const char *text)
{
	static char out[512];
	static const struct client client = { .version = "TLSv1.3",
		.cipher = "C",
		.cipher_bits = 128,
		.sni = "a.example",
		.verify = "SUCCESS",
		.cert = &cert };
	struct facts facts = facts_of(&client);
	struct writer w = writer_of(out, sizeof(out) - 1);
	struct template *t = template_new(text);

	template_write(t, &facts, &w);
	assert_true(w.ok);
	assert_true(writer_len(&w) <= template_bound(t, &facts));
	*w.at = '\0';
	template_free(t);
	return out;
}

static void facts_stand_where_they_are_named(void **state)
{
	(void)state;
	assert_string_equal(filled("plain"), "plain");
	assert_string_equal(filled("%{tls_version}"), "TLSv1.3");
	assert_string_equal(filled("a %{cipher}/%{cipher_bits}z"), "a C/128z");
	assert_string_equal(filled("%{client_subject};%{client_serial};%{client_verify}"),
	    "CN=alice,O=a;0A;SUCCESS");
	assert_string_equal(filled("https://%{host}%{uri}"), "https://a.example/p?q=1");
	assert_string_equal(filled("%%{host} 100% %{peer}%"), "%{host} 100% 192.0.2.7%");
	assert_string_equal(filled("a%%{x}"), "a%{x}");
	assert_string_equal(filled("%{scheme} %{method} %{path} %{query} %{request_id} %{resumed}"),
	    "https GET /p q=1 0123 no");
}

static void templates_that_are_wrong_are_told(void **state)
{
	char why[600];

	(void)state;
	assert_null(template_check("a %{host}", FACTS_REQUEST, why, sizeof(why)));
	assert_null(template_check("%%{nothing}", FACTS_REQUEST, why, sizeof(why)));
	assert_non_null(template_check("%{hosts}", FACTS_REQUEST, why, sizeof(why)));
	assert_non_null(strstr(why, "%{hosts} is not known here"));
	assert_non_null(strstr(why, "tls_version"));
	assert_non_null(template_check("%{host", FACTS_REQUEST, why, sizeof(why)));
	assert_non_null(template_check("%{server}", FACTS_REQUEST, why, sizeof(why)));
	assert_null(template_check("%{server}", FACTS_ANSWER, why, sizeof(why)));
	assert_non_null(template_check("%{path}", FACTS_ANSWER, why, sizeof(why)));
	assert_non_null(template_check("a\r\nX: y", FACTS_REQUEST, why, sizeof(why)));
	assert_non_null(template_check("a ", FACTS_REQUEST, why, sizeof(why)));
}

static char *site_add[] = { S("X-A"), S("site"), S("X-B"), S("%{client_subject}"), S("Set-Cookie"),
	S("s=1") };
static char *route_add[] = { S("x_a"), S("route"), S("Set-Cookie"), S("r=1") };
static char *route_remove[] = { S("X-B"), S("X-C") };

static void a_routes_rule_goes_before_its_sites(void **state)
{
	const struct site_conf site = { .fields.add = { site_add, 6 } };
	const struct route_conf route = { .fields = { .add = { route_add, 4 },
					      .remove = { route_remove, 2 } } };
	struct client client = { .verify = "NONE" };
	struct facts facts = facts_of(&client);
	char out[256];
	struct writer w = writer_of(out, sizeof(out));
	bool none;
	struct fieldset *set = fieldset_new(&site, &route, FACTS_REQUEST, &none);

	(void)state;
	assert_non_null(set);
	fieldset_write(set, &facts, &w);
	assert_true(bytes_equal_str(
	    bytes_of(out, writer_len(&w)), "x_a: route\r\nSet-Cookie: r=1\r\nSet-Cookie: s=1\r\n"));
	assert_true(fieldset_takes_out(set, bytes_str("X-A")));
	assert_true(fieldset_takes_out(set, bytes_str("X.a")));
	assert_true(fieldset_takes_out(set, bytes_str("X_C")));
	assert_false(fieldset_takes_out(set, bytes_str("set-cookie")));
	assert_false(fieldset_takes_out(set, bytes_str("x-ab")));
	fieldset_free(set);
	assert_null(fieldset_new(&site, NULL, FACTS_ANSWER, &none));
	assert_true(none);
	assert_false(fieldset_takes_out(NULL, bytes_str("x")));
}

static void what_has_no_value_is_left_out(void **state)
{
	const struct site_conf site = { .fields.add = { site_add, 4 } };
	struct client client = { .verify = "NONE" };
	struct facts facts = facts_of(&client);
	struct field fields[4];
	uint8_t out[256];
	struct writer w = writer_of(out, sizeof(out));
	bool none;
	struct fieldset *set = fieldset_new(&site, NULL, FACTS_REQUEST, &none);

	(void)state;
	assert_int_equal(fieldset_add(set, &facts, &w, fields, 4), 1);
	assert_true(bytes_equal_str(fields[0].value, "site"));
	client.cert = &cert;
	assert_int_equal(fieldset_add(set, &facts, &w, fields, 4), 2);
	assert_true(bytes_equal_str(fields[1].value, "CN=alice,O=a"));
	fieldset_free(set);
}

static void a_value_with_a_lines_end_is_never_written(void **state)
{
	static const char *const bad[] = { "a\r\nX: y", "a\nb", "a\rb", "a\x01" };
	char *add[] = { S("X"), S("%{client_subject}") };
	const struct site_conf site = { .fields.add = { add, 2 } };
	struct clientcert evil = cert;
	struct client client = { .verify = "SUCCESS", .cert = &evil };
	struct facts facts = facts_of(&client);
	bool none;
	struct fieldset *set = fieldset_new(&site, NULL, FACTS_REQUEST, &none);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char out[64];
		struct writer w = writer_of(out, sizeof(out));

		evil.subject = S(bad[i]);
		fieldset_write(set, &facts, &w);
		assert_true(w.ok);
		assert_int_equal(writer_len(&w), 0);
	}
	fieldset_free(set);
}

static void hsts_is_said_over_tls_only(void **state)
{
	const struct site_conf site = { .hsts = UINT64_C(86400000), .hsts_subdomains = true };
	struct client client = { .version = "TLSv1.3" };
	struct facts facts = facts_of(&client);
	char out[256];
	struct writer w = writer_of(out, sizeof(out));
	bool none;
	struct fieldset *set = fieldset_new(&site, NULL, FACTS_ANSWER, &none);

	(void)state;
	fieldset_write(set, &facts, &w);
	assert_true(bytes_equal_str(bytes_of(out, writer_len(&w)),
	    "Strict-Transport-Security: max-age=86400; includeSubDomains\r\n"));
	client.version = NULL;
	w = writer_of(out, sizeof(out));
	fieldset_write(set, &facts, &w);
	assert_int_equal(writer_len(&w), 0);
	fieldset_free(set);
}

static bool allowed_from(struct require_conf *conf, const struct client *client, const char *peer)
{
	bool none, yes;
	struct access *a = access_new(conf, &none);

	assert_int_equal(a == NULL, none);
	yes = access_allows(a, client, peer);
	access_free(a);
	return yes;
}

static bool allowed(struct require_conf *conf, const struct client *client)
{
	return allowed_from(conf, client, "192.0.2.7");
}

static void rules_for_certificates_want_a_verified_one(void **state)
{
	char *subject[] = { S("CN=bob*"), S("CN=ali*,O=*") };
	char *issuer[] = { S("CN=ca") }, *other[] = { S("CN=c") };
	char *san[] = { S("URI:spiffe://*/b") }, *dns[] = { S("DNS:*.EXAMPLE") };
	struct require_conf conf = { .subject = { subject, 2 } };
	struct client client = { .verify = "SUCCESS", .cert = &cert };

	(void)state;
	assert_true(allowed(&conf, &client));
	conf.issuer = (struct conf_strings){ issuer, 1 };
	conf.san = (struct conf_strings){ san, 1 };
	assert_true(allowed(&conf, &client));
	conf.san.at = dns;
	assert_true(allowed(&conf, &client));
	conf.issuer.at = other;
	assert_false(allowed(&conf, &client));
	conf.issuer.at = issuer;
	client.verify = "FAILED:self-signed certificate";
	assert_false(allowed(&conf, &client));
	client.verify = "NONE";
	client.cert = NULL;
	assert_false(allowed(&conf, &client));
	conf.subject.n = 1;
	client = (struct client){ .verify = "SUCCESS", .cert = &cert };
	assert_false(allowed(&conf, &client));
}

static void rules_for_networks_hold_for_both_families(void **state)
{
	char *networks[] = { S("10.0.0.0/8"), S("2001:db8::/32") };
	struct require_conf conf = { .networks = { networks, 2 } };
	static const struct {
		const char *ip;
		bool in;
	} cases[] = { { "10.1.2.3", true }, { "11.0.0.1", false }, { "::ffff:10.1.2.3", true },
		{ "2001:db8::1", true }, { "2001:db9::1", false }, { "unix:", false } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client client = { .verify = "NONE" };

		if (allowed_from(&conf, &client, cases[i].ip) != cases[i].in)
			fail_msg("%s", cases[i].ip);
	}
}

static const struct route_conf moved = { .strip_prefix = S("/app/"),
	.add_prefix = S("/v2"),
	.rewrite = REWRITE_LOCATION | REWRITE_COOKIES };
static const struct route_conf same = { .rewrite = REWRITE_LOCATION | REWRITE_COOKIES };

static void places_are_put_into_the_clients_terms(void **state)
{
	static const struct {
		const struct route_conf *route;
		const char *name, *value, *becomes;
	} cases[] = {
		{ &same, "Location", "http://10.0.0.1:8080/x?y", "https://a.example/x?y" },
		{ &same, "location", "http://a.example/x", "https://a.example/x" },
		{ &same, "Location", "http://a.example:80/x", "https://a.example/x" },
		{ &same, "Location", "https://a.example/x", "https://a.example/x" },
		{ &same, "Location", "http://10.0.0.1:8080", "https://a.example/" },
		{ &same, "Location", "http://10.0.0.1/x", "http://10.0.0.1/x" },
		{ &same, "Location", "http://b.example/x", "http://b.example/x" },
		{ &same, "Location", "http://a.example.evil/x", "http://a.example.evil/x" },
		{ &same, "Location", "http://a.example@evil/x", "http://a.example@evil/x" },
		{ &same, "Location", "//b.example/x", "//b.example/x" },
		{ &same, "Location", "x/y", "x/y" },
		{ &same, "Content-Location", "http://10.0.0.1:8080/x", "https://a.example/x" },
		{ &same, "Refresh", "http://10.0.0.1:8080/x", "http://10.0.0.1:8080/x" },
		{ &moved, "Location", "/v2/x", "/app/x" },
		{ &moved, "Location", "/v2", "/app/" },
		{ &moved, "Location", "/v2/", "/app/" },
		{ &moved, "Location", "/v23", "/v23" },
		{ &moved, "Location", "/other", "/other" },
		{ &moved, "Location", "http://10.0.0.1:8080/v2/x#y", "https://a.example/app/x#y" },
		{ &moved, "Location", "http://10.0.0.1:8080/x", "http://10.0.0.1:8080/x" },
		{ &moved, "Set-Cookie", "id=1;Path=/v2;HttpOnly", "id=1; Path=/app/; HttpOnly" },
		{ &moved, "Set-Cookie", "id=Path=/v2; path=/v2/x", "id=Path=/v2; Path=/app/x" },
		{ &moved, "Set-Cookie", "id=1; Path=/", "id=1; Path=/" },
		{ &same, "Set-Cookie", "id=1; Domain=.10.0.0.1; Secure",
		    "id=1; Domain=a.example; Secure" },
		{ &same, "Set-Cookie", "id=1; domain=b.example", "id=1; domain=b.example" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t out[256];
		struct writer w = writer_of(out, sizeof(out));
		const struct rewrite_terms terms = { .route = cases[i].route,
			.server = bytes_str("10.0.0.1:8080"),
			.host = bytes_str("a.example"),
			.tls = true };
		struct field field = { bytes_str(cases[i].name), bytes_str(cases[i].value) };

		rewrite_field(&terms, &field, &w);
		if (!bytes_equal_str(field.value, cases[i].becomes))
			fail_msg("%s: %s became %.*s", cases[i].name, cases[i].value,
			    (int)field.value.len, (const char *)field.value.at);
		/* Without room it stays as it is. */
		field.value = bytes_str(cases[i].value);
		w = writer_of(out, 2);
		rewrite_field(&terms, &field, &w);
		assert_true(bytes_equal_str(field.value, cases[i].value));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_stand_where_they_are_named),
		cmocka_unit_test(templates_that_are_wrong_are_told),
		cmocka_unit_test(a_routes_rule_goes_before_its_sites),
		cmocka_unit_test(what_has_no_value_is_left_out),
		cmocka_unit_test(a_value_with_a_lines_end_is_never_written),
		cmocka_unit_test(hsts_is_said_over_tls_only),
		cmocka_unit_test(rules_for_certificates_want_a_verified_one),
		cmocka_unit_test(rules_for_networks_hold_for_both_families),
		cmocka_unit_test(places_are_put_into_the_clients_terms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
