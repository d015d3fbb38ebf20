/*
 * sitectx.c: makes a site's SSL_CTX from its configuration, and moves connections to it. Runs at the
 * start of a worker, before it gives up its rights; only the switch and the cache of derived keys run
 * later. What is wrong with a file or a list is said with the site's name.
 */
#include "config.h"

#include "gateway/tls/sitectx.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "base/log.h"
#include "crypto/cert.h"

#include "gateway/cluster/secrets.h"
#include "gateway/tls/clientcert.h"
#include "gateway/tls/remotekey.h"
#include "gateway/tls/session.h"
#include "gateway/tls/ticket.h"

#include "base/poison.h"

/* Bytes of a client's certificates: they become fields of each of its requests, several times. */
enum { SITECTX_CLIENT_CERTS_MAX = 32 * 1024 };

/* What a profile means. Lists in the order of preference. */
static const struct profile {
	int min, max;
	const char *ciphers;
	bool tickets12;
} profiles[] = {
#define GCM                                                                                        \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                               \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                               \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CBC                                                                                        \
	":ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"                                      \
	"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"                                             \
	"ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:"                                       \
	"ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"
	[TLS_PROFILE_MODERN] = { TLS1_3_VERSION, TLS1_3_VERSION, GCM, false },
	[TLS_PROFILE_INTERMEDIATE] = { TLS1_2_VERSION, TLS1_3_VERSION, GCM, true },
	[TLS_PROFILE_LEGACY] = { TLS1_2_VERSION, TLS1_3_VERSION, GCM CBC, true },
};

static const char suites[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
/* What no list may bring back: the key service signs for ECDHE only, and nothing is anonymous. */
static const char never[] = ":!kDHE:!kRSA:!kPSK:!kSRP:!aNULL:!eNULL:!aDSS:!RC4:!3DES:!MD5";
/* Server and client certificates alike; no SHA-1. P-256 before Ed25519: it is what clients know best. */
static const char sigalgs[] = "ECDSA+SHA256:ECDSA+SHA384:ed25519:"
			      "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
			      "RSA+SHA256:RSA+SHA384:RSA+SHA512:ECDSA+SHA512";
static const char *const default_groups[] = { "X25519MLKEM768", "X25519", "P-256", "P-384" };

static const char *library_error(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text != NULL ? text : "out of memory";
}

/* ---- lists */

/* "http/1.1" is all there is; a list without it ends the handshake, and no list means it too. Some
 * clients name what they will ask with: "http/1.0" alone (curl --http1.0). */
static int alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *out_len,
    const unsigned char *in, unsigned in_len, void *arg)
{
	struct cursor c = cursor_of(bytes_of(in, in_len));
	struct bytes chosen = bytes_of(NULL, 0);

	(void)ssl;
	(void)arg;
	while (cursor_left(&c) > 0 && !bytes_equal_str(chosen, "http/1.1")) {
		struct bytes name = cursor_take(&c, cursor_u8(&c));

		if (bytes_equal_str(name, "http/1.1") || bytes_equal_str(name, "http/1.0"))
			chosen = name;
	}
	if (chosen.at == NULL)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen.at;
	*out_len = (unsigned char)chosen.len;
	return SSL_TLSEXT_ERR_OK;
}

static void add_group(char *list, size_t size, const char *name)
{
	if (list[0] != '\0')
		strlcat(list, ":", size);
	strlcat(list, name, size);
}

/* The library's groups among the wanted ones; those of TLS 1.2 are what the key service knows. */
static int set_groups(struct sitectx *s, const char *const *names, size_t n, bool said)
{
	static const char *const tls12[] = { "X25519", "P-256", "P-384" };

	for (size_t i = 0; i < n; i++) {
		if (strlen(s->groups) + strlen(names[i]) + 2 > sizeof(s->groups) ||
		    SSL_CTX_set1_groups_list(s->ctx, names[i]) != 1) {
			if (said)
				log_warnx("site %s: this libssl does not know group %s: left out",
				    s->conf->name, names[i]);
			continue;
		}
		add_group(s->groups, sizeof(s->groups), names[i]);
		for (size_t k = 0; k < sizeof(tls12) / sizeof(tls12[0]); k++) {
			if (strcmp(names[i], tls12[k]) == 0)
				add_group(s->groups12, sizeof(s->groups12), names[i]);
		}
	}
	ERR_clear_error();
	s->groups_differ = strcmp(s->groups, s->groups12) != 0;
	if (s->groups[0] != '\0' && SSL_CTX_set1_groups_list(s->ctx, s->groups) == 1)
		return 0;
	log_errorx(
	    "site %s: groups: none that this libssl knows: name X25519 or P-256", s->conf->name);
	return -1;
}

static int set_ciphers(struct sitectx *s)
{
	const struct site_conf *conf = s->conf;
	const char *list = conf->ciphers != NULL ? conf->ciphers
						 : profiles[conf->tls_profile].ciphers;
	char *all = NULL;
	int rc = asprintf(&all, "%s%s", list, never);

	if (rc < 0)
		return -1;
	rc = SSL_CTX_set_cipher_list(s->ctx, all) == 1 ? 0 : -1;
	if (rc == -1)
		log_errorx("site %s: ciphers: none of them can be used here (%s)", conf->name,
		    library_error());
	free(all);
	return rc;
}

static int set_lists(struct sitectx *s)
{
	const struct site_conf *conf = s->conf;

	if (set_ciphers(s) == -1)
		return -1;
	if (SSL_CTX_set_ciphersuites(
		s->ctx, conf->ciphersuites != NULL ? conf->ciphersuites : suites) != 1) {
		log_errorx("site %s: ciphersuites: %s", conf->name, library_error());
		return -1;
	}
	if (SSL_CTX_set1_sigalgs_list(s->ctx, sigalgs) != 1) {
		log_errorx("site %s: signature algorithms: %s", conf->name, library_error());
		return -1;
	}
	if (conf->groups.n > 0)
		return set_groups(s, (const char *const *)conf->groups.at, conf->groups.n, true);
	return set_groups(
	    s, default_groups, sizeof(default_groups) / sizeof(default_groups[0]), false);
}

/* ---- certificates */

static int use_key(struct sitectx *s, const struct cert_chain *chain)
{
	EVP_PKEY *key;
	int rc;

#ifdef COUNTER_PROOF
	if (s->all->fault == FAULT_LOCAL_KEY)
		return SSL_CTX_use_PrivateKey_file(s->ctx, s->all->fault_key, SSL_FILETYPE_PEM);
#endif
	key = remotekey_new(s->all->worker, chain);
	rc = key != NULL ? SSL_CTX_use_PrivateKey(s->ctx, key) : 0;
	EVP_PKEY_free(key);
	return rc;
}

static int add_certificate(struct sitectx *s, const char *path, unsigned *types)
{
	char why[512];
	struct cert_chain *chain = cert_chain_load(path, why, sizeof(why));
	int rc = -1;

	if (chain == NULL) {
		log_errorx("site %s: %s", s->conf->name, why);
		return -1;
	}
	ERR_clear_error();
	if (*types & 1U << chain->type)
		log_errorx("site %s: %s: a second certificate with a key of type %s: leave one",
		    s->conf->name, path, key_type_name(chain->type));
	else if (SSL_CTX_use_certificate(s->ctx, chain->leaf) != 1 || use_key(s, chain) != 1 ||
		 SSL_CTX_set1_chain(s->ctx, chain->rest) != 1)
		log_errorx("site %s: %s: libssl does not take it: %s", s->conf->name, path,
		    library_error());
	else
		rc = 0;
	*types |= 1U << chain->type;
	cert_chain_free(chain);
	return rc;
}

/* ---- clients' certificates */

static int add_crls(struct sitectx *s, const char *path)
{
	X509_LOOKUP *lookup = X509_STORE_add_lookup(s->store, X509_LOOKUP_file());

	if (lookup == NULL || X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) <= 0) {
		log_errorx("site %s: %s: no certificate revocation list (PEM) could be read: %s",
		    s->conf->name, path, library_error());
		return -1;
	}
	X509_STORE_set_flags(s->store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return 0;
}

static int add_cas(struct sitectx *s, const char *path, struct scope *scope)
{
	char why[512];
	STACK_OF(X509) *cas = cert_stack_load(path, why, sizeof(why));
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	int rc = -1;

	if (cas == NULL || names == NULL) {
		log_errorx("site %s: %s", s->conf->name, cas == NULL ? why : "out of memory");
		goto out;
	}
	for (int i = 0; i < sk_X509_num(cas); i++) {
		X509 *ca = sk_X509_value(cas, i);
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(ca));

		if (!X509_STORE_add_cert(s->store, ca) || name == NULL ||
		    !sk_X509_NAME_push(names, name)) {
			X509_NAME_free(name);
			goto out;
		}
	}
	if (scope_ca_digest(cas, scope->ca_digest) == -1)
		goto out;
	SSL_CTX_set_client_CA_list(s->ctx, names); /* owned by it now */
	names = NULL;
	rc = 0;
out:
	sk_X509_NAME_pop_free(names, X509_NAME_free);
	sk_X509_pop_free(cas, X509_free);
	return rc;
}

static int set_clients(struct sitectx *s, struct scope *scope)
{
	const char *ca_file = s->conf->client_certificate.ca_file;
	const char *crl_file = s->conf->client_certificate.crl_file;

	s->verify = SSL_VERIFY_NONE;
	s->depth = (int)s->conf->client_certificate.depth;
	if (s->conf->client_certificate.verify == CLIENTCERT_NONE)
		return 0;
	s->verify = SSL_VERIFY_PEER;
	if (s->conf->client_certificate.verify == CLIENTCERT_REQUIRE)
		s->verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	if ((s->store = X509_STORE_new()) == NULL)
		return -1;
	SSL_CTX_set_cert_store(s->ctx, s->store); /* owned by it */
	SSL_CTX_set_verify(s->ctx, s->verify, clientcert_verify_cb);
	SSL_CTX_set_verify_depth(s->ctx, s->depth);
	if (ca_file != NULL && add_cas(s, ca_file, scope) == -1)
		return -1;
	if (crl_file != NULL && add_crls(s, crl_file) == -1)
		return -1;
	return 0;
}

/* ---- the whole */

static int version_of(int conf, int profile)
{
	return conf == TLS_VERSION_1_2   ? TLS1_2_VERSION
	       : conf == TLS_VERSION_1_3 ? TLS1_3_VERSION
					 : profile;
}

static void set_options(struct sitectx *s)
{
	const struct site_conf *conf = s->conf;
	const struct profile *profile = &profiles[conf->tls_profile];

	s->min_version = version_of(conf->min_version, profile->min);
	s->max_version = version_of(conf->max_version, profile->max);
	if (s->max_version <
	    s->min_version) { /* "modern" and max_version 1.2: the option is the newer word */
		if (conf->min_version == TLS_VERSION_DEFAULT)
			s->min_version = s->max_version;
		else
			s->max_version = s->min_version;
	}
	SSL_CTX_set_min_proto_version(s->ctx, s->min_version);
	SSL_CTX_set_max_proto_version(s->ctx, s->max_version);
	s->tickets12 = conf->tls12_tickets == 0 ? profile->tickets12 : conf->tls12_tickets == 1;
	s->options = conf->prefer_client_ciphers
			 ? 0
			 : SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;
	/* Of all sites: it does not follow a switch from one to another. */
	SSL_CTX_set_max_cert_list(s->ctx, SITECTX_CLIENT_CERTS_MAX);
	SSL_CTX_set_options(s->ctx, s->options | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(s->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_read_ahead(s->ctx, 0); /* the stream reads ahead */
	/* None is taken. What a client sends by the word of another front is skipped, up to libssl's 16 KiB (RFC 8446, 4.2.10). */
	SSL_CTX_set_max_early_data(s->ctx, 0);
	SSL_CTX_set_client_hello_cb(s->ctx, hello_cb, s->all);
	SSL_CTX_set_alpn_select_cb(s->ctx, alpn_cb, NULL);
	session_attach(s->ctx);
	ticket_attach(s->ctx);
}

int sitectx_init(struct sitectx *s, struct sitectxs *all, const struct site *site)
{
	const struct site_conf *conf = site->conf;
	struct scope scope = { .site = conf->name,
		.verify = (uint8_t)conf->client_certificate.verify,
		.depth = (uint8_t)conf->client_certificate.depth,
		.crl = conf->client_certificate.crl_file != NULL };
	unsigned types = 0;

	s->all = all;
	s->site = site;
	s->conf = conf;
	s->group = secrets_group(all->worker->secrets, conf->group);
	ERR_clear_error();
	if ((s->ctx = SSL_CTX_new(TLS_server_method())) == NULL) {
		log_errorx("site %s: %s", conf->name, library_error());
		return -1;
	}
	set_options(s);
	if (set_lists(s) == -1)
		return -1;
	if (conf->certificates.n == 0) {
		log_errorx(
		    "site %s: certificates: name the file of at least one chain", conf->name);
		return -1;
	}
	for (size_t i = 0; i < conf->certificates.n; i++) {
		if (add_certificate(s, conf->certificates.at[i], &types) == -1)
			return -1;
	}
	if (set_clients(s, &scope) == -1)
		return -1;
#ifdef COUNTER_PROOF
	if (all->fault == FAULT_NO_SCOPE)
		scope = (struct scope){ .site = "all" };
#endif
	scope_hash(&scope, s->scope);
	SSL_CTX_set_session_id_context(s->ctx, s->scope, sizeof(s->scope));
	ERR_clear_error();
	return 0;
}

void sitectx_clear(struct sitectx *s)
{
	sitectx_forget_keys(s);
	SSL_CTX_free(s->ctx);
	s->ctx = NULL;
}

int sitectx_switch(const struct sitectx *s, SSL *ssl)
{
	if (SSL_set_SSL_CTX(ssl, s->ctx) == NULL)
		return 0;
#ifdef COUNTER_PROOF
	if (s->all->fault == FAULT_NO_SITE_SETTINGS)
		return 1;
#endif
	SSL_set_verify(ssl, s->verify, clientcert_verify_cb);
	SSL_set_verify_depth(ssl, s->depth);
	SSL_clear_options(ssl, SITECTX_OPTIONS);
	SSL_set_options(ssl, s->options);
	/* CA names, ciphers, signature algorithms, ALPN and the store follow the SSL_CTX. */
	return SSL_set_min_proto_version(ssl, s->min_version) &&
	       SSL_set_max_proto_version(ssl, s->max_version) &&
	       SSL_set1_groups_list(ssl, s->groups) &&
	       SSL_set_session_id_context(ssl, s->scope, sizeof(s->scope)) &&
	       SSL_set_max_early_data(ssl, 0);
}

/* ---- keys derived for the site */

const struct scope_keys *sitectx_keys(
    const struct sitectx *site, const struct epoch_record *r, uint16_t version)
{
	/* A cache: const to those who ask. */
	struct sitectx *s = &site->all->at[site->site->index];
	struct derived *d;

	for (size_t i = 0; i < SITECTX_KEYS; i++) {
		d = &s->derived[i];
		if (d->version == version && d->e == r->e &&
		    memcmp(d->id, r->id, sizeof(d->id)) == 0)
			return &d->keys;
	}
	d = &s->derived[s->derived_next++ % SITECTX_KEYS];
	d->version = 0;
	if (scope_keys_derive(s->all->kit, r->group_key, s->scope, version, &d->keys) == -1)
		return NULL;
	d->version = version;
	d->e = r->e;
	memcpy(d->id, r->id, sizeof(d->id));
	return &d->keys;
}

void sitectx_forget_keys(struct sitectx *s)
{
	OPENSSL_cleanse(s->derived, sizeof(s->derived));
}
