/*
 * test_proxyproto.c: who a proxy says that its client is; and nothing else is taken for that.
 */
#include "config.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "wire/proxyproto.h"

#include "base/poison.h"

#define SIGNATURE "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
#define V2(text) bytes_of(SIGNATURE text, sizeof(SIGNATURE text) - 1)

static struct proxyproto good(struct bytes in)
{
	struct proxyproto p;
	static uint8_t more[PROXYPROTO_MAX + 8];
	size_t used;

	assert_int_equal(proxyproto_parse(in, &p, &used), PARSE_OK);
	assert_int_equal(used, in.len);
	/* Byte by byte; and what follows is not touched. */
	for (size_t n = 0; n < in.len; n++)
		assert_int_equal(proxyproto_parse(bytes_sub(in, 0, n), &p, &used), PARSE_MORE);
	memcpy(more, in.at, in.len);
	memcpy(more + in.len, "\x16\x03\x01", 3);
	assert_int_equal(proxyproto_parse(bytes_of(more, in.len + 3), &p, &used), PARSE_OK);
	assert_int_equal(used, in.len);
	proxyproto_parse(in, &p, &used);
	return p;
}

static void bad(struct bytes in)
{
	struct proxyproto p;
	size_t used;

	if (proxyproto_parse(in, &p, &used) != PARSE_BAD)
		fail_msg("taken: %.*s", (int)in.len, (const char *)in.at);
}

static void is(const struct in6_addr *address, int family, const char *text)
{
	char buf[INET6_ADDRSTRLEN];

	assert_string_equal(inet_ntop(family, address, buf, sizeof(buf)), text);
}

static void a_line_names_both_ends(void **state)
{
	struct proxyproto p = good(bytes_str("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"));

	(void)state;
	assert_int_equal(p.version, 1);
	assert_false(p.local);
	assert_int_equal(p.family, AF_INET);
	is(&p.from, AF_INET, "192.0.2.7");
	is(&p.to, AF_INET, "198.51.100.1");
	assert_int_equal(p.from_port, 56324);
	assert_int_equal(p.to_port, 443);
	p = good(bytes_str("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n"));
	is(&p.from, AF_INET6, "2001:db8::1");
	assert_int_equal(p.from_port, 65535);
	assert_true(good(bytes_str("PROXY UNKNOWN\r\n")).local);
	assert_true(good(bytes_str("PROXY UNKNOWN ffff:: whatever 1 2\r\n")).local);
}

static void lines_that_are_not_exactly_so_are_refused(void **state)
{
	static const char *const lines[] = { "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 1\r\n",
		"PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 056324 443\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
		"PROXY TCP4 192.0.2 198.51.100.1 1 443\r\n", "PROXY TCP4 ::1 ::1 1 443\r\n",
		"PROXY TCP6 192.0.2.7 192.0.2.7 1 443\r\n",
		"PROXY UDP4 192.0.2.7 192.0.2.7 1 443\r\n", "PROXY UNKNOWNX\r\n", "PROXY \r\n",
		"PROXY TCP4\r\n", "proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "GET / HTTP/1.1\r\n",
		"\x16\x03\x01" };
	char endless[PROXYPROTO_V1_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		bad(bytes_str(lines[i]));
	memset(endless, 'x', sizeof(endless));
	memcpy(endless, "PROXY UNKNOWN ", 14);
	bad(bytes_of(endless, PROXYPROTO_V1_MAX));
}

static void binary_ones_name_both_ends(void **state)
{
	struct proxyproto p = good(
	    V2("\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"));

	(void)state;
	assert_int_equal(p.version, 2);
	assert_int_equal(p.family, AF_INET);
	is(&p.from, AF_INET, "192.0.2.7");
	is(&p.to, AF_INET, "198.51.100.1");
	assert_int_equal(p.from_port, 56324);
	assert_int_equal(p.to_port, 443);
	p = good(V2("\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0"
		    "\0\0\0\0\0\x01\0\x01\0\x02"));
	is(&p.from, AF_INET6, "2001:db8::1");
	is(&p.to, AF_INET6, "::1");
	/* A check by the proxy itself: with addresses or without. */
	assert_true(good(V2("\x20\x00\x00\x00")).local);
	assert_true(good(V2("\x20\x11\x00\x00")).local);
	assert_true(good(V2("\x20\x21\x00\x03xyz")).local);
	assert_true(
	    good(V2("\x20\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb")).local);
	/* UDP, Unix sockets, unspecified: no address of ours; skipped by their length. */
	assert_true(
	    good(V2("\x21\x12\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb")).local);
	assert_true(good(V2("\x21\x00\x00\x03xyz")).local);
}

static void what_follows_the_addresses_is_read(void **state)
{
	struct proxyproto p = good(
	    V2("\x21\x11\x00\x2a\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"
	       "\x01\x00\x02h2\x02\x00\x03"
	       "a.b\x05\x00\x02ID\x20\x00\x05\x01\x00\x00\x00\x00\x04\x00\x03\0\0\0"));

	(void)state;
	assert_true(bytes_equal_str(p.alpn, "h2"));
	assert_true(bytes_equal_str(p.authority, "a.b"));
	assert_true(bytes_equal_str(p.unique_id, "ID"));
	assert_true(p.tls);
}

static void what_a_client_spoke_with_the_proxy_is_read(void **state)
{
	struct proxyproto p = good(
	    V2("\x21\x11\x00\x36\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"
	       "\x20\x00\x27\x07\x00\x00\x00\x00"
	       "\x21\x00\x07TLSv1.3\x22\x00\x05"
	       "alice\x23\x00\x0a"
	       "AES128-GCM\x24\x00\x00"));

	(void)state;
	assert_true(p.tls && p.certificate && p.verified);
	assert_true(bytes_equal_str(p.tls_version, "TLSv1.3"));
	assert_true(bytes_equal_str(p.common_name, "alice"));
	assert_true(bytes_equal_str(p.cipher, "AES128-GCM"));
	/* A certificate that the proxy did not find good; none; no TLS. */
	p = good(V2("\x21\x11\x00\x14\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"
		    "\x20\x00\x05\x05\x00\x00\x00\x01"));
	assert_true(p.tls && p.certificate && !p.verified);
	p = good(V2("\x21\x11\x00\x14\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"
		    "\x20\x00\x05\x01\x00\x00\x00\x00"));
	assert_true(p.tls && !p.certificate && !p.verified);
	p = good(V2("\x21\x11\x00\x14\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"
		    "\x20\x00\x05\x06\x00\x00\x00\x00"));
	assert_true(!p.tls && !p.certificate && !p.verified);
	/* One of its own that does not end in it; too short for its own two. */
	bad(V2("\x21\x11\x00\x18\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"
	       "\x20\x00\x09\x01\x00\x00\x00\x00\x21\x00\x02T"));
	bad(V2("\x21\x11\x00\x13\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"
	       "\x20\x00\x04\x01\x00\x00\x00"));
}

static void broken_binary_ones_are_refused(void **state)
{
	(void)state;
	bad(V2("\x11\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb")); /* version 1 */
	bad(V2("\x22\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb")); /* command 2 */
	bad(V2("\x21\x11\x00\x0b\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01")); /* too short */
	bad(V2("\x21\x11\x00\x00")); /* no addresses */
	bad(V2(
	    "\x21\x11\x00\x0e\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb\x01\x00")); /* half a TLV */
	bad(V2(
	    "\x21\x11\x00\x10\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb\x01\x00\x02h")); /* past the end */
	bad(V2("\x21\x11\x00\x13\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb\x03\x00\x04\0\0\0"
	       "\0")); /* sum */
	bad(V2("\x21\x11\x00\x12\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb\x03\x00\x03\0\0"
	       "\0")); /* its length */
	bad(V2("\x21\x11\xff\xff")); /* longer than we take, announced */
	bad(bytes_of("\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0b", 12));
}

static void the_sum_is_castagnoli(void **state)
{
	uint8_t zeros[32] = { 0 };

	(void)state;
	/* RFC 3720, B.4. */
	assert_int_equal(proxyproto_crc32c(0, bytes_of(zeros, 32)), 0x8a9136aa);
	assert_int_equal(proxyproto_crc32c(0, bytes_str("123456789")), 0xe3069283);
	assert_int_equal(
	    proxyproto_crc32c(proxyproto_crc32c(0, bytes_str("1234")), bytes_str("56789")),
	    0xe3069283);
}

static void what_is_built_reads_the_same(void **state)
{
	struct proxyproto p = { .version = 2,
		.family = AF_INET6,
		.from_port = 1,
		.to_port = 65535 },
			  q;
	static uint8_t out[PROXYPROTO_MAX];
	size_t len;

	(void)state;
	p.alpn = bytes_str("http/1.1");
	p.authority = bytes_str("www.example.com");
	p.unique_id = bytes_str("0123456789abcdef");
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::7", &p.from), 1);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::8", &p.to), 1);
	for (p.version = 1; p.version <= 2; p.version++) {
		len = proxyproto_build(&p, out, sizeof(out));
		assert_int_not_equal(len, 0);
		q = good(bytes_of(out, len));
		assert_int_equal(q.version, p.version);
		assert_memory_equal(&q.from, &p.from, 16);
		assert_memory_equal(&q.to, &p.to, 16);
		assert_int_equal(q.to_port, 65535);
		for (size_t size = 0; size < len; size++)
			assert_int_equal(proxyproto_build(&p, out, size), 0);
		proxyproto_build(&p, out, sizeof(out));
		if (p.version == 2) { /* whatever changes before the sum is noticed */
			assert_true(bytes_equal_str(q.authority, "www.example.com"));
			for (size_t i = PROXYPROTO_V2_HEAD; i < len - 7; i++) {
				out[i] ^= 4;
				assert_int_not_equal(
				    proxyproto_parse(bytes_of(out, len), &q, &(size_t){ 0 }),
				    PARSE_OK);
				out[i] ^= 4;
			}
		}
	}
	for (p.local = true, p.version = 1; p.version <= 2; p.version++) {
		len = proxyproto_build(&p, out, sizeof(out));
		assert_true(good(bytes_of(out, len)).local);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_names_both_ends),
		cmocka_unit_test(lines_that_are_not_exactly_so_are_refused),
		cmocka_unit_test(binary_ones_name_both_ends),
		cmocka_unit_test(what_follows_the_addresses_is_read),
		cmocka_unit_test(what_a_client_spoke_with_the_proxy_is_read),
		cmocka_unit_test(broken_binary_ones_are_refused),
		cmocka_unit_test(the_sum_is_castagnoli),
		cmocka_unit_test(what_is_built_reads_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
