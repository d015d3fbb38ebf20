/*
 * tbs.c: the grammar of tbs.h. Called by the key service for every sslgw/tls-sign, before a key is
 * touched. What is not one of these shapes, byte for byte, is refused: there is no "other".
 */
#include "config.h"

#include <string.h>

#include "crypto/tbs.h"

#include "base/poison.h"

enum {
	RANDOMS_LEN = 64,
	PAD_LEN = 64,
	NAMED_CURVE = 3,
	GROUP_P256 = 0x0017,
	GROUP_P384 = 0x0018,
	GROUP_X25519 = 0x001d,
};

static const char context13[] = "TLS 1.3, server CertificateVerify"; /* its NUL is the separator */

/* Which schemes a key may sign with, by version of TLS. */
static const struct {
	enum key_type key;
	uint16_t scheme;
	bool tls13;
} schemes[] = {
	{ KEY_P256, 0x0403, true },
	{ KEY_P384, 0x0503, true },
	{ KEY_ED25519, 0x0807, true },
	{ KEY_RSA, 0x0804, true },
	{ KEY_RSA, 0x0805, true },
	{ KEY_RSA, 0x0806, true },
	{ KEY_RSA, 0x0401, false },
	{ KEY_RSA, 0x0501, false },
	{ KEY_RSA, 0x0601, false },
	{ KEY_P256, 0x0503, false },
	{ KEY_P256, 0x0603, false },
	{ KEY_P384, 0x0403, false },
	{ KEY_P384, 0x0603, false },
};

static bool scheme_fits(uint16_t scheme, enum key_type key, bool tls13)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (schemes[i].scheme == scheme && schemes[i].key == key)
			return schemes[i].tls13 || !tls13;
	}
	return false;
}

static bool is_certificate_verify(struct bytes m)
{
	if (m.len != PAD_LEN + sizeof(context13) + 32 && m.len != PAD_LEN + sizeof(context13) + 48)
		return false;
	for (size_t i = 0; i < PAD_LEN; i++) {
		if (m.at[i] != 0x20)
			return false;
	}
	return memcmp(m.at + PAD_LEN, context13, sizeof(context13)) == 0;
}

/* Splits a ServerKeyExchange's input into group and public key. */
static bool is_key_exchange(struct bytes m, uint16_t *group, struct bytes *point)
{
	struct cursor c = cursor_of(m);
	size_t want;

	cursor_take(&c, RANDOMS_LEN);
	if (cursor_u8(&c) != NAMED_CURVE)
		return false;
	*group = cursor_u16(&c);
	*point = cursor_take(&c, cursor_u8(&c));
	if (!c.ok || cursor_left(&c) != 0)
		return false;
	switch (*group) {
	case GROUP_X25519:
		want = 32;
		break;
	case GROUP_P256:
		want = 65;
		break;
	case GROUP_P384:
		want = 97;
		break;
	default:
		return false;
	}
	return point->len == want;
}

static bool has_sentinel(struct bytes m)
{
	return memcmp(m.at + RANDOMS_LEN - 8, "DOWNGRD\x01", 8) == 0;
}

enum tbs_result tbs_check(
    struct kit *kit, struct bytes m, uint16_t scheme, enum key_type key, enum tls12_mode mode)
{
	struct bytes point;
	uint16_t group;

	if (is_certificate_verify(m))
		return scheme_fits(scheme, key, true) ? TBS_TLS13 : TBS_BAD_SCHEME;
	if (!is_key_exchange(m, &group, &point))
		return TBS_BAD_MESSAGE;
	if (!scheme_fits(scheme, key, false))
		return TBS_BAD_SCHEME;
	if (mode != TLS12_ANY && (mode != TLS12_SENTINEL || !has_sentinel(m)))
		return TBS_NO_TLS12;
	if ((group == GROUP_P256 && !kit_on_curve(kit, kit->p256, point)) ||
	    (group == GROUP_P384 && !kit_on_curve(kit, kit->p384, point)))
		return TBS_BAD_POINT;
	return TBS_TLS12;
}

bool tbs_ok(enum tbs_result r)
{
	return r == TBS_TLS13 || r == TBS_TLS12;
}

const char *tbs_result_text(enum tbs_result r)
{
	switch (r) {
	case TBS_TLS13:
		return "a TLS 1.3 CertificateVerify";
	case TBS_TLS12:
		return "a TLS 1.2 ServerKeyExchange";
	case TBS_BAD_MESSAGE:
		return "not what a TLS server signs";
	case TBS_BAD_SCHEME:
		return "a signature scheme that does not fit key and version";
	case TBS_BAD_POINT:
		return "a point that is not on its curve";
	case TBS_NO_TLS12:
		return "TLS 1.2 is off for this key, or the downgrade sentinel is missing";
	}
	return "?";
}
