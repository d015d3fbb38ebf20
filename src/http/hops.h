/*
 * hops.h: the elements of a Forwarded field (RFC 7239): one for each proxy that a request came through,
 * the first one's first. Pure. Whether a word of it is true, the caller has to know.
 */
#ifndef HTTP_HOPS_H
#define HTTP_HOPS_H

#include "base/bytes.h"

/* Slices of the input, without their quotes; empty: not said, or written with a backslash, which no
 * address, host or scheme needs. */
struct hop {
	struct bytes node; /* for=: 192.0.2.7, 192.0.2.7:4711, [2001:db8::7], unknown, _secret */
	struct bytes host, proto;
};

/* Takes the next element off *list. MORE: there is none. BAD: it breaks the grammar, or says something twice, so
 * where elements end is not certain. */
enum parse hops_next(struct bytes *list, struct hop *);

#endif
