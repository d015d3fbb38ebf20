/*
 * seal.c: one entry's name and key, and AES-256-GCM round a session. Called by the gateway's session
 * hooks; a value that does not open is the cache service's fault, never the client's.
 */
#include "config.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include <string.h>

#include "crypto/seal.h"

#include "base/poison.h"

enum { SEAL_FORMAT = 1, NONCE_LEN = 12, TAG_LEN = 16, HEAD_LEN = 1 + NONCE_LEN };

int seal_name_and_key(struct kit *kit, const uint8_t seal_key[static 64], uint16_t version,
    struct bytes session_id, uint8_t name[static SEAL_NAME_LEN], uint8_t key[static SEAL_KEY_LEN])
{
	const uint8_t v[2] = { (uint8_t)(version >> 8), (uint8_t)version };
	struct bytes parts[] = { bytes_of(v, sizeof(v)), session_id };
	uint8_t mac[64];
	int rc = kit_hmac_sha512(kit, bytes_of(seal_key, 64), parts, 2, mac);

	if (rc == 0) {
		memcpy(name, mac, SEAL_NAME_LEN);
		memcpy(key, mac + SEAL_NAME_LEN, SEAL_KEY_LEN);
	}
	OPENSSL_cleanse(mac, sizeof(mac));
	return rc;
}

static int gcm_begin(struct kit *kit, int enc, const uint8_t *key, const uint8_t *nonce,
    const uint8_t *name, const uint8_t *scope)
{
	int n;

	/* The default nonce length of GCM is the 12 bytes of NONCE_LEN. */
	return EVP_CipherInit_ex2(kit->cipher, kit->aes_256_gcm, key, nonce, enc, NULL) &&
		       EVP_CipherUpdate(kit->cipher, NULL, &n, name, SEAL_NAME_LEN) &&
		       EVP_CipherUpdate(kit->cipher, NULL, &n, scope, 32)
		   ? 0
		   : -1;
}

static int gcm_end(struct kit *kit, int rc)
{
	EVP_CIPHER_CTX_reset(kit->cipher); /* wipes the entry's key */
	if (rc == -1)
		ERR_clear_error();
	return rc;
}

int seal_encrypt(struct kit *kit, const uint8_t name[static SEAL_NAME_LEN],
    const uint8_t key[static SEAL_KEY_LEN], const uint8_t scope[static 32],
    const struct sealed_session *s, uint8_t *out, size_t size, size_t *len)
{
	struct writer w = writer_of(out, size);
	uint8_t *plain, nonce[NONCE_LEN];
	size_t plain_len;
	int n = 0, last = 0, rc = -1;

	if (s->session.len > SEAL_SESSION_MAX || s->intermediates.len > SEAL_INTERMEDIATES_MAX ||
	    size < SEAL_OVERHEAD + s->session.len + s->intermediates.len)
		return -1;
	if (RAND_bytes(nonce, sizeof(nonce)) != 1)
		return -1;
	writer_u8(&w, SEAL_FORMAT);
	writer_put(&w, nonce, sizeof(nonce));
	plain = w.at; /* encrypted where it lies */
	writer_u64(&w, s->expiry);
	writer_u64(&w, s->first_auth);
	writer_u64(&w, s->claim);
	writer_u16(&w, (uint16_t)s->session.len);
	writer_bytes(&w, s->session);
	writer_u16(&w, (uint16_t)s->intermediates.len);
	writer_bytes(&w, s->intermediates);
	plain_len = (size_t)(w.at - plain);
	if (gcm_begin(kit, 1, key, nonce, name, scope) == 0 &&
	    EVP_CipherUpdate(kit->cipher, plain, &n, plain, (int)plain_len) &&
	    EVP_CipherFinal_ex(kit->cipher, plain + n, &last) && n + last == (int)plain_len &&
	    EVP_CIPHER_CTX_ctrl(kit->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, plain + plain_len) ==
		1)
		rc = 0;
	if (rc == -1)
		OPENSSL_cleanse(out, size);
	*len = HEAD_LEN + plain_len + TAG_LEN;
	return gcm_end(kit, rc);
}

static int parse_plain(struct bytes plain, struct sealed_session *out)
{
	struct cursor c = cursor_of(plain);

	out->expiry = cursor_u64(&c);
	out->first_auth = cursor_u64(&c);
	out->claim = cursor_u64(&c);
	out->session = cursor_take(&c, cursor_u16(&c));
	out->intermediates = cursor_take(&c, cursor_u16(&c));
	return c.ok && cursor_left(&c) == 0 && out->session.len > 0 ? 0 : -1;
}

int seal_decrypt(struct kit *kit, const uint8_t name[static SEAL_NAME_LEN],
    const uint8_t key[static SEAL_KEY_LEN], const uint8_t scope[static 32], struct bytes value,
    uint8_t *buf, size_t size, struct sealed_session *out)
{
	size_t len;
	uint8_t tag[TAG_LEN];
	int n = 0, last = 0, rc = -1;

	if (value.len < SEAL_OVERHEAD || value.len > SEAL_VALUE_MAX || value.at[0] != SEAL_FORMAT)
		return -1;
	len = value.len - HEAD_LEN - TAG_LEN;
	if (len > size)
		return -1;
	memcpy(tag, value.at + HEAD_LEN + len, TAG_LEN);
	if (gcm_begin(kit, 0, key, value.at + 1, name, scope) == 0 &&
	    EVP_CIPHER_CTX_ctrl(kit->cipher, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1 &&
	    EVP_CipherUpdate(kit->cipher, buf, &n, value.at + HEAD_LEN, (int)len) &&
	    EVP_CipherFinal_ex(kit->cipher, buf + n, &last) && n + last == (int)len &&
	    parse_plain(bytes_of(buf, len), out) == 0)
		rc = 0;
	if (rc == -1)
		OPENSSL_cleanse(buf, len);
	return gcm_end(kit, rc);
}
