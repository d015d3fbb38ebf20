/*
 * sitectx.h: one site's TLS settings: its SSL_CTX, and what has to be set on each SSL besides, since
 * SSL_set_SSL_CTX copies the certificates and little else.
 */
#ifndef GATEWAY_TLS_SITECTX_H
#define GATEWAY_TLS_SITECTX_H

#include "gateway/tls/tls_private.h"

int sitectx_init(
    struct sitectx *, struct sitectxs *, const struct site *); /* -1: said in the log */
void sitectx_clear(struct sitectx *);
/* Moves an SSL of the default site here, with all that is per SSL. 0: libssl failed. */
int sitectx_switch(const struct sitectx *, SSL *);
void sitectx_forget_keys(struct sitectx *);

#endif
