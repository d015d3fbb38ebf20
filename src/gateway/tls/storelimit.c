/*
 * storelimit.c: see storelimit.h. Sets of a few places under a secret hash: a look at one set is all that
 * a store costs, and nobody can choose whose place he takes.
 */
#include "gateway/tls/storelimit.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/hash.h"
#include "base/log.h"
#include "net/network.h"

#include "base/poison.h"

enum { WAYS = 4, SETS = STORELIMIT_NETWORKS / WAYS, PREFIX4 = 3, PREFIX6 = 7, V4_AT = 12 };

struct place {
	uint8_t network[8]; /* the family's mark, then the prefix; all 0: free */
	struct bucket bucket;
};

struct storelimit {
	uint64_t rate;
	struct hash_key secret;
	uint64_t told_ms; /* 0: never */
	uint64_t refused; /* since then */
	struct place places[SETS][WAYS];
};

struct storelimit *storelimit_new(uint64_t rate)
{
	struct storelimit *limit = calloc(1, sizeof(*limit));

	if (limit == NULL)
		return NULL;
	limit->rate = rate;
	limit->secret = hash_key_random();
	return limit;
}

void storelimit_free(struct storelimit *limit)
{
	free(limit);
}

static bool network_of(const struct endpoint *client, uint8_t network[static 8])
{
	static const uint8_t mapped[V4_AT] = { [10] = 0xff, [11] = 0xff };
	uint8_t address[16];

	memset(network, 0, 8);
	if (!network_address(client, address))
		return false;
	network[0] = memcmp(address, mapped, V4_AT) == 0 ? 4 : 6;
	if (network[0] == 4)
		memcpy(network + 1, address + V4_AT, PREFIX4);
	else
		memcpy(network + 1, address, PREFIX6);
	return true;
}

/* What is left to it. A free place has more than any. */
static uint64_t level_of(struct place *p, uint64_t now)
{
	if (p->network[0] == 0)
		return UINT64_MAX;
	(void)bucket_take(&p->bucket, 0, now);
	return p->bucket.level;
}

static struct place *find(struct storelimit *limit, const uint8_t network[static 8], uint64_t now)
{
	struct place *set = limit->places[hash_bytes(&limit->secret, bytes_of(network, 8)) % SETS],
		     *least = set;

	for (int i = 0; i < WAYS; i++)
		if (memcmp(set[i].network, network, 8) == 0)
			return &set[i];
	for (int i = 1; i < WAYS; i++)
		if (level_of(&set[i], now) > level_of(least, now))
			least = &set[i];
	memcpy(least->network, network, 8);
	bucket_init(&least->bucket, limit->rate, STORELIMIT_BURST_S * limit->rate, now);
	return least;
}

static void tell(struct storelimit *limit, const uint8_t network[static 8], uint64_t now)
{
	char text[INET6_ADDRSTRLEN] = "?";
	uint8_t address[16] = { 0 };
	bool v4 = network[0] == 4;

	if (limit->told_ms != 0 && now - limit->told_ms < STORELIMIT_TELL_MS)
		return;
	memcpy(address, network + 1, v4 ? PREFIX4 : PREFIX6);
	(void)inet_ntop(v4 ? AF_INET : AF_INET6, address, text, sizeof(text));
	log_warnx("session cache: %s/%d has more sessions stored than "
		  "session_cache.stores_per_client: %" PRIu64
		  " not stored since this was last said. If it is a "
		  "balancer, list it in trusted_proxies, or let it send PROXY headers",
	    text, v4 ? 8 * PREFIX4 : 8 * PREFIX6, limit->refused);
	limit->told_ms = now;
	limit->refused = 0;
}

bool storelimit_take(struct storelimit *limit, const struct endpoint *client, uint64_t now_ms)
{
	uint8_t network[8];

	if (!network_of(client, network) ||
	    bucket_take(&find(limit, network, now_ms)->bucket, 1, now_ms))
		return true;
	limit->refused++;
	tell(limit, network, now_ms);
	return false;
}
