/*
 * test_endpoint.c: addresses from text and back, and what is no address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "net/endpoint.h"

#include "base/poison.h"

static const struct {
	const char *text, *back; /* back NULL: the same */
	int family;
	const char *host;
	uint16_t port;
} good[] = {
	{ "127.0.0.1:80", NULL, AF_INET, "127.0.0.1", 80 },
	{ "0.0.0.0:0", NULL, AF_INET, "0.0.0.0", 0 },
	{ "255.255.255.255:65535", NULL, AF_INET, "255.255.255.255", 65535 },
	{ "127.0.0.1:00080", "127.0.0.1:80", AF_INET, "127.0.0.1", 80 },
	{ "[::1]:80", NULL, AF_INET6, "::1", 80 },
	{ "[::]:443", NULL, AF_INET6, "::", 443 },
	{ "[2001:db8:0:0::1]:8443", "[2001:db8::1]:8443", AF_INET6, "2001:db8::1", 8443 },
	{ "[::ffff:10.1.2.3]:80", "10.1.2.3:80", AF_INET6, "10.1.2.3", 80 },
	{ "*:443", "[::]:443", AF_INET6, "::", 443 },
	{ "unix:/run/sslgw/key", NULL, AF_UNIX, "unix", 0 },
	{ "unix:relative", NULL, AF_UNIX, "unix", 0 },
	{ "unix:/with:colon:80", NULL, AF_UNIX, "unix", 0 },
	{ "unix:@abstract", NULL, AF_UNIX, "unix", 0 },
};

static const char *const bad[] = {
	"",
	":",
	":80",
	"80",
	"127.0.0.1",
	"127.0.0.1:",
	"127.0.0.1:65536",
	"127.0.0.1:99999",
	"127.0.0.1:100000",
	"127.0.0.1:000080",
	"127.0.0.1:-1",
	"127.0.0.1:+1",
	"127.0.0.1: 80",
	"127.0.0.1:80 ",
	"127.0.0.1:8x",
	"127.0.0.1:0x50",
	" 127.0.0.1:80",
	"127.0.0:80",
	"127.0.0.256:80",
	"127.0.0.1.:80",
	"0177.0.0.1:80",
	"localhost:80",
	"example.com:80",
	"::1:80",
	"[::1]",
	"[::1]80",
	"[::1:80",
	"::1]:80",
	"[]:80",
	"[",
	"[:80",
	"[[::1]]:80",
	"[::g]:80",
	"[fe80::1%lo]:80",
	"[127.0.0.1]:80",
	"**:80",
	"[*]:80",
	"unix",
	"unix:",
	"UNIX:/path",
	"http://127.0.0.1:80",
	"1111111111111111111111111111111111111111111111111111111111111111111111111111111111:80",
};

static void texts_are_read_and_written_back(void **state)
{
	char buf[ENDPOINT_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		struct endpoint e, again;

		if (endpoint_parse(&e, good[i].text) != 0)
			fail_msg("not read: %s", good[i].text);
		assert_int_equal(e.addr.ss_family, good[i].family);
		assert_int_equal(endpoint_port(&e), good[i].port);
		assert_string_equal(endpoint_host_text(&e, buf, sizeof buf), good[i].host);
		assert_string_equal(endpoint_text(&e, buf, sizeof buf),
		    good[i].back != NULL ? good[i].back : good[i].text);
		if (good[i].back != NULL)
			continue;
		assert_int_equal(endpoint_parse(&again, buf), 0);
		assert_true(endpoint_equal(&e, &again));
	}
}

static void what_is_no_address_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct endpoint e;

		if (endpoint_parse(&e, bad[i]) != -1)
			fail_msg("read: %s", bad[i]);
	}
}

static void the_lengths_are_those_that_the_kernel_wants(void **state)
{
	struct endpoint e;
	char path[5 + sizeof e.addr] = "unix:";

	(void)state;
	assert_int_equal(endpoint_parse(&e, "1.2.3.4:5"), 0);
	assert_int_equal(e.len, sizeof(struct sockaddr_in));
	assert_int_equal(endpoint_parse(&e, "[::1]:5"), 0);
	assert_int_equal(e.len, sizeof(struct sockaddr_in6));
	assert_int_equal(endpoint_parse(&e, "unix:/ab"), 0);
	assert_int_equal(e.len, offsetof(struct sockaddr_un, sun_path) + 4);
	assert_int_equal(endpoint_parse(&e, "unix:@ab"), 0);
	assert_int_equal(e.len, offsetof(struct sockaddr_un, sun_path) + 3);
	/* The longest path that still has its NUL, and one more. */
	memset(path + 5, 'x', sizeof e.addr - 5);
	path[5 + sizeof((struct sockaddr_un *)NULL)->sun_path] = '\0';
	assert_int_equal(endpoint_parse(&e, path), -1);
	path[5 + sizeof((struct sockaddr_un *)NULL)->sun_path - 1] = '\0';
	assert_int_equal(endpoint_parse(&e, path), 0);
	assert_int_equal(e.len, sizeof(struct sockaddr_un));
}

static const struct {
	const char *text, *host; /* host NULL: refused */
	uint16_t port;
} split[] = {
	{ "example.com:80", "example.com", 80 },
	{ "a:0", "a", 0 },
	{ "_srv.example.c.:65535", "_srv.example.c.", 65535 },
	{ "10.0.0.1:8080", "10.0.0.1", 8080 },
	{ "[2001:db8::1]:8080", "2001:db8::1", 8080 },
	{ "*:443", "*", 443 },
	{ "fifteen.letters:1", "fifteen.letters", 1 },
	{ "sixteen..letters:1", NULL, 0 },
	{ "example.com", NULL, 0 },
	{ "example.com:", NULL, 0 },
	{ "example.com:http", NULL, 0 },
	{ "example.com:65536", NULL, 0 },
	{ ":80", NULL, 0 },
	{ "a:b:80", NULL, 0 },
	{ "[a:80", NULL, 0 },
	{ "a]:80", NULL, 0 },
	{ "[a]:80", NULL, 0 },
	{ "[]:80", NULL, 0 },
	{ "[:80", NULL, 0 },
};

static void hosts_and_ports_are_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof split / sizeof split[0]; i++) {
		char host[16] = "";
		uint16_t port = 0;
		int rc = endpoint_split(split[i].text, host, sizeof host, &port);

		if (rc != (split[i].host != NULL ? 0 : -1))
			fail_msg("%s: %d", split[i].text, rc);
		if (split[i].host == NULL)
			continue;
		assert_string_equal(host, split[i].host);
		assert_int_equal(port, split[i].port);
	}
}

static void an_address_and_a_port_make_an_endpoint(void **state)
{
	struct endpoint e, same;

	(void)state;
	assert_int_equal(endpoint_of_ip(&e, "10.1.2.3", 80), 0);
	assert_int_equal(endpoint_parse(&same, "10.1.2.3:80"), 0);
	assert_true(endpoint_equal(&e, &same));
	assert_int_equal(endpoint_of_ip(&e, "::1", 80), 0);
	assert_int_equal(endpoint_parse(&same, "[::1]:80"), 0);
	assert_true(endpoint_equal(&e, &same));
	assert_int_equal(endpoint_of_ip(&e, "[::1]", 80), -1);
	assert_int_equal(endpoint_of_ip(&e, "name", 80), -1);
	assert_int_equal(endpoint_of_ip(&e, "", 80), -1);
}

static void endpoints_differ_by_family_address_port_and_path(void **state)
{
	static const char *const text[] = { "127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80",
		"[::1]:80", "[::ffff:127.0.0.1]:80", "unix:/a", "unix:/ab", "unix:@a" };

	(void)state;
	for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
		for (size_t k = 0; k < sizeof text / sizeof text[0]; k++) {
			struct endpoint a, b;

			assert_int_equal(endpoint_parse(&a, text[i]), 0);
			assert_int_equal(endpoint_parse(&b, text[k]), 0);
			assert_int_equal(endpoint_equal(&a, &b), i == k);
		}
}

static void a_short_buffer_is_not_overrun(void **state)
{
	struct endpoint e;
	char buf[8];

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(endpoint_parse(&e, good[i].text), 0);
		for (size_t size = 1; size < 6; size++) {
			memset(buf, 'x', sizeof buf);
			endpoint_text(&e, buf, size);
			assert_non_null(memchr(buf, '\0', size));
			assert_int_equal(buf[size], 'x');
			memset(buf, 'x', sizeof buf);
			endpoint_host_text(&e, buf, size);
			assert_non_null(memchr(buf, '\0', size));
			assert_int_equal(buf[size], 'x');
		}
	}
}

static void an_unnamed_unix_peer_has_a_text_too(void **state)
{
	struct endpoint e = { .len = sizeof(sa_family_t), .addr.ss_family = AF_UNIX };
	char buf[ENDPOINT_TEXT_MAX];

	(void)state;
	assert_string_equal(endpoint_text(&e, buf, sizeof buf), "unix:");
	assert_string_equal(endpoint_host_text(&e, buf, sizeof buf), "unix");
	assert_int_equal(endpoint_port(&e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_read_and_written_back),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(the_lengths_are_those_that_the_kernel_wants),
		cmocka_unit_test(hosts_and_ports_are_split),
		cmocka_unit_test(an_address_and_a_port_make_an_endpoint),
		cmocka_unit_test(endpoints_differ_by_family_address_port_and_path),
		cmocka_unit_test(a_short_buffer_is_not_overrun),
		cmocka_unit_test(an_unnamed_unix_peer_has_a_text_too),
	};

	return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
