/*
 * sitecheck.c: tries a site's lists and files on an SSL_CTX that nobody uses.
 */
#include "gateway/tls/sitecheck.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "base/poison.h"

static void check_lists(const struct site_conf *site, SSL_CTX *ctx, struct conf_errors *errors)
{
	size_t known = 0;

	if (site->ciphers != NULL && SSL_CTX_set_cipher_list(ctx, site->ciphers) != 1)
		conf_reject(errors, &site->ciphers,
		    "ciphers: \"%s\": none of these is a TLS 1.2 cipher suite (openssl ciphers -v "
		    "lists them)",
		    site->ciphers);
	if (site->ciphersuites != NULL && SSL_CTX_set_ciphersuites(ctx, site->ciphersuites) != 1)
		conf_reject(errors, &site->ciphersuites,
		    "ciphersuites: \"%s\": TLS 1.3 knows TLS_AES_128_GCM_SHA256, "
		    "TLS_AES_256_GCM_SHA384 and "
		    "TLS_CHACHA20_POLY1305_SHA256, parted by colons",
		    site->ciphersuites);
	for (size_t i = 0; i < site->groups.n; i++)
		known += SSL_CTX_set1_groups_list(ctx, site->groups.at[i]) == 1;
	if (site->groups.n > 0 && known == 0)
		conf_reject(errors, &site->groups,
		    "groups: this OpenSSL knows none of them: name \"X25519\" or \"P-256\"");
}

static void check_crl(const struct site_conf *site, struct conf_errors *errors)
{
	const char *path = site->client_certificate.crl_file;
	X509_STORE *store = path != NULL ? X509_STORE_new() : NULL;
	X509_LOOKUP *lookup = store != NULL ? X509_STORE_add_lookup(store, X509_LOOKUP_file())
					    : NULL;

	if (lookup != NULL && X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) <= 0)
		conf_reject(errors, &site->client_certificate.crl_file,
		    "crl_file: %s: no certificate revocation list (PEM) could be read from it",
		    path);
	X509_STORE_free(store);
}

void sitecheck(const struct site_conf *site, struct conf_errors *errors)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx != NULL)
		check_lists(site, ctx, errors);
	check_crl(site, errors);
	SSL_CTX_free(ctx);
	ERR_clear_error();
}
