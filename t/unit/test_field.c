/*
 * test_field.c: every name that matters, in every spelling, and nothing else; comma lists.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/field.h"

#include "base/poison.h"

static const char *const owned[] = { "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto",
	"X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "X-Request-ID", "Client-Cert",
	"Client-Cert-Chain", "X-SSL-Protocol", "X-SSL-Cipher", "X-SSL-Cipher-Usekeysize",
	"X-SSL-Cipher-Algkeysize", "X-SSL-Session-Id", "X-SSL-Session-Resumed", "X-SSL-TLS-SNI",
	"X-SSL-Client-Verify", "X-SSL-Client-S-DN", "X-SSL-Client-I-DN", "X-SSL-Client-M-Serial",
	"X-SSL-Client-V-Start", "X-SSL-Client-V-End", "X-SSL-Client-Cert", "X-ARR-ClientCert",
	"X-ARR-SSL", "Front-End-Https", "MS-ASPNETCORE-CLIENTCERT", "X-Forwarded-Client-Cert",
	"Proxy" };

static const struct {
	const char *name;
	enum field_id id;
	bool hop;
} known[] = { { "Host", FIELD_HOST, false }, { "Content-Length", FIELD_CONTENT_LENGTH, false },
	{ "Expect", FIELD_EXPECT, false }, { "Connection", FIELD_CONNECTION, true },
	{ "Transfer-Encoding", FIELD_TRANSFER_ENCODING, true }, { "Upgrade", FIELD_UPGRADE, true },
	{ "TE", FIELD_TE, true }, { "Trailer", FIELD_HOP, true }, { "Keep-Alive", FIELD_HOP, true },
	{ "Proxy-Connection", FIELD_HOP, true }, { "HTTP2-Settings", FIELD_HOP, true },
	{ "Proxy-Authenticate", FIELD_HOP, true }, { "Proxy-Authorization", FIELD_HOP, true } };

static const char *const others[] = { "", "X", "Cookie", "Accept", "X-Forwarded-Foo", "X-SSL-Cip",
	"Hosts", "Hos", "Proxy-", "XForwardedFor", "X-Forwarded-Fo\xf2", "Content-Type",
	"Set-Cookie", "Date", "X-Forwarded-Client-Certificate-And-More" };

/* The same name with c for each separator, in capitals or not. */
static struct bytes respelled(const char *name, char separator, bool capitals, char *buf)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		buf[i] = name[i] == '-' ? separator : name[i];
		if (capitals && buf[i] >= 'a' && buf[i] <= 'z')
			buf[i] = (char)(buf[i] - 'a' + 'A');
	}
	return bytes_of(buf, len);
}

static void test_owned_names_in_every_spelling(void **state)
{
	char buf[64];

	(void)state;
	for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
		for (const char *separator = "-_.!~+"; *separator != '\0'; separator++)
			for (int capitals = 0; capitals < 2; capitals++) {
				struct bytes name = respelled(owned[i], *separator, capitals, buf);

				if (!field_is_owned(name) || field_id(name) != FIELD_OWNED)
					fail_msg("%.*s is not owned", (int)name.len, buf);
				assert_false(field_is_hop_by_hop(name));
			}
}

static void test_known_names_and_names_like_them(void **state)
{
	char buf[64];

	(void)state;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		for (const char *separator = "-_.!~+"; *separator != '\0'; separator++)
			for (int capitals = 0; capitals < 2; capitals++) {
				struct bytes name = respelled(
				    known[i].name, *separator, capitals, buf);
				bool exact = *separator == '-' ||
					     strchr(known[i].name, '-') == NULL;

				assert_int_equal(field_id(name), exact ? known[i].id : FIELD_ALIKE);
				assert_int_equal(field_is_hop_by_hop(name), known[i].hop);
				assert_false(field_is_owned(name));
			}
}

static void test_other_names_are_passed_on(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		if (field_id(bytes_str(others[i])) != FIELD_OTHER)
			fail_msg("%s is known", others[i]);
		assert_false(field_is_owned(bytes_str(others[i])));
		assert_false(field_is_hop_by_hop(bytes_str(others[i])));
	}
}

static void test_each_letter_of_a_name_counts(void **state)
{
	char buf[64];

	(void)state;
	for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
		struct bytes name = respelled(owned[i], '-', false, buf);

		for (size_t at = 0; at < name.len; at++) {
			char old = buf[at];

			buf[at] = old == '-' ? '0' : '-';
			assert_int_equal(field_id(name), FIELD_OTHER);
			buf[at] = old;
		}
	}
}

static void test_names_are_alike_without_case_and_separator(void **state)
{
	(void)state;
	assert_true(field_name_like(bytes_str("X-A_b.C"), bytes_str("x_a.B-c")));
	assert_false(field_name_like(bytes_str("X-A"), bytes_str("X-AB")));
	assert_false(field_name_like(bytes_str("X-A"), bytes_str("X0A")));
	assert_true(field_name_like(bytes_str(""), bytes_str("")));
	assert_true(field_name_like(bytes_str("A!b"), bytes_str("a-b")));
	assert_false(field_name_like(bytes_str("a@b"), bytes_str("a`c")));
	assert_false(field_name_like(bytes_str("0"), bytes_str("P")));
}

static void test_octets_are_alike_by_letter_and_digit(void **state)
{
	(void)state;
	for (int a = 0; a < 128; a++)
		for (int b = 0; b < 128; b++) {
			uint8_t x = (uint8_t)a, y = (uint8_t)b;
			bool want = isalnum(a) ? tolower(a) == tolower(b) : !isalnum(b);

			assert_int_equal(field_name_like(bytes_of(&x, 1), bytes_of(&y, 1)), want);
		}
}

static void test_list_gives_each_element_once(void **state)
{
	static const char *const want[] = { "a", "b c", "d" };
	struct bytes list = bytes_str(" , a,,\tb c ,, d ,"), element;
	size_t n = 0;

	(void)state;
	while (field_list_next(&list, &element)) {
		assert_true(n < 3);
		assert_true(bytes_equal_str(element, want[n++]));
	}
	assert_int_equal(n, 3);
	assert_int_equal(list.len, 0);
	assert_false(field_list_next(&list, &element));
	list = bytes_str("");
	assert_false(field_list_next(&list, &element));
}

static void test_list_has_whole_tokens_only(void **state)
{
	(void)state;
	assert_true(field_list_has(bytes_str("a, Close ,b"), "close"));
	assert_false(field_list_has(bytes_str("closed, xclose, clos"), "close"));
	assert_false(field_list_has(bytes_str(""), "close"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owned_names_in_every_spelling),
		cmocka_unit_test(test_known_names_and_names_like_them),
		cmocka_unit_test(test_other_names_are_passed_on),
		cmocka_unit_test(test_each_letter_of_a_name_counts),
		cmocka_unit_test(test_names_are_alike_without_case_and_separator),
		cmocka_unit_test(test_octets_are_alike_by_letter_and_digit),
		cmocka_unit_test(test_list_gives_each_element_once),
		cmocka_unit_test(test_list_has_whole_tokens_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
