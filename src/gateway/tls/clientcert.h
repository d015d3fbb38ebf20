/*
 * clientcert.h: a client's certificate: its text for the headers, made once, and its verification,
 * at a handshake by libssl and again at each resumption.
 */
#ifndef GATEWAY_TLS_CLIENTCERT_H
#define GATEWAY_TLS_CLIENTCERT_H

#include "gateway/tls/tls_private.h"

/* Fills c's cert and verify. -1: no memory. */
int clientcert_take(struct handshake *, struct client *c);
/* Verifies with the site's present CAs, CRLs, depth and purpose. DER, one after the other. */
bool clientcert_verify_again(const struct sitectx *, X509 *leaf, struct bytes intermediates);
/* For optional_no_ca: errors that mean "not known", not "wrong". */
bool clientcert_is_unknown(int verify_error);
/* Of SSL_CTX_set_verify: takes unknown ones where the site does. */
int clientcert_verify_cb(int ok, X509_STORE_CTX *);

#endif
