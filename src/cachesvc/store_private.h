/*
 * store_private.h: what the files of store share. store.c: the index and the calls; slab.c: pages,
 * classes and chunks; evict.c: who goes when there is no room.
 *
 * A ref is a chunk's place in the mapping in units of 16 bytes; 0 is none (the struct lies there).
 */
#ifndef CACHESVC_STORE_PRIVATE_H
#define CACHESVC_STORE_PRIVATE_H

#include "base/hash.h"
#include "base/wheel.h"
#include "cachesvc/store.h"

enum {
	STORE_PAGE = 256 * 1024,
	STORE_REF_SHIFT = 4,
	STORE_CLASSES_MAX = 64,
	STORE_CHUNK_MIN = 96,
	STORE_CHUNK_CLAIM = 64 + STORE_CLAIM_MAX,
	STORE_CLAIMS_SHARE = 10, /* of the pages, at the most: one in so many, and one at least */
	STORE_PROTECTED_TENTHS = 8, /* of a class's chunks */
};

enum segment { SEGMENT_FREE, SEGMENT_PROBATION, SEGMENT_PROTECTED, SEGMENTS_N };

/* One entry, at the start of its chunk. 64 bytes, then the key, then the value. */
struct item {
	struct wheel_entry expiry; /* its tick is a second, rounded up; not set: no end */
	uint32_t next, prev; /* refs, in its segment's list */
	uint32_t hash;
	uint32_t stored_s,
	    used_s; /* when stored; when last stored or read (SEGMENT_FREE: unused) */
	uint32_t value_len;
	uint16_t key_len; /* SEGMENT_FREE: the next free chunk of the page, plus one */
	uint16_t early_ms; /* how much before its tick it ends */
	uint8_t class, segment;
	uint8_t bytes[];
};

struct item_list {
	uint32_t first, last; /* refs; the newest is first */
	uint32_t n;
};

struct page {
	uint32_t next, prev; /* page numbers plus one: partial pages of a class; free pages */
	uint16_t used, fresh; /* chunks that hold entries; chunks that were ever used */
	uint16_t free; /* first free chunk among fresh, plus one */
	uint8_t class;
	uint8_t state; /* enum page_state */
};

enum page_state { PAGE_FREE, PAGE_FULL, PAGE_PARTIAL, PAGE_LEAVING };

struct class {
	uint32_t size, per_page;
	uint32_t pages, used; /* chunks in use */
	uint32_t partial; /* page number plus one */
	uint32_t evictions; /* since a page was last looked for elsewhere */
	struct item_list lists[SEGMENTS_N];
};

struct slot {
	uint32_t hash, ref; /* ref 0: empty */
};

struct store {
	uint64_t max_memory;
	uint64_t now_ms;
	struct hash_key key;
	struct slot *index;
	uint32_t index_mask;
	uint32_t entries, entries_max;
	struct page *pages;
	uint8_t *base; /* of page 0 */
	uint32_t pages_n, free_page; /* page number plus one */
	uint32_t fresh_pages; /* never used yet: from here on */
	uint32_t free_pages_n; /* both kinds */
	uint64_t idle; /* bytes of chunks that are free in pages that are not */
	uint32_t classes_n; /* those that evict; the class of claims follows them */
	struct class classes[STORE_CLASSES_MAX + 1];
	uint32_t claim_pages_max;
	struct store_stats stats;
	struct wheel wheel;
};

struct item *store_item(const struct store *, uint32_t ref);
uint32_t store_ref(const struct store *, const struct item *);
uint32_t store_now_s(const struct store *);

/* store.c */
void item_drop(struct store *, struct item *); /* out of index, list, wheel and chunk */
void index_replace(struct store *, const struct item *from, const struct item *to);
void list_push(struct store *, struct item *, enum segment); /* sets item->segment */
void list_remove(struct store *, struct item *);

/* slab.c */
void slab_init(struct store *);
unsigned slab_class(const struct store *, size_t size); /* classes_n: too large */
struct item *slab_alloc(struct store *, unsigned class, bool new_page); /* NULL: no room */
void slab_free(struct store *, struct item *);
bool slab_page_leaves(
    struct store *, unsigned class, uint32_t *page); /* picks the emptiest; it takes no more */
void slab_page_left(struct store *, uint32_t page); /* it is empty: any class may have it */
struct item *slab_chunk(const struct store *, uint32_t page, uint32_t i);

unsigned slab_claims(const struct store *); /* the class of claims */

/* evict.c */
struct item *evict_for(struct store *, unsigned class); /* a chunk of that class, always */
void evict_one(struct store *, struct item *);
struct item *evict_victim(
    const struct store *, unsigned class); /* NULL: it is empty, or of claims */
struct item *evict_victim_any(const struct store *); /* the oldest of all classes; NULL: none */

#endif
