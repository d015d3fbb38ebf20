/*
 * pki.h: a cluster's certificates, made in a folder of the test's own: two CAs and whoever the test
 * wants signed by them.
 */
#ifndef PKI_H
#define PKI_H

#include <openssl/x509.h>

#include "net/tlsctx.h"

struct pki {
	char dir[64];
	EVP_PKEY *key, *other_key;
	X509 *ca, *other_ca; /* ca.pem, other.pem */
};

void pki_init(struct pki *);
void pki_clear(struct pki *); /* and the folder */
const char *pki_path(const struct pki *, const char *name, char buf[static 128]);
/* NAME.pem: certificate and key. alt: "DNS:gw1,URI:sslgw:gateway", NULL: none. life_s may be negative.
 * spki (may be NULL) gets its digest. */
void pki_issue(struct pki *, const char *name, const char *cn, const char *alt, long life_s,
    uint8_t spki[TLSCTX_SPKI_LEN]);
void pki_issue_other(struct pki *, const char *name, const char *cn, const char *alt, long life_s,
    uint8_t spki[TLSCTX_SPKI_LEN]); /* by the other CA */
void pki_write(const struct pki *, const char *name, const char *text);
/* A file of trusted CAs: the one, the other or both. */
void pki_trust(const struct pki *, const char *name, bool ca, bool other);
/* Denies these, in the file "deny" (NULL: nobody). */
void pki_deny(const struct pki *, const uint8_t spki[TLSCTX_SPKI_LEN]);
/* With NAME.pem and the deny file, if there is one. Must succeed. */
struct tlsctx *pki_ctx(const struct pki *, bool server, const char *name, unsigned roles);
void pki_params(const struct pki *, struct tlsctx_params *, char bufs[4][128], bool server,
    const char *name, unsigned roles);

#endif
