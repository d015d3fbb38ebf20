/*
 * evict.c: who goes when there is no room. Within a class: the oldest on probation, then the oldest
 * protected. Between classes: now and then a class that evicts asks whether another one holds
 * entries that were left alone for much longer, or chunks that lie idle; then a page of that one is
 * emptied and moves. What is protected there is copied to other chunks of its class, not lost.
 * Claims are no victims, and their class gives nothing away; up to its bound it takes from any.
 */
#include <assert.h>
#include <string.h>

#include "cachesvc/store_private.h"

#include "base/poison.h"

enum { EVICT_AGE_MARGIN_SHIFT = 2 }; /* "much longer": by a quarter, and a second */

struct item *evict_victim(const struct store *s, unsigned class)
{
	const struct class *c = &s->classes[class];

	if (class == slab_claims(s))
		return NULL;
	if (c->lists[SEGMENT_PROBATION].last != 0)
		return store_item(s, c->lists[SEGMENT_PROBATION].last);
	if (c->lists[SEGMENT_PROTECTED].last != 0)
		return store_item(s, c->lists[SEGMENT_PROTECTED].last);
	return NULL;
}

/* Oldest on probation in any class; if all is protected, oldest of that. */
struct item *evict_victim_any(const struct store *s)
{
	struct item *best = NULL;

	for (unsigned i = 0; i < s->classes_n; i++) {
		struct item *item = evict_victim(s, i);

		if (item == NULL)
			continue;
		if (best == NULL || item->segment < best->segment ||
		    (item->segment == best->segment && item->used_s < best->used_s))
			best = item;
	}
	return best;
}

void evict_one(struct store *s, struct item *item)
{
	uint32_t age = store_now_s(s) - item->stored_s;

	s->stats.evicted++;
	s->stats.evicted_read += item->segment == SEGMENT_PROTECTED;
	s->stats.evicted_age_s += age;
	s->stats.evicted_age_last_s = age;
	s->classes[item->class].evictions++;
	item_drop(s, item);
}

/* To another chunk of its class; all that points to it follows. */
static void relocate(struct store *s, struct item *from, struct item *to)
{
	bool ends = wheel_is_set(&from->expiry);
	uint64_t when = from->expiry.when;
	struct item_list *list = &s->classes[from->class].lists[from->segment];
	uint32_t ref = store_ref(s, to);

	wheel_clear(&s->wheel, &from->expiry);
	memcpy(to, from, sizeof(*from) + from->key_len + from->value_len);
	memset(&to->expiry, 0, sizeof(to->expiry));
	if (ends)
		wheel_set(&s->wheel, &to->expiry, when);
	if (to->next != 0)
		store_item(s, to->next)->prev = ref;
	else
		list->last = ref;
	if (to->prev != 0)
		store_item(s, to->prev)->next = ref;
	else
		list->first = ref;
	index_replace(s, from, to);
}

/* Empties a page of that class and gives it away. */
static void move_page(struct store *s, unsigned class)
{
	uint32_t page;

	if (!slab_page_leaves(s, class, &page))
		return;
	for (uint32_t i = 0; i < s->pages[page].fresh; i++) {
		struct item *item = slab_chunk(s, page, i), *to;

		/* Each round evicts one of the class, in the end this one itself. */
		while (item->segment != SEGMENT_FREE) {
			to = slab_alloc(s, class, false);
			if (to == NULL) {
				evict_one(s, evict_victim(s, class));
				continue;
			}
			relocate(s, item, to);
			slab_free(s, item);
		}
	}
	slab_page_left(s, page);
	s->stats.pages_moved++;
}

/* May it lose a page and still hold all that is protected within its share? */
static bool can_give(const struct class *c)
{
	uint64_t chunks = (uint64_t)(c->pages - 1) * c->per_page;

	return (uint64_t)c->lists[SEGMENT_PROTECTED].n * 10 <= chunks * STORE_PROTECTED_TENTHS;
}

/* A class whose free chunks come to a page: that costs nobody anything. */
static unsigned donor_idle(const struct store *s)
{
	unsigned i = 0;

	if (s->idle < STORE_PAGE)
		return s->classes_n;
	while (
	    i < s->classes_n && s->classes[i].pages * s->classes[i].per_page - s->classes[i].used <
				    s->classes[i].per_page)
		i++;
	return i;
}

/* The class whose unread entries are by far the oldest; classes_n: none is. A class that has only
 * protected ones to evict takes from any. */
static unsigned donor_older(const struct store *s, unsigned class)
{
	const struct item *own = evict_victim(s, class);
	uint32_t now = store_now_s(s), best_age = 0;
	bool any = own == NULL || own->segment == SEGMENT_PROTECTED;
	unsigned best = s->classes_n;

	if (!any)
		best_age = now - own->used_s;
	best_age += best_age >> EVICT_AGE_MARGIN_SHIFT;
	for (unsigned i = 0; i < s->classes_n; i++) {
		const struct class *c = &s->classes[i];
		const struct item *item = evict_victim(s, i);

		if (i == class || item == NULL || item->segment == SEGMENT_PROTECTED ||
		    !can_give(c))
			continue;
		if (now - item->used_s > best_age || (any && best == s->classes_n)) {
			best_age = now - item->used_s;
			best = i;
		}
	}
	return best;
}

/* A class without an entry has to have a page from somewhere: from the largest. */
static unsigned donor_forced(const struct store *s, unsigned class)
{
	unsigned best = s->classes_n;

	for (unsigned i = 0; i < s->classes_n; i++)
		if (i != class && s->classes[i].pages > 0 &&
		    (best == s->classes_n || s->classes[i].pages > s->classes[best].pages))
			best = i;
	return best;
}

static unsigned donor_for(struct store *s, unsigned class)
{
	struct class *c = &s->classes[class];
	unsigned donor = donor_idle(s);
	bool claims = class == slab_claims(s);
	bool unread = c->lists[SEGMENT_PROBATION].n > 0 && !claims;

	if (donor != s->classes_n || (unread && c->evictions < c->per_page))
		return donor;
	c->evictions = 0;
	donor = donor_older(s, class);
	return donor == s->classes_n && (c->used == 0 || claims) ? donor_forced(s, class) : donor;
}

struct item *evict_for(struct store *s, unsigned class)
{
	unsigned donor = donor_for(s, class);
	struct item *item;

	if (donor != s->classes_n)
		move_page(s, donor);
	else
		evict_one(s, evict_victim(s, class));
	item = slab_alloc(s, class, true);
	assert(item != NULL);
	return item;
}
