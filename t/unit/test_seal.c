/* test_seal.c: sealed sessions against a fixed vector, there and back, and every byte altered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/seal.h"

#include "t/vectors/crypto.h"

#include "base/poison.h"

static void name_and_key_match_the_vector(void **state)
{
	uint8_t id[32], name[32], key[32];
	struct kit *kit = kit_new();

	(void)state;
	for (uint8_t i = 0; i < 32; i++)
		id[i] = (uint8_t)(100 + i);
	assert_int_equal(
	    seal_name_and_key(kit, vec_seal_0304, 0x0304, bytes_of(id, 32), name, key), 0);
	assert_memory_equal(name, vec_entry_name, 32);
	assert_memory_equal(key, vec_entry_key, 32);
	assert_int_equal(
	    seal_name_and_key(kit, vec_seal_0304, 0x0303, bytes_of(id, 32), name, key), 0);
	assert_memory_not_equal(name, vec_entry_name, 32);
	kit_free(kit);
}

static void opens_what_another_program_sealed(void **state)
{
	uint8_t buf[sizeof(vec_sealed)];
	struct sealed_session s;
	struct kit *kit = kit_new();

	(void)state;
	assert_int_equal(seal_decrypt(kit, vec_entry_name, vec_entry_key, vec_scope,
			     bytes_of(vec_sealed, sizeof(vec_sealed)), buf, sizeof(buf), &s),
	    0);
	assert_int_equal(s.expiry, 1800000000);
	assert_int_equal(s.first_auth, 1799990000);
	assert_int_equal(s.claim, 0x1122334455667788);
	assert_true(bytes_equal_str(s.session, "session DER"));
	assert_true(bytes_equal_str(s.intermediates, "intermediates DER"));
	kit_free(kit);
}

static void nothing_altered_opens(void **state)
{
	uint8_t value[sizeof(vec_sealed)], buf[sizeof(vec_sealed)], other[32];
	struct sealed_session s;
	struct kit *kit = kit_new();
	struct bytes v = bytes_of(value, sizeof(value));

	(void)state;
	memcpy(value, vec_sealed, sizeof(value));
	for (size_t i = 0; i < sizeof(value); i++) {
		value[i] ^= 0x01;
		assert_int_equal(seal_decrypt(kit, vec_entry_name, vec_entry_key, vec_scope, v, buf,
				     sizeof(buf), &s),
		    -1);
		value[i] ^= 0x01;
		assert_int_equal(seal_decrypt(kit, vec_entry_name, vec_entry_key, vec_scope,
				     bytes_of(value, i), buf, sizeof(buf), &s),
		    -1);
	}
	memcpy(other, vec_entry_name, 32), other[0] ^= 1;
	assert_int_equal(
	    seal_decrypt(kit, other, vec_entry_key, vec_scope, v, buf, sizeof(buf), &s), -1);
	memcpy(other, vec_entry_key, 32), other[0] ^= 1;
	assert_int_equal(
	    seal_decrypt(kit, vec_entry_name, other, vec_scope, v, buf, sizeof(buf), &s), -1);
	memcpy(other, vec_scope, 32), other[31] ^= 1;
	assert_int_equal(
	    seal_decrypt(kit, vec_entry_name, vec_entry_key, other, v, buf, sizeof(buf), &s), -1);
	assert_int_equal(
	    seal_decrypt(kit, vec_entry_name, vec_entry_key, vec_scope, v, buf, 10, &s),
	    -1); /* no room */
	assert_int_equal(
	    seal_decrypt(kit, vec_entry_name, vec_entry_key, vec_scope, v, buf, sizeof(buf), &s),
	    0);
	kit_free(kit);
}

static void plaintext_fills_its_length_exactly(void **state)
{
	uint8_t buf[sizeof(vec_sealed_surplus)];
	struct sealed_session s;
	struct kit *kit = kit_new();

	(void)state;
	assert_int_equal(
	    seal_decrypt(kit, vec_entry_name, vec_entry_key, vec_scope,
		bytes_of(vec_sealed_surplus, sizeof(vec_sealed_surplus)), buf, sizeof(buf), &s),
	    -1);
	assert_int_equal(
	    seal_decrypt(kit, vec_entry_name, vec_entry_key, vec_scope,
		bytes_of(vec_sealed_empty, sizeof(vec_sealed_empty)), buf, sizeof(buf), &s),
	    -1);
	kit_free(kit);
}

static void seals_never_repeat(void **state)
{
	struct sealed_session in = { 1, 2, 3, bytes_str("abc"), bytes_of(NULL, 0) }, out;
	uint8_t a[SEAL_OVERHEAD + 3], b[SEAL_OVERHEAD + 3], buf[64];
	struct kit *kit = kit_new();
	size_t len;

	(void)state;
	assert_int_equal(
	    seal_encrypt(kit, vec_entry_name, vec_entry_key, vec_scope, &in, a, sizeof(a), &len),
	    0);
	assert_int_equal(len, sizeof(a));
	assert_int_equal(
	    seal_encrypt(kit, vec_entry_name, vec_entry_key, vec_scope, &in, b, sizeof(b), &len),
	    0);
	assert_memory_not_equal(a + 1, b + 1, 12);
	assert_memory_not_equal(a + 13, b + 13, sizeof(a) - 13);
	assert_int_equal(seal_decrypt(kit, vec_entry_name, vec_entry_key, vec_scope,
			     bytes_of(b, len), buf, sizeof(buf), &out),
	    0);
	assert_true(bytes_equal_str(out.session, "abc"));
	assert_int_equal(out.intermediates.len, 0);
	assert_int_equal(seal_encrypt(kit, vec_entry_name, vec_entry_key, vec_scope, &in, a,
			     sizeof(a) - 1, &len),
	    -1);
	kit_free(kit);
}

static void sizes_are_bounded(void **state)
{
	uint8_t *big = calloc(1, SEAL_VALUE_MAX + 1), *out = malloc(SEAL_VALUE_MAX + 1),
		*buf = malloc(SEAL_VALUE_MAX);
	struct sealed_session in = { 1, 2, 3, bytes_of(big, SEAL_SESSION_MAX),
		bytes_of(big, SEAL_INTERMEDIATES_MAX) };
	struct sealed_session back;
	struct kit *kit = kit_new();
	size_t len;

	(void)state;
	assert_int_equal(seal_encrypt(kit, vec_entry_name, vec_entry_key, vec_scope, &in, out,
			     SEAL_VALUE_MAX, &len),
	    0);
	assert_int_equal(len, SEAL_VALUE_MAX);
	assert_int_equal(seal_decrypt(kit, vec_entry_name, vec_entry_key, vec_scope,
			     bytes_of(out, len), buf, SEAL_VALUE_MAX, &back),
	    0);
	assert_int_equal(back.session.len, SEAL_SESSION_MAX);
	in.session.len++;
	assert_int_equal(seal_encrypt(kit, vec_entry_name, vec_entry_key, vec_scope, &in, out,
			     SEAL_VALUE_MAX + 1, &len),
	    -1);
	in.session.len--, in.intermediates.len++;
	assert_int_equal(seal_encrypt(kit, vec_entry_name, vec_entry_key, vec_scope, &in, out,
			     SEAL_VALUE_MAX + 1, &len),
	    -1);
	free(big), free(out), free(buf);
	kit_free(kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_and_key_match_the_vector),
		cmocka_unit_test(opens_what_another_program_sealed),
		cmocka_unit_test(nothing_altered_opens),
		cmocka_unit_test(plaintext_fills_its_length_exactly),
		cmocka_unit_test(seals_never_repeat),
		cmocka_unit_test(sizes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
