/*
 * keyupdate.c: a KeyUpdate costs a client 25 bytes and us two key derivations and an answer: a flood
 * of them ends the connection. The count lies where the handshake's pointer was (SSL's app data), as
 * an odd number, so a connection needs no memory for it.
 */
#include "gateway/tls/keyupdate.h"

#include <stdint.h>

#include <openssl/err.h>

#include "base/poison.h"

static uintptr_t pack(uintptr_t count)
{
	return count << 1 | 1;
}

bool keyupdate_is_count(const void *app_data)
{
	return ((uintptr_t)app_data & 1) != 0;
}

/* libssl calls it for handshake messages only; in this state one KeyUpdate has been processed. */
static void info_cb(const SSL *const_ssl, int where, int ret)
{
	SSL *ssl = (SSL *)(uintptr_t)const_ssl;
	uintptr_t count = (uintptr_t)SSL_get_app_data(ssl) >> 1;

	(void)ret;
	if ((where & SSL_CB_LOOP) == 0 || SSL_get_state(ssl) != TLS_ST_SR_KEY_UPDATE)
		return;
	SSL_set_app_data(ssl, (void *)pack(++count));
	if (count <= KEYUPDATE_MAX)
		return;
	/* libssl has no way to refuse one: take its input away, and say why. */
	ERR_raise(ERR_LIB_SSL, SSL_R_NO_RENEGOTIATION);
	SSL_set0_rbio(ssl, BIO_new(BIO_s_null()));
}

void keyupdate_watch(SSL *ssl)
{
	SSL_set_app_data(ssl, (void *)pack(0));
	SSL_set_info_callback(ssl, SSL_version(ssl) >= TLS1_3_VERSION ? info_cb : NULL);
}
