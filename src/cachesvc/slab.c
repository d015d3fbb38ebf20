/*
 * slab.c: pages of 256 KiB, each cut into chunks of one class. Free chunks are kept by page, so a
 * page that runs empty can go to any other class at once. Chunks that were never used are not
 * touched: memory is taken from the kernel as it is needed.
 */
#include <assert.h>
#include <string.h>

#include "cachesvc/store_private.h"

#include "base/poison.h"

enum { SLAB_STEP_SHIFT = 3 }; /* each class is an eighth larger than the one before */

static uint32_t round_up(uint32_t size)
{
	return (size + (1u << STORE_REF_SHIFT) - 1) & ~((1u << STORE_REF_SHIFT) - 1);
}

/* Sizes grow by an eighth, and then to all that the page gives for as many chunks. */
void slab_init(struct store *s)
{
	const uint32_t max = round_up(sizeof(struct item) + STORE_KEY_MAX + STORE_VALUE_MAX);
	uint32_t size = STORE_CHUNK_MIN;

	for (s->classes_n = 0; s->classes_n < STORE_CLASSES_MAX; s->classes_n++) {
		struct class *c = &s->classes[s->classes_n];

		if (size > max)
			size = max;
		c->per_page = STORE_PAGE / size;
		c->size = STORE_PAGE / c->per_page & ~((1u << STORE_REF_SHIFT) - 1);
		if (c->size >= max) {
			s->classes_n++;
			break;
		}
		size = round_up(c->size + (c->size >> SLAB_STEP_SHIFT));
	}
	assert(s->classes[s->classes_n - 1].size >= max);
	s->classes[slab_claims(s)].size = STORE_CHUNK_CLAIM;
	s->classes[slab_claims(s)].per_page = STORE_PAGE / STORE_CHUNK_CLAIM;
}

unsigned slab_claims(const struct store *s)
{
	return s->classes_n;
}

unsigned slab_class(const struct store *s, size_t size)
{
	unsigned low = 0, high = s->classes_n;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (s->classes[mid].size < size)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct item *slab_chunk(const struct store *s, uint32_t page, uint32_t i)
{
	return (struct item *)(void *)(s->base + (size_t)page * STORE_PAGE +
				       (size_t)i * s->classes[s->pages[page].class].size);
}

static void partial_push(struct store *s, uint32_t page)
{
	struct page *p = &s->pages[page];
	struct class *c = &s->classes[p->class];

	p->state = PAGE_PARTIAL;
	p->prev = 0;
	p->next = c->partial;
	if (p->next != 0)
		s->pages[p->next - 1].prev = page + 1;
	c->partial = page + 1;
}

static void partial_remove(struct store *s, uint32_t page)
{
	struct page *p = &s->pages[page];

	if (p->prev != 0)
		s->pages[p->prev - 1].next = p->next;
	else
		s->classes[p->class].partial = p->next;
	if (p->next != 0)
		s->pages[p->next - 1].prev = p->prev;
}

static bool page_take(struct store *s, unsigned class)
{
	uint32_t page;

	if (s->free_page != 0) {
		page = s->free_page - 1;
		s->free_page = s->pages[page].next;
	} else if (s->fresh_pages < s->pages_n) {
		page = s->fresh_pages++;
	} else {
		return false;
	}
	memset(&s->pages[page], 0, sizeof(s->pages[page]));
	s->pages[page].class = (uint8_t) class;
	s->classes[class].pages++;
	s->free_pages_n--;
	s->idle += (uint64_t)s->classes[class].per_page * s->classes[class].size;
	partial_push(s, page);
	return true;
}

struct item *slab_alloc(struct store *s, unsigned class, bool new_page)
{
	struct class *c = &s->classes[class];
	struct page *p;
	uint32_t page;
	struct item *item;

	if (c->partial == 0 && (!new_page || !page_take(s, class)))
		return NULL;
	page = c->partial - 1;
	p = &s->pages[page];
	if (p->free != 0) {
		item = slab_chunk(s, page, p->free - 1u);
		p->free = item->key_len;
	} else {
		item = slab_chunk(s, page, p->fresh++);
	}
	p->used++;
	c->used++;
	s->idle -= c->size;
	if (p->used == c->per_page) {
		partial_remove(s, page);
		p->state = PAGE_FULL;
	}
	memset(item, 0, sizeof(*item));
	item->class = (uint8_t) class;
	return item;
}

void slab_page_left(struct store *s, uint32_t page)
{
	struct page *p = &s->pages[page];

	assert(p->used == 0 && p->state == PAGE_LEAVING);
	s->classes[p->class].pages--;
	s->free_pages_n++;
	s->idle -= (uint64_t)s->classes[p->class].per_page * s->classes[p->class].size;
	p->state = PAGE_FREE;
	p->next = s->free_page;
	s->free_page = page + 1;
}

void slab_free(struct store *s, struct item *item)
{
	uint32_t page = (uint32_t)((size_t)((uint8_t *)item - s->base) / STORE_PAGE);
	struct page *p = &s->pages[page];
	struct class *c = &s->classes[p->class];
	size_t at = (size_t)((uint8_t *)item - s->base) % STORE_PAGE;

	assert(item->segment != SEGMENT_FREE && item->class == p->class && p->used > 0);
	item->segment = SEGMENT_FREE;
	item->key_len = p->free;
	p->free = (uint16_t)(at / c->size + 1);
	p->used--;
	c->used--;
	s->idle += c->size;
	if (p->state == PAGE_LEAVING)
		return;
	if (p->state == PAGE_FULL)
		partial_push(s, page);
	if (p->used == 0) {
		partial_remove(s, page);
		p->state = PAGE_LEAVING;
		slab_page_left(s, page);
	}
}

bool slab_page_leaves(struct store *s, unsigned class, uint32_t *out)
{
	uint32_t best = UINT32_MAX;

	for (uint32_t i = 0; i < s->fresh_pages; i++)
		if (s->pages[i].state != PAGE_FREE && s->pages[i].class == class &&
		    (best == UINT32_MAX || s->pages[i].used < s->pages[best].used))
			best = i;
	if (best == UINT32_MAX)
		return false;
	if (s->pages[best].state == PAGE_PARTIAL)
		partial_remove(s, best);
	s->pages[best].state = PAGE_LEAVING;
	*out = best;
	return true;
}
