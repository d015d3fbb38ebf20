/*
 * tls_bed.c: see tls_bed.h.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/counters.h"
#include "base/log.h"
#include "t/sim/tls_bed.h"

#include "base/poison.h"

static int64_t clock_offset;

/* Linked in place of net/loop's. */
time_t __real_loop_wall(struct loop *);
time_t __wrap_loop_wall(struct loop *);

time_t __wrap_loop_wall(struct loop *loop)
{
	return __real_loop_wall(loop) + clock_offset;
}

void bed_move_clock(int64_t seconds)
{
	clock_offset += seconds;
}

uint64_t bed_count(const _Atomic uint64_t *cell)
{
	return counter_get(cell);
}

/* ---- certificates */

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
}

static void make(struct bed_key *k, EVP_PKEY *key, const char *cn, struct bed_key *issuer, bool ca,
    const char *dir)
{
	struct bed_key *by = issuer != NULL ? issuer : k;
	X509_NAME *name;
	FILE *f;

	k->key = key;
	k->cert = X509_new();
	X509_set_version(k->cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(k->cert), 0x1234 + (long)strlen(cn));
	X509_gmtime_adj(X509_getm_notBefore(k->cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(k->cert), 30L * 86400);
	X509_set_pubkey(k->cert, key);
	name = X509_get_subject_name(k->cert);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0);
	X509_set_issuer_name(k->cert, X509_get_subject_name(by->cert));
	add_extension(
	    k->cert, by->cert, NID_basic_constraints, ca ? "critical,CA:TRUE" : "CA:FALSE");
	add_extension(k->cert, by->cert, NID_subject_key_identifier, "hash");
	assert_true(X509_sign(k->cert, by->key, EVP_sha256()) > 0);
	snprintf(k->path, sizeof(k->path), "%s/%s.pem", dir, cn);
	f = fopen(k->path, "w");
	assert_non_null(f);
	PEM_write_X509(f, k->cert);
	if (issuer != NULL && !ca)
		PEM_write_X509(f, issuer->cert);
	fclose(f);
}

static void make_all(struct tls_bed *bed)
{
	memcpy(bed->dir, "/tmp/sslgw-test.XXXXXX", 23);
	assert_non_null(mkdtemp(bed->dir));
	make(&bed->ca, EVP_EC_gen("P-256"), "server-ca", NULL, true, bed->dir);
	make(&bed->rsa, EVP_RSA_gen(2048), "server-rsa", &bed->ca, false, bed->dir);
	make(&bed->ecdsa, EVP_EC_gen("P-256"), "server-ecdsa", &bed->ca, false, bed->dir);
	make(&bed->ed25519, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "server-ed25519", &bed->ca,
	    false, bed->dir);
	make(&bed->client_ca, EVP_EC_gen("P-256"), "client-ca", NULL, true, bed->dir);
	make(&bed->client_sub, EVP_EC_gen("P-256"), "client-sub", &bed->client_ca, true, bed->dir);
	make(&bed->client, EVP_EC_gen("P-256"), "client", &bed->client_sub, false, bed->dir);
	make(&bed->stranger, EVP_EC_gen("P-256"), "stranger", NULL, false, bed->dir);
}

static void clear_key(struct bed_key *k)
{
	unlink(k->path);
	X509_free(k->cert);
	EVP_PKEY_free(k->key);
}

/* ---- the worker */

static struct pool *no_pool(void *arg, const char *name)
{
	(void)arg;
	return (struct pool *)(uintptr_t)name;
}

static void set_site(struct tls_bed *bed, size_t i, const char *name, int resumption, int verify)
{
	struct site_conf *s = &bed->sites[i];

	bed->names[i] = (char *)(uintptr_t)name;
	*s = (struct site_conf){ .name = bed->names[i],
		.names = { &bed->names[i], 1 },
		.certificates = { bed->certificates, 2 },
		.tls_profile = TLS_PROFILE_INTERMEDIATE,
		.group = (char *)(uintptr_t) "default",
		.session_lifetime = 86400 * 1000,
		.resumption = resumption,
		.client_certificate = { .verify = verify, .depth = 3 } };
	if (verify != CLIENTCERT_NONE)
		s->client_certificate.ca_file = bed->client_ca.path;
}

struct tls_bed *bed_new(void)
{
	struct tls_bed *bed = calloc(1, sizeof(*bed));
	size_t n = 0;

	assert_non_null(bed);
	log_set(LOG_TARGET_STDERR, LOG_LEVEL_WARN);
	clock_offset = 0;
	make_all(bed);
	bed->certificates[0] = bed->rsa.path;
	bed->certificates[1] = bed->ecdsa.path;
	bed->certificates[2] = bed->ed25519.path;
	set_site(bed, 0, "a.test", RESUME_TICKETS, CLIENTCERT_NONE);
	set_site(bed, 1, "b.test", RESUME_TICKETS, CLIENTCERT_NONE);
	set_site(bed, 2, "stateful.test", RESUME_STATEFUL, CLIENTCERT_NONE);
	set_site(bed, 3, "client.test", RESUME_TICKETS, CLIENTCERT_REQUIRE);
	set_site(bed, 4, "off.test", RESUME_OFF, CLIENTCERT_NONE);
	set_site(bed, 5, "both.test", RESUME_STATEFUL, CLIENTCERT_OPTIONAL);
	bed->conf.sites.at = bed->sites;
	bed->conf.sites.n = BED_SITES_MAX;
	bed->conf.limits.handshakes = 4;
	bed->worker.conf = &bed->conf;
#define X(field, row) bed->worker.counters.field = &bed->cells[n++];
	WORKER_COUNTERS(X)
#undef X
	for (size_t r = 0; r < REASON_N; r++)
		bed->worker.counters.reasons[r] = &bed->cells[n++];
	assert_true(n <= sizeof(bed->cells) / sizeof(bed->cells[0]));
	bed->kit = kit_new();
	assert_non_null(bed->kit);
	return bed;
}

static void start_tls(struct tls_bed *bed)
{
	struct worker *w = &bed->worker;

	w->sites = sites_new(&bed->conf, no_pool, NULL);
	assert_non_null(w->sites);
	w->secrets = secrets_new(w->loop, w->keys, &bed->conf, NULL);
	assert_non_null(w->secrets);
	w->tls = sitectxs_new(w);
	assert_non_null(w->tls);
	bed_turns(bed);
	assert_true(secrets_ready(w->secrets));
}

void bed_start(struct tls_bed *bed)
{
	bed->worker.loop = loop_new();
	assert_non_null(bed->worker.loop);
	services_init(bed);
	start_tls(bed);
}

struct tls_bed *bed_started(void)
{
	struct tls_bed *bed = bed_new();

	bed_start(bed);
	return bed;
}

static void stop_tls(struct tls_bed *bed)
{
	struct worker *w = &bed->worker;

	bed_turns(bed);
	assert_int_equal(bed->keys.open, 0);
	assert_int_equal(bed->cache.open, 0);
	assert_int_equal(counter_get(w->counters.handshakes_paused), 0);
	assert_int_equal(counter_get(w->counters.fibres_open), 0);
	assert_int_equal(counter_get(w->counters.asks_open), 0);
	sitectxs_free(w->tls);
	secrets_free(w->secrets);
	sites_free(w->sites);
}

void bed_restart(struct tls_bed *bed)
{
	stop_tls(bed);
	start_tls(bed);
}

void bed_stop(struct tls_bed *bed)
{
	struct bed_key *all[] = { &bed->ca, &bed->rsa, &bed->ecdsa, &bed->ed25519, &bed->client_ca,
		&bed->client_sub, &bed->client, &bed->stranger };

	stop_tls(bed);
	loop_free(bed->worker.loop);
	services_clear(bed);
	SSL_SESSION_free(bed->got);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		clear_key(all[i]);
	rmdir(bed->dir);
	kit_free(bed->kit);
	free(bed);
}

void bed_turns(struct tls_bed *bed)
{
	while (bed->laters > 0)
		assert_int_equal(loop_turn(bed->worker.loop), 0);
}

/* ---- clients */

static int new_session_cb(SSL *ssl, SSL_SESSION *session)
{
	struct tls_bed *bed = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	SSL_SESSION_free(bed->got);
	bed->got = session;
	return 1;
}

SSL_CTX *bed_client(struct tls_bed *bed, int version)
{
	static const uint8_t http[] = "\x08http/1.1";
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	assert_non_null(ctx);
	SSL_CTX_set_app_data(ctx, bed);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, new_session_cb);
	SSL_CTX_set_alpn_protos(ctx, http, sizeof(http) - 1);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), bed->ca.cert);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return ctx;
}

void bed_use_client_cert(struct tls_bed *bed, SSL_CTX *ctx, struct bed_key *k)
{
	assert_int_equal(SSL_CTX_use_certificate(ctx, k->cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, k->key), 1);
	if (k == &bed->client)
		assert_int_equal(SSL_CTX_add1_chain_cert(ctx, bed->client_sub.cert), 1);
}

static void info_cb(const SSL *ssl, int where, int ret)
{
	struct bed_conn *c = SSL_get_app_data(ssl);

	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && ret >> 8 == SSL3_AL_FATAL)
		c->alert = ret & 0xff;
}

static void wake_cb(void *arg)
{
	struct bed_conn *c = arg;

	c->woken = true;
}

static BIO *pipe_new(void)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_non_null(bio);
	BIO_set_mem_eof_return(bio, -1);
	return bio;
}

struct bed_conn *bed_open(struct tls_bed *bed, SSL_CTX *ctx, const char *host, SSL_SESSION *resume)
{
	struct bed_conn *c = calloc(1, sizeof(*c));
	BIO *up = pipe_new(), *down = pipe_new();

	assert_non_null(c);
	c->bed = bed;
	c->alert = -1;
	c->step = STREAM_STEP_READ;
	c->facts.peer = endpoint_brief(&bed->peer);
	c->facts.trusted = bed->trusted;
	c->hs = handshake_new(&bed->worker, &c->facts, wake_cb, c, &c->server);
	assert_non_null(c->hs);
	c->client = SSL_new(ctx);
	SSL_set_app_data(c->client, c);
	SSL_set_info_callback(c->client, info_cb);
	SSL_set_connect_state(c->client);
	if (host != NULL)
		SSL_set_tlsext_host_name(c->client, host);
	if (resume != NULL)
		assert_int_equal(SSL_set_session(c->client, resume), 1);
	BIO_up_ref(up);
	BIO_up_ref(down);
	SSL_set_bio(c->client, down, up);
	SSL_set_bio(c->server, up, down);
	return c;
}

static void client_step(struct bed_conn *c)
{
	char byte;
	int rc;

	if (c->client_failed)
		return;
	ERR_clear_error();
	rc = SSL_do_handshake(c->client);
	if (rc == 1)
		rc = SSL_read(c->client, &byte, 1); /* takes what follows the handshake: tickets */
	c->client_failed = rc <= 0 && SSL_get_error(c->client, rc) != SSL_ERROR_WANT_READ;
	ERR_clear_error();
}

static bool server_step(struct bed_conn *c)
{
	if (c->step == STREAM_STEP_DONE || c->step == STREAM_STEP_FAILED ||
	    (c->step == STREAM_STEP_PAUSED && !c->woken))
		return false;
	if (c->step == STREAM_STEP_READ && BIO_pending(SSL_get_rbio(c->server)) == 0)
		return false;
	c->woken = false;
	c->step = handshake_step(c->hs, &c->reason);
	if (c->step == STREAM_STEP_DONE)
		assert_int_equal(handshake_client(c->hs, &c->facts), 0);
	return true;
}

void bed_drive(struct bed_conn *c)
{
	bool moved;

	do {
		client_step(c);
		moved = server_step(c);
		if (c->bed->laters > 0) {
			bed_turns(c->bed);
			moved = true;
		}
	} while (moved);
	client_step(c);
	c->paused = c->step == STREAM_STEP_PAUSED;
}

void bed_close(struct bed_conn *c)
{
	handshake_free(c->hs);
	SSL_set_shutdown(c->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_set_shutdown(c->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->client);
	SSL_free(c->server);
	if (c->facts.cert != NULL)
		clientcert_free(c->facts.cert);
	free((void *)(uintptr_t)c->facts.sni);
	free(c);
}

struct bed_conn *bed_connect(
    struct tls_bed *bed, SSL_CTX *ctx, const char *host, SSL_SESSION *resume)
{
	struct bed_conn *c = bed_open(bed, ctx, host, resume);

	bed_drive(c);
	if (c->step != STREAM_STEP_DONE || c->client_failed)
		fail_msg(
		    "%s: step %d, %s, alert %d", host, c->step, reason_name(c->reason), c->alert);
	return c;
}

enum client_resumed bed_again(struct tls_bed *bed, SSL_CTX *ctx, const char *host)
{
	SSL_SESSION *session = bed->got;
	struct bed_conn *c;
	enum client_resumed how;

	assert_non_null(session);
	bed->got = NULL;
	c = bed_connect(bed, ctx, host, session);
	how = c->facts.resumed;
	if (bed->got == NULL)
		bed->got = session; /* used again: a TLS 1.2 session */
	else
		SSL_SESSION_free(session);
	bed_close(c);
	return how;
}
