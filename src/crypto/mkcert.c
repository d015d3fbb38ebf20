/*
 * mkcert.c: self-signed certificates. Called by the key service when no certificate is configured,
 * and by tests.
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

enum { SERIAL_LEN = 16, DAY_S = 86400, HOUR_S = 3600 };

static int add_ext(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	int ok;

	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext != NULL && X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	return ok ? 0 : -1;
}

/* Built by hand: as text for X509V3_EXT_conf_nid a comma in a name would begin another one. */
static int push_name(GENERAL_NAMES *names, const char *name)
{
	unsigned char ip[16];
	int ip_len = inet_pton(AF_INET, name, ip) == 1    ? 4
		     : inet_pton(AF_INET6, name, ip) == 1 ? 16
							  : 0;
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_STRING *s = ip_len > 0 ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();

	if (g == NULL || s == NULL)
		goto fail;
	if (!(ip_len > 0 ? ASN1_STRING_set(s, ip, ip_len) : ASN1_STRING_set(s, name, -1)))
		goto fail;
	GENERAL_NAME_set0_value(g, ip_len > 0 ? GEN_IPADD : GEN_DNS, s);
	s = NULL; /* g owns it */
	if (!sk_GENERAL_NAME_push(names, g))
		goto fail;
	return 0;
fail:
	ASN1_STRING_free(s);
	GENERAL_NAME_free(g);
	return -1;
}

static int add_names(X509 *cert, const char *const *names, size_t n)
{
	GENERAL_NAMES *alt = sk_GENERAL_NAME_new_null();
	int rc = -1;

	for (size_t i = 0; alt != NULL && i < n; i++) {
		if (names[i][0] == '\0' || strlen(names[i]) > 253 || push_name(alt, names[i]) == -1)
			goto out;
	}
	if (alt != NULL && X509_add1_ext_i2d(cert, NID_subject_alt_name, alt, 0, 0) == 1)
		rc = 0;
out:
	sk_GENERAL_NAME_pop_free(alt, GENERAL_NAME_free);
	return rc;
}

static int fill(X509 *cert, const char *const *names, size_t n, unsigned days, EVP_PKEY *key)
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
	/* An hour ago: clients' clocks are not all right. A CN holds 64 characters. */
	ok = ok && X509_set_version(cert, X509_VERSION_3) &&
	     X509_gmtime_adj(X509_getm_notBefore(cert), -HOUR_S) != NULL &&
	     X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * DAY_S) != NULL &&
	     X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
		 (const unsigned char *)(strlen(names[0]) > 64 ? "sslgw" : names[0]), -1, -1, 0) &&
	     X509_set_issuer_name(cert, subject) && X509_set_pubkey(cert, key);
	if (!ok || add_names(cert, names, n) == -1 ||
	    add_ext(cert, NID_basic_constraints, "critical,CA:FALSE") == -1 ||
	    add_ext(cert, NID_key_usage, "critical,digitalSignature") == -1 ||
	    add_ext(cert, NID_ext_key_usage, "serverAuth") == -1 ||
	    add_ext(cert, NID_subject_key_identifier, "hash") == -1)
		return -1;
	return X509_sign(cert, key, EVP_sha256()) > 0 ? 0 : -1;
}

int mkcert(const char *const *names, size_t n, unsigned days, EVP_PKEY **key, X509 **cert)
{
	if (n == 0 || n > MKCERT_NAMES_MAX || days == 0 || days > MKCERT_DAYS_MAX)
		return -1;
	*cert = X509_new();
	*key = EVP_EC_gen("P-256");
	if (*cert != NULL && *key != NULL && fill(*cert, names, n, days, *key) == 0)
		return 0;
	ERR_clear_error();
	X509_free(*cert);
	EVP_PKEY_free(*key);
	*cert = NULL;
	*key = NULL;
	return -1;
}

char *mkcert_pem(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *pem = NULL;
	long len;

	if (bio != NULL && PEM_write_bio_X509(bio, cert)) {
		len = BIO_get_mem_data(bio, &data);
		pem = strndup(data, (size_t)len);
	}
	BIO_free(bio);
	return pem;
}
