/*
 * network.h: "10.0.0.0/8": is an address in it? v4-mapped addresses count as v4. Whoever may ask the key
 * service, and whose word about a client counts, is told so.
 */
#ifndef NET_NETWORK_H
#define NET_NETWORK_H

#include "net/endpoint.h"

struct network {
	uint8_t at[16]; /* v4 in its v4-mapped form */
	unsigned bits; /* of the 128 */
};

/* An address, or an address with a prefix length, behind which all bits are 0. 0, -1: it is neither. */
int network_parse(struct network *, const char *text);
bool network_holds(const struct network *, const struct endpoint *);
/* The 16 bytes of an address without its port; false: not of IP. */
bool network_address(const struct endpoint *, uint8_t address[static 16]);

#endif
