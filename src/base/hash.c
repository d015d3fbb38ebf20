/*
 * hash.c: SipHash-2-4 (Aumasson, Bernstein, 2012), the reference algorithm, little-endian words.
 */
#include "config.h"

#include <assert.h>
#include <endian.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"

#include "base/poison.h"

static uint64_t rotated(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void rounds(uint64_t v[static 4], unsigned n)
{
	while (n-- > 0) {
		v[0] += v[1];
		v[1] = rotated(v[1], 13) ^ v[0];
		v[0] = rotated(v[0], 32);
		v[2] += v[3];
		v[3] = rotated(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotated(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotated(v[1], 17) ^ v[2];
		v[2] = rotated(v[2], 32);
	}
}

static uint64_t rest(const uint8_t *at, size_t len)
{
	uint64_t w = 0;

	for (size_t i = 0; i < len; i++)
		w |= (uint64_t)at[i] << (8 * i);
	return w;
}

struct hash_key hash_key_random(void)
{
	struct hash_key key;
	ssize_t got = getrandom(&key, sizeof(key), 0);

	/* Up to 256 bytes come whole and uninterrupted once the pool is seeded (getrandom(2)). */
	assert(got == (ssize_t)sizeof(key));
	return key;
}

uint64_t hash_bytes(const struct hash_key *key, struct bytes b)
{
	uint64_t v[4] = {
		key->k[0] ^ UINT64_C(0x736f6d6570736575),
		key->k[1] ^ UINT64_C(0x646f72616e646f6d),
		key->k[0] ^ UINT64_C(0x6c7967656e657261),
		key->k[1] ^ UINT64_C(0x7465646279746573),
	};
	size_t whole = b.len & ~(size_t)7;
	uint64_t m;

	for (size_t i = 0; i < whole; i += 8) {
		memcpy(&m, b.at + i, 8);
		m = le64toh(m);
		v[3] ^= m;
		rounds(v, 2);
		v[0] ^= m;
	}
	m = (uint64_t)b.len << 56;
	if (b.len > whole)
		m |= rest(b.at + whole, b.len - whole);
	v[3] ^= m;
	rounds(v, 2);
	v[0] ^= m;
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
