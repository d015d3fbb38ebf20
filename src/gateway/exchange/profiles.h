/*
 * profiles.h: header profiles besides forwarded and mod_ssl, which headers.c writes: rfc7239
 * (Forwarded), rfc9440 (Client-Cert, Client-Cert-Chain), iis (X-ARR-SSL, X-ARR-ClientCert, Front-End-Https,
 * MS-ASPNETCORE-CLIENTCERT), xfcc (X-Forwarded-Client-Cert, as Envoy writes it) and via (RFC 9110, section 7.6.3).
 */
#ifndef GATEWAY_EXCHANGE_PROFILES_H
#define GATEWAY_EXCHANGE_PROFILES_H

#include "gateway/exchange/headers.h"

void profiles_write(struct writer *, const struct headers_facts *); /* those of the site */
size_t profiles_bound(const struct headers_facts *);

#endif
