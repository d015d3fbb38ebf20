/*
 * remotekey.h: an EVP_PKEY whose private half is a question to the key service: a built-in provider
 * of libcrypto. The signing handshake is paused on its fibre until the answer has come. How many may
 * wait is bounded; above that they fail at once (shed).
 */
#ifndef GATEWAY_TLS_REMOTEKEY_H
#define GATEWAY_TLS_REMOTEKEY_H

#include "crypto/cert.h"

struct worker;

int remotekey_start(void); /* loads the provider, once a process. 0 or -1 */
/* The public half is the certificate's; the key is asked for by its SKI. NULL: no memory. */
EVP_PKEY *remotekey_new(struct worker *, const struct cert_chain *);

#endif
