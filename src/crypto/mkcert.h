/*
 * mkcert.h: a self-signed certificate and its P-256 key, in memory: for the quick form of the
 * command line and for tests. Nothing that a browser trusts.
 */
#ifndef CRYPTO_MKCERT_H
#define CRYPTO_MKCERT_H

#include <openssl/x509.h>

enum { MKCERT_NAMES_MAX = 64, MKCERT_DAYS_MAX = 366 };

/* names: DNS names and IP addresses, the first is the CN too. Valid from an hour ago. 0 with both
 * owned by the caller, or -1: a bad name, no memory. */
int mkcert(const char *const *names, size_t n, unsigned days, EVP_PKEY **key, X509 **cert)
    __attribute__((warn_unused_result));

/* PEM in the heap, NUL-terminated, owned by the caller; NULL: no memory. */
char *mkcert_pem(X509 *);

#endif
