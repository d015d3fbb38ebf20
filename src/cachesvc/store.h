/*
 * store.h: names and values for a time, in a bounded piece of memory. One mapping of max_memory bytes
 * holds all there is: this struct, the index, and pages cut into chunks of one size class each. Pure
 * but for the mapping: time is passed in, in ms, and never goes back.
 *
 * Nothing is refused for want of room: what has expired goes first, then, by segmented LRU, what was
 * read least recently. An entry starts on probation; its first read moves it to the protected
 * segment, which may hold 80 % of a class's chunks. So a flood of entries that nobody reads pushes
 * out only entries that nobody has read. Pages move between classes towards those whose entries die
 * youngest, and never at the cost of protected entries.
 *
 * Expiry is exact: from its ms on an entry is not found, and within the next second it is gone.
 *
 * Claims are the exception: who asks whether a name "claim:..." is new must be able to rely on the
 * answer until its end. They have a class of their own, a tenth of the memory, are stored once, with an
 * end, and then neither change nor leave before it. Where they are full, new ones are refused.
 */
#ifndef CACHESVC_STORE_H
#define CACHESVC_STORE_H

#include "base/bytes.h"

enum {
	STORE_KEY_MAX = 512,
	STORE_VALUE_MAX = 64 * 1024,
	STORE_CLAIM_MAX = 128, /* bytes of a claim's name and value */
};
#define STORE_CLAIM_PREFIX "claim:"
#define STORE_MEMORY_MIN (UINT64_C(1) << 20)
#define STORE_MEMORY_MAX (UINT64_C(64) << 30)
#define STORE_TTL_MAX_MS (UINT64_C(3650) * 86400 * 1000)

enum store_result {
	STORE_OK,
	STORE_EXISTS,
	STORE_TOO_LARGE,
	STORE_FULL, /* claims only */
	STORE_CLAIM /* a claim that is not new or has no end: not done */
};

struct store_stats {
	uint64_t max_memory; /* bytes, of the whole mapping */
	uint64_t index_memory; /* of these, the index */
	uint64_t used_memory; /* index, and chunks that hold entries */
	uint64_t entries;
	uint64_t protected_entries;
	uint64_t hits, misses; /* of store_get() */
	uint64_t stored;
	uint64_t expired, evicted, deleted;
	uint64_t evicted_read; /* of evicted, those that were protected */
	uint64_t evicted_age_s; /* sum over evicted: seconds since they were stored */
	uint64_t evicted_age_last_s; /* of the newest one */
	uint64_t pages_moved; /* between classes */
	uint64_t claims, claims_max; /* now; as many as fit */
	uint64_t claims_memory; /* bytes of pages */
	uint64_t claims_refused; /* for want of room */
};

struct store;

struct store *store_new(uint64_t max_memory, uint64_t now_ms); /* NULL: errno */
void store_free(struct store *);

/* value is borrowed until the next call. False: not there. */
bool store_get(struct store *, struct bytes key, uint64_t now_ms, struct bytes *value);
/* Copies both. ttl_ms 0: until evicted. only_new: EXISTS if it is there. Claims: new ones that end. */
enum store_result store_set(struct store *, struct bytes key, struct bytes value, uint64_t ttl_ms,
    bool only_new, uint64_t now_ms);
bool store_del(struct store *, struct bytes key, uint64_t now_ms); /* a claim stays: false */
bool store_has(struct store *, struct bytes key, uint64_t now_ms); /* no read */
int64_t store_ttl(
    struct store *, struct bytes key, uint64_t now_ms); /* ms; -1: no end; -2: not there */
bool store_expire(struct store *, struct bytes key, uint64_t ttl_ms,
    uint64_t now_ms); /* anew; 0: now; no claim */
bool store_is_claim(struct bytes key); /* by its name */
void store_tick(
    struct store *, uint64_t now_ms); /* lets go of what has expired; the others do it too */
void store_flush(struct store *); /* claims too */
void store_stats(const struct store *, struct store_stats *);

#endif
