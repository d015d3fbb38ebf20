/*
 * cert.h: certificate chains (public data) and what sslgw knows a key by: its type, and its SKI,
 * the SHA-1 of the contents of the subjectPublicKey BIT STRING (not the certificate's extension).
 */
#ifndef CRYPTO_CERT_H
#define CRYPTO_CERT_H

#include <openssl/x509.h>

#include "base/bytes.h"

enum { CERT_SKI_LEN = 20, CERT_FILE_MAX = 1024 * 1024, CERT_CHAIN_MAX = 16 };

/* RSA of 2048 bits or more, P-256, P-384, Ed25519. RSASSA-PSS keys, other curves, Ed448 and DSA are
 * no key types here. The values go over the wire in the answer to sslgw/keys. */
enum key_type { KEY_NONE, KEY_RSA, KEY_P256, KEY_P384, KEY_ED25519 };

const char *key_type_name(enum key_type); /* "RSA", "P-256", ... */
enum key_type key_type_of(const EVP_PKEY *, int *bits); /* KEY_NONE: refused; bits may be NULL */
/* For the operator: why key_type_of said KEY_NONE. */
const char *key_type_refusal(const EVP_PKEY *);
/* Both work for a public key and a pair. 0, or -1: no memory, or a key without a public half. */
int key_ski(const EVP_PKEY *, uint8_t ski[static CERT_SKI_LEN]) __attribute__((warn_unused_result));
int key_spki_sha256(const EVP_PKEY *, uint8_t digest[static 32])
    __attribute__((warn_unused_result));
/* Of an RSA key's modulus in upper-case hex, as Keyless servers name keys (tag 01). -1: none, too. */
int key_modulus_sha256(const EVP_PKEY *, uint8_t digest[static 32])
    __attribute__((warn_unused_result));

struct cert_chain {
	X509 *leaf; /* owned */
	STACK_OF(X509) * rest; /* owned, as do its members; empty: none. In the file's order */
	enum key_type type;
	int bits;
	uint8_t ski[CERT_SKI_LEN];
	char **names; /* the leaf's DNS names and addresses as text; its CN if it has none */
	size_t names_n;
};

/* PEM, leaf first. NULL: why (with name in it, at most size bytes) says what is wrong and how to mend
 * it. A file that holds a private key is refused and its bytes are cleansed. The fd is read to its
 * end and stays open. */
struct cert_chain *cert_chain_load(const char *path, char *why, size_t size);
struct cert_chain *cert_chain_load_fd(int fd, const char *name, char *why, size_t size);
struct cert_chain *cert_chain_parse(struct bytes pem, const char *name, char *why, size_t size);
void cert_chain_free(struct cert_chain *);

/* All of a PEM file's certificates (a CA file). Owned by the caller: sk_X509_pop_free(s, X509_free). */
STACK_OF(X509) * cert_stack_load(const char *path, char *why, size_t size);

/* Is the certificate good for this name? "*.example.com" matches only the same wildcard. */
bool cert_matches_host(X509 *, const char *host);

#endif
