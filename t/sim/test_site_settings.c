/*
 * test_site_settings.c: a connection gets all the settings of the site that it names, and none of the
 * default's; what a client's certificate opens, first and at each resumption.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>

#include "t/sim/tls_bed.h"

#include "base/poison.h"

#define S(text) ((char *)(uintptr_t)(text))

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static struct bed_conn *driven(struct tls_bed *bed, SSL_CTX *ctx, const char *host)
{
	struct bed_conn *c = bed_open(bed, ctx, host, NULL);

	bed_drive(c);
	return c;
}

static void expect_refused(struct tls_bed *bed, SSL_CTX *ctx, const char *host, enum reason reason)
{
	struct bed_conn *c = driven(bed, ctx, host);

	assert_int_equal(c->step, STREAM_STEP_FAILED);
	assert_string_equal(reason_name(c->reason), reason_name(reason));
	bed_close(c);
}

static void expect_open(struct tls_bed *bed, SSL_CTX *ctx, const char *host)
{
	bed_close(bed_connect(bed, ctx, host, NULL));
}

/* ---- each setting differs between the default site (0) and another (1), both ways */

static void test_versions(void **state)
{
	struct tls_bed *bed = bed_new();
	SSL_CTX *tls12, *tls13;

	(void)state;
	bed->sites[0].min_version = TLS_VERSION_1_3;
	bed->sites[1].max_version = TLS_VERSION_1_2;
	bed->keys.tls12 = TLS12_ANY; /* a server that has no 1.3 writes no sentinel */
	bed_start(bed);
	tls12 = bed_client(bed, TLS1_2_VERSION);
	tls13 = bed_client(bed, TLS1_3_VERSION);
	expect_open(bed, tls13, "a.test");
	expect_refused(bed, tls12, "a.test", REASON_TLS_VERSION);
	expect_refused(bed, tls12, "unknown.test", REASON_TLS_VERSION);
	expect_refused(bed, tls13, "b.test", REASON_TLS_VERSION);
	expect_open(bed, tls12, "b.test");
	expect_open(bed, tls12, "off.test");
	expect_open(bed, tls13, "off.test");
	SSL_CTX_free(tls12);
	SSL_CTX_free(tls13);
	bed_stop(bed);
}

static void test_ciphers_and_their_order(void **state)
{
	struct tls_bed *bed = bed_new();
	SSL_CTX *ctx;
	struct bed_conn *c;

	(void)state;
	bed->sites[0].ciphers = S("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256");
	bed->sites[1].ciphers = S("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384");
	bed->sites[2].ciphers = bed->sites[0].ciphers;
	bed->sites[2].prefer_client_ciphers = true;
	bed->sites[4].ciphersuites = S("TLS_CHACHA20_POLY1305_SHA256");
	bed_start(bed);
	ctx = bed_client(bed, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384");
	c = bed_connect(bed, ctx, "a.test", NULL);
	assert_string_equal(c->facts.cipher, "ECDHE-ECDSA-AES256-GCM-SHA384");
	bed_close(c);
	c = bed_connect(bed, ctx, "b.test", NULL);
	assert_string_equal(c->facts.cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
	bed_close(c);
	c = bed_connect(bed, ctx, "stateful.test", NULL);
	assert_string_equal(c->facts.cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
	bed_close(c);
	SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256");
	c = bed_connect(bed, ctx, "b.test", NULL);
	assert_string_equal(c->facts.cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
	bed_close(c);
	SSL_CTX_free(ctx);
	ctx = bed_client(bed, TLS1_3_VERSION);
	c = bed_connect(bed, ctx, "off.test", NULL);
	assert_string_equal(c->facts.cipher, "TLS_CHACHA20_POLY1305_SHA256");
	bed_close(c);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

static void check_group(
    struct tls_bed *bed, int version, const char *host, const char *list, int nid)
{
	SSL_CTX *ctx = bed_client(bed, version);
	struct bed_conn *c;

	SSL_CTX_set1_groups_list(ctx, list);
	c = driven(bed, ctx, host);
	assert_int_equal(c->step, nid != 0 ? STREAM_STEP_DONE : STREAM_STEP_FAILED);
	if (nid != 0)
		assert_int_equal(SSL_get_negotiated_group(c->server), nid);
	bed_close(c);
	SSL_CTX_free(ctx);
}

static void test_groups(void **state)
{
	static char *one[] = { S("P-384") },
		    *other[] = { S("P-521"), S("no-such-group"), S("P-256") };
	struct tls_bed *bed = bed_new();

	(void)state;
	bed->sites[0].groups.at = one;
	bed->sites[0].groups.n = 1;
	bed->sites[1].groups.at = other;
	bed->sites[1].groups.n = 3;
	bed_start(bed);
	for (size_t v = 0; v < 2; v++) {
		check_group(bed, versions[v], "a.test", "P-256:P-384", NID_secp384r1);
		check_group(bed, versions[v], "a.test", "P-256", 0);
		check_group(bed, versions[v], "b.test", "P-384:P-256", NID_X9_62_prime256v1);
		check_group(bed, versions[v], "b.test", "P-384", 0);
		check_group(bed, versions[v], "off.test", "P-256:X25519",
		    versions[v] == TLS1_2_VERSION ? NID_X25519 : NID_X9_62_prime256v1);
	}
	check_group(bed, TLS1_3_VERSION, "b.test", "P-521", NID_secp521r1);
	check_group(bed, TLS1_2_VERSION, "b.test", "P-521", 0); /* the key service would not sign */
	bed_stop(bed);
}

static void test_certificates(void **state)
{
	struct tls_bed *bed = bed_new();
	SSL_CTX *ctx;

	(void)state;
	bed->sites[0].certificates.n = 1; /* RSA alone */
	bed_start(bed);
	ctx = bed_client(bed, 0);
	for (int i = 0; i < 2; i++) {
		struct bed_conn *c = bed_connect(bed, ctx, i == 0 ? "a.test" : "b.test", NULL);

		assert_int_equal(X509_cmp(SSL_get0_peer_certificate(c->client),
				     i == 0 ? bed->rsa.cert : bed->ecdsa.cert),
		    0);
		/* The file's own chain, no more. */
		assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(c->client)), 2);
		bed_close(c);
	}
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

static void test_tls12_tickets_of_a_profile(void **state)
{
	struct tls_bed *bed = bed_new();
	SSL_CTX *ctx;

	(void)state;
	bed->sites[1].tls12_tickets = 2; /* off */
	bed_start(bed);
	ctx = bed_client(bed, TLS1_2_VERSION);
	expect_open(bed, ctx, "a.test");
	assert_true(SSL_SESSION_has_ticket(bed->got));
	expect_open(bed, ctx, "b.test");
	assert_false(SSL_SESSION_has_ticket(bed->got));
	assert_int_equal(bed_again(bed, ctx, "b.test"), CLIENT_BY_CACHE);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

/* ---- certificates of clients */

static void test_who_is_let_in(void **state)
{
	struct tls_bed *bed = bed_new();

	(void)state;
	bed->sites[4].client_certificate.verify = CLIENTCERT_OPTIONAL_NO_CA;
	bed_start(bed);
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *none = bed_client(bed, versions[v]), *good = bed_client(bed, versions[v]),
			*bad = bed_client(bed, versions[v]);
		struct bed_conn *c;

		bed_use_client_cert(bed, good, &bed->client);
		bed_use_client_cert(bed, bad, &bed->stranger);
		expect_refused(bed, none, "client.test", REASON_TLS_NO_CLIENT_CERT);
		expect_refused(bed, bad, "client.test", REASON_TLS_CLIENT_CERT);
		expect_refused(bed, bad, "both.test", REASON_TLS_CLIENT_CERT);
		expect_open(bed, none, "both.test");
		c = bed_connect(bed, good, "client.test", NULL);
		assert_string_equal(c->facts.verify, "SUCCESS");
		assert_string_equal(c->facts.cert->subject, "CN=client");
		assert_string_equal(c->facts.cert->issuer, "CN=client-sub");
		assert_string_equal(c->facts.cert->serial, "123A");
		bed_close(c);
		c = bed_connect(bed, good, "a.test", NULL); /* which asks for none */
		assert_string_equal(c->facts.verify, "NONE");
		assert_null(c->facts.cert);
		bed_close(c);
		c = bed_connect(bed, bad, "off.test", NULL);
		assert_int_equal(strncmp(c->facts.verify, "FAILED:", 7), 0);
		assert_string_equal(c->facts.cert->subject, "CN=stranger");
		bed_close(c);
		SSL_CTX_free(none);
		SSL_CTX_free(good);
		SSL_CTX_free(bad);
	}
	bed_stop(bed);
}

static void test_depth(void **state)
{
	struct tls_bed *bed = bed_new();

	(void)state;
	bed->sites[3].client_certificate.depth = 0;
	bed_start(bed);
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);

		bed_use_client_cert(bed, ctx, &bed->client);
		expect_refused(bed, ctx, "client.test", REASON_TLS_CLIENT_CERT);
		expect_open(bed, ctx, "both.test");
		SSL_CTX_free(ctx);
	}
	bed_stop(bed);
}

static void check_same_identity(struct tls_bed *bed, int version, const char *host)
{
	SSL_CTX *ctx = bed_client(bed, version);
	struct bed_conn *one, *other;
	SSL_SESSION *session;

	bed_use_client_cert(bed, ctx, &bed->client);
	one = bed_connect(bed, ctx, host, NULL);
	for (int i = 0; i < 3; i++) { /* a resumption of a resumption too */
		session = bed->got;
		SSL_SESSION_up_ref(session);
		other = bed_connect(bed, ctx, host, session);
		assert_int_not_equal(other->facts.resumed, CLIENT_FULL);
		assert_string_equal(other->facts.verify, one->facts.verify);
		assert_string_equal(other->facts.cert->subject, one->facts.cert->subject);
		assert_string_equal(other->facts.cert->issuer, one->facts.cert->issuer);
		assert_string_equal(other->facts.cert->serial, one->facts.cert->serial);
		assert_string_equal(other->facts.cert->not_after, one->facts.cert->not_after);
		assert_string_equal(
		    other->facts.cert->pem_urlencoded, one->facts.cert->pem_urlencoded);
		bed_close(other);
		SSL_SESSION_free(session);
	}
	bed_close(one);
	SSL_CTX_free(ctx);
}

static void test_a_resumption_keeps_the_client_s_identity(void **state)
{
	struct tls_bed *bed = bed_started();

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		check_same_identity(bed, versions[v], "client.test");
		check_same_identity(bed, versions[v], "both.test");
	}
	bed_stop(bed);
}

static void test_without_extended_master_secret_nobody_is_resumed_as_a_client(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_2_VERSION);

	(void)state;
	SSL_CTX_set_options(ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	bed_use_client_cert(bed, ctx, &bed->client);
	expect_open(bed, ctx, "client.test");
	if (bed->got != NULL) {
		assert_false(SSL_SESSION_has_ticket(bed->got));
		assert_int_equal(bed_again(bed, ctx, "client.test"), CLIENT_FULL);
	}
	assert_int_equal(bed->cache.puts + bed->cache.lookups, 0);
	expect_open(bed, ctx, "a.test");
	assert_int_equal(bed_again(bed, ctx, "a.test"), CLIENT_BY_TICKET);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

/* ---- revocation */

static void add_crl(FILE *f, struct bed_key *ca, X509 *revoked)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *later = X509_gmtime_adj(NULL, 86400);

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert));
	X509_CRL_set1_lastUpdate(crl, now);
	X509_CRL_set1_nextUpdate(crl, later);
	if (revoked != NULL) {
		X509_REVOKED *entry = X509_REVOKED_new();

		X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked));
		X509_REVOKED_set_revocationDate(entry, now);
		X509_CRL_add0_revoked(crl, entry);
	}
	assert_true(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
	PEM_write_X509_CRL(f, crl);
	X509_CRL_free(crl);
	ASN1_TIME_free(now);
	ASN1_TIME_free(later);
}

static void write_crls(struct tls_bed *bed, const char *path, X509 *revoked)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	add_crl(f, &bed->client_ca, NULL);
	add_crl(f, &bed->client_sub, revoked);
	fclose(f);
}

static void test_a_certificate_that_was_revoked_since_is_not_resumed(void **state)
{
	struct tls_bed *bed = bed_new();
	char path[96];

	(void)state;
	snprintf(path, sizeof(path), "%s/crl.pem", bed->dir);
	bed->sites[3].client_certificate.crl_file = bed->sites[5]
							.client_certificate.crl_file = path;
	write_crls(bed, path, NULL);
	bed_start(bed);
	for (size_t v = 0; v < 2; v++) {
		for (size_t i = 0; i < 2; i++) {
			const char *host = i == 0 ? "client.test" : "both.test";
			SSL_CTX *ctx = bed_client(bed, versions[v]);
			struct bed_conn *c;

			bed_use_client_cert(bed, ctx, &bed->client);
			expect_open(bed, ctx, host);
			assert_int_not_equal(bed_again(bed, ctx, host), CLIENT_FULL);
			write_crls(bed, path, bed->client.cert);
			bed_restart(bed);
			c = bed_open(bed, ctx, host, bed->got);
			bed_drive(c);
			assert_int_equal(c->step, STREAM_STEP_FAILED);
			assert_int_equal(c->reason, REASON_TLS_CLIENT_CERT);
			bed_close(c);
			write_crls(bed, path, NULL);
			bed_restart(bed);
			SSL_CTX_free(ctx);
		}
	}
	unlink(path);
	bed_stop(bed);
}

static void test_other_cas_end_sessions(void **state)
{
	struct tls_bed *bed = bed_new();
	SSL_CTX *ctx;

	(void)state;
	bed_start(bed);
	ctx = bed_client(bed, TLS1_3_VERSION);
	bed_use_client_cert(bed, ctx, &bed->client);
	expect_open(bed, ctx, "both.test");
	bed->sites[5].client_certificate.ca_file = bed->client_sub.path;
	bed_restart(bed);
	expect_refused(bed, ctx, "both.test", REASON_TLS_CLIENT_CERT); /* no root of its own */
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_ciphers_and_their_order),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_tls12_tickets_of_a_profile),
		cmocka_unit_test(test_who_is_let_in),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_a_resumption_keeps_the_client_s_identity),
		cmocka_unit_test(test_without_extended_master_secret_nobody_is_resumed_as_a_client),
		cmocka_unit_test(test_a_certificate_that_was_revoked_since_is_not_resumed),
		cmocka_unit_test(test_other_cas_end_sessions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
