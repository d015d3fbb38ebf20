/* test_tbs.c: what the key service signs, and each byte of it that may not be another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <openssl/evp.h>

#include <cmocka.h>

#include "crypto/tbs.h"

#include "base/poison.h"

struct message {
	uint8_t at[TBS_MAX + 60]; /* P-521 too */
	size_t len;
};

static struct kit *kit_of(void **state)
{
	return *state;
}

static enum tbs_result check(
    void **state, const struct message *m, uint16_t scheme, enum key_type key)
{
	return tbs_check(kit_of(state), bytes_of(m->at, m->len), scheme, key, TLS12_SENTINEL);
}

static struct message tls13(size_t hash_len)
{
	static const char context[] = "TLS 1.3, server CertificateVerify";
	struct message m = { .len = 64 + sizeof(context) + hash_len };

	memset(m.at, 0x20, 64);
	memcpy(m.at + 64, context, sizeof(context));
	memset(m.at + 64 + sizeof(context), 0xa5, hash_len);
	return m;
}

/* Points from OpenSSL's key generation: others than the checker's own arithmetic made them. */
static struct message tls12(const char *group, uint16_t id, const char *sentinel)
{
	struct message m = { .len = 0 };
	EVP_PKEY *key = strcmp(group, "X25519") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "X25519")
						     : EVP_EC_gen(group);
	unsigned char *point;
	size_t n = EVP_PKEY_get1_encoded_public_key(key, &point);

	memset(m.at, 0x5a, 64);
	memcpy(m.at + 56, sentinel, 8);
	m.at[64] = 3;
	m.at[65] = (uint8_t)(id >> 8);
	m.at[66] = (uint8_t)id;
	m.at[67] = (uint8_t)n;
	memcpy(m.at + 68, point, n);
	m.len = 68 + n;
	OPENSSL_free(point);
	EVP_PKEY_free(key);
	return m;
}

#define DOWNGRADE "DOWNGRD\x01"

static void both_hash_lengths_of_tls13_pass(void **state)
{
	struct message m = tls13(32), n = tls13(48);

	assert_int_equal(m.len, 130);
	assert_int_equal(n.len, 146);
	assert_int_equal(check(state, &m, 0x0403, KEY_P256), TBS_TLS13);
	assert_int_equal(check(state, &n, 0x0403, KEY_P256), TBS_TLS13);
	assert_int_equal(check(state, &m, 0x0806, KEY_RSA), TBS_TLS13);
	assert_int_equal(check(state, &n, 0x0807, KEY_ED25519), TBS_TLS13);
	/* TLS 1.2 off says nothing about 1.3. */
	assert_int_equal(
	    tbs_check(kit_of(state), bytes_of(m.at, m.len), 0x0503, KEY_P384, TLS12_OFF),
	    TBS_TLS13);
}

static void each_byte_of_tls13_counts_but_the_hash(void **state)
{
	for (size_t hash = 32; hash <= 48; hash += 16) {
		struct message m = tls13(hash);

		for (size_t i = 0; i < m.len; i++) {
			m.at[i] ^= 0x01;
			assert_int_equal(check(state, &m, 0x0403, KEY_P256),
			    i < 98 ? TBS_BAD_MESSAGE : TBS_TLS13);
			m.at[i] ^= 0x01;
		}
		for (size_t n = 0; n <= sizeof(m.at); n++) { /* every other length */
			struct message s = m;

			s.len = n;
			if (n != 130 && n != 146)
				assert_int_equal(
				    check(state, &s, 0x0403, KEY_P256), TBS_BAD_MESSAGE);
		}
	}
}

static void clients_and_exporters_are_refused(void **state)
{
	static const char *const others[] = { "TLS 1.3, client CertificateVerify",
		"TLS 1.3, server certificateVerify", "TLS 1.3, delegated credentials" };

	for (size_t i = 0; i < 3; i++) {
		struct message m = tls13(32);

		memcpy(m.at + 64, others[i], strlen(others[i]) + 1);
		assert_int_equal(check(state, &m, 0x0403, KEY_P256), TBS_BAD_MESSAGE);
	}
}

static void three_groups_of_tls12_pass(void **state)
{
	struct message x = tls12("X25519", 0x001d, DOWNGRADE),
		       p = tls12("P-256", 0x0017, DOWNGRADE), q = tls12("P-384", 0x0018, DOWNGRADE),
		       other;

	assert_int_equal(x.len, 100);
	assert_int_equal(p.len, 133);
	assert_int_equal(q.len, 165);
	assert_int_equal(check(state, &x, 0x0401, KEY_RSA), TBS_TLS12);
	assert_int_equal(check(state, &p, 0x0403, KEY_P256), TBS_TLS12);
	assert_int_equal(check(state, &q, 0x0804, KEY_RSA), TBS_TLS12);
	assert_int_equal(check(state, &q, 0x0807, KEY_ED25519), TBS_TLS12);
	other = tls12("P-521", 0x0019, DOWNGRADE);
	assert_int_equal(check(state, &other, 0x0403, KEY_P256), TBS_BAD_MESSAGE);
	other = tls12("P-256", 0x0018, DOWNGRADE);
	assert_int_equal(check(state, &other, 0x0403, KEY_P256), TBS_BAD_MESSAGE);
}

static void each_byte_of_tls12_counts_but_the_randoms(void **state)
{
	static const struct {
		const char *name;
		uint16_t id;
	} groups[] = { { "X25519", 0x001d }, { "P-256", 0x0017 }, { "P-384", 0x0018 } };

	for (size_t g = 0; g < 3; g++) {
		struct message m = tls12(groups[g].name, groups[g].id, DOWNGRADE);

		for (size_t i = 0; i < m.len; i++) {
			enum tbs_result want = i < 56   ? TBS_TLS12
					       : i < 64 ? TBS_NO_TLS12
					       : i < 68 ? TBS_BAD_MESSAGE
					       : g == 0
						   ? TBS_TLS12 /* any 32 bytes are an X25519 key */
						   : TBS_BAD_POINT;

			m.at[i] ^= 0x01;
			assert_int_equal(check(state, &m, 0x0401, KEY_RSA), want);
			m.at[i] ^= 0x01;
		}
		for (size_t n = 0; n <= sizeof(m.at); n++) {
			struct message s = m;

			s.len = n;
			if (n != m.len)
				assert_int_equal(
				    check(state, &s, 0x0401, KEY_RSA), TBS_BAD_MESSAGE);
		}
	}
}

static void sentinel_is_wanted_unless_the_key_says_any(void **state)
{
	struct message m = tls12("X25519", 0x001d, DOWNGRADE),
		       n = tls12("X25519", 0x001d, "DOWNGRD\x00"),
		       r = tls12("X25519", 0x001d, "random!!");
	struct bytes mb = bytes_of(m.at, m.len), nb = bytes_of(n.at, n.len),
		     rb = bytes_of(r.at, r.len);
	struct kit *kit = kit_of(state);

	assert_int_equal(tbs_check(kit, mb, 0x0401, KEY_RSA, TLS12_SENTINEL), TBS_TLS12);
	assert_int_equal(tbs_check(kit, nb, 0x0401, KEY_RSA, TLS12_SENTINEL), TBS_NO_TLS12);
	assert_int_equal(tbs_check(kit, rb, 0x0401, KEY_RSA, TLS12_SENTINEL), TBS_NO_TLS12);
	assert_int_equal(tbs_check(kit, mb, 0x0401, KEY_RSA, TLS12_ANY), TBS_TLS12);
	assert_int_equal(tbs_check(kit, nb, 0x0401, KEY_RSA, TLS12_ANY), TBS_TLS12);
	assert_int_equal(tbs_check(kit, rb, 0x0401, KEY_RSA, TLS12_ANY), TBS_TLS12);
	assert_int_equal(tbs_check(kit, mb, 0x0401, KEY_RSA, TLS12_OFF), TBS_NO_TLS12);
}

/* Every scheme of 16 bits against every key in both versions: exactly these pass. */
static void schemes_fit_their_keys(void **state)
{
	static const struct {
		enum key_type key;
		uint16_t in13[4], in12[8];
	} want[] = {
		{ KEY_RSA, { 0x0804, 0x0805, 0x0806 },
		    { 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601 } },
		{ KEY_P256, { 0x0403 }, { 0x0403, 0x0503, 0x0603 } },
		{ KEY_P384, { 0x0503 }, { 0x0403, 0x0503, 0x0603 } },
		{ KEY_ED25519, { 0x0807 }, { 0x0807 } },
		{ KEY_NONE, { 0 }, { 0 } },
	};
	struct message m13 = tls13(32), m12 = tls12("X25519", 0x001d, DOWNGRADE);

	for (size_t k = 0; k < 5; k++) {
		for (unsigned s = 0; s <= 0xffff; s++) {
			bool in13 = false, in12 = false;

			for (size_t i = 0; s != 0 && i < 8; i++) {
				in13 |= i < 4 && want[k].in13[i] == s;
				in12 |= want[k].in12[i] == s;
			}
			assert_int_equal(check(state, &m13, (uint16_t)s, want[k].key),
			    in13 ? TBS_TLS13 : TBS_BAD_SCHEME);
			assert_int_equal(check(state, &m12, (uint16_t)s, want[k].key),
			    in12 ? TBS_TLS12 : TBS_BAD_SCHEME);
		}
	}
}

static void bare_digests_and_documents_are_refused(void **state)
{
	static const char jwt[] = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0";
	struct message m = { .len = 32 };

	assert_int_equal(check(state, &m, 0x0401, KEY_RSA), TBS_BAD_MESSAGE);
	m.len = 0;
	assert_int_equal(check(state, &m, 0x0401, KEY_RSA), TBS_BAD_MESSAGE);
	memcpy(m.at, jwt, sizeof(jwt));
	m.len = sizeof(jwt) - 1;
	assert_int_equal(check(state, &m, 0x0401, KEY_RSA), TBS_BAD_MESSAGE);
	memset(m.at, 0x30, sizeof(m.at)); /* begins as DER does; of a length that counts */
	m.len = 130;
	assert_int_equal(check(state, &m, 0x0401, KEY_RSA), TBS_BAD_MESSAGE);
	m.len = 133;
	assert_int_equal(check(state, &m, 0x0401, KEY_RSA), TBS_BAD_MESSAGE);
}

static int setup(void **state)
{
	*state = kit_new();
	return *state == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	kit_free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_hash_lengths_of_tls13_pass),
		cmocka_unit_test(each_byte_of_tls13_counts_but_the_hash),
		cmocka_unit_test(clients_and_exporters_are_refused),
		cmocka_unit_test(three_groups_of_tls12_pass),
		cmocka_unit_test(each_byte_of_tls12_counts_but_the_randoms),
		cmocka_unit_test(sentinel_is_wanted_unless_the_key_says_any),
		cmocka_unit_test(schemes_fit_their_keys),
		cmocka_unit_test(bare_digests_and_documents_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
