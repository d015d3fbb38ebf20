/*
 * clients.c: see clients.h. A table of chains under a secret key; the quiet ones are in a list besides,
 * the longest quiet first, and are forgotten from there.
 */
#include "gateway/front/clients.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/bucket.h"
#include "base/hash.h"
#include "net/network.h"

#include "base/poison.h"

enum { CHAINS = 4096, KEY_LEN = 9, PREFIX64 = 8, V4_AT = 12 };

struct clients_one {
	uint8_t key[KEY_LEN];
	size_t open; /* connections */
	struct bucket bucket;
	uint64_t quiet_since; /* ms */
	LIST_ENTRY(clients_one) chain;
	TAILQ_ENTRY(clients_one) quiet; /* where open is 0 */
};

struct clients {
	uint64_t connections, rate;
	struct hash_key secret;
	size_t n, quiet_n;
	TAILQ_HEAD(, clients_one) quiet;
	LIST_HEAD(clients_chain, clients_one) chains[CHAINS];
};

struct clients *clients_new(uint64_t connections, uint64_t rate)
{
	struct clients *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return NULL;
	all->connections = connections;
	all->rate = rate;
	all->secret = hash_key_random();
	TAILQ_INIT(&all->quiet);
	return all;
}

static void forget(struct clients *all, struct clients_one *one)
{
	TAILQ_REMOVE(&all->quiet, one, quiet);
	LIST_REMOVE(one, chain);
	all->quiet_n--;
	all->n--;
	free(one);
}

void clients_free(struct clients *all)
{
	if (all == NULL)
		return;
	while (!TAILQ_EMPTY(&all->quiet))
		forget(all, TAILQ_FIRST(&all->quiet));
	assert(all->n == 0);
	free(all);
}

/* A mark of the family, then the address, or the half of it that is the client's own choice of none. */
static bool key_of(const struct endpoint *at, uint8_t key[static KEY_LEN])
{
	static const uint8_t mapped[V4_AT] = { [10] = 0xff, [11] = 0xff };
	uint8_t address[16];

	memset(key, 0, KEY_LEN);
	if (!network_address(at, address))
		return false;
	key[0] = memcmp(address, mapped, V4_AT) == 0 ? 4 : 6;
	if (key[0] == 4)
		memcpy(key + 1, address + V4_AT, 4);
	else
		memcpy(key + 1, address, PREFIX64);
	return true;
}

static struct clients_one *find(
    struct clients *all, const uint8_t key[static KEY_LEN], uint64_t now)
{
	struct clients_chain
	    *chain = &all->chains[hash_bytes(&all->secret, bytes_of(key, KEY_LEN)) % CHAINS];
	struct clients_one *one;

	LIST_FOREACH (one, chain, chain)
		if (memcmp(one->key, key, KEY_LEN) == 0)
			return one;
	one = calloc(1, sizeof(*one));
	if (one == NULL)
		return NULL;
	memcpy(one->key, key, KEY_LEN);
	bucket_init(&one->bucket, all->rate, 2 * all->rate, now);
	one->quiet_since = now;
	LIST_INSERT_HEAD(chain, one, chain);
	TAILQ_INSERT_TAIL(&all->quiet, one, quiet);
	all->n++;
	all->quiet_n++;
	return one;
}

/* The longest quiet first; each call takes more than one comes by. */
static void sweep(struct clients *all, uint64_t now)
{
	for (int i = 0; i < 4; i++) {
		struct clients_one *one = TAILQ_FIRST(&all->quiet);

		if (one == NULL ||
		    (now - one->quiet_since < CLIENTS_QUIET_MS && all->quiet_n < CLIENTS_QUIET_MAX))
			return;
		forget(all, one);
	}
}

enum reason clients_enter(
    struct clients *all, const struct endpoint *at, uint64_t now_ms, struct clients_one **to)
{
	uint8_t key[KEY_LEN];
	struct clients_one *one;

	*to = NULL;
	if ((all->connections == 0 && all->rate == 0) || !key_of(at, key))
		return REASON_NONE;
	sweep(all, now_ms);
	one = find(all, key, now_ms);
	if (one == NULL)
		return REASON_MEMORY;
	if (all->connections > 0 && one->open >= all->connections)
		return REASON_CLIENT_LIMIT;
	if (all->rate > 0 && !bucket_take(&one->bucket, 1, now_ms))
		return REASON_CLIENT_RATE;
	if (one->open++ == 0) {
		TAILQ_REMOVE(&all->quiet, one, quiet);
		all->quiet_n--;
	}
	*to = one;
	return REASON_NONE;
}

void clients_leave(struct clients *all, struct clients_one *one, uint64_t now_ms)
{
	if (one == NULL)
		return;
	assert(one->open > 0);
	if (--one->open > 0)
		return;
	one->quiet_since = now_ms;
	TAILQ_INSERT_TAIL(&all->quiet, one, quiet);
	all->quiet_n++;
}

size_t clients_known(const struct clients *all)
{
	return all->n;
}
