/*
 * proxied.h: the addresses that a proxy gives before a connection's first byte (the PROXY protocol),
 * read from a descriptor that nobody else reads yet, and written for back-ends that want them. Not a
 * byte behind the header is taken: TLS or HTTP begins there.
 */
#ifndef NET_PROXIED_H
#define NET_PROXIED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/reason.h"
#include "net/endpoint.h"
#include "net/loop.h"

enum { PROXIED_HEADER_MAX = 128 }; /* of those that proxied_write() makes */

struct proxied;

/* What version 2 may say beside the addresses; borrowed, any bytes, empty: not said. */
struct proxied_tlvs {
	struct bytes alpn, authority, unique_id;
	bool tls; /* the client spoke TLS with the proxy; then: */
	struct bytes tls_version, cipher, common_name; /* the last is its certificate's */
	bool certificate, verified; /* it had one; it was good */
};

struct proxied_addresses {
	bool local; /* the proxy speaks for itself, or knows no address: the socket's own count */
	struct endpoint from, to;
	bool has_tlvs;
	struct proxied_tlvs tlvs;
};

/* Of an accepted descriptor, which stays the caller's. told() comes once, in a later turn, and the struct is
 * gone after it, and not to be cancelled in it: REASON_NONE with addresses (borrowed); REASON_PROXY_HEADER; REASON_CLOSE: the other side left
 * without a word. It has no deadline of its own. NULL: no memory. */
struct proxied *proxied_read(struct loop *, int fd,
    void (*told)(void *arg, enum reason, const struct proxied_addresses *), void *arg);
void proxied_cancel(struct proxied *); /* told() will not come; NULL is fine */

/* A header of version 1 or 2; of a client that has no address (a Unix socket) it says so. Its length. */
size_t proxied_write(int version, const struct endpoint *from, const struct endpoint *to,
    uint8_t out[static PROXIED_HEADER_MAX]);

#endif
