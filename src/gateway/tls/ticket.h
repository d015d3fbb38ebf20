/*
 * ticket.h: tickets: the keys of the epoch and the site's scope, and whether a ticket's session may be
 * resumed.
 */
#ifndef GATEWAY_TLS_TICKET_H
#define GATEWAY_TLS_TICKET_H

#include <openssl/ssl.h>

void ticket_attach(SSL_CTX *);

#endif
