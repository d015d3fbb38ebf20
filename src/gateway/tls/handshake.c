/*
 * handshake.c: drives SSL_do_handshake, pauses it, wakes it and ends it. The connection calls it
 * step by step; remotekey, session and hello pause it. Invariants: worker->handshaking is set exactly
 * while libssl is on the stack, and SSL_MODE_ASYNC exactly from new to the success of the handshake.
 */
#include "config.h"

#include "gateway/tls/handshake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/async.h>
#include <openssl/err.h>

#include "base/counters.h"

#include "gateway/tls/clientcert.h"
#include "gateway/tls/session.h"
#include "gateway/tls/tls_private.h"

#include "base/poison.h"

static const char *const wait_names[] = {
	[WAIT_NONE] = "",
	[WAIT_KEY] = "key",
	[WAIT_SESSION] = "session",
	[WAIT_STORE] = "session",
	[WAIT_JOB] = "fibre",
};

struct handshake *handshake_of(const SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

struct handshake *handshake_new(
    struct worker *w, const struct client *client, void (*wake)(void *arg), void *arg, SSL **ssl)
{
	struct handshake *hs = calloc(1, sizeof(*hs));

	if (hs == NULL)
		return NULL;
	ERR_clear_error();
	hs->worker = w;
	hs->client = client;
	hs->wake = wake;
	hs->wake_arg = arg;
	hs->site = &w->tls->at[sites_default(w->sites)->index];
	if ((hs->ssl = SSL_new(hs->site->ctx)) == NULL) {
		free(hs);
		return NULL;
	}
	SSL_set_accept_state(hs->ssl);
	SSL_set_mode(hs->ssl, SSL_MODE_ASYNC);
	SSL_set_app_data(hs->ssl, hs);
	SSL_set_msg_callback(hs->ssl, hello_message_cb);
	SSL_up_ref(hs->ssl); /* the caller's */
	*ssl = hs->ssl;
	return hs;
}

/* ---- pausing */

static void wait_begin(
    struct handshake *hs, enum handshake_wait wait, void (*cancel)(void *arg), void *arg)
{
	assert(hs->wait == WAIT_NONE);
	hs->wait = wait;
	hs->wait_cancel = cancel;
	hs->wait_arg = arg;
	counter_add(hs->worker->counters.handshakes_paused, 1);
}

static void wait_end(struct handshake *hs)
{
	if (hs->wait == WAIT_NONE)
		return;
	if (hs->wait == WAIT_JOB)
		TAILQ_REMOVE(&hs->worker->tls->job_waiters, hs, job_link);
	hs->wait = WAIT_NONE;
	hs->wait_cancel = NULL;
	counter_sub(hs->worker->counters.handshakes_paused, 1);
}

void handshake_wait_for(
    struct handshake *hs, enum handshake_wait wait, void (*cancel)(void *arg), void *arg)
{
	wait_begin(hs, wait, cancel, arg);
}

bool handshake_pause(
    struct handshake *hs, enum handshake_wait wait, void (*cancel)(void *arg), void *arg)
{
	struct sitectxs *tls = hs->worker->tls;

	if (hs->cancelled || ASYNC_get_current_job() == NULL) {
		cancel(arg);
		return false;
	}
	wait_begin(hs, wait, cancel, arg);
	counter_add(hs->worker->counters.fibres_open, 1);
	if (++tls->fibres_used > tls->fibres_made)
		tls->fibres_made = tls->fibres_used;
	while (hs->wait == wait) {
		ERR_clear_error(); /* a stale entry would make an error of the pause */
		if (!ASYNC_pause_job()) {
			cancel(arg);
			wait_end(hs);
		}
	}
	tls->fibres_used--;
	counter_sub(hs->worker->counters.fibres_open, 1);
	return true;
}

void handshake_resume(struct handshake *hs)
{
	wait_end(hs);
	hs->wake(hs->wake_arg);
}

const char *handshake_waits_for(const struct handshake *hs)
{
	return wait_names[hs->wait];
}

/* A fibre is free again: the longest waiting may have it. */
static void wake_job_waiter(struct sitectxs *tls)
{
	struct handshake *hs = TAILQ_FIRST(&tls->job_waiters);

	if (hs != NULL)
		handshake_resume(hs);
}

/* ---- stepping */

static int drive(struct handshake *hs)
{
	struct worker *w = hs->worker;
	struct handshake *outer = w->handshaking;
	int rc;

	w->handshaking = hs;
	ERR_clear_error();
	rc = SSL_do_handshake(hs->ssl);
	w->handshaking = outer;
	return rc;
}

static enum reason reason_of_error(const struct handshake *hs, int error)
{
	unsigned long err = ERR_peek_error();
	int reason = ERR_GET_REASON(err);

	if (hs->hello.plain)
		return REASON_PLAIN_ON_TLS;
	if (hs->reason != REASON_NONE)
		return hs->reason;
	if (error == SSL_ERROR_SYSCALL || error == SSL_ERROR_ZERO_RETURN)
		return hs->hello.phase == HELLO_AWAITED ? REASON_CLOSE : REASON_TRUNCATED;
	if (ERR_GET_LIB(err) != ERR_LIB_SSL)
		return REASON_TLS;
	switch (reason) {
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		return hs->hello.phase == HELLO_AWAITED ? REASON_CLOSE : REASON_TRUNCATED;
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
		return REASON_PLAIN_ON_TLS;
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
		return REASON_TLS_VERSION;
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
		return REASON_TLS_CIPHER;
	case SSL_R_NO_APPLICATION_PROTOCOL:
		return REASON_TLS_ALPN;
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		return REASON_TLS_CLIENT_CERT;
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return REASON_TLS_NO_CLIENT_CERT;
	case SSL_R_NO_RENEGOTIATION:
		return REASON_TLS_RENEGOTIATION;
	}
	return reason >= SSL_AD_REASON_OFFSET ? REASON_TLS_ALERT : REASON_TLS;
}

static void finish(struct handshake *hs)
{
	hs->done = true;
	SSL_clear_mode(hs->ssl, SSL_MODE_ASYNC);
	SSL_set_msg_callback(hs->ssl, NULL);
	SSL_set_info_callback(hs->ssl, NULL);
	session_count(hs);
}

enum stream_step handshake_step(struct handshake *hs, enum reason *reason)
{
	struct sitectxs *tls = hs->worker->tls;
	int rc, error;

	if (hs->done)
		return STREAM_STEP_DONE;
	if (hs->wait == WAIT_JOB)
		wait_end(hs);
	if (hs->wait != WAIT_NONE)
		return STREAM_STEP_PAUSED;
	rc = drive(hs);
	error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(hs->ssl, rc);
	if (error == SSL_ERROR_WANT_ASYNC || error == SSL_ERROR_WANT_CLIENT_HELLO_CB)
		return STREAM_STEP_PAUSED;
	if (error == SSL_ERROR_WANT_ASYNC_JOB) {
		wait_begin(hs, WAIT_JOB, NULL, NULL);
		TAILQ_INSERT_TAIL(&tls->job_waiters, hs, job_link);
		return STREAM_STEP_PAUSED;
	}
	wake_job_waiter(tls);
	if (rc == 1) {
		finish(hs);
		return STREAM_STEP_DONE;
	}
	if (hs->hello.too_long && error == SSL_ERROR_WANT_READ) {
		*reason =
		    REASON_TLS_HELLO_SIZE; /* more is not read, not even to refuse it politely */
		return STREAM_STEP_FAILED;
	}
	if (error == SSL_ERROR_WANT_READ)
		return STREAM_STEP_READ;
	if (error == SSL_ERROR_WANT_WRITE)
		return STREAM_STEP_WRITE;
	*reason = reason_of_error(hs, error);
	ERR_clear_error();
	return STREAM_STEP_FAILED;
}

/* ---- ending */

bool handshake_expire(struct handshake *hs)
{
	if (hs->wait != WAIT_KEY)
		return false;
	hs->wait_cancel(hs->wait_arg);
	hs->reason = REASON_HANDSHAKE_TIMEOUT;
	handshake_resume(hs);
	return true;
}

/* The stream's BIO serves only within the stream's own steps. */
static void detach_bios(SSL *ssl)
{
	SSL_set0_rbio(ssl, BIO_new(BIO_s_null()));
	SSL_set0_wbio(ssl, BIO_new(BIO_s_null()));
}

static void cancel(struct handshake *hs)
{
	void (*end)(void *arg) = hs->wait_cancel;

	hs->cancelled = true;
	wait_end(hs);
	if (end != NULL)
		end(hs->wait_arg);
	if (!SSL_waiting_for_async(hs->ssl))
		return;
	/* SSL_free of a paused handshake would leak its fibre, with a request on its stack: let it run
	 * to its end, whatever that is (after a paused store it even succeeds). */
	detach_bios(hs->ssl);
	do
		(void)drive(hs);
	while (SSL_waiting_for_async(hs->ssl));
	ERR_clear_error();
}

void handshake_free(struct handshake *hs)
{
	if (hs == NULL)
		return;
	/* It may also have been woken but not yet stepped: then only its fibre is left. */
	cancel(hs);
	SSL_clear_mode(hs->ssl, SSL_MODE_ASYNC);
	SSL_set_msg_callback(hs->ssl, NULL);
	SSL_set_info_callback(hs->ssl, NULL);
	SSL_set_app_data(hs->ssl, NULL); /* the connection may use it from here on */
	session_clear(hs);
	SSL_free(hs->ssl);
	/* It may have been the one that was woken for a free fibre. */
	wake_job_waiter(hs->worker->tls);
	free(hs);
}

int handshake_client(struct handshake *hs, struct client *c)
{
	SSL *ssl = hs->ssl;
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);

	assert(hs->done);
	c->site = hs->site->site;
	c->version = SSL_get_version(ssl);
	c->cipher = SSL_CIPHER_get_name(cipher);
	c->cipher_bits = SSL_CIPHER_get_bits(cipher, &c->alg_bits);
	c->resumed = !SSL_session_reused(ssl) ? CLIENT_FULL
		     : hs->session.handed     ? CLIENT_BY_CACHE
					      : CLIENT_BY_TICKET;
	c->sni = NULL;
	if (hs->hello.sni_len > 0 && (c->sni = strdup(hs->hello.sni)) == NULL)
		return -1;
	c->session_id_len = session_public_id(hs, c->session_id);
	return clientcert_take(hs, c);
}
