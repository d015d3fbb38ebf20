/*
 * resume.c: the conditions of a resumption, checked before libssl accepts it. libssl itself looks at
 * the client's list of ciphers only, and renews a TLS 1.3 session's time without end. Called by
 * session and ticket.
 */
#include "config.h"

#include "gateway/tls/resume.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "gateway/tls/clientcert.h"

#include "base/poison.h"

enum { APPDATA_VERSION = 1 };

static uint64_t wall(const struct handshake *hs)
{
	return (uint64_t)loop_wall(hs->worker->loop);
}

static uint64_t lifetime_s(const struct handshake *hs)
{
	return hs->site->conf->session_lifetime / 1000;
}

uint64_t resume_first_auth(const struct handshake *hs)
{
	return SSL_session_reused(hs->ssl) ? hs->session.first_auth : wall(hs);
}

uint64_t resume_left(const struct handshake *hs)
{
	uint64_t end = resume_first_auth(hs) + lifetime_s(hs);

	return end > wall(hs) ? end - wall(hs) : 0;
}

/* ---- appdata */

bool resume_appdata(SSL_SESSION *session, struct appdata *out)
{
	void *at = NULL;
	size_t len = 0;
	struct cursor c;

	if (SSL_SESSION_get0_ticket_appdata(session, &at, &len) != 1)
		return false;
	c = cursor_of(bytes_of(at, len));
	if (cursor_u8(&c) != APPDATA_VERSION)
		return false;
	out->first_auth = cursor_u64(&c);
	out->sni = cursor_take(&c, cursor_u8(&c));
	out->intermediates = cursor_take(&c, cursor_u16(&c));
	return c.ok && cursor_left(&c) == 0;
}

/* What the client sent beside its certificate, as DER, into the handshake. -1: longer than a session may
 * carry. */
static int take_chain(struct handshake *hs)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(
	    hs->ssl); /* on a server: without the leaf */
	struct origin_of_session *s = &hs->session;
	unsigned char *at;
	int len, sum = 0;

	/* A resumption has inherited them. */
	if (SSL_session_reused(hs->ssl) || s->intermediates != NULL || sk_X509_num(chain) <= 0)
		return 0;
	for (int i = 0; i < sk_X509_num(chain); i++) {
		len = i2d_X509(sk_X509_value(chain, i), NULL);
		if (len <= 0 || len > SEAL_INTERMEDIATES_MAX ||
		    (sum += len) > SEAL_INTERMEDIATES_MAX)
			return -1;
	}
	if (sum == 0 || (at = s->intermediates = malloc((size_t)sum)) == NULL)
		return -1;
	for (int i = 0; i < sk_X509_num(chain); i++)
		i2d_X509(sk_X509_value(chain, i), &at); /* moves at */
	s->intermediates_len = (size_t)sum;
	return 0;
}

int resume_set_appdata(struct handshake *hs, SSL_SESSION *session, bool with_intermediates)
{
	/* Not on a fibre's small stack; taken while nothing of the cache is being opened or sealed. */
	uint8_t *buf = hs->worker->tls->plain;
	struct writer w = writer_of(buf, RESUME_APPDATA_MAX);
	uint64_t left = resume_left(hs);
	bool whole = take_chain(hs) == 0 && left > 0;

	if (!SSL_session_reused(hs->ssl) && !whole)
		left = 0;
	writer_u8(&w, APPDATA_VERSION);
	writer_u64(&w, whole ? resume_first_auth(hs) : 0);
	writer_u8(&w, hs->hello.sni_len);
	writer_put(&w, hs->hello.sni, hs->hello.sni_len);
	writer_u16(&w, whole && with_intermediates ? (uint16_t)hs->session.intermediates_len : 0);
	if (whole && with_intermediates)
		writer_put(&w, hs->session.intermediates, hs->session.intermediates_len);
	SSL_SESSION_set_time(session, (long)wall(hs));
	SSL_SESSION_set_timeout(session, left > 0 ? (long)left : 1);
	if (!w.ok || SSL_SESSION_set1_ticket_appdata(session, buf, writer_len(&w)) != 1)
		return -1;
	return whole ? 0 : -1;
}

/* ---- acceptance */

bool resume_same_id(const SSL_SESSION *session, const uint8_t id[static SESSION_ID_LEN])
{
	unsigned len;
	const uint8_t *at = SSL_SESSION_get_id(session, &len);

	return len == SESSION_ID_LEN && memcmp(at, id, len) == 0;
}

static bool cipher_enabled(SSL *ssl, const SSL_CIPHER *cipher)
{
	STACK_OF(SSL_CIPHER) *list = SSL_get_ciphers(ssl); /* follows the switch */

	for (int i = 0; i < sk_SSL_CIPHER_num(list); i++) {
		if (sk_SSL_CIPHER_value(list, i) == cipher)
			return true;
	}
	return false;
}

static bool client_acceptable(
    struct handshake *hs, SSL_SESSION *session, struct bytes intermediates)
{
	X509 *leaf = SSL_SESSION_get0_peer(session);

	if (hs->site->verify == SSL_VERIFY_NONE)
		return leaf == NULL;
	if (leaf == NULL)
		return (hs->site->verify & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) == 0;
	return clientcert_verify_again(hs->site, leaf, intermediates);
}

bool resume_acceptable(
    struct handshake *hs, SSL_SESSION *session, uint64_t first_auth, struct bytes intermediates)
{
	uint64_t now = wall(hs);
	struct appdata facts;

	if (first_auth > now + RESUME_SKEW_S || now >= first_auth + lifetime_s(hs))
		return false;
	if (SSL_SESSION_get_protocol_version(session) != hs->hello.version ||
	    !cipher_enabled(hs->ssl, SSL_SESSION_get0_cipher(session)))
		return false;
	/* In TLS 1.3 another name of the site will do (RFC 8446, 4.6.1). */
	if (!resume_appdata(session, &facts) ||
	    (hs->hello.version == TLS1_2_VERSION && !bytes_equal_str(facts.sni, hs->hello.sni)))
		return false;
	return client_acceptable(hs, session, intermediates);
}

int resume_inherit(struct handshake *hs, uint64_t first_auth, struct bytes intermediates)
{
	struct origin_of_session *s = &hs->session;
	uint8_t *copy = NULL;

	if (intermediates.len > 0) {
		if ((copy = malloc(intermediates.len)) == NULL)
			return -1;
		memcpy(copy, intermediates.at, intermediates.len);
	}
	free(s->intermediates);
	s->intermediates = copy;
	s->intermediates_len = intermediates.len;
	s->first_auth = first_auth;
	return 0;
}
