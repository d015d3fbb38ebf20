/*
 * ticket.c: libssl's ticket hooks. The key's name carries generation and epoch, so a ticket is tried
 * with one key; what is inside is judged by resume. In TLS 1.3 each ticket is used once: every
 * resumption gives a new one.
 */
#include "config.h"

#include "gateway/tls/ticket.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include "gateway/cluster/secrets.h"
#include "gateway/tls/resume.h"

#include "base/poison.h"

/* u8 1 | u16 generation tag | low 24 bits of the epoch | 10 bytes that depend on scope and version */
enum { NAME_VERSION = 1, NAME_LEN = 16, NAME_TAG = 1, NAME_EPOCH = 3, NAME_PART = 6 };

static void name_write(
    uint8_t name[static NAME_LEN], const struct epoch_record *r, const struct scope_keys *keys)
{
	struct writer w = writer_of(name, NAME_LEN);

	writer_u8(&w, NAME_VERSION);
	writer_u16(&w, epoch_tag(r));
	writer_u8(&w, (uint8_t)(epoch_e24(r) >> 16));
	writer_u16(&w, (uint16_t)epoch_e24(r));
	writer_put(&w, keys->name, sizeof(keys->name));
}

static int set_mac(EVP_MAC_CTX *ctx, const struct scope_keys *keys)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
		    (void *)(uintptr_t)keys->ticket_hmac, sizeof(keys->ticket_hmac)),
		OSSL_PARAM_construct_utf8_string(
		    OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(ctx, params);
}

/* 1, or 0: no ticket. libssl 3.0 writes a malformed one in TLS 1.3 then, so there the keys are made up:
 * the hello offered tickets because there was an epoch, and it has ended since. */
static int encrypt(struct handshake *hs, int version, uint8_t *name, uint8_t *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	const struct epoch_record *r = secrets_current(hs->worker->secrets, hs->site->group);
	const struct scope_keys *keys = r != NULL ? sitectx_keys(hs->site, r, (uint16_t)version)
						  : NULL;
	struct scope_keys nobodys;
	int ok;

	if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(hs->worker->tls->aes_256_cbc)) != 1)
		return -1;
	if (keys != NULL) {
		name_write(name, r, keys);
	} else {
		if (version != TLS1_3_VERSION)
			return 0;
		memset(name, 0, NAME_LEN);
		if (RAND_bytes((uint8_t *)&nobodys, sizeof(nobodys)) != 1)
			return -1;
		keys = &nobodys;
	}
	ok = EVP_EncryptInit_ex2(
		 cipher, hs->worker->tls->aes_256_cbc, keys->ticket_cipher, iv, NULL) &&
	     set_mac(mac, keys);
	return ok ? 1 : -1;
}

/* 0: not (any more) ours: a full handshake. 2: and make a new one. */
static int decrypt(struct handshake *hs, int version, const uint8_t *name, const uint8_t *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	struct cursor c = cursor_of(bytes_of(name, NAME_LEN));
	const struct epoch_record *r;
	const struct scope_keys *keys;
	uint8_t expected[NAME_LEN];
	uint16_t tag;
	uint32_t e24;

	if (cursor_u8(&c) != NAME_VERSION)
		return 0;
	tag = cursor_u16(&c);
	e24 = (uint32_t)cursor_u8(&c) << 16;
	e24 |= cursor_u16(&c);
	r = secrets_find(hs->worker->secrets, hs->site->group, tag, e24);
	if (r == NULL || (keys = sitectx_keys(hs->site, r, (uint16_t)version)) == NULL)
		return 0;
	name_write(expected, r, keys);
	if (!bytes_equal_consttime(bytes_of(expected, NAME_LEN), bytes_of(name, NAME_LEN)))
		return 0;
	if (!EVP_DecryptInit_ex2(
		cipher, hs->worker->tls->aes_256_cbc, keys->ticket_cipher, iv, NULL) ||
	    !set_mac(mac, keys))
		return -1;
	if (version == TLS1_3_VERSION)
		return 2;
	return r == secrets_current(hs->worker->secrets, hs->site->group) ? 1 : 2;
}

static int key_cb(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int enc)
{
	struct handshake *hs = handshake_of(ssl);

	if (hs == NULL || !hs->hello.resumable)
		return 0;
	if (enc)
		return encrypt(hs, SSL_version(ssl), name, iv, cipher, mac);
	/* Of several identities only the first is looked at: the rest would be work for a stranger. */
	if (hs->hello.no_resumption || hs->hello.tickets_tried++ > 0)
		return 0;
	return decrypt(hs, SSL_version(ssl), name, iv, cipher, mac);
}

/* A ticket is about to be written. 0 would end the handshake: what must not be resumed says so inside. */
static int generate_cb(SSL *ssl, void *arg)
{
	struct handshake *hs = handshake_of(ssl);

	(void)arg;
	if (hs != NULL && hs->hello.keep == KEEP_TICKET)
		(void)resume_set_appdata(hs, SSL_get_session(ssl), true);
	return 1;
}

static SSL_TICKET_RETURN decrypted_cb(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
    size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
	struct handshake *hs = handshake_of(ssl);
	struct appdata facts;

	(void)name;
	(void)name_len;
	(void)arg;
	if (hs == NULL || (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	if (!resume_appdata(session, &facts) || facts.first_auth == 0 ||
	    !resume_acceptable(hs, session, facts.first_auth, facts.intermediates) ||
	    resume_inherit(hs, facts.first_auth, facts.intermediates) == -1) {
		ERR_clear_error();
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	}
	/* USE would take back what key_cb said. */
	return status == SSL_TICKET_SUCCESS_RENEW ? SSL_TICKET_RETURN_USE_RENEW
						  : SSL_TICKET_RETURN_USE;
}

void ticket_attach(SSL_CTX *ctx)
{
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, key_cb);
	SSL_CTX_set_session_ticket_cb(ctx, generate_cb, decrypted_cb, NULL);
}
