/*
 * test_hello.c: the parts of a ClientHello that the gateway reads itself, whole, cut and bent.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/tls/hello.h"

#include "base/poison.h"

#define BYTES(text) bytes_of(text, sizeof(text) - 1)

static void test_a_name_is_lower_case_and_whole(void **state)
{
	static const char whole[] = "\x00\x09\x00\x00\x06"
				    "Shop.A";
	char out[256];
	uint8_t len;

	(void)state;
	assert_int_equal(hello_sni(BYTES(whole), out, &len), PARSE_OK);
	assert_string_equal(out, "shop.a");
	assert_int_equal(len, 6);
	assert_int_equal(hello_sni(bytes_of(NULL, 0), out, &len), PARSE_OK);
	assert_int_equal(len, 0);
	for (size_t cut = 1; cut < sizeof(whole) - 1; cut++)
		assert_int_equal(hello_sni(bytes_of(whole, cut), out, &len), PARSE_BAD);
}

static void test_odd_names_are_refused(void **state)
{
	static const struct {
		const char *at;
		size_t len;
	} odd[] = {
#define ODD(text) { text, sizeof(text) - 1 }
		ODD("\x00\x00"),
		ODD("\x00\x03\x00\x00\x00"), /* empty */
		ODD("\x00\x04\x01\x00\x01"
		    "a"), /* another type */
		ODD("\x00\x08\x00\x00\x01"
		    "a\x00\x00\x01"
		    "b"), /* two */
		ODD("\x00\x05\x00\x00\x01"
		    "ab"), /* a byte more */
		ODD("\x00\x06\x00\x00\x03"
		    "a\x00"
		    "b"), /* a zero */
		ODD("\x00\x06\x00\x00\x03"
		    "a b"),
		ODD("\x00\x06\x00\x00\x03"
		    "a\rb"),
		ODD("\x00\x05\x00\x00\x02"
		    "a\x80"),
		ODD("\x00\x04\x00\xff\xff"
		    "a"),
	};
	static uint8_t longest[2 + 3 + 256];
	char out[256];
	uint8_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		assert_int_equal(hello_sni(bytes_of(odd[i].at, odd[i].len), out, &len), PARSE_BAD);
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "\x01\x02\x00\x00\xff", 5);
	assert_int_equal(hello_sni(bytes_of(longest, 5 + 255), out, &len), PARSE_OK);
	assert_int_equal(len, 255);
	memcpy(longest, "\x01\x03\x00\x01\x00", 5);
	assert_int_equal(hello_sni(bytes_of(longest, 5 + 256), out, &len), PARSE_BAD);
}

static void test_versions(void **state)
{
	(void)state;
	assert_true(hello_has_version(BYTES("\x04\x03\x04\x03\x03"), 0x0304));
	assert_true(hello_has_version(BYTES("\x04\x03\x04\x03\x03"), 0x0303));
	assert_false(hello_has_version(BYTES("\x02\x03\x03"), 0x0304));
	assert_false(hello_has_version(BYTES("\x03\x03\x04"), 0x0304)); /* length */
	assert_false(hello_has_version(bytes_of(NULL, 0), 0x0304));
	assert_false(hello_has_version(BYTES("\x01\x03"), 0x0304));
}

static void test_identities(void **state)
{
	static const char two[] = "\x00\x0f\x00\x02"
				  "ab\x01\x02\x03\x04\x00\x01"
				  "c\x05\x06\x07\x08binders";
	struct bytes list, id;

	(void)state;
	assert_int_equal(hello_psks(BYTES(two), &list), PARSE_OK);
	assert_true(hello_psk_next(&list, &id));
	assert_true(bytes_equal_str(id, "ab"));
	assert_true(hello_psk_next(&list, &id));
	assert_true(bytes_equal_str(id, "c"));
	assert_int_equal(list.len, 0);
	assert_false(hello_psk_next(&list, &id));
	assert_int_equal(hello_psks(BYTES("\x00\x00"), &list), PARSE_BAD);
	assert_int_equal(hello_psks(BYTES("\x00\x10"
					  "abc"),
			     &list),
	    PARSE_BAD);
	assert_int_equal(hello_psks(BYTES("\x00\x05\x00\x02"
					  "abc"),
			     &list),
	    PARSE_OK);
	assert_false(hello_psk_next(&list, &id));
}

static void test_http_is_told_from_tls(void **state)
{
	(void)state;
	assert_true(hello_is_http(BYTES("GET /")));
	assert_true(hello_is_http(BYTES("DELETE /")));
	assert_false(hello_is_http(BYTES("GET")));
	assert_false(hello_is_http(BYTES("\x16\x03\x01\x02\x00")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_name_is_lower_case_and_whole),
		cmocka_unit_test(test_odd_names_are_refused),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_identities),
		cmocka_unit_test(test_http_is_told_from_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
