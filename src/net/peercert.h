/*
 * peercert.h: whom a certificate names, by the rules of tlsctx.h. Nothing of it is trusted until the
 * chain has been verified.
 */
#ifndef NET_PEERCERT_H
#define NET_PEERCERT_H

#include <openssl/x509.h>

#include "net/tlsctx.h"

/* 0; -1: it names nobody, *why says what is wrong (static text). foreign: neither role nor name is
 * needed (role ROLE_NONE, name perhaps ""). */
int peercert_read(X509 *, bool foreign, struct tlsctx_peer *, const char **why);
const char *role_name(unsigned role); /* "gateway", ...; "none" */

#endif
