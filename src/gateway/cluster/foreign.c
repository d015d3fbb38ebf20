/*
 * foreign.c: see foreign.h. Two tables: scheme to operation, and error to what an operator does about it.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/hex.h"
#include "base/log.h"
#include "crypto/scheme.h"
#include "gateway/cluster/foreign.h"
#include "wire/keyless.h"

#include "base/poison.h"

static const struct {
	uint16_t scheme;
	uint8_t opcode;
} operations[] = {
	{ 0x0401, KEYLESS_RSA_SIGN_SHA256 },
	{ 0x0501, KEYLESS_RSA_SIGN_SHA384 },
	{ 0x0601, KEYLESS_RSA_SIGN_SHA512 },
	{ 0x0403, KEYLESS_ECDSA_SIGN_SHA256 },
	{ 0x0503, KEYLESS_ECDSA_SIGN_SHA384 },
	{ 0x0603, KEYLESS_ECDSA_SIGN_SHA512 },
	{ 0x0804, KEYLESS_PSS_SIGN_SHA256 },
	{ 0x0805, KEYLESS_PSS_SIGN_SHA384 },
	{ 0x0806, KEYLESS_PSS_SIGN_SHA512 },
	{ SCHEME_ED25519, KEYLESS_ED25519_SIGN },
};

/* Without padding: the lengths would tell of the key's type only, which the handshake tells, too. */
size_t foreign_question(
    const struct keyclient_key *key, uint16_t scheme, struct bytes tbs, uint8_t *buf, size_t size)
{
	uint8_t digest[SCHEME_DIGEST_MAX];
	struct keyless k = { .ski = bytes_of(key->ski, sizeof(key->ski)), .payload = tbs };
	size_t len = scheme_digest(scheme, tbs, digest);

	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (operations[i].scheme == scheme)
			k.opcode = operations[i].opcode;
	}
	if (k.opcode == 0)
		return 0;
	if (len > 0)
		k.payload = bytes_of(digest, len);
	if (key->has_modulus)
		k.digest = bytes_of(key->modulus_sha256, sizeof(key->modulus_sha256));
	return keyless_build(&k, false, buf, size);
}

/* By code. Those that another server would answer as well are final. */
static const struct {
	bool final;
	const char *todo;
} errors[] = {
	[KEYLESS_ERR_CRYPTO] = { false, "its log says why; the key may be of another type" },
	[KEYLESS_ERR_KEY_NOT_FOUND] = { false,
	    "give it the private key of the site's certificate" },
	[KEYLESS_ERR_READ] = { false, "its log says why" },
	[KEYLESS_ERR_VERSION] = { true, "it speaks another version of the protocol than 1" },
	[KEYLESS_ERR_BAD_OPCODE] = { true,
	    "it must do this operation for this gateway: sites with RSA keys need 35 to 37 (PSS) "
	    "for TLS 1.3" },
	[KEYLESS_ERR_UNEXPECTED_OPCODE] = { true, "it is no Keyless server as we know them" },
	[KEYLESS_ERR_FORMAT] = { true, "it does not read what it should: is it a Keyless server?" },
	[KEYLESS_ERR_INTERNAL] = { false,
	    "its log says why; some answer so where they do not have the key" },
	[KEYLESS_ERR_NO_CERTIFICATE] = { false, "give it the site's certificate and private key" },
	[KEYLESS_ERR_SEALING_EXPIRED] = { true, "its log says why" },
	[KEYLESS_ERR_REMOTE] = { false, "its own configuration is wrong: see its log" },
};

static bool is_known(uint8_t error)
{
	return error < sizeof(errors) / sizeof(errors[0]) && errors[error].todo != NULL;
}

bool foreign_again(uint8_t error)
{
	return !is_known(error) || !errors[error].final;
}

void foreign_say(struct foreign_said *said, uint64_t now_ms, const struct endpoint *server,
    struct bytes question, uint8_t error)
{
	char at[ENDPOINT_TEXT_MAX] = "?", ski[2 * KEYLESS_SKI_LEN + 1];
	enum keyless_error ignored;
	struct keyless k;

	if (said->at != 0 && now_ms - said->at < FOREIGN_LINE_MS) {
		said->more++;
		return;
	}
	if (server != NULL)
		endpoint_text(server, at, sizeof(at));
	if (keyless_parse(question, &k, &ignored) != PARSE_OK)
		return; /* it is our own */
	hex_write(ski, k.ski.at, k.ski.len); /* the parser takes no other length */
	log_warnx(
	    "key server %s: error %02x to operation %02x with the key of SKI %s: %s; %s (%" PRIu64
	    " more since the last such line)",
	    at, error, k.opcode, ski, keyless_error_text(error),
	    is_known(error) ? errors[error].todo : "its log says why", said->more);
	said->at = now_ms == 0 ? 1 : now_ms;
	said->more = 0;
}
