/*
 * mkcert.h: certificates and their P-256 keys, made in memory. Self-signed ones for the quick form of
 * the command line and for tests: nothing that a browser trusts. And a cluster's own authority with
 * the identities that it signs (what these must hold: net/tlsctx.h).
 */
#ifndef CRYPTO_MKCERT_H
#define CRYPTO_MKCERT_H

#include <openssl/x509.h>

#include <stdint.h>

enum { MKCERT_NAMES_MAX = 64, MKCERT_DAYS_MAX = 366, MKCERT_BACKDATE_S = 3600 };

/* names: DNS names and IP addresses, the first is the CN too. Valid from an hour ago. 0 with both
 * owned by the caller, or -1: a bad name, no memory. */
int mkcert(const char *const *names, size_t n, unsigned days, EVP_PKEY **key, X509 **cert)
    __attribute__((warn_unused_result));

/* What is made here is valid from MKCERT_BACKDATE_S ago: peers' clocks are not all right. life_s counts
 * from now.
 * An authority that signs leaves only; name is its CN. Both owned by the caller. 0, or -1: no memory. */
int mkcert_ca(const char *name, int64_t life_s, EVP_PKEY **key, X509 **cert)
    __attribute__((warn_unused_result));

/* A server's and client's certificate with a new key, signed by ca: name is CN and DNS name, uri the
 * second of its names. Both owned by the caller. 0, or -1: no memory, or a key that is not ca's. */
int mkcert_signed(X509 *ca, EVP_PKEY *ca_key, const char *name, const char *uri, int64_t life_s,
    EVP_PKEY **key, X509 **cert) __attribute__((warn_unused_result));

/* PEM in the heap, NUL-terminated, owned by the caller; NULL: no memory. */
char *mkcert_pem(X509 *);
/* The same of a private key (PKCS#8, unencrypted): cleanse it before you free it. */
char *mkcert_key_pem(EVP_PKEY *);

#endif
