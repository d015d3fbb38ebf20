/*
 * proxyproto.h: the header that a proxy puts before a connection's bytes to say who its client is: the
 * PROXY protocol, versions 1 (a line of text) and 2 (binary), by HAProxy's proxy-protocol.txt. Pure.
 * Whoever reads one has to know beforehand that one comes, and from whom: it can say anything.
 */
#ifndef WIRE_PROXYPROTO_H
#define WIRE_PROXYPROTO_H

#include <netinet/in.h>

#include "base/bytes.h"
#include "base/reason.h"

enum {
	PROXYPROTO_V1_MAX = 107, /* with CR and LF */
	PROXYPROTO_V2_HEAD = 16,
	PROXYPROTO_MAX = 4096, /* of ours, in both directions; the protocol allows 64 KiB of TLVs */
};

struct proxyproto {
	uint8_t version; /* 1, 2 */
	bool
	    local; /* a check by the proxy itself, or UNKNOWN, or a family we do not speak: no addresses */
	int family; /* AF_INET, AF_INET6 */
	struct in6_addr from, to; /* AF_INET: the first 4 bytes */
	uint16_t from_port, to_port;
	struct bytes alpn, authority, unique_id; /* TLVs; slices of the input, empty: not there */
	bool tls; /* PP2_TYPE_SSL with PP2_CLIENT_SSL set; then: */
	struct bytes tls_version, cipher, common_name; /* what it holds; slices, too */
	bool certificate, verified; /* the client had one; the proxy found it good */
};

/* OK: *used bytes are the header. BAD: it is none, or a broken one. MORE never after PROXYPROTO_MAX bytes. */
enum parse proxyproto_parse(struct bytes in, struct proxyproto *, size_t *used);

/* A header for the other side; 0: it does not fit. Version 1 has no TLVs. Version 2 ends with a CRC32C. */
size_t proxyproto_build(const struct proxyproto *, uint8_t *out, size_t size);

uint32_t proxyproto_crc32c(uint32_t crc, struct bytes); /* begin with 0 */

#endif
