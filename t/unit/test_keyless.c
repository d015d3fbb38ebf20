/* test_keyless.c: the Keyless codec: the known vector, each message byte by byte, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/keyless.h"

#include "base/poison.h"

/* On a heap block of just that size, so a sanitizer sees any read past the end. */
static enum parse parse(const uint8_t *at, size_t len, struct keyless *k, enum keyless_error *error)
{
	uint8_t *copy = malloc(len + 1);
	enum parse r;

	memcpy(copy + 1, at, len);
	r = keyless_parse(bytes_of(copy + 1, len), k, error);
	free(copy);
	return r;
}

static size_t head(uint8_t *buf, const uint8_t *body, size_t len)
{
	const uint8_t h[8] = { 1, 0, (uint8_t)(len >> 8), (uint8_t)len, 0xde, 0xad, 0xbe, 0xef };

	memcpy(buf, h, 8);
	memcpy(buf + 8, body, len);
	return 8 + len;
}

static enum parse parse_body(
    const uint8_t *body, size_t len, struct keyless *k, enum keyless_error *error)
{
	uint8_t buf[512];

	return parse(buf, head(buf, body, len), k, error);
}

static void ping_is_the_known_vector(void **state)
{
	static const uint8_t want[] = { 1, 0, 0x03, 0xf8, 0, 0, 0, 1, 0x11, 0, 1, 0xf1, 0x12, 0, 2,
		'h', 'i', 0x20, 0x03, 0xec };
	struct keyless k = { .id = 1, .opcode = KEYLESS_PING, .payload = bytes_str("hi") }, back;
	uint8_t buf[1024];
	enum keyless_error error;

	(void)state;
	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(keyless_build(&k, true, buf, sizeof(buf)), 1024);
	assert_memory_equal(buf, want, sizeof(want));
	for (size_t i = sizeof(want); i < 1024; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(keyless_parse(bytes_of(buf, 1024), &back, &error), PARSE_OK);
	assert_int_equal(back.id, 1);
	assert_int_equal(back.opcode, KEYLESS_PING);
	assert_true(bytes_equal_str(back.payload, "hi"));
	assert_int_equal(keyless_build(&k, true, buf, 1023), 0);
	assert_int_equal(keyless_build(&k, false, buf, sizeof(buf)), 17);
}

static void a_message_ends_where_it_says(void **state)
{
	uint8_t buf[64], *copy;
	size_t n = keyless_build_answer(0x01020304, bytes_str("payload"), buf, sizeof(buf)), len;
	uint32_t id;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		copy = malloc(i + 1);
		memcpy(copy + 1, buf, i);
		assert_int_equal(keyless_next(bytes_of(copy + 1, i), &len, &id), PARSE_MORE);
		free(copy);
	}
	assert_int_equal(keyless_next(bytes_of(buf, n), &len, &id), PARSE_OK);
	assert_int_equal(len, n);
	assert_int_equal(id, 0x01020304);
	assert_int_equal(
	    keyless_next(bytes_of(buf, sizeof(buf)), &len, &id), PARSE_OK); /* another one begins */
	assert_int_equal(len, n);
	buf[1] = 7; /* the minor version is free */
	assert_int_equal(keyless_next(bytes_of(buf, n), &len, &id), PARSE_OK);
	buf[0] = 2;
	assert_int_equal(keyless_next(bytes_of(buf, 1), &len, &id), PARSE_BAD);
	assert_int_equal(keyless_next(bytes_of(buf, n), &len, &id), PARSE_BAD);
	assert_int_equal(id, 0x01020304);
}

static void every_item_comes_back(void **state)
{
	uint8_t ski[20] = { 1, 2, 3 }, ip4[4] = { 127, 0, 0, 1 }, ip6[16] = { 0 }, region = 5,
		buf[512];
	struct keyless k = { .id = 77,
		.opcode = KEYLESS_CUSTOM,
		.digest = bytes_str("digest"),
		.sni = bytes_str("shop.example.com"),
		.client_ip = bytes_of(ip4, 4),
		.ski = bytes_of(ski, 20),
		.server_ip = bytes_of(ip6, 16),
		.certificate_id = bytes_str("id"),
		.payload = bytes_str(""),
		.function = bytes_str(KEYLESS_FN_TLS_SIGN),
		.extra = bytes_str("extra"),
		.span = bytes_str("span"),
		.context = bytes_str("{}"),
		.region = bytes_of(&region, 1) },
		       back;
	enum keyless_error error;
	size_t n = keyless_build(&k, false, buf, sizeof(buf));

	(void)state;
	assert_int_equal(keyless_parse(bytes_of(buf, n), &back, &error), PARSE_OK);
	assert_true(bytes_equal(back.digest, k.digest) && bytes_equal(back.sni, k.sni) &&
		    bytes_equal(back.client_ip, k.client_ip) && bytes_equal(back.ski, k.ski) &&
		    bytes_equal(back.server_ip, k.server_ip) &&
		    bytes_equal(back.certificate_id, k.certificate_id) &&
		    bytes_equal(back.function, k.function) && bytes_equal(back.extra, k.extra) &&
		    bytes_equal(back.span, k.span) && bytes_equal(back.context, k.context) &&
		    bytes_equal(back.region, k.region));
	assert_non_null(back.payload.at); /* empty is not absent */
	assert_int_equal(back.payload.len, 0);
	/* Every prefix is no whole message; with its length mended, only cuts between items pass. */
	for (size_t i = 8; i < n; i++) {
		bool between = false;
		size_t at = 8;

		assert_int_equal(parse(buf, i, &back, &error), PARSE_BAD);
		assert_int_equal(error, KEYLESS_ERR_FORMAT);
		while (at < i)
			at += 3 + (size_t)(buf[at + 1] << 8 | buf[at + 2]);
		between = at == i && i > 8;
		buf[2] = (uint8_t)((i - 8) >> 8), buf[3] = (uint8_t)(i - 8);
		assert_int_equal(parse(buf, i, &back, &error), between ? PARSE_OK : PARSE_BAD);
		buf[2] = (uint8_t)((n - 8) >> 8), buf[3] = (uint8_t)(n - 8);
	}
}

static void doubled_tags_are_format_errors(void **state)
{
	static const uint8_t known[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x11, 0x12, 0x13, 0x14,
		0x15, 0x16, 0x17 };
	struct keyless k;
	enum keyless_error error;

	(void)state;
	for (unsigned tag = 0; tag < 256; tag++) {
		uint8_t body[64] = { 0x11, 0, 1, 0x24 };
		size_t item_len = tag == 0x03 || tag == 0x05 ? 4 : tag == 0x04 ? 20 : 1, n = 4;
		bool twice_bad = memchr(known, (int)tag, sizeof(known)) != NULL;

		for (int i = 0; i < (tag == 0x11 ? 1 : 2); i++) {
			body[n] = (uint8_t)tag;
			body[n + 1] = 0;
			body[n + 2] = (uint8_t)item_len;
			n += 3 + item_len;
		}
		assert_int_equal(parse_body(body, n, &k, &error), twice_bad ? PARSE_BAD : PARSE_OK);
		assert_int_equal(error, twice_bad ? KEYLESS_ERR_FORMAT : KEYLESS_ERR_NONE);
		assert_int_equal(k.id, 0xdeadbeef);
	}
}

static void fixed_lengths_are_fixed(void **state)
{
	struct keyless k;
	enum keyless_error error;

	(void)state;
	for (size_t len = 0; len < 40; len++) {
		static const uint8_t tags[] = { 0x03, 0x05, 0x04, 0x17, 0x11 };

		for (size_t t = 0; t < sizeof(tags); t++) {
			uint8_t body[64] = { 0 };
			bool ok = t < 2 ? len == 4 || len == 16 : t == 2 ? len == 20 : len == 1;
			size_t n = 0;

			if (tags[t] != 0x11)
				memcpy(body, (const uint8_t[]){ 0x11, 0, 1, 0xf1 }, n = 4);
			body[n] = tags[t];
			body[n + 2] = (uint8_t)len;
			assert_int_equal(
			    parse_body(body, n + 3 + len, &k, &error), ok ? PARSE_OK : PARSE_BAD);
		}
	}
	assert_int_equal(parse_body((const uint8_t *)"", 0, &k, &error), PARSE_BAD); /* no opcode */
	assert_int_equal(
	    parse_body((const uint8_t[]){ 0x12, 0, 1, 'x' }, 4, &k, &error), PARSE_BAD);
	assert_int_equal(
	    parse_body((const uint8_t[]){ 0x11, 0, 1, 0xf1, 0x12 }, 5, &k, &error), PARSE_BAD);
	assert_int_equal(
	    parse_body((const uint8_t[]){ 0x11, 0, 1, 0xf1, 0x12, 0xff, 0xff }, 7, &k, &error),
	    PARSE_BAD);
}

static void version_has_its_own_error(void **state)
{
	uint8_t buf[64];
	size_t n = keyless_build_error(9, KEYLESS_ERR_FORMAT, buf, sizeof(buf));
	struct keyless k;
	enum keyless_error error;

	(void)state;
	assert_int_equal(keyless_parse(bytes_of(buf, n), &k, &error), PARSE_OK);
	assert_int_equal(k.opcode, KEYLESS_ERROR);
	assert_int_equal(k.payload.len, 1);
	assert_int_equal(k.payload.at[0], KEYLESS_ERR_FORMAT);
	buf[0] = 2;
	assert_int_equal(keyless_parse(bytes_of(buf, n), &k, &error), PARSE_BAD);
	assert_int_equal(error, KEYLESS_ERR_VERSION);
	assert_int_equal(k.id, 9);
}

static void what_does_not_fit_is_not_built(void **state)
{
	uint8_t *big = calloc(1, 70000), *buf = malloc(80000);
	struct keyless k = { .id = 1, .opcode = KEYLESS_ANSWER, .payload = bytes_of(big, 65528) };

	(void)state;
	assert_int_equal(keyless_build(&k, false, buf, 80000), KEYLESS_MAX);
	k.payload.len++;
	assert_int_equal(keyless_build(&k, false, buf, 80000), 0);
	k.payload.len = 65536;
	assert_int_equal(keyless_build(&k, false, buf, 80000), 0);
	k.payload.len = 10;
	for (size_t size = 0; size < 25; size++)
		assert_int_equal(keyless_build(&k, false, buf, size), 0);
	assert_int_equal(keyless_build(&k, false, buf, 25), 25);
	k.payload.len = 1000; /* 1015 with head and opcode: too long for a padding item */
	assert_int_equal(keyless_build(&k, true, buf, 80000), 1024);
	k.payload.len = 1007;
	assert_int_equal(keyless_build(&k, true, buf, 80000), 1022);
	free(big), free(buf);
}

static void custom_requests_bear_function_and_key(void **state)
{
	uint8_t ski[20] = { 42 }, buf[256];
	size_t n = keyless_build_custom(
	    3, KEYLESS_FN_TLS_SIGN, ski, bytes_str("\x04\x03message"), buf, sizeof(buf));
	struct keyless k;
	enum keyless_error error;

	(void)state;
	keyless_number(buf, 0xa1b2c3d4);
	assert_int_equal(keyless_parse(bytes_of(buf, n), &k, &error), PARSE_OK);
	assert_int_equal(k.id, 0xa1b2c3d4);
	assert_int_equal(k.opcode, KEYLESS_CUSTOM);
	assert_true(bytes_equal_str(k.function, "sslgw/tls-sign"));
	assert_memory_equal(k.ski.at, ski, 20);
	assert_int_equal(k.payload.len, 9);
	n = keyless_build_custom(3, KEYLESS_FN_KEYS, NULL, bytes_of(NULL, 0), buf, sizeof(buf));
	assert_int_equal(keyless_parse(bytes_of(buf, n), &k, &error), PARSE_OK);
	assert_null(k.ski.at);
	assert_null(k.payload.at);
}

static void key_records_come_back(void **state)
{
	struct keyless_key a = { .type = 1, .tls12 = 2 }, b;
	uint8_t buf[2 * KEYLESS_KEY_LEN];
	struct writer w = writer_of(buf, sizeof(buf));
	struct cursor c;

	(void)state;
	a.ski[19] = 7, a.spki_sha256[31] = 8;
	keyless_key_put(&w, &a);
	keyless_key_put(&w, &a);
	assert_true(w.ok);
	c = cursor_of(bytes_of(buf, sizeof(buf) - 1));
	assert_true(keyless_key_take(&c, &b));
	assert_memory_equal(&a, &b, sizeof(a));
	assert_false(keyless_key_take(&c, &b)); /* the last byte is missing */
	assert_false(c.ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ping_is_the_known_vector),
		cmocka_unit_test(a_message_ends_where_it_says),
		cmocka_unit_test(every_item_comes_back),
		cmocka_unit_test(doubled_tags_are_format_errors),
		cmocka_unit_test(fixed_lengths_are_fixed),
		cmocka_unit_test(version_has_its_own_error),
		cmocka_unit_test(what_does_not_fit_is_not_built),
		cmocka_unit_test(custom_requests_bear_function_and_key),
		cmocka_unit_test(key_records_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
