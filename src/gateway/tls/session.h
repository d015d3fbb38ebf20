/*
 * session.h: sessions that lie in the cache service, sealed for one scope: looked up by id before
 * libssl needs them, stored before the client can come back. And how any session will be kept.
 */
#ifndef GATEWAY_TLS_SESSION_H
#define GATEWAY_TLS_SESSION_H

#include "gateway/tls/tls_private.h"

void session_attach(SSL_CTX *); /* sets libssl's hooks; each finds the site through the handshake */

/* In the hello, the site and version being known: decides how this handshake's session will be kept. */
void session_choose(struct handshake *, bool ticket_extension, bool extended_master);
/* id: the TLS 1.2 session id or the first PSK identity. true: asked, and the handshake must wait. */
bool session_prefetch(struct handshake *, struct bytes id);

void session_count(struct handshake *); /* done: hits and misses */
/* The id for the back-end, of TLS 1.2 sessions by id only; its length. */
size_t session_public_id(const struct handshake *, uint8_t id[static SESSION_ID_LEN]);
void session_clear(struct handshake *);

#endif
