/*
 * mkcert.c: makes certificates. Called by the key service when no certificate is configured, by
 * sslgwctl for a cluster's identities, and by tests.
 */
#include "config.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/mkcert.h"

#include "base/poison.h"

enum { SERIAL_LEN = 16, DAY_S = 86400 };

static int add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	int ok;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext != NULL && X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	return ok ? 0 : -1;
}

/* Built by hand: as text for X509V3_EXT_conf_nid a comma in a name would begin another one. type:
 * GEN_URI, or GEN_DNS for a name or an address. */
static int push_name(GENERAL_NAMES *names, int type, const char *name)
{
	unsigned char ip[16];
	int ip_len = type == GEN_URI                      ? 0
		     : inet_pton(AF_INET, name, ip) == 1  ? 4
		     : inet_pton(AF_INET6, name, ip) == 1 ? 16
							  : 0;
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_STRING *s = ip_len > 0 ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();

	if (g == NULL || s == NULL)
		goto fail;
	if (!(ip_len > 0 ? ASN1_STRING_set(s, ip, ip_len) : ASN1_STRING_set(s, name, -1)))
		goto fail;
	GENERAL_NAME_set0_value(g, ip_len > 0 ? GEN_IPADD : type, s);
	s = NULL; /* g owns it */
	if (!sk_GENERAL_NAME_push(names, g))
		goto fail;
	return 0;
fail:
	ASN1_STRING_free(s);
	GENERAL_NAME_free(g);
	return -1;
}

static int add_names(X509 *cert, const char *const *names, size_t n, const char *uri)
{
	GENERAL_NAMES *alt = sk_GENERAL_NAME_new_null();
	int rc = -1;

	for (size_t i = 0; alt != NULL && i < n; i++) {
		if (names[i][0] == '\0' || strlen(names[i]) > 253 ||
		    push_name(alt, GEN_DNS, names[i]) == -1)
			goto out;
	}
	if (alt != NULL && uri != NULL && push_name(alt, GEN_URI, uri) == -1)
		goto out;
	if (alt != NULL && X509_add1_ext_i2d(cert, NID_subject_alt_name, alt, 0, 0) == 1)
		rc = 0;
out:
	sk_GENERAL_NAME_pop_free(alt, GENERAL_NAME_free);
	return rc;
}

/* Version, serial, validity, subject, key: what every certificate has. */
static int fill(X509 *cert, const char *cn, int64_t life_s, EVP_PKEY *key)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	unsigned char serial[SERIAL_LEN];
	BIGNUM *bn;
	int ok;

	if (RAND_bytes(serial, sizeof(serial)) != 1)
		return -1;
	serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and never shorter */
	bn = BN_bin2bn(serial, sizeof(serial), NULL);
	ok = bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;
	BN_free(bn);
	/* A CN holds 64 characters. Days and seconds apart: a
	 * long may have 32 bits. */
	ok = ok && X509_set_version(cert, X509_VERSION_3) &&
	     X509_gmtime_adj(X509_getm_notBefore(cert), -MKCERT_BACKDATE_S) != NULL &&
	     X509_time_adj_ex(X509_getm_notAfter(cert), (int)(life_s / DAY_S),
		 (long)(life_s % DAY_S), NULL) != NULL &&
	     X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
		 (const unsigned char *)(strlen(cn) > 64 ? "sslgw" : cn), -1, -1, 0) &&
	     X509_set_pubkey(cert, key);
	return ok ? 0 : -1;
}

static int finish(X509 *cert, X509 *issuer, EVP_PKEY *issuer_key)
{
	if (!X509_set_issuer_name(cert, X509_get_subject_name(issuer)) ||
	    add_ext(cert, issuer, NID_subject_key_identifier, "hash") == -1)
		return -1;
	if (issuer != cert &&
	    add_ext(cert, issuer, NID_authority_key_identifier, "keyid:always") == -1)
		return -1;
	return X509_sign(cert, issuer_key, EVP_sha256()) > 0 ? 0 : -1;
}

static int fill_leaf(X509 *cert, X509 *issuer, const char *uses)
{
	if (add_ext(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") == -1 ||
	    add_ext(cert, issuer, NID_key_usage, "critical,digitalSignature") == -1 ||
	    add_ext(cert, issuer, NID_ext_key_usage, uses) == -1)
		return -1;
	return 0;
}

/* The end of a making: both, or none. */
static int both(int rc, EVP_PKEY **key, X509 **cert)
{
	if (rc == 0)
		return 0;
	ERR_clear_error();
	X509_free(*cert);
	EVP_PKEY_free(*key);
	*cert = NULL;
	*key = NULL;
	return -1;
}

int mkcert(const char *const *names, size_t n, unsigned days, EVP_PKEY **key, X509 **cert)
{
	int rc = -1;

	if (n == 0 || n > MKCERT_NAMES_MAX || days == 0 || days > MKCERT_DAYS_MAX)
		return -1;
	*cert = X509_new();
	*key = EVP_EC_gen("P-256");
	if (*cert != NULL && *key != NULL &&
	    fill(*cert, names[0], (int64_t)days * DAY_S, *key) == 0 &&
	    add_names(*cert, names, n, NULL) == 0 && fill_leaf(*cert, *cert, "serverAuth") == 0)
		rc = finish(*cert, *cert, *key);
	return both(rc, key, cert);
}

int mkcert_ca(const char *name, int64_t life_s, EVP_PKEY **key, X509 **cert)
{
	int rc = -1;

	*cert = X509_new();
	*key = EVP_EC_gen("P-256");
	if (*cert != NULL && *key != NULL && fill(*cert, name, life_s, *key) == 0 &&
	    add_ext(*cert, *cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") == 0 &&
	    add_ext(*cert, *cert, NID_key_usage, "critical,keyCertSign,cRLSign") == 0)
		rc = finish(*cert, *cert, *key);
	return both(rc, key, cert);
}

int mkcert_signed(X509 *ca, EVP_PKEY *ca_key, const char *name, const char *uri, int64_t life_s,
    EVP_PKEY **key, X509 **cert)
{
	int rc = -1;

	*cert = X509_new();
	*key = EVP_EC_gen("P-256");
	if (*cert != NULL && *key != NULL && X509_check_private_key(ca, ca_key) == 1 &&
	    fill(*cert, name, life_s, *key) == 0 && add_names(*cert, &name, 1, uri) == 0 &&
	    fill_leaf(*cert, ca, "serverAuth,clientAuth") == 0)
		rc = finish(*cert, ca, ca_key);
	return both(rc, key, cert);
}

static char *read_bio(BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);

	return strndup(data, (size_t)len);
}

char *mkcert_pem(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem = NULL;

	if (bio != NULL && PEM_write_bio_X509(bio, cert))
		pem = read_bio(bio);
	BIO_free(bio);
	return pem;
}

char *mkcert_key_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem()); /* cleansed when freed */
	char *pem = NULL;

	if (bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
		pem = read_bio(bio);
	BIO_free(bio);
	return pem;
}
