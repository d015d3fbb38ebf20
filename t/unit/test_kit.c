/* test_kit.c: HKDF-Expand against RFC 5869's vectors, the HMACs, points on curves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/kit.h"

#include "base/poison.h"

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; hex[0] != '\0'; hex += 2) {
		unsigned hi = (unsigned)(hex[0] <= '9' ? hex[0] - '0' : hex[0] - 'a' + 10);
		unsigned lo = (unsigned)(hex[1] <= '9' ? hex[1] - '0' : hex[1] - 'a' + 10);

		out[n++] = (uint8_t)(hi << 4 | lo);
	}
	return n;
}

static void check_expand(const char *prk_hex, const char *info_hex, const char *okm_hex)
{
	uint8_t prk[64], info[128], want[128], got[128];
	size_t prk_n = unhex(prk_hex, prk), info_n = unhex(info_hex, info),
	       n = unhex(okm_hex, want);
	struct kit *kit = kit_new();
	struct bytes whole = bytes_of(info, info_n);
	struct bytes halves[] = { bytes_of(info, info_n / 2),
		bytes_of(info + info_n / 2, info_n - info_n / 2) };

	assert_non_null(kit);
	assert_int_equal(kit_expand(kit, bytes_of(prk, prk_n), &whole, 1, got, n), 0);
	assert_memory_equal(got, want, n);
	memset(got, 0, sizeof(got));
	assert_int_equal(kit_expand(kit, bytes_of(prk, prk_n), halves, 2, got, n), 0);
	assert_memory_equal(got, want, n);
	/* A shorter one is a prefix. */
	assert_int_equal(kit_expand(kit, bytes_of(prk, prk_n), &whole, 1, got, n - 1), 0);
	assert_memory_equal(got, want, n - 1);
	kit_free(kit);
}

static void expand_is_rfc_5869(void **state)
{
	(void)state;
	check_expand("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
	    "f0f1f2f3f4f5f6f7f8f9",
	    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
	check_expand("06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
	    "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9da"
	    "dbdc"
	    "dddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
	    "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41"
	    "c65e"
	    "590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
	check_expand("19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04", "",
	    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

static void hmacs_are_rfc_4231(void **state)
{
	/* Case 2: key "Jefe". */
	struct bytes parts[] = { bytes_str("what do ya want "), bytes_of(NULL, 0),
		bytes_str("for nothing?") };
	uint8_t want[64], got[64];
	struct kit *kit = kit_new();

	(void)state;
	unhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", want);
	assert_int_equal(kit_hmac_sha256(kit, bytes_str("Jefe"), parts, 3, got), 0);
	assert_memory_equal(got, want, 32);
	unhex("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d03"
	      "4f65f8f0e6fd"
	      "caeab1a34d4a6b4b636e070a38bce737",
	    want);
	for (int i = 0; i < 2; i++) { /* the context is used again */
		assert_int_equal(kit_hmac_sha512(kit, bytes_str("Jefe"), parts, 3, got), 0);
		assert_memory_equal(got, want, 64);
	}
	kit_free(kit);
}

static void only_points_of_the_curve_pass(void **state)
{
	/* P-256's generator. */
	static const char g[] =
	    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b"
	    "8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
	uint8_t point[65], zero[1] = { 0 };
	struct kit *kit = kit_new();

	(void)state;
	assert_int_equal(unhex(g, point), 65);
	assert_true(kit_on_curve(kit, kit->p256, bytes_of(point, 65)));
	assert_false(kit_on_curve(kit, kit->p384, bytes_of(point, 65)));
	assert_false(kit_on_curve(kit, kit->p256, bytes_of(point, 64)));
	assert_false(kit_on_curve(kit, kit->p256, bytes_of(zero, 1))); /* infinity */
	point[0] = 3; /* compressed */
	assert_false(kit_on_curve(kit, kit->p256, bytes_of(point, 33)));
	point[0] = 4;
	for (size_t i = 0; i < sizeof(point); i++) {
		point[i] ^= 1;
		assert_false(kit_on_curve(kit, kit->p256, bytes_of(point, 65)));
		point[i] ^= 1;
	}
	memset(point + 1, 0xff, 64); /* not below the prime */
	assert_false(kit_on_curve(kit, kit->p256, bytes_of(point, 65)));
	kit_free(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expand_is_rfc_5869),
		cmocka_unit_test(hmacs_are_rfc_4231),
		cmocka_unit_test(only_points_of_the_curve_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
