/*
 * store.c: the index and the calls. The index is open addressing with linear probing under a keyed
 * hash, since names come from strangers; what is deleted leaves no mark, its neighbours move up.
 * Invariants: an entry lies in the index, in the list of its segment and, if it ends, in the wheel,
 * or its chunk is free.
 */
#include "cachesvc/store.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "cachesvc/store_private.h"

#include "base/poison.h"

enum {
	/* One slot for so many bytes: entries are seldom smaller, and where they are the index's
	 * bound evicts as the memory's does. */
	STORE_BYTES_A_SLOT = 96,
};

_Static_assert(sizeof(struct item) == 64, "the header of an entry has grown");

struct item *store_item(const struct store *s, uint32_t ref)
{
	return (struct item *)(void *)((uint8_t *)(uintptr_t)s + ((size_t)ref << STORE_REF_SHIFT));
}

uint32_t store_ref(const struct store *s, const struct item *item)
{
	return (uint32_t)((size_t)((const uint8_t *)item - (const uint8_t *)s) >> STORE_REF_SHIFT);
}

/* Ages fit 32 bits of seconds. */
uint32_t store_now_s(const struct store *s)
{
	return (uint32_t)(s->now_ms / 1000);
}

/* ---- lists */

void list_push(struct store *s, struct item *item, enum segment segment)
{
	struct item_list *list = &s->classes[item->class].lists[segment];
	uint32_t ref = store_ref(s, item);

	item->segment = (uint8_t)segment;
	item->prev = 0;
	item->next = list->first;
	if (list->first != 0)
		store_item(s, list->first)->prev = ref;
	else
		list->last = ref;
	list->first = ref;
	list->n++;
}

void list_remove(struct store *s, struct item *item)
{
	struct item_list *list = &s->classes[item->class].lists[item->segment];

	if (item->next != 0)
		store_item(s, item->next)->prev = item->prev;
	else
		list->last = item->prev;
	if (item->prev != 0)
		store_item(s, item->prev)->next = item->next;
	else
		list->first = item->next;
	list->n--;
}

/* ---- index */

static bool item_is(const struct item *item, struct bytes key)
{
	return item->key_len == key.len && memcmp(item->bytes, key.at, key.len) == 0;
}

static struct item *index_find(const struct store *s, uint32_t hash, struct bytes key)
{
	for (uint32_t at = hash & s->index_mask; s->index[at].ref != 0;
	     at = (at + 1) & s->index_mask) {
		struct item *item;

		if (s->index[at].hash != hash)
			continue;
		item = store_item(s, s->index[at].ref);
		if (item_is(item, key))
			return item;
	}
	return NULL;
}

static uint32_t index_place(const struct store *s, const struct item *item)
{
	uint32_t ref = store_ref(s, item), at = item->hash & s->index_mask;

	while (s->index[at].ref != ref) {
		assert(s->index[at].ref != 0);
		at = (at + 1) & s->index_mask;
	}
	return at;
}

static void index_insert(struct store *s, const struct item *item)
{
	uint32_t at = item->hash & s->index_mask;

	while (s->index[at].ref != 0)
		at = (at + 1) & s->index_mask;
	s->index[at] = (struct slot){ item->hash, store_ref(s, item) };
	s->entries++;
}

/* Those behind it that would no longer be found move up into the gap. */
static void index_remove(struct store *s, const struct item *item)
{
	uint32_t mask = s->index_mask, gap = index_place(s, item), at = gap;

	for (;;) {
		uint32_t home;

		at = (at + 1) & mask;
		if (s->index[at].ref == 0)
			break;
		home = s->index[at].hash & mask;
		if (((at - home) & mask) < ((at - gap) & mask))
			continue;
		s->index[gap] = s->index[at];
		gap = at;
	}
	s->index[gap].ref = 0;
	s->entries--;
}

void index_replace(struct store *s, const struct item *from, const struct item *to)
{
	s->index[index_place(s, from)].ref = store_ref(s, to);
}

/* ---- entries */

void item_drop(struct store *s, struct item *item)
{
	index_remove(s, item);
	list_remove(s, item);
	wheel_clear(&s->wheel, &item->expiry);
	slab_free(s, item);
}

static uint64_t item_end_ms(const struct item *item)
{
	return item->expiry.when * 1000 - item->early_ms;
}

static void item_passed(struct wheel_entry *entry, void *arg)
{
	struct store *s = arg;

	s->stats.expired++;
	item_drop(s, (struct item *)(void *)entry); /* its first member */
}

void store_tick(struct store *s, uint64_t now_ms)
{
	if (now_ms > s->now_ms)
		s->now_ms = now_ms;
	if (s->now_ms / 1000 > s->wheel.now)
		wheel_advance(&s->wheel, s->now_ms / 1000, item_passed, s);
}

static void item_set_end(struct store *s, struct item *item, uint64_t ttl_ms)
{
	uint64_t end = s->now_ms + ttl_ms, tick = (end + 999) / 1000;

	if (ttl_ms == 0) {
		wheel_clear(&s->wheel, &item->expiry);
		return;
	}
	item->early_ms = (uint16_t)(tick * 1000 - end);
	wheel_set(&s->wheel, &item->expiry, tick);
}

/* The entry, if it has not ended; one that has goes. */
static struct item *find(struct store *s, uint32_t hash, struct bytes key, uint64_t now_ms)
{
	struct item *item;

	store_tick(s, now_ms);
	if (key.len > STORE_KEY_MAX)
		return NULL;
	item = index_find(s, hash, key);
	if (item == NULL || !wheel_is_set(&item->expiry) || item_end_ms(item) > s->now_ms)
		return item;
	s->stats.expired++;
	item_drop(s, item);
	return NULL;
}

static uint32_t hash_of(const struct store *s, struct bytes key)
{
	return (uint32_t)hash_bytes(&s->key, key);
}

/* A read: to the front of the protected. Where those are more than their share, the oldest of them
 * has to prove itself again. Twice within a second is once: the order is not that fine. */
static void item_read(struct store *s, struct item *item)
{
	struct class *c = &s->classes[item->class];
	uint32_t now = store_now_s(s);

	if (item->segment == SEGMENT_PROTECTED && item->used_s == now)
		return;
	item->used_s = now;
	list_remove(s, item);
	list_push(s, item, SEGMENT_PROTECTED);
	if ((uint64_t)c->lists[SEGMENT_PROTECTED].n * 10 >
	    (uint64_t)(c->pages + s->free_pages_n) * c->per_page * STORE_PROTECTED_TENTHS) {
		struct item *oldest = store_item(s, c->lists[SEGMENT_PROTECTED].last);

		list_remove(s, oldest);
		list_push(s, oldest, SEGMENT_PROBATION);
	}
}

bool store_get(struct store *s, struct bytes key, uint64_t now_ms, struct bytes *value)
{
	struct item *item = find(s, hash_of(s, key), key, now_ms);

	if (item == NULL) {
		s->stats.misses++;
		return false;
	}
	s->stats.hits++;
	if (item->class != slab_claims(s))
		item_read(s, item);
	*value = bytes_of(item->bytes + item->key_len, item->value_len);
	return true;
}

bool store_is_claim(struct bytes key)
{
	return key.len >= sizeof(STORE_CLAIM_PREFIX) - 1 &&
	       memcmp(key.at, STORE_CLAIM_PREFIX, sizeof(STORE_CLAIM_PREFIX) - 1) == 0;
}

static struct item *item_new(struct store *s, unsigned class)
{
	struct item *item;

	while (s->entries >= s->entries_max)
		evict_one(s, evict_victim_any(s));
	item = slab_alloc(s, class, true);
	return item != NULL ? item : evict_for(s, class);
}

static void item_fill(struct store *s, struct item *item, struct bytes value, uint64_t ttl_ms)
{
	item->stored_s = item->used_s = store_now_s(s);
	item->value_len = (uint32_t)value.len;
	if (value.len > 0)
		memcpy(item->bytes + item->key_len, value.at, value.len);
	item_set_end(s, item, ttl_ms);
}

static void item_enter(struct store *s, struct item *item, uint32_t hash, struct bytes key,
    struct bytes value, uint64_t ttl_ms)
{
	item->hash = hash;
	item->key_len = (uint16_t)key.len;
	if (key.len > 0)
		memcpy(item->bytes, key.at, key.len);
	item_fill(s, item, value, ttl_ms);
	index_insert(s, item);
	list_push(s, item, SEGMENT_PROBATION);
}

static enum store_result claim_set(
    struct store *s, uint32_t hash, struct bytes key, struct bytes value, uint64_t ttl_ms)
{
	const struct class *c = &s->classes[slab_claims(s)];

	if (key.len + value.len > STORE_CLAIM_MAX)
		return STORE_TOO_LARGE;
	if (ttl_ms == 0)
		return STORE_CLAIM;
	if (c->partial == 0 && c->pages >= s->claim_pages_max) {
		s->stats.claims_refused++;
		return STORE_FULL;
	}
	s->stats.stored++;
	item_enter(s, item_new(s, slab_claims(s)), hash, key, value, ttl_ms);
	return STORE_OK;
}

enum store_result store_set(struct store *s, struct bytes key, struct bytes value, uint64_t ttl_ms,
    bool only_new, uint64_t now_ms)
{
	uint32_t hash = hash_of(s, key);
	struct item *item = find(s, hash, key, now_ms);
	enum segment segment = SEGMENT_PROBATION;
	unsigned class;

	if (key.len > STORE_KEY_MAX || value.len > STORE_VALUE_MAX)
		return STORE_TOO_LARGE;
	if (store_is_claim(key) && !only_new)
		return STORE_CLAIM;
	if (item != NULL && only_new)
		return STORE_EXISTS;
	if (ttl_ms > STORE_TTL_MAX_MS)
		ttl_ms = STORE_TTL_MAX_MS;
	if (store_is_claim(key))
		return claim_set(s, hash, key, value, ttl_ms);
	class = slab_class(s, sizeof(*item) + key.len + value.len);
	s->stats.stored++;
	if (item != NULL && item->class == class) {
		list_remove(s, item);
		list_push(s, item, item->segment);
		item_fill(s, item, value, ttl_ms);
		return STORE_OK;
	}
	if (item != NULL) { /* it keeps what it has earned by being read */
		segment = item->segment;
		item_drop(s, item);
	}
	item = item_new(s, class);
	item_enter(s, item, hash, key, value, ttl_ms);
	if (segment == SEGMENT_PROTECTED)
		item_read(s, item);
	return STORE_OK;
}

bool store_del(struct store *s, struct bytes key, uint64_t now_ms)
{
	struct item *item = find(s, hash_of(s, key), key, now_ms);

	if (item == NULL || item->class == slab_claims(s))
		return false;
	s->stats.deleted++;
	item_drop(s, item);
	return true;
}

bool store_has(struct store *s, struct bytes key, uint64_t now_ms)
{
	return find(s, hash_of(s, key), key, now_ms) != NULL;
}

int64_t store_ttl(struct store *s, struct bytes key, uint64_t now_ms)
{
	struct item *item = find(s, hash_of(s, key), key, now_ms);

	if (item == NULL)
		return -2;
	return wheel_is_set(&item->expiry) ? (int64_t)(item_end_ms(item) - s->now_ms) : -1;
}

bool store_expire(struct store *s, struct bytes key, uint64_t ttl_ms, uint64_t now_ms)
{
	struct item *item = find(s, hash_of(s, key), key, now_ms);

	if (item == NULL || item->class == slab_claims(s))
		return false;
	if (ttl_ms == 0) {
		s->stats.deleted++;
		item_drop(s, item);
	} else {
		item_set_end(s, item, ttl_ms < STORE_TTL_MAX_MS ? ttl_ms : STORE_TTL_MAX_MS);
	}
	return true;
}

/* ---- life */

static size_t round_up(size_t size, size_t to)
{
	return (size + to - 1) / to * to;
}

/* The mapping's parts: struct | index | page table | pages. Returns whether there is room. */
static bool lay_out(struct store *s, uint64_t max_memory)
{
	uint64_t slots = 1;
	size_t at = round_up(sizeof(*s), 64);

	while (slots * 2 <= max_memory / STORE_BYTES_A_SLOT)
		slots *= 2;
	s->index = (struct slot *)(void *)((uint8_t *)s + at);
	s->index_mask = (uint32_t)(slots - 1);
	s->entries_max = (uint32_t)(slots - slots / 8);
	at += slots * sizeof(struct slot);
	s->pages = (struct page *)(void *)((uint8_t *)s + at);
	s->pages_n = (uint32_t)((max_memory - at) / (STORE_PAGE + sizeof(struct page)));
	at += round_up(s->pages_n * sizeof(struct page), 64);
	if (s->pages_n > 0 && at + (uint64_t)s->pages_n * STORE_PAGE > max_memory)
		s->pages_n--;
	s->base = (uint8_t *)s + at;
	s->stats.index_memory = at;
	return s->pages_n > 0;
}

struct store *store_new(uint64_t max_memory, uint64_t now_ms)
{
	struct store *s;

	assert(max_memory >= STORE_MEMORY_MIN && max_memory <= STORE_MEMORY_MAX);
	s = mmap(NULL, max_memory, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s == MAP_FAILED)
		return NULL;
	/* Sealed or not, other people's sessions belong in no core file. */
	(void)madvise(s, max_memory, MADV_DONTDUMP);
	/* Entries lie anywhere in it: with small pages the page walks cost more than the work. */
	(void)madvise(s, max_memory, MADV_HUGEPAGE);
	s->max_memory = max_memory;
	s->now_ms = now_ms;
	s->key = hash_key_random();
	if (!lay_out(s, max_memory)) {
		munmap(s, max_memory);
		return NULL;
	}
	s->free_pages_n = s->pages_n;
	s->claim_pages_max = s->pages_n > STORE_CLAIMS_SHARE ? s->pages_n / STORE_CLAIMS_SHARE : 1;
	slab_init(s);
	wheel_init(&s->wheel, now_ms / 1000);
	return s;
}

void store_free(struct store *s)
{
	if (s != NULL)
		munmap(s, s->max_memory);
}

void store_flush(struct store *s)
{
	const struct item_list *claims = &s->classes[slab_claims(s)].lists[SEGMENT_PROBATION];
	struct item *item;

	while ((item = evict_victim_any(s)) != NULL || claims->last != 0) {
		if (item == NULL)
			item = store_item(s, claims->last);
		s->stats.deleted++;
		item_drop(s, item);
	}
}

void store_stats(const struct store *s, struct store_stats *out)
{
	const struct class *claims = &s->classes[slab_claims(s)];

	*out = s->stats;
	out->max_memory = s->max_memory;
	out->used_memory = s->stats.index_memory;
	out->entries = s->entries;
	out->claims = claims->used;
	out->claims_max = (uint64_t)s->claim_pages_max * claims->per_page;
	out->claims_memory = (uint64_t)claims->pages * STORE_PAGE;
	out->used_memory += (uint64_t)claims->used * claims->size;
	for (unsigned i = 0; i < s->classes_n; i++) {
		out->used_memory += (uint64_t)s->classes[i].used * s->classes[i].size;
		out->protected_entries += s->classes[i].lists[SEGMENT_PROTECTED].n;
	}
}
