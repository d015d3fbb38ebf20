/*
 * pki.c: see pki.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "crypto/cert.h"

#include "pki.h"

static void add_ext(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(ext);
	assert_int_equal(X509_add_ext(cert, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static X509 *make(
    const char *cn, const char *alt, long life_s, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *cert = X509_new();
	X509_NAME *name;
	uint8_t serial[8];

	assert_non_null(cert);
	arc4random_buf(serial, sizeof(serial));
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set_uint64(
	    X509_get_serialNumber(cert), (uint64_t)serial[0] << 24 | (uint64_t)serial[1] << 16 |
					     (uint64_t)serial[2] << 8 | serial[3]);
	X509_gmtime_adj(X509_getm_notBefore(cert), -100000);
	X509_gmtime_adj(X509_getm_notAfter(cert), life_s);
	X509_set_pubkey(cert, key);
	name = X509_get_subject_name(cert);
	if (cn != NULL)
		X509_NAME_add_entry_by_txt(
		    name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer) : name);
	add_ext(cert, NID_basic_constraints, issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	for (; alt != NULL; alt = strchr(alt, '|') != NULL ? strchr(alt, '|') + 1 : NULL) {
		char one[512]; /* '|' begins an extension of its own */

		snprintf(one, sizeof(one), "%.*s", (int)strcspn(alt, "|"), alt);
		add_ext(cert, NID_subject_alt_name, one);
	}
	assert_true(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
	return cert;
}

static void write_pem(const struct pki *pki, const char *name, X509 *cert, EVP_PKEY *key)
{
	char path[128];
	FILE *f = fopen(pki_path(pki, name, path), "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, cert), 1);
	if (key != NULL)
		assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(f), 0);
}

void pki_init(struct pki *pki)
{
	strlcpy(pki->dir, "/tmp/sslgw-pki.XXXXXX", sizeof(pki->dir));
	assert_non_null(mkdtemp(pki->dir));
	pki->key = EVP_EC_gen("P-256");
	pki->other_key = EVP_EC_gen("P-256");
	assert_true(pki->key != NULL && pki->other_key != NULL);
	pki->ca = make("the CA", NULL, 100000, pki->key, NULL, pki->key);
	pki->other_ca = make("the CA", NULL, 100000, pki->other_key, NULL, pki->other_key);
	write_pem(pki, "ca.pem", pki->ca, NULL);
	write_pem(pki, "other.pem", pki->other_ca, NULL);
}

void pki_clear(struct pki *pki)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", pki->dir);
	assert_int_equal(system(command), 0);
	X509_free(pki->ca);
	X509_free(pki->other_ca);
	EVP_PKEY_free(pki->key);
	EVP_PKEY_free(pki->other_key);
}

const char *pki_path(const struct pki *pki, const char *name, char buf[static 128])
{
	snprintf(buf, 128, "%s/%s", pki->dir, name);
	return buf;
}

static void issue(struct pki *pki, const char *name, const char *cn, const char *alt, long life_s,
    uint8_t *spki, X509 *ca, EVP_PKEY *ca_key)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert;
	char file[64];

	assert_non_null(key);
	cert = make(cn, alt, life_s, key, ca, ca_key);
	snprintf(file, sizeof(file), "%s.pem", name);
	write_pem(pki, file, cert, key);
	if (spki != NULL)
		assert_int_equal(key_spki_sha256(key, spki), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
}

void pki_issue(struct pki *pki, const char *name, const char *cn, const char *alt, long life_s,
    uint8_t spki[TLSCTX_SPKI_LEN])
{
	issue(pki, name, cn, alt, life_s, spki, pki->ca, pki->key);
}

void pki_issue_other(struct pki *pki, const char *name, const char *cn, const char *alt,
    long life_s, uint8_t spki[TLSCTX_SPKI_LEN])
{
	issue(pki, name, cn, alt, life_s, spki, pki->other_ca, pki->other_key);
}

/* By a rename, as an operator's tool does. */
void pki_write(const struct pki *pki, const char *name, const char *text)
{
	char path[128], temp[128];
	FILE *f = fopen(pki_path(pki, "new", temp), "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(temp, pki_path(pki, name, path)), 0);
}

void pki_trust(const struct pki *pki, const char *name, bool ca, bool other)
{
	char path[128];
	FILE *f = fopen(pki_path(pki, name, path), "w");

	assert_non_null(f);
	if (ca)
		assert_int_equal(PEM_write_X509(f, pki->ca), 1);
	if (other)
		assert_int_equal(PEM_write_X509(f, pki->other_ca), 1);
	assert_int_equal(fclose(f), 0);
}

void pki_deny(const struct pki *pki, const uint8_t spki[TLSCTX_SPKI_LEN])
{
	char text[256] = "# nobody else\n";

	for (size_t i = 0; spki != NULL && i < TLSCTX_SPKI_LEN; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%02x", spki[i]);
	strlcat(text, spki != NULL ? " gw1, stolen\n" : "", sizeof(text));
	pki_write(pki, "deny", text);
}

void pki_params(const struct pki *pki, struct tlsctx_params *p, char bufs[4][128], bool server,
    const char *name, unsigned roles)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.pem", name);
	*p = (struct tlsctx_params){
		.server = server,
		.identity_file = pki_path(pki, file, bufs[0]),
		.key_file = pki_path(pki, file, bufs[1]),
		.ca_file = pki_path(pki, "ca.pem", bufs[2]),
		.deny_file = pki_path(pki, "deny", bufs[3]),
		.roles = roles,
	};
	if (access(bufs[3], R_OK) != 0)
		p->deny_file = NULL;
}

struct tlsctx *pki_ctx(const struct pki *pki, bool server, const char *name, unsigned roles)
{
	struct tlsctx_params p;
	char bufs[4][128], error[512] = "";
	struct tlsctx *t;

	pki_params(pki, &p, bufs, server, name, roles);
	t = tlsctx_new(&p, error, sizeof(error));
	if (t == NULL)
		fail_msg("%s", error);
	return t;
}
