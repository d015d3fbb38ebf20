/*
 * selftest_probe.c: one handshake as a client, with a deadline. Called by selftest.c only.
 */
#include "ctl/selftest.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#include "base/poison.h"

/* For the ticket of TLS 1.3, which follows the handshake. */
enum { TICKET_WAIT_MS = 2000 };

struct probe {
	struct probe_params params;
	SSL_CTX *ctx[KINDS_N];
};

/* One connection. */
struct attempt {
	const struct probe *probe;
	struct gateway *gateway;
	enum kind kind;
	int fd;
	SSL *ssl;
	int64_t deadline; /* CLOCK_MONOTONIC, ms */
	SSL_SESSION *ticket; /* TLS 1.3: the first that came; owned */
	bool asks;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- contexts */

static int on_session_cb(SSL *ssl, SSL_SESSION *session)
{
	struct attempt *attempt = SSL_get_app_data(ssl);

	if (attempt->ticket != NULL || SSL_version(ssl) != TLS1_3_VERSION)
		return 0;
	attempt->ticket = session;
	return 1; /* ours now */
}

/* Called when the gateway asks for a certificate. */
static int on_asked_cb(SSL *ssl, void *arg)
{
	struct attempt *attempt = SSL_get_app_data(ssl);

	(void)arg;
	attempt->asks = true;
	return 1;
}

static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text != NULL ? text : "unknown error";
}

static int load_files(const struct probe_params *params, SSL_CTX *ctx)
{
	const char *key = params->key_file != NULL ? params->key_file : params->cert_file;

	if (params->ca_file != NULL && SSL_CTX_load_verify_file(ctx, params->ca_file) != 1) {
		log_errorx(
		    "--ca %s: no certificates can be read (PEM): %s", params->ca_file, reason());
		return -1;
	}
	if (params->cert_file == NULL)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ctx, params->cert_file) != 1) {
		log_errorx(
		    "--cert %s: no certificate can be read (PEM): %s", params->cert_file, reason());
		return -1;
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		log_errorx(
		    "--key %s: no key of that certificate can be read (PEM): %s", key, reason());
		return -1;
	}
	return 0;
}

static SSL_CTX *make_ctx(const struct probe_params *params, enum kind kind)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int version = kind == KIND_TLS13 ? TLS1_3_VERSION : TLS1_2_VERSION;

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	if (kind == KIND_TLS12_ID)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session_cb);
	SSL_CTX_set_cert_cb(ctx, on_asked_cb, NULL);
	SSL_CTX_set_verify(ctx, params->ca_file != NULL ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	ERR_clear_error();
	if (load_files(params, ctx) == 0)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

struct probe *probe_new(const struct probe_params *params)
{
	struct probe *probe = calloc(1, sizeof(*probe));

	if (probe == NULL)
		return NULL;
	probe->params = *params;
	for (enum kind kind = 0; kind < KINDS_N; kind++) {
		probe->ctx[kind] = make_ctx(params, kind);
		if (probe->ctx[kind] == NULL) {
			probe_free(probe);
			return NULL;
		}
	}
	return probe;
}

void probe_free(struct probe *probe)
{
	for (enum kind kind = 0; kind < KINDS_N; kind++)
		SSL_CTX_free(probe->ctx[kind]);
	free(probe);
}

void probe_session_free(struct ssl_session_st *session)
{
	SSL_SESSION_free(session);
}

/* ---- connecting */

static void set_why(struct attempt *attempt, const char *what, const char *text)
{
	snprintf(attempt->gateway->why[attempt->kind], SELFTEST_WHY, "%s%s%s", what,
	    text != NULL ? ": " : "", text != NULL ? text : "");
}

/* 0, or -1: the deadline has passed. */
static int wait_for(const struct attempt *attempt, short events, int64_t deadline)
{
	struct pollfd pfd = { attempt->fd, events, 0 };
	int64_t left;
	int n;

	do {
		left = deadline - now_ms();
		n = left > 0 ? poll(&pfd, 1, (int)left) : 0;
	} while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : -1;
}

static int connect_to(struct attempt *attempt)
{
	const struct gateway *gateway = attempt->gateway;
	int wrong = 0;
	socklen_t len = sizeof(wrong);

	attempt->fd = socket(
	    gateway->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (attempt->fd < 0) {
		set_why(attempt, "no socket", strerror(errno));
		return -1;
	}
	if (connect(attempt->fd, (const struct sockaddr *)&gateway->addr, gateway->len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		wrong = errno;
	else if (wait_for(attempt, POLLOUT, attempt->deadline) != 0)
		wrong = ETIMEDOUT;
	else
		getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &wrong, &len);
	if (wrong == 0)
		return 0;
	set_why(attempt, "no connection", strerror(wrong));
	return -1;
}

/* After a call of libssl that did not succeed: 0: call again. */
static int wait_more(struct attempt *attempt, int rc, int64_t deadline, int *error)
{
	*error = SSL_get_error(attempt->ssl, rc);
	if (*error == SSL_ERROR_WANT_READ)
		return wait_for(attempt, POLLIN, deadline);
	if (*error == SSL_ERROR_WANT_WRITE)
		return wait_for(attempt, POLLOUT, deadline);
	return -1;
}

static bool version_refused(void)
{
	int code = ERR_GET_REASON(ERR_peek_last_error());

	return code == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION || code == SSL_R_UNSUPPORTED_PROTOCOL ||
	       code == SSL_R_WRONG_SSL_VERSION || code == SSL_R_WRONG_VERSION_NUMBER;
}

static enum result failed_handshake(struct attempt *attempt, int error)
{
	long verify = SSL_get_verify_result(attempt->ssl);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		set_why(attempt, "no answer to the handshake within the time", NULL);
	else if (verify != X509_V_OK && attempt->probe->params.ca_file != NULL)
		set_why(attempt, "its certificate", X509_verify_cert_error_string(verify));
	else if (error == SSL_ERROR_SSL && version_refused()) {
		set_why(attempt, "the version of TLS is refused", NULL);
		return RESULT_NONE;
	} else if (attempt->asks && attempt->probe->params.cert_file == NULL)
		set_why(attempt, "it wants a client's certificate (--cert)", reason());
	else if (error == SSL_ERROR_SSL)
		set_why(attempt, "handshake", reason());
	else
		set_why(attempt, "the connection was closed within the handshake", NULL);
	return RESULT_FAILED;
}

/* RESULT_RESUMED or FULL; else the attempt is over. */
static enum result handshake(struct attempt *attempt, SSL_SESSION *session)
{
	const struct probe_params *params = &attempt->probe->params;
	int rc, error = 0;

	attempt->deadline = now_ms() + params->timeout_ms;
	if (connect_to(attempt) != 0)
		return RESULT_FAILED;
	attempt->ssl = SSL_new(attempt->probe->ctx[attempt->kind]);
	if (attempt->ssl == NULL || SSL_set_fd(attempt->ssl, attempt->fd) != 1 ||
	    (params->sni != NULL && (SSL_set_tlsext_host_name(attempt->ssl, params->sni) != 1 ||
					SSL_set1_host(attempt->ssl, params->sni) != 1)) ||
	    (session != NULL && SSL_set_session(attempt->ssl, session) != 1)) {
		set_why(attempt, "cannot begin a handshake", reason());
		return RESULT_FAILED;
	}
	SSL_set_app_data(attempt->ssl, attempt);
	do {
		ERR_clear_error();
		rc = SSL_connect(attempt->ssl);
	} while (rc != 1 && wait_more(attempt, rc, attempt->deadline, &error) == 0);
	if (rc != 1)
		return failed_handshake(attempt, error);
	return SSL_session_reused(attempt->ssl) ? RESULT_RESUMED : RESULT_FULL;
}

/* Not resumable any more, says libssl, if the connection ends without a close_notify. */
static void finish(struct attempt *attempt)
{
	if (attempt->ssl != NULL && SSL_is_init_finished(attempt->ssl))
		SSL_shutdown(attempt->ssl);
	ERR_clear_error();
	SSL_free(attempt->ssl);
	SSL_SESSION_free(attempt->ticket);
	if (attempt->fd >= 0)
		close(attempt->fd);
}

/* ---- what was seen */

static void digest_cas(const STACK_OF(X509_NAME) * names, uint8_t out[static SELFTEST_DIGEST])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const unsigned char *der;
	size_t len;

	if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1) {
		for (int i = 0; i < sk_X509_NAME_num(names); i++)
			if (X509_NAME_get0_der(sk_X509_NAME_value(names, i), &der, &len) == 1)
				EVP_DigestUpdate(ctx, der, len);
		EVP_DigestFinal_ex(ctx, out, NULL);
	}
	EVP_MD_CTX_free(ctx);
}

static void see(struct attempt *attempt)
{
	struct seen *seen = &attempt->gateway->seen[attempt->kind];
	X509 *leaf = SSL_get0_peer_certificate(attempt->ssl);

	memset(seen, 0, sizeof(*seen));
	seen->any = true;
	seen->asks = attempt->asks;
	if (attempt->asks)
		digest_cas(SSL_get0_peer_CA_list(attempt->ssl), seen->cas);
	if (leaf != NULL)
		X509_digest(leaf, EVP_sha256(), seen->leaf, NULL);
}

/* TLS 1.3: the ticket comes after the handshake, or an alert about the client's certificate. */
static enum result await_ticket(struct attempt *attempt)
{
	int64_t deadline = now_ms() + TICKET_WAIT_MS;
	char byte;
	int rc, error = 0;

	do {
		ERR_clear_error();
		rc = SSL_read(attempt->ssl, &byte, sizeof(byte));
		if (attempt->ticket != NULL)
			return RESULT_FULL;
	} while (rc == 1 || wait_more(attempt, rc, deadline, &error) == 0);
	if (error == SSL_ERROR_SSL) {
		set_why(attempt,
		    attempt->asks && attempt->probe->params.cert_file == NULL
			? "it wants a client's certificate (--cert)"
			: "after the handshake",
		    reason());
		return RESULT_FAILED;
	}
	set_why(attempt, "it gives no ticket", NULL);
	return RESULT_NONE;
}

static enum result take_session(struct attempt *attempt, SSL_SESSION **session)
{
	enum result result = RESULT_FULL;
	SSL_SESSION *got;
	unsigned id_len;

	if (attempt->kind == KIND_TLS13) {
		result = await_ticket(attempt);
		*session = attempt->ticket;
		attempt->ticket = NULL;
		return result;
	}
	got = SSL_get1_session(attempt->ssl);
	SSL_SESSION_get_id(got, &id_len);
	if (attempt->kind == KIND_TLS12_TICKET ? SSL_SESSION_has_ticket(got) : id_len > 0) {
		*session = got;
		return RESULT_FULL;
	}
	set_why(attempt,
	    attempt->kind == KIND_TLS12_TICKET ? "it gives no ticket" : "it gives no session id",
	    NULL);
	SSL_SESSION_free(got);
	return RESULT_NONE;
}

enum result probe_make(
    struct probe *probe, struct gateway *gateway, enum kind kind, SSL_SESSION **session)
{
	struct attempt attempt = { .probe = probe, .gateway = gateway, .kind = kind, .fd = -1 };
	enum result result = handshake(&attempt, NULL);

	*session = NULL;
	if (result == RESULT_FULL) {
		see(&attempt);
		result = take_session(&attempt, session);
	}
	finish(&attempt);
	return result;
}

enum result probe_resume(
    struct probe *probe, struct gateway *gateway, enum kind kind, SSL_SESSION *session)
{
	struct attempt attempt = { .probe = probe, .gateway = gateway, .kind = kind, .fd = -1 };
	enum result result = handshake(&attempt, session);

	if (result == RESULT_FULL)
		see(&attempt);
	finish(&attempt);
	/* The session was made, so there it is spoken; here not. */
	return result == RESULT_NONE ? RESULT_FAILED : result;
}
