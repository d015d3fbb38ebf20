/*
 * tlsctx_files.c: chain, key and CAs from their files into a context. Whatever may hold a key is
 * cleansed; each message names the file and the fix.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/cert.h"
#include "net/tlsctx_private.h"

#include "base/poison.h"

enum { TLSCTX_FILE_MAX = 1024 * 1024 };

/* Bytes that may hold a key: cleansed by the caller. NULL: error is set. */
static uint8_t *read_file(const char *path, size_t *len, char *error, size_t error_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	uint8_t *buf = NULL;
	ssize_t n = 1;

	*len = 0;
	if (fd < 0 || (buf = malloc(TLSCTX_FILE_MAX)) == NULL)
		goto fail;
	while (n > 0 && *len < TLSCTX_FILE_MAX) {
		n = read(fd, buf + *len, TLSCTX_FILE_MAX - *len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			goto fail;
		else
			*len += (size_t)n;
	}
	close(fd);
	if (*len < TLSCTX_FILE_MAX)
		return buf;
	snprintf(error, error_size, "%s: too large: a file of at most 1 MiB", path);
	OPENSSL_cleanse(buf, *len);
	free(buf);
	return NULL;
fail:
	snprintf(error, error_size, "%s: cannot be read: %s", path, strerror(errno));
	if (buf != NULL)
		OPENSSL_cleanse(buf, *len);
	free(buf);
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* No terminal is asked. */
static int no_password_cb(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	*(bool *)arg = true;
	return -1;
}

static int use_chain(SSL_CTX *ctx, const char *path, BIO *pem, char *error, size_t error_size)
{
	X509 *cert;
	int n = 0;

	while ((cert = PEM_read_bio_X509(pem, NULL, NULL, NULL)) != NULL) {
		/* The first is copied by reference, the others are given away. */
		if (n == 0 ? SSL_CTX_use_certificate(ctx, cert) != 1
			   : SSL_CTX_add0_chain_cert(ctx, cert) != 1) {
			snprintf(error, error_size, "%s: certificate %d cannot be used: %s", path,
			    n + 1, ERR_reason_error_string(ERR_peek_error()));
			X509_free(cert);
			return -1;
		}
		if (n++ == 0)
			X509_free(cert);
	}
	if (n > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		return 0;
	snprintf(error, error_size,
	    n == 0 ? "%s: holds no certificate: write the own one first, in PEM"
		   : "%s: a certificate of it is damaged",
	    path);
	return -1;
}

static int use_key(SSL_CTX *ctx, const char *path, BIO *pem, char *error, size_t error_size)
{
	bool encrypted = false;
	EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, no_password_cb, &encrypted);
	int r;

	if (key == NULL) {
		snprintf(error, error_size,
		    encrypted
			? "%s: the key is encrypted: write it without a password, readable by "
			  "this service alone"
			: "%s: holds no private key in PEM",
		    path);
		return -1;
	}
	r = SSL_CTX_use_PrivateKey(ctx, key) == 1 ? 0 : -1;
	if (r != 0)
		snprintf(error, error_size, "%s: the key is not that of the own certificate", path);
	EVP_PKEY_free(key);
	return r;
}

/* Chain and key out of one file each, which may be the same. */
static int use_file(SSL_CTX *ctx, const char *path,
    int (*use)(SSL_CTX *, const char *, BIO *, char *, size_t), char *error, size_t error_size)
{
	size_t len;
	uint8_t *buf = read_file(path, &len, error, error_size);
	BIO *pem;
	int r = -1;

	if (buf == NULL)
		return -1;
	ERR_clear_error();
	pem = BIO_new_mem_buf(buf, (int)len);
	if (pem == NULL)
		snprintf(error, error_size, "%s: no memory", path);
	else
		r = use(ctx, path, pem, error, error_size);
	BIO_free(pem);
	OPENSSL_cleanse(buf, len);
	free(buf);
	ERR_clear_error();
	return r;
}

/* Sessions belong to those who trust the same CAs and ask for the same of a peer: that is their context. */
static int set_context(SSL_CTX *ctx, const struct tlsctx_params *p, STACK_OF(X509) * cas,
    uint8_t context[static TLSCTX_CONTEXT_LEN])
{
	uint8_t digest[TLSCTX_CONTEXT_LEN];
	unsigned len = 0;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	const char *host = p->host != NULL ? p->host : "";
	int ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		 EVP_DigestUpdate(md, &p->roles, sizeof(p->roles)) == 1 &&
		 EVP_DigestUpdate(md, host, strlen(host)) == 1;

	for (int i = 0; ok && i < sk_X509_num(cas); i++)
		ok = X509_digest(sk_X509_value(cas, i), EVP_sha256(), digest, &len) == 1 &&
		     EVP_DigestUpdate(md, digest, len) == 1;
	ok = ok && EVP_DigestFinal_ex(md, context, &len) == 1 &&
	     SSL_CTX_set_session_id_context(ctx, context, len) == 1;
	EVP_MD_CTX_free(md);
	return ok ? 0 : -1;
}

static int use_cas(SSL_CTX *ctx, const struct tlsctx_params *p,
    uint8_t context[static TLSCTX_CONTEXT_LEN], char *error, size_t error_size)
{
	STACK_OF(X509) *cas = cert_stack_load(p->ca_file, error, error_size);
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	int r = -1;

	if (cas == NULL)
		return -1;
	for (int i = 0; i < sk_X509_num(cas); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(cas, i)) != 1 ||
		    (p->server && SSL_CTX_add_client_CA(ctx, sk_X509_value(cas, i)) != 1))
			goto done;
	/* The CA that is named is the end of the way, be it an intermediate one of another. */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	r = set_context(ctx, p, cas, context);
done:
	if (r != 0)
		snprintf(error, error_size, "%s: no memory", p->ca_file);
	sk_X509_pop_free(cas, X509_free);
	return r;
}

int tlsctx_read_files(SSL_CTX *ctx, const struct tlsctx_params *p,
    uint8_t context[static TLSCTX_CONTEXT_LEN], char *error, size_t error_size)
{
	if (use_cas(ctx, p, context, error, error_size) != 0)
		return -1;
	if (p->identity_file == NULL) /* a client of a foreign server */
		return 0;
	if (use_file(ctx, p->identity_file, use_chain, error, error_size) != 0)
		return -1;
	return use_file(ctx, p->key_file, use_key, error, error_size);
}
