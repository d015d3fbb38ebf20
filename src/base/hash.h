/*
 * hash.h: SipHash-2-4, for tables whose keys come from strangers.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/bytes.h"

struct hash_key {
	uint64_t k[2];
};

struct hash_key hash_key_random(void);
uint64_t hash_bytes(const struct hash_key *, struct bytes);

#endif
