/*
 * player.c: see player.h.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "t/sim/player.h"

#include "base/poison.h"

void text_add(struct text *t, const char *at, size_t len)
{
	if (t->len + len + 1 > t->cap) {
		t->cap = (t->len + len + 1) * 2;
		t->at = realloc(t->at, t->cap);
		assert_non_null(t->at);
	}
	memcpy(t->at + t->len, at, len);
	t->len += len;
	t->at[t->len] = '\0';
}

void text_addf(struct text *t, const char *format, ...)
{
	char buf[512];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(buf, sizeof(buf), format, ap);
	va_end(ap);
	assert_in_range(n, 1, sizeof(buf) - 1);
	text_add(t, buf, (size_t)n);
}

/* ---- a connection's end, as the test plays it */

void player_gone(struct player *p)
{
	SSL_free(p->ssl);
	p->ssl = NULL;
	if (p->fd != -1)
		close(p->fd);
	p->fd = -1;
}

void player_reset(struct player *p)
{
	struct linger now = { 1, 0 };

	if (p->fd != -1)
		setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	player_gone(p);
}

/* As send(2) and recv(2) do it. */
static ssize_t said(const struct player *p, int n)
{
	int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(p->ssl, n);

	errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
	return n > 0 ? n : error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

ssize_t player_put(struct player *p, const char *at, size_t len)
{
	int n;

	if (p->ssl == NULL)
		return send(p->fd, at, len, MSG_NOSIGNAL);
	ERR_clear_error();
	/* What libssl could not write it wants to be given again. */
	n = SSL_write(p->ssl, at, (int)(p->again > 0 ? p->again : len));
	p->again = n > 0 ? 0 : p->again > 0 ? p->again : len;
	return said(p, n);
}

ssize_t player_get(struct player *p, char *at, size_t len)
{
	if (p->ssl == NULL)
		return recv(p->fd, at, len, 0);
	ERR_clear_error();
	return said(p, SSL_read(p->ssl, at, (int)len));
}

void player_finish(struct player *p)
{
	if (p->ssl != NULL)
		SSL_shutdown(p->ssl);
	shutdown(p->fd, SHUT_WR);
	p->finished = true;
}

void player_clear(struct player *p)
{
	player_gone(p);
	free(p->out.at);
	free(p->in.at);
}

/* Nobody looks at the certificate. */
SSL_CTX *player_server_tls(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	assert_true(ctx != NULL && key != NULL && cert != NULL);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}
