/*
 * clientcert.c: what a client's certificate says, as text that is safe in a header field, and
 * whether it is good. Called when a handshake is done, and by resume.
 */
#include "config.h"

#include "base/hex.h"
#include "gateway/tls/clientcert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/poison.h"

/* ---- verification */

bool clientcert_is_unknown(int error)
{
	switch (error) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_UNTRUSTED:
		return true;
	}
	return false;
}

static int take_unknown_cb(int ok, X509_STORE_CTX *ctx)
{
	/* The error stays in ctx: the client's verify text tells it. */
	return ok || clientcert_is_unknown(X509_STORE_CTX_get_error(ctx));
}

int clientcert_verify_cb(int ok, X509_STORE_CTX *ctx)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct handshake *hs = ssl != NULL ? handshake_of(ssl) : NULL;

	if (hs != NULL && hs->site->conf->client_certificate.verify == CLIENTCERT_OPTIONAL_NO_CA)
		return take_unknown_cb(ok, ctx);
	return ok;
}

static STACK_OF(X509) * certificates_of(struct bytes der)
{
	STACK_OF(X509) *stack = sk_X509_new_null();
	const unsigned char *at = der.at, *end = der.at + der.len;
	X509 *cert;

	while (stack != NULL && at < end) {
		cert = d2i_X509(NULL, &at, end - at);
		if (cert == NULL || !sk_X509_push(stack, cert)) {
			X509_free(cert);
			sk_X509_pop_free(stack, X509_free);
			return NULL;
		}
	}
	return stack;
}

bool clientcert_verify_again(const struct sitectx *site, X509 *leaf, struct bytes intermediates)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *rest = certificates_of(intermediates);
	bool ok = false;

	if (ctx == NULL || rest == NULL || !X509_STORE_CTX_init(ctx, site->store, leaf, rest) ||
	    !X509_STORE_CTX_set_default(ctx, "ssl_client"))
		goto out;
	X509_STORE_CTX_set_depth(ctx, site->depth);
	X509_VERIFY_PARAM_set_auth_level(
	    X509_STORE_CTX_get0_param(ctx), SSL_CTX_get_security_level(site->ctx));
	if (site->conf->client_certificate.verify == CLIENTCERT_OPTIONAL_NO_CA)
		X509_STORE_CTX_set_verify_cb(ctx, take_unknown_cb);
	ok = X509_verify_cert(ctx) == 1;
out:
	sk_X509_pop_free(rest, X509_free);
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

/* ---- text */

/* What libcrypto wrote, NUL-terminated in the heap; nothing but printable ASCII is in it. */
static char *text_of(BIO *bio)
{
	char *at, *text;
	long len = BIO_get_mem_data(bio, &at);

	if (len < 0 || (text = strndup(at, (size_t)len)) == NULL)
		return NULL;
	for (char *p = text; *p != '\0'; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
	(void)BIO_reset(bio);
	return text;
}

static char *name_text(BIO *bio, const X509_NAME *name)
{
	return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0 ? text_of(bio) : NULL;
}

static char *time_text(BIO *bio, const ASN1_TIME *time)
{
	return ASN1_TIME_print(bio, time) == 1 ? text_of(bio) : NULL;
}

static char *serial_text(const X509 *cert)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *hex = n != NULL ? BN_bn2hex(n) : NULL;
	char *text = hex != NULL ? strdup(hex) : NULL;

	OPENSSL_free(hex);
	BN_free(n);
	return text;
}

static char *pem_text(BIO *bio, X509 *cert)
{
	static const char plain[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	static const char hex[] = "0123456789ABCDEF";
	char *at, *text, *out;
	long len;

	if (PEM_write_bio_X509(bio, cert) != 1 || (len = BIO_get_mem_data(bio, &at)) <= 0)
		return NULL;
	if ((out = text = malloc(3 * (size_t)len + 1)) == NULL)
		return NULL;
	for (long i = 0; i < len; i++) {
		unsigned char b = (unsigned char)at[i];

		if (b != '\0' && strchr(plain, b) != NULL) {
			*out++ = (char)b;
			continue;
		}
		*out++ = '%';
		*out++ = hex[b >> 4];
		*out++ = hex[b & 15];
	}
	*out = '\0';
	(void)BIO_reset(bio);
	return text;
}

void clientcert_free(const struct clientcert *cert)
{
	struct clientcert *c = (struct clientcert *)(uintptr_t)cert;

	if (c == NULL)
		return;
	free(c->subject);
	free(c->issuer);
	free(c->serial);
	free(c->not_before);
	free(c->not_after);
	free(c->pem_urlencoded);
	free(c->sans);
	free(c->chain);
	free(c);
}

/* One alternative name; what rules cannot name, or holds more than printable ASCII, is left out. */
static void san_write(FILE *f, const GENERAL_NAME *name)
{
	static const struct {
		int type;
		const char *prefix;
	} kinds[] = { { GEN_DNS, "DNS:" }, { GEN_URI, "URI:" }, { GEN_EMAIL, "email:" } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const ASN1_STRING *text = name->d.ia5;
		const unsigned char *at;
		int len, k = 0;

		if (name->type != kinds[i].type)
			continue;
		at = ASN1_STRING_get0_data(text);
		len = ASN1_STRING_length(text);
		while (k < len && at[k] >= ' ' && at[k] <= '~')
			k++;
		if (k == len && len > 0)
			fprintf(f, "%s%.*s%c", kinds[i].prefix, len, (const char *)at, '\0');
	}
}

static char *sans_text(X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	for (int i = 0; f != NULL && i < sk_GENERAL_NAME_num(names); i++)
		san_write(f, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	if (f == NULL)
		return NULL;
	fputc('\0', f);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

/* A Byte Sequence of RFC 8941, into out; what it is long, with DER of that length. */
static size_t sequence_len(int der_len)
{
	return 2 + 4 * (((size_t)der_len + 2) / 3);
}

static bool sequence_write(char *out, X509 *cert, int der_len)
{
	unsigned char *der = NULL;
	bool ok = i2d_X509(cert, &der) == der_len;

	if (ok) {
		*out++ = ':';
		out += EVP_EncodeBlock((unsigned char *)out, der, der_len);
		*out = ':';
	}
	OPENSSL_free(der);
	return ok;
}

/* As a List of RFC 8941 in the order in which they came. NULL: none, or more than a session may carry: a client
 * that comes back must not look different. */
static char *chain_text(const STACK_OF(X509) * chain)
{
	size_t sum = 0, text_len = 0, at = 0;
	char *text;

	for (int i = 0; i < sk_X509_num(chain); i++) {
		int len = i2d_X509(sk_X509_value(chain, i), NULL);

		if (len <= 0 || (sum += (size_t)len) > SEAL_INTERMEDIATES_MAX)
			return NULL;
		text_len += sequence_len(len) + 2;
	}
	if (sum == 0 || (text = malloc(text_len + 1)) == NULL)
		return NULL;
	for (int i = 0; i < sk_X509_num(chain); i++) {
		int len = i2d_X509(sk_X509_value(chain, i), NULL);

		if (!sequence_write(text + at, sk_X509_value(chain, i), len)) {
			free(text);
			return NULL;
		}
		at += sequence_len(len);
		memcpy(text + at, ", ", 3);
		at += 2;
	}
	text[at - 2] = '\0';
	return text;
}

/* What came beside the certificate, now or when its session was made. */
static char *chain_of(const struct handshake *hs)
{
	STACK_OF(X509) * kept;
	char *text;

	if (!SSL_session_reused(hs->ssl))
		return chain_text(SSL_get_peer_cert_chain(hs->ssl));
	kept = certificates_of(bytes_of(hs->session.intermediates, hs->session.intermediates_len));
	text = kept != NULL ? chain_text(kept) : NULL;
	sk_X509_pop_free(kept, X509_free);
	return text;
}

static void hash_text(char out[static 65], const X509 *cert)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (X509_digest(cert, EVP_sha256(), digest, &len) != 1 || len != 32)
		len = 0;
	hex_write(out, digest, len);
}

static struct clientcert *clientcert_new(const struct handshake *hs, X509 *leaf)
{
	struct clientcert *c = calloc(1, sizeof(*c));
	BIO *bio = BIO_new(BIO_s_mem());

	if (c != NULL && bio != NULL) {
		c->subject = name_text(bio, X509_get_subject_name(leaf));
		c->issuer = name_text(bio, X509_get_issuer_name(leaf));
		c->serial = serial_text(leaf);
		c->not_before = time_text(bio, X509_get0_notBefore(leaf));
		c->not_after = time_text(bio, X509_get0_notAfter(leaf));
		c->pem_urlencoded = pem_text(bio, leaf);
		c->sans = sans_text(leaf);
		if ((hs->site->conf->headers & HEADERS_RFC9440) != 0)
			c->chain = chain_of(hs);
		if ((hs->site->conf->headers & HEADERS_XFCC) != 0)
			hash_text(c->hash, leaf);
	}
	BIO_free(bio);
	ERR_clear_error();
	if (c == NULL || c->subject == NULL || c->issuer == NULL || c->serial == NULL ||
	    c->not_before == NULL || c->not_after == NULL || c->pem_urlencoded == NULL ||
	    c->sans == NULL) {
		clientcert_free(c);
		return NULL;
	}
	return c;
}

int clientcert_take(struct handshake *hs, struct client *c)
{
	X509 *leaf = SSL_get0_peer_certificate(hs->ssl);
	long result = SSL_get_verify_result(hs->ssl);
	struct clientcert *cert;

	c->cert = NULL;
	c->verify = "NONE";
	if (leaf == NULL || hs->site->verify == SSL_VERIFY_NONE)
		return 0;
	if ((cert = clientcert_new(hs, leaf)) == NULL)
		return -1;
	c->cert = cert;
	c->verify = cert->verify;
	if (result == X509_V_OK)
		strlcpy(cert->verify, "SUCCESS", sizeof(cert->verify));
	else
		snprintf(cert->verify, sizeof(cert->verify), "FAILED:%s",
		    X509_verify_cert_error_string(result));
	return 0;
}
