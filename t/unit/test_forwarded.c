/*
 * test_forwarded.c: what a trusted proxy says of its client, in X-Forwarded-For and its like or in
 * Forwarded; whose word counts, and how the next one is told.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/exchange/forwarded.h"
#include "http/hops.h"

#include "base/poison.h"

#define PEER "10.0.0.9"

static struct trusted *trusted;
static struct client client;
static struct head head;

static int setup(void **state)
{
	static char *networks[] = { (char *)(uintptr_t) "10.0.0.0/8",
		(char *)(uintptr_t) "2001:db8:1::/48" };
	struct conf_strings texts = { networks, 2 };

	(void)state;
	trusted = trusted_new(&texts);
	client.trusted = true;
	return trusted == NULL;
}

static int teardown(void **state)
{
	(void)state;
	trusted_free(trusted);
	return 0;
}

/* fields: "Name: value" lines of a head. */
static struct forwarded read_it(enum trusted_header by, const char *fields)
{
	static const struct head_limits limits = { 32768, 16384, 100 };
	struct head_scan scan = { 0 };
	struct verdict verdict;
	static char request[9000];
	struct forwarded f;
	size_t used;

	snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: own:8080\r\n%s\r\n", fields);
	assert_int_equal(
	    head_request(bytes_str(request), &limits, &scan, &head, &used, &verdict), PARSE_OK);
	forwarded_read(&f, trusted, by, &client, &head);
	return f;
}

/* Both fields as they are sent on, the second without its name. */
static const char *told(const struct forwarded *f)
{
	static char out[70000];
	size_t bound = forwarded_bound(f) + strlen(PEER) + 40;
	struct writer w;

	assert_true(bound < sizeof(out));
	w = writer_of(out, bound);
	forwarded_write_for(&w, f, bytes_str(PEER));
	forwarded_write_hops(&w, f);
	assert_true(w.ok);
	out[writer_len(&w)] = '\0';
	return out + strlen("X-Forwarded-For: ");
}

static void expect(
    const struct forwarded *f, const char *real, const char *proto, const char *host, unsigned port)
{
	assert_string_equal(f->real, real);
	assert_true(bytes_equal_str(f->proto, proto));
	assert_true(bytes_equal_str(f->host, host));
	assert_int_equal(forwarded_port(f, head.authority, true, 8443), port);
}

static void each_hop_wrote_whom_it_saw(void **state)
{
	static const struct {
		const char *list, *real;
	} rows[] = {
		{ "192.0.2.7", "192.0.2.7" },
		{ "192.0.2.7:1234", "192.0.2.7" },
		{ "2001:db8::7", "2001:db8::7" },
		{ "[2001:db8::7]:99", "2001:db8::7" },
		{ "6.6.6.6, 192.0.2.7", "192.0.2.7" },
		{ "6.6.6.6, 192.0.2.7, 10.1.1.1, 10.2.2.2", "192.0.2.7" },
		{ "10.1.1.1, 10.2.2.2", "10.1.1.1" },
		{ "192.0.2.7, nobody, 10.1.1.1, 10.2.2.2", "10.1.1.1" },
		{ "192.0.2.7, nobody", "" },
		{ "10.1.1.1, 192.0.2.7, 2001:db8:1::5", "192.0.2.7" },
		{ "192.0.2.7,,", "192.0.2.7" },
		{ "", "" },
		{ ",", "" },
	};
	char fields[200];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct forwarded f;

		snprintf(fields, sizeof(fields), "X-Forwarded-For: %s\r\n", rows[i].list);
		f = read_it(TRUSTED_X_FORWARDED, fields);
		if (strcmp(f.real, rows[i].real) != 0)
			fail_msg("%s: %s", rows[i].list, f.real);
	}
}

static void the_x_fields_are_kept_and_told_as_forwarded_too(void **state)
{
	struct forwarded f;

	(void)state;
	f = read_it(TRUSTED_X_FORWARDED,
	    "X-Forwarded-For: 192.0.2.7, x\r\nx-forwarded-for: 2001:db8::7\r\n"
	    "X-Forwarded-For: 10.1.1.1:80\r\n"
	    "X-Forwarded-Proto: http\r\nX-Forwarded-Host: shop.example\r\n");
	expect(&f, "2001:db8::7", "http", "shop.example", 80);
	assert_string_equal(told(&f),
	    "192.0.2.7, x, 2001:db8::7, 10.1.1.1:80, " PEER "\r\n"
	    "for=192.0.2.7, for=unknown, "
	    "for=\"[2001:db8::7]\";host=\"shop.example\";proto=http, for=10.1.1.1, ");
	f = read_it(TRUSTED_X_FORWARDED, "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 444\r\n"
					 "Forwarded: for=6.6.6.6;host=evil\r\n");
	expect(&f, "", "https", "", 444);
	assert_string_equal(told(&f), PEER "\r\n");
}

static void forwarded_is_kept_and_told_as_x_too(void **state)
{
	struct forwarded f;

	(void)state;
	f = read_it(TRUSTED_FORWARDED,
	    "Forwarded: for=\"[2001:db8::7]:4711\";Proto=https;host=\"a.example:444\" , "
	    "For=10.1.1.1\r\n"
	    "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: evil\r\n"
	    "X-Forwarded-Port: 6\r\nforwarded: for=\"10.1.1.2:80\"; by=_x;ext=\"a,b;c\\\"\"\r\n");
	expect(&f, "2001:db8::7", "https", "a.example:444", 444);
	assert_string_equal(told(&f),
	    "2001:db8::7, 10.1.1.1, 10.1.1.2, " PEER "\r\n"
	    "for=\"[2001:db8::7]:4711\";Proto=https;host=\"a.example:444\" , For=10.1.1.1, "
	    "for=\"10.1.1.2:80\"; by=_x;ext=\"a,b;c\\\"\", ");
	/* What the nearest stranger's hop says, and no other. */
	f = read_it(TRUSTED_FORWARDED,
	    "Forwarded: for=6.6.6.6;host=evil;proto=http, for=192.0.2.7;host=good;proto=https, "
	    "for=10.1.1.1;host=inner;proto=http\r\n");
	expect(&f, "192.0.2.7", "https", "good", 443);
	f = read_it(TRUSTED_FORWARDED, "Forwarded: for=unknown;proto=http, for=_hidden\r\n");
	expect(&f, "", "", "", 8443);
	assert_string_equal(
	    told(&f), "unknown, unknown, " PEER "\r\nfor=unknown;proto=http, for=_hidden, ");
}

static void a_forwarded_that_breaks_the_grammar_says_nothing(void **state)
{
	static const char *const broken[] = { "for=192.0.2.7 for=1.1.1.1", "for", "for=", "=a",
		"for=\"192.0.2.7", "for=\"a\\\"", "for=192.0.2.7;for=192.0.2.8", "for = 192.0.2.7",
		"for=[2001:db8::7]", "for=192.0.2.7:80", "host=a;HOST=b", "for=\"1\"2",
		"for=192.0.2.7, x", "by=a;by=b", "for=192.0.2.7\xff" };
	char fields[200];

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct forwarded f;

		snprintf(fields, sizeof(fields),
		    "Forwarded: for=192.0.2.1;proto=http;host=a\r\nForwarded: %s\r\n", broken[i]);
		f = read_it(TRUSTED_FORWARDED, fields);
		if (f.real[0] != '\0' || f.proto.len > 0 || f.host.len > 0)
			fail_msg("%s was taken", broken[i]);
		assert_string_equal(told(&f), PEER "\r\n");
	}
}

static void only_what_makes_sense_is_taken(void **state)
{
	static const char *const hosts[] = { "a b", "a, b", "a/b", "user@a", "", "a:99999" };
	char fields[200];
	struct forwarded f;

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		snprintf(fields, sizeof(fields), "X-Forwarded-Host: %s\r\n", hosts[i]);
		f = read_it(TRUSTED_X_FORWARDED, fields);
		expect(&f, "", "", "", 8443);
	}
	f = read_it(TRUSTED_X_FORWARDED, "X-Forwarded-Proto: gopher\r\nX-Forwarded-Port: 0\r\n"
					 "X-Forwarded-Host: a\r\nX-Forwarded-Host: b\r\n");
	expect(&f, "", "", "", 8443);
	/* The port that Host has, if nothing is said of one. */
	f = read_it(TRUSTED_X_FORWARDED, "X-Forwarded-Proto: https\r\n");
	expect(&f, "", "https", "", 8080);
}

static void of_anybody_else_nothing_is_believed(void **state)
{
	(void)state;
	client.trusted = false;
	for (int by = TRUSTED_X_FORWARDED; by <= TRUSTED_FORWARDED; by++) {
		struct forwarded f = read_it((enum trusted_header)by,
		    "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: "
		    "evil\r\n"
		    "X-Forwarded-Port: 6\r\nForwarded: for=6.6.6.6;host=evil;proto=http\r\n"
		    "X-Request-ID: 6\r\n");

		expect(&f, "", "", "", 8443);
		assert_int_equal(f.id.len, 0);
		assert_string_equal(told(&f), PEER "\r\n");
	}
	client.trusted = true;
}

/* A field whose value is that item, as often as it fits. */
static size_t fill(char *to, size_t size, const char *item)
{
	size_t n = (size_t)snprintf(to, size, "X-Forwarded-For: "), len = strlen(item);

	for (; n + len + 3 < size; n += len)
		memcpy(to + n, item, len);
	memcpy(to + n, "\r\n", 3);
	return n;
}

/* The longest that a list can become. */
static void what_is_written_is_bounded(void **state)
{
	static const char *const items[] = { "a,", "::,", "::ffff:ffff,", "1::,", "_," };
	static char fields[8000];
	struct forwarded f;

	(void)state;
	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		size_t len = fill(fields, sizeof(fields), items[i]);

		f = read_it(TRUSTED_X_FORWARDED, fields);
		assert_true(strlen(told(&f)) > len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_hop_wrote_whom_it_saw),
		cmocka_unit_test(the_x_fields_are_kept_and_told_as_forwarded_too),
		cmocka_unit_test(forwarded_is_kept_and_told_as_x_too),
		cmocka_unit_test(a_forwarded_that_breaks_the_grammar_says_nothing),
		cmocka_unit_test(only_what_makes_sense_is_taken),
		cmocka_unit_test(of_anybody_else_nothing_is_believed),
		cmocka_unit_test(what_is_written_is_bounded),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
