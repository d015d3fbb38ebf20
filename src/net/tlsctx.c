/*
 * tlsctx.c: the two ends of mutual TLS. A peer is judged in the verification of its chain, so that it
 * gets an alert, and once more when it resumes: a session holds its certificate, and whoever has been
 * denied or has expired since then gets a full handshake, which refuses.
 * What SSLs point to is the SSL_CTX; this file's own state is reached from it through the callbacks'
 * argument, which is taken away when the state goes: from then on all are refused.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/denylist.h"
#include "net/peercert.h"
#include "net/tlsctx_private.h"

#include "base/poison.h"

enum {
	TLSCTX_SESSION_S = 12 * 3600, /* from the full handshake on, however often it is resumed */
	TLSCTX_ERROR_MAX = 512,
	TLSCTX_CHAIN_DEPTH = 4,
};

#define TLSCTX_CIPHERS12 "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK:!SRP"
#define TLSCTX_GROUPS "X25519:P-256:P-384"

/* What comes out of the files. */
struct made {
	SSL_CTX *ctx;
	struct tlsctx_peer self;
	uint8_t context[TLSCTX_CONTEXT_LEN]; /* of its sessions */
};

struct tlsctx {
	struct tlsctx_params params; /* strings are copies, owned */
	struct made made;
	SSL_CTX *former; /* before the last reload: handshakes that began then end by it */
	struct denylist denied;
	struct loop *loop; /* NULL: the deny file is not watched */
	struct deadline poll;
	void (*changed)(void *arg);
	void *changed_arg;
	bool told; /* that the deny file cannot be read */
};

/* ---- who may come in */

/* X509_V_OK, or the error whose alert and text say best why not. */
static int judge(const struct tlsctx *t, X509 *cert)
{
	bool foreign = t->params.host != NULL;
	struct tlsctx_peer peer;
	const char *why;

	if (cert == NULL || peercert_read(cert, foreign, &peer, &why) != 0)
		return X509_V_ERR_CERT_REJECTED;
	if (denylist_has(&t->denied, peer.spki))
		return X509_V_ERR_CERT_REVOKED;
	if (!foreign && (peer.role & t->params.roles) == 0)
		return X509_V_ERR_CERT_REJECTED;
	return X509_V_OK;
}

static int verify_cb(X509_STORE_CTX *store, void *arg)
{
	const struct tlsctx *t = arg;
	int error;

	if (X509_verify_cert(store) <= 0)
		return 0;
	error = t != NULL ? judge(t, X509_STORE_CTX_get0_cert(store)) : X509_V_ERR_UNSPECIFIED;
	if (error == X509_V_OK)
		return 1;
	X509_STORE_CTX_set_error(store, error);
	return 0;
}

const char *tlsctx_refusal(const SSL *ssl)
{
	long error = SSL_get_verify_result(ssl);

	switch (error) {
	case X509_V_OK:
		return NULL;
	case X509_V_ERR_CERT_REVOKED:
		return "its certificate is on the deny list";
	case X509_V_ERR_CERT_REJECTED:
		return "its certificate has no role that is accepted here, or no name";
	default:
		return X509_verify_cert_error_string(error);
	}
}

int tlsctx_peer(const SSL *ssl, struct tlsctx_peer *peer)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	const char *why;

	if (cert == NULL || !SSL_is_init_finished(ssl) || SSL_get_verify_result(ssl) != X509_V_OK)
		return -1;
	/* Whether it has all that it needs was judged with the chain. */
	return peercert_read(cert, true, peer, &why);
}

/* ---- sessions */

static bool has_expired(const X509 *cert)
{
	return X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0;
}

static bool may_resume(const struct tlsctx *t, const SSL_SESSION *session)
{
	X509 *cert = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);

	return cert != NULL && !has_expired(cert) && judge(t, cert) == X509_V_OK;
}

/* When the first certificate of the chain ends, or TLSCTX_SESSION_S have passed. */
static int64_t end_of_session(SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	int64_t end = (int64_t)time(NULL) + TLSCTX_SESSION_S;

	for (int i = 0; i < sk_X509_num(chain); i++) {
		struct tm tm;
		int64_t not_after = 0;

		if (ASN1_TIME_to_tm(X509_get0_notAfter(sk_X509_value(chain, i)), &tm) == 1)
			not_after = (int64_t)timegm(&tm);
		if (not_after < end)
			end = not_after;
	}
	return end;
}

/* A ticket carries the end of its first session, so that resuming does not put it off. */
static int ticket_made_cb(SSL *ssl, void *arg)
{
	SSL_SESSION *session = SSL_get_session(ssl);
	void *data = NULL;
	size_t len = 0;
	int64_t end, left;

	(void)arg;
	if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) == 1 && len == sizeof(end)) {
		memcpy(&end, data, sizeof(end));
	} else {
		end = end_of_session(ssl);
		if (SSL_SESSION_set1_ticket_appdata(session, &end, sizeof(end)) != 1)
			return 0;
	}
	left = end - (int64_t)time(NULL);
	SSL_SESSION_set_timeout(session, left > 1 ? (long)left : 1);
	return 1;
}

static SSL_TICKET_RETURN ticket_came_cb(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
    size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
	const struct tlsctx *t = arg;
	void *data = NULL;
	size_t len = 0;
	int64_t end;

	(void)name;
	(void)name_len;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	if (t == NULL || SSL_SESSION_get0_ticket_appdata(session, &data, &len) != 1 ||
	    len != sizeof(end))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	memcpy(&end, data, sizeof(end));
	if (end <= (int64_t)time(NULL) || !may_resume(t, session))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	/* A client of libssl's forgets a TLS 1.2 session whose ticket is renewed, and is not told the new one. */
	return SSL_version(ssl) == TLS1_3_VERSION ? SSL_TICKET_RETURN_USE_RENEW
						  : SSL_TICKET_RETURN_USE;
}

/* Client: the newest session is kept where tlsctx_ssl_again() was told. */
static int session_made_cb(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION **last = SSL_get_app_data(ssl);

	if (last == NULL)
		return 0;
	SSL_SESSION_free(*last);
	*last = session;
	return 1; /* the reference is ours now */
}

/* ---- contexts */

static void set_sessions(struct tlsctx *t, SSL_CTX *ctx)
{
	SSL_CTX_set_timeout(ctx, TLSCTX_SESSION_S);
	if (t->params.server) {
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_num_tickets(ctx, 1);
		SSL_CTX_set_session_ticket_cb(ctx, ticket_made_cb, ticket_came_cb, t);
	} else {
		SSL_CTX_set_session_cache_mode(
		    ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(ctx, session_made_cb);
	}
}

static int set_protocol(struct tlsctx *t, SSL_CTX *ctx, char *error, size_t error_size)
{
	const char *ciphers = t->params.ciphers12;

	SSL_CTX_set_security_level(ctx, 2);
	SSL_CTX_set_options(
	    ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify_depth(ctx, TLSCTX_CHAIN_DEPTH);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify_cb, t);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, TLSCTX_GROUPS) != 1) {
		snprintf(error, error_size, "TLS: OpenSSL does not take its settings: %s",
		    ERR_reason_error_string(ERR_peek_error()));
		return -1;
	}
	if (SSL_CTX_set_cipher_list(ctx, ciphers != NULL ? ciphers : TLSCTX_CIPHERS12) != 1) {
		snprintf(error, error_size,
		    "TLS: no cipher of \"%s\" is known: see openssl-ciphers(1)",
		    ciphers != NULL ? ciphers : TLSCTX_CIPHERS12);
		return -1;
	}
	return 0;
}

static int set_host(SSL_CTX *ctx, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	size_t len;

	if (host == NULL || X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return 0;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	for (; *host != '\0'; host += len + (host[len] == ' ')) {
		len = strcspn(host, " ");
		if (len > 0 && X509_VERIFY_PARAM_add1_host(param, host, len) != 1)
			return -1;
	}
	return 0;
}

static int make(struct tlsctx *t, struct made *made, char *error, size_t error_size)
{
	const struct tlsctx_params *p = &t->params;
	SSL_CTX *ctx = SSL_CTX_new(p->server ? TLS_server_method() : TLS_client_method());
	const char *why;

	made->ctx = ctx;
	if (ctx == NULL || set_host(ctx, p->host) != 0) {
		snprintf(error, error_size, "TLS: no memory");
		goto fail;
	}
	if (set_protocol(t, ctx, error, error_size) != 0 ||
	    tlsctx_read_files(ctx, p, made->context, error, error_size) != 0)
		goto fail;
	set_sessions(t, ctx);
	if (p->identity_file == NULL ||
	    peercert_read(SSL_CTX_get0_certificate(ctx), true, &made->self, &why) == 0)
		return 0;
	snprintf(error, error_size, "%s: %s", p->identity_file, why);
fail:
	SSL_CTX_free(ctx);
	made->ctx = NULL;
	ERR_clear_error();
	return -1;
}

/* SSLs may be left that hold it: whoever they have not let in yet stays out. */
static void drop_ctx(SSL_CTX *ctx)
{
	if (ctx == NULL)
		return;
	SSL_CTX_set_cert_verify_callback(ctx, verify_cb, NULL);
	SSL_CTX_set_session_ticket_cb(ctx, ticket_made_cb, ticket_came_cb, NULL);
	SSL_CTX_free(ctx);
}

/* ---- life */

static int copy_params(struct tlsctx_params *to, const struct tlsctx_params *from)
{
	const char *const in[] = { from->identity_file, from->key_file, from->ca_file,
		from->deny_file, from->ciphers12, from->host };
	const char **const out[] = { &to->identity_file, &to->key_file, &to->ca_file,
		&to->deny_file, &to->ciphers12, &to->host };
	int r = 0;

	*to = *from;
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		*out[i] = in[i] != NULL ? strdup(in[i]) : NULL;
		if (in[i] != NULL && *out[i] == NULL)
			r = -1;
	}
	return r;
}

struct tlsctx *tlsctx_new(const struct tlsctx_params *params, char *error, size_t error_size)
{
	struct tlsctx *t = calloc(1, sizeof(*t));

	assert((params->identity_file != NULL) == (params->key_file != NULL));
	assert(params->identity_file != NULL || (!params->server && params->host != NULL));
	assert(params->ca_file != NULL && (params->roles != 0 || params->host != NULL));
	if (t == NULL || copy_params(&t->params, params) != 0) {
		snprintf(error, error_size, "TLS: no memory");
		goto fail;
	}
	if (params->deny_file != NULL &&
	    denylist_load(&t->denied, params->deny_file, error, error_size) != 0)
		goto fail;
	if (make(t, &t->made, error, error_size) != 0)
		goto fail;
	return t;
fail:
	tlsctx_free(t);
	return NULL;
}

void tlsctx_free(struct tlsctx *t)
{
	if (t == NULL)
		return;
	if (t->loop != NULL)
		deadline_clear(t->loop, &t->poll);
	drop_ctx(t->made.ctx);
	drop_ctx(t->former);
	denylist_clear(&t->denied);
	free((void *)(uintptr_t)t->params.identity_file);
	free((void *)(uintptr_t)t->params.key_file);
	free((void *)(uintptr_t)t->params.ca_file);
	free((void *)(uintptr_t)t->params.deny_file);
	free((void *)(uintptr_t)t->params.ciphers12);
	free((void *)(uintptr_t)t->params.host);
	free(t);
}

int tlsctx_reload(struct tlsctx *t, char *error, size_t error_size)
{
	struct denylist denied = { 0 };
	struct made made;

	if (t->params.deny_file != NULL &&
	    denylist_load(&denied, t->params.deny_file, error, error_size) != 0)
		return -1;
	if (make(t, &made, error, error_size) != 0) {
		denylist_clear(&denied);
		return -1;
	}
	drop_ctx(t->former);
	t->former = t->made.ctx;
	t->made = made;
	denylist_clear(&t->denied);
	t->denied = denied;
	if (t->changed != NULL)
		t->changed(t->changed_arg);
	return 0;
}

SSL *tlsctx_ssl(struct tlsctx *t)
{
	SSL *ssl = SSL_new(t->made.ctx);
	struct in6_addr ip;

	if (ssl == NULL)
		return NULL;
	if (t->params.server) {
		SSL_set_accept_state(ssl);
		return ssl;
	}
	SSL_set_connect_state(ssl);
	/* Of several names none is asked for: which server this is for is not known here. */
	if (t->params.host != NULL && strchr(t->params.host, ' ') == NULL &&
	    inet_pton(AF_INET, t->params.host, &ip) != 1 &&
	    inet_pton(AF_INET6, t->params.host, &ip) != 1)
		SSL_set_tlsext_host_name(ssl, t->params.host);
	return ssl;
}

/* One that was made for others is refused by libssl only after the server has taken it. */
static bool is_of_context(const struct tlsctx *t, const SSL_SESSION *session)
{
	unsigned len = 0;
	const unsigned char *id = SSL_SESSION_get0_id_context(session, &len);

	return len == sizeof(t->made.context) && memcmp(id, t->made.context, len) == 0;
}

SSL *tlsctx_ssl_again(struct tlsctx *t, SSL_SESSION **last)
{
	SSL *ssl = tlsctx_ssl(t);

	assert(!t->params.server);
	if (ssl == NULL)
		return NULL;
	SSL_set_app_data(ssl, last);
	if (*last == NULL)
		return ssl;
	if (SSL_SESSION_is_resumable(*last) && may_resume(t, *last) && is_of_context(t, *last)) {
		SSL_set_session(ssl, *last);
		return ssl;
	}
	SSL_SESSION_free(*last);
	*last = NULL;
	return ssl;
}

int64_t tlsctx_not_after(const struct tlsctx *t)
{
	return t->made.self.not_after;
}

const char *tlsctx_name(const struct tlsctx *t)
{
	return t->made.self.name;
}

/* ---- the deny list */

bool tlsctx_denied(const struct tlsctx *t, const uint8_t spki[static TLSCTX_SPKI_LEN])
{
	return denylist_has(&t->denied, spki);
}

static void poll_passed(struct deadline *deadline)
{
	struct tlsctx *t = CONTAINER_OF(deadline, struct tlsctx, poll);
	char error[TLSCTX_ERROR_MAX];

	deadline_set(t->loop, deadline, TLSCTX_DENY_POLL_MS, poll_passed);
	if (!denylist_is_stale(&t->denied, t->params.deny_file))
		return;
	if (denylist_load(&t->denied, t->params.deny_file, error, sizeof(error)) != 0) {
		if (!t->told)
			log_errorx(
			    "%s; the former deny list (%zu entries) stays", error, t->denied.n);
		t->told = true;
		return;
	}
	t->told = false;
	log_info("%s: %zu denied", t->params.deny_file, t->denied.n);
	if (t->changed != NULL)
		t->changed(t->changed_arg);
}

void tlsctx_watch(struct tlsctx *t, struct loop *loop, void (*changed)(void *arg), void *arg)
{
	t->changed = changed;
	t->changed_arg = arg;
	if (t->params.deny_file == NULL)
		return;
	t->loop = loop;
	deadline_set(loop, &t->poll, TLSCTX_DENY_POLL_MS, poll_passed);
}
