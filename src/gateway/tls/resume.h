/*
 * resume.h: whether a session may be resumed, from a ticket or from the cache alike, and the facts
 * that travel inside it for that: when its client was first authenticated, the name it was made for,
 * the client's intermediates.
 *
 *   appdata = u8 1 | u64 first authentication, unix seconds; 0: never resume | u8 length | SNI
 *           | u16 length | intermediates DER, one after the other (none in the cache: sealed beside)
 */
#ifndef GATEWAY_TLS_RESUME_H
#define GATEWAY_TLS_RESUME_H

#include "gateway/tls/tls_private.h"

enum {
	RESUME_LIFETIME_MAX_S = 7 * 86400, /* RFC 8446, 4.6.1 */
	RESUME_SKEW_S = 300, /* another gateway's clock may be ahead */
	RESUME_APPDATA_MAX = 1 + 8 + 1 + 255 + 2 + SEAL_INTERMEDIATES_MAX,
};

struct appdata {
	uint64_t first_auth;
	struct bytes sni, intermediates; /* borrowed */
};

bool resume_appdata(SSL_SESSION *, struct appdata *); /* false: none of ours */
/* Writes it, and the seconds that are left, into a session that is about to be kept. -1: it cannot be. */
int resume_set_appdata(struct handshake *, SSL_SESSION *, bool with_intermediates);

/* May this session be resumed here and now? A client's certificate is verified anew. */
bool resume_acceptable(
    struct handshake *, SSL_SESSION *, uint64_t first_auth, struct bytes intermediates);
bool resume_same_id(const SSL_SESSION *, const uint8_t id[static SESSION_ID_LEN]);
/* Takes what the session brings along. -1: no memory. */
int resume_inherit(struct handshake *, uint64_t first_auth, struct bytes intermediates);

uint64_t resume_first_auth(
    const struct handshake *); /* of this handshake's session, resumed or not */
uint64_t resume_left(const struct handshake *); /* seconds that it may still be resumed */

#endif
