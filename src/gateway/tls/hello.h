/*
 * hello.h: reads what the ClientHello says about itself.
 */
#ifndef GATEWAY_TLS_HELLO_H
#define GATEWAY_TLS_HELLO_H

#include "base/bytes.h"

/* The host_name of a server_name extension (RFC 6066, 3), lower case. OK with len 0: no extension or no
 * host_name. BAD: malformed, a control character or a zero in it, or longer than 255. */
enum parse hello_sni(struct bytes extension, char out[static 256], uint8_t *len);
/* Is the 2-byte version in a supported_versions extension? */
bool hello_has_version(struct bytes extension, uint16_t version);
/* The identities of a pre_shared_key extension, one at a time: cursor over what hello_psks gives. */
enum parse hello_psks(struct bytes extension, struct bytes *identities);
bool hello_psk_next(struct bytes *identities, struct bytes *identity);
/* "GET /", "PATCH": what a browser's http:// would send here. */
bool hello_is_http(struct bytes first);

#endif
