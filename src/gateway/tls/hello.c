/*
 * hello.c: the one place where a connection's site is chosen: client_hello_cb, which every SSL_CTX
 * has, since a second hello finds the switched one's. What the first hello said is frozen; the second
 * (after a HelloRetryRequest) may not change the name, and may only take PSK identities away.
 */
#include "config.h"

#include "gateway/tls/hello.h"

#include <string.h>

#include <openssl/err.h>

#include "gateway/tls/session.h"
#include "gateway/tls/sitectx.h"

#include "base/poison.h"

static struct bytes extension(SSL *ssl, unsigned type, bool *there)
{
	const unsigned char *at;
	size_t len;

	*there = SSL_client_hello_get0_ext(ssl, type, &at, &len) == 1;
	return *there ? bytes_of(at, len) : bytes_of(NULL, 0);
}

/* ---- sizes, seen before libssl has parsed anything */

static void message_cb_record(struct handshake *hs, struct bytes head)
{
	if (head.len < 5)
		return;
	if (hs->hello.read == 0 && hello_is_http(head))
		hs->hello.plain = true;
	hs->hello.read += 5 + (size_t)(head.at[3] << 8 | head.at[4]);
	if (hs->hello.phase == HELLO_AWAITED && hs->hello.read > 2 * HELLO_MAX)
		hs->hello.too_long = true;
}

void hello_message_cb(
    int write, int version, int type, const void *buf, size_t len, SSL *ssl, void *arg)
{
	struct handshake *hs = handshake_of(ssl);

	(void)version;
	(void)arg;
	if (hs == NULL || write)
		return;
	if (type == SSL3_RT_HEADER)
		message_cb_record(hs, bytes_of(buf, len));
	else if (type == SSL3_RT_HANDSHAKE && len > 0 &&
		 ((const uint8_t *)buf)[0] == SSL3_MT_CLIENT_HELLO)
		hs->hello.len = len;
}

/* ---- the first hello */

static uint16_t version_chosen(SSL *ssl, const struct sitectx *site)
{
	bool there;
	struct bytes list = extension(ssl, TLSEXT_TYPE_supported_versions, &there);

	if (there && site->max_version >= TLS1_3_VERSION && hello_has_version(list, TLS1_3_VERSION))
		return TLS1_3_VERSION;
	if (site->min_version > TLS1_2_VERSION)
		return 0;
	if (there)
		return hello_has_version(list, TLS1_2_VERSION) ? TLS1_2_VERSION : 0;
	return SSL_client_hello_get0_legacy_version(ssl) >= TLS1_2_VERSION ? TLS1_2_VERSION : 0;
}

/* Remembers the identities by a keyed hash: 16 are more than any client offers. */
static enum parse freeze_psks(struct handshake *hs, struct bytes list)
{
	struct bytes identity;

	while (list.len > 0) {
		if (!hello_psk_next(&list, &identity))
			return PARSE_BAD;
		if (hs->hello.psks_n < HELLO_PSKS_MAX)
			hs->hello.psks[hs->hello.psks_n] = hash_bytes(
			    &hs->worker->tls->hash_key, identity);
		hs->hello.psks_n++;
	}
	return PARSE_OK;
}

static int choose_site(struct handshake *hs)
{
	struct worker *w = hs->worker;
	const struct site *site = NULL;

	if (hs->hello.sni_len > 0)
		site = sites_find(w->sites, bytes_of(hs->hello.sni, hs->hello.sni_len));
	if (site == NULL)
		site = sites_default(w->sites);
	if (&w->tls->at[site->index] == hs->site)
		return 1;
	hs->site = &w->tls->at[site->index];
	return sitectx_switch(hs->site, hs->ssl);
}

/* What the session is known by: the PSK's first identity, or the id. */
static struct bytes offered_id(SSL *ssl, uint16_t version, struct bytes psks)
{
	struct bytes identity = bytes_of(NULL, 0);
	const unsigned char *id;
	size_t len;

	if (version == TLS1_3_VERSION) {
		if (psks.len > 0 && hello_psk_next(&psks, &identity))
			return identity;
		return bytes_of(NULL, 0);
	}
	len = SSL_client_hello_get0_session_id(ssl, &id);
	return bytes_of(id, len);
}

static int first_hello(struct handshake *hs, int *alert)
{
	SSL *ssl = hs->ssl;
	bool there, ticket_there, extended_master;
	struct bytes sni = extension(ssl, TLSEXT_TYPE_server_name, &there);
	struct bytes psk = extension(ssl, TLSEXT_TYPE_psk, &there), psks = bytes_of(NULL, 0),
		     ticket;

	*alert = SSL_AD_DECODE_ERROR;
	if (hello_sni(sni, hs->hello.sni, &hs->hello.sni_len) != PARSE_OK)
		return SSL_CLIENT_HELLO_ERROR;
	if (there && (hello_psks(psk, &psks) != PARSE_OK || freeze_psks(hs, psks) != PARSE_OK))
		return SSL_CLIENT_HELLO_ERROR;
	*alert = SSL_AD_INTERNAL_ERROR;
	if (!choose_site(hs))
		return SSL_CLIENT_HELLO_ERROR;
	hs->hello.version = version_chosen(ssl, hs->site);
	if (hs->hello.version == TLS1_2_VERSION && hs->site->groups_differ &&
	    !SSL_set1_groups_list(ssl, hs->site->groups12))
		return SSL_CLIENT_HELLO_ERROR;
	ticket = extension(ssl, TLSEXT_TYPE_session_ticket, &ticket_there);
	(void)extension(ssl, TLSEXT_TYPE_extended_master_secret, &extended_master);
	session_choose(hs, ticket_there, extended_master);
	hs->hello.phase = HELLO_TAKEN;
	/* A client that brings a TLS 1.2 ticket makes its session id up. */
	if (hs->hello.version == TLS1_2_VERSION && ticket.len > 0 && hs->hello.keep == KEEP_TICKET)
		return SSL_CLIENT_HELLO_SUCCESS;
	if (session_prefetch(hs, offered_id(ssl, hs->hello.version, psks))) {
		hs->hello.phase = HELLO_FETCHING;
		return SSL_CLIENT_HELLO_RETRY;
	}
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* ---- the second hello */

static bool known_psk(const struct handshake *hs, struct bytes identity, bool *first)
{
	uint64_t hash = hash_bytes(&hs->worker->tls->hash_key, identity);
	size_t n = hs->hello.psks_n < HELLO_PSKS_MAX ? hs->hello.psks_n : HELLO_PSKS_MAX;

	*first = n > 0 && hs->hello.psks[0] == hash;
	for (size_t i = 0; i < n; i++) {
		if (hs->hello.psks[i] == hash)
			return true;
	}
	return false;
}

static bool psks_unchanged(struct handshake *hs, struct bytes list)
{
	struct bytes identity;
	bool first = false, is_first = true;

	while (list.len > 0) {
		if (!hello_psk_next(&list, &identity) || !known_psk(hs, identity, &first))
			return false;
		/* What was looked up is the first of the first hello; no other is. */
		if (is_first && !first)
			hs->hello.no_resumption = true;
		is_first = false;
	}
	return true;
}

static int second_hello(struct handshake *hs, int *alert)
{
	char sni[256];
	uint8_t len;
	bool there;
	struct bytes psks = bytes_of(NULL, 0);
	struct bytes name = extension(hs->ssl, TLSEXT_TYPE_server_name, &there);
	struct bytes psk = extension(hs->ssl, TLSEXT_TYPE_psk, &there);

	*alert = SSL_AD_ILLEGAL_PARAMETER;
	hs->hello.phase = HELLO_RETRIED;
	hs->hello.tickets_tried = 0;
	if (hello_sni(name, sni, &len) != PARSE_OK || strcmp(sni, hs->hello.sni) != 0 ||
	    (there && (hello_psks(psk, &psks) != PARSE_OK || !psks_unchanged(hs, psks)))) {
		hs->reason = REASON_TLS_HELLO_CHANGED;
		return SSL_CLIENT_HELLO_ERROR;
	}
	return SSL_CLIENT_HELLO_SUCCESS;
}

int hello_cb(SSL *ssl, int *alert, void *arg)
{
	struct handshake *hs = handshake_of(ssl);

	(void)arg;
	*alert = SSL_AD_INTERNAL_ERROR;
	if (hs == NULL)
		return SSL_CLIENT_HELLO_ERROR;
	if (hs->hello.len > HELLO_MAX) {
		*alert = SSL_AD_ILLEGAL_PARAMETER;
		hs->reason = REASON_TLS_HELLO_SIZE;
		return SSL_CLIENT_HELLO_ERROR;
	}
	switch (hs->hello.phase) {
	case HELLO_AWAITED:
		return first_hello(hs, alert);
	case HELLO_FETCHING: /* the same hello again: the session has come, or not */
		hs->hello.phase = HELLO_TAKEN;
		return SSL_CLIENT_HELLO_SUCCESS;
	case HELLO_TAKEN:
		return second_hello(hs, alert);
	case HELLO_RETRIED:
		break;
	}
	*alert = SSL_AD_UNEXPECTED_MESSAGE;
	return SSL_CLIENT_HELLO_ERROR;
}
