/*
 * sticky.c: the names of servers in cookies. A name is a keyed hash of the server's address, so all
 * gateways know it without keeping anything, and no order or address can be read from it. With a
 * sticky_secret it cannot be guessed either; whoever guesses one gets a server of the pool, as anyone does.
 */
#include "config.h"

#include <string.h>

#include "base/hash.h"
#include "gateway/gateway_conf.h"
#include "gateway/origin/server.h"
#include "gateway/worker.h"

#include "base/poison.h"

/* Two keys in a row: what they are made of may be short, and of any form. */
void sticky_key(struct pool *pool)
{
	const char *parts[] = { pool->conf->name, pool->conf->sticky_cookie,
		pool->conf->sticky_secret };
	struct hash_key key = { { 0x73736c67772d7374ULL, 0x69636b79 } };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct bytes part = bytes_str(parts[i] != NULL ? parts[i] : "");
		uint64_t first = hash_bytes(&key, part);

		key.k[0] ^= first;
		key.k[1] ^= hash_bytes(&key, part);
	}
	pool->sticky_key = key;
}

uint64_t sticky_of(const struct pool *pool, const char *address)
{
	return hash_bytes(&pool->sticky_key, bytes_str(address));
}

void pool_sticky_id(const struct pool *pool, unsigned server, char id[static POOL_STICKY_LEN])
{
	uint64_t n = pool->servers[server].sticky;

	for (int i = POOL_STICKY_LEN - 1; i >= 0; i--, n >>= 4)
		id[i] = "0123456789abcdef"[n & 15];
}

unsigned pool_sticky_find(const struct pool *pool, struct bytes id)
{
	uint64_t n = 0;

	if (id.len != POOL_STICKY_LEN)
		return 0;
	for (size_t i = 0; i < id.len; i++) {
		const char *digits = "0123456789abcdef", *at = strchr(digits, id.at[i]);

		if (at == NULL || *at == '\0')
			return 0;
		n = n << 4 | (uint64_t)(at - digits);
	}
	for (size_t i = 0; i < pool->servers_n; i++)
		if (pool->servers[i].sticky == n)
			return (unsigned)i + 1;
	return 0;
}

bool pool_server_well(const struct pool *pool, unsigned server)
{
	return server_well(&pool->servers[server], loop_now_ms(pool->pools->worker->loop));
}
