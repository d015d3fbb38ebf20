/*
 * keystore.c: an array sorted by SKI. Called by control and keysvc.
 */
#include "keysvc/keystore.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keysvc/keyop.h"

#include "base/poison.h"

enum { SLOW_RSA_BITS = 3072 }; /* from here on a signature costs as much as five of RSA-2048 */

struct keystore {
	struct key **at;
	size_t n, cap;
	bool sealed;
};

struct key *key_new(EVP_PKEY *pkey, const char *name, char *why, size_t size)
{
	struct key *key = calloc(1, sizeof(*key));

	if (key == NULL) {
		EVP_PKEY_free(pkey);
		snprintf(why, size, "out of memory");
		return NULL;
	}
	key->refs = 1;
	key->pkey = pkey;
	key->type = key_type_of(pkey, &key->bits);
	key->slow = key->type == KEY_RSA && key->bits > SLOW_RSA_BITS;
	if (key->type == KEY_NONE) {
		snprintf(why, size, "%s", key_type_refusal(pkey));
		key_unref(key);
		return NULL;
	}
	if ((key->name = strdup(name)) == NULL || key_ski(pkey, key->ski) == -1 ||
	    key_spki_sha256(pkey, key->spki_sha256) == -1) {
		snprintf(why, size, "out of memory, or the key has no public half");
		key_unref(key);
		return NULL;
	}
	return key;
}

struct key *key_ref(struct key *key)
{
	key->refs++;
	return key;
}

void key_unref(struct key *key)
{
	if (key == NULL)
		return;
	assert(key->refs > 0);
	if (--key->refs > 0)
		return;
	for (int i = 0; i < KEY_SLOTS; i++)
		keyop_prepared_free(key->prepared[i]);
	EVP_PKEY_free(key->pkey);
	free(key->name);
	free(key);
}

struct keystore *keystore_new(void)
{
	return calloc(1, sizeof(struct keystore));
}

int keystore_add(struct keystore *store, struct key *key)
{
	struct key **grown;
	size_t cap;

	assert(!store->sealed);
	for (size_t i = 0; i < store->n; i++) {
		if (memcmp(store->at[i]->ski, key->ski, CERT_SKI_LEN) == 0) {
			key_unref(key);
			return 1;
		}
	}
	if (store->n == store->cap) {
		cap = store->cap == 0 ? 16 : store->cap * 2;
		grown = store->n < KEYSTORE_MAX ? reallocarray(store->at, cap, sizeof(struct key *))
						: NULL;
		if (grown == NULL) {
			key_unref(key);
			return -1;
		}
		store->at = grown;
		store->cap = cap;
	}
	store->at[store->n++] = key;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct key *const *x = a, *const *y = b;

	return memcmp((*x)->ski, (*y)->ski, CERT_SKI_LEN);
}

void keystore_seal(struct keystore *store)
{
	if (store->n > 0)
		qsort(store->at, store->n, sizeof(struct key *), compare);
	store->sealed = true;
}

struct key *keystore_find(const struct keystore *store, const uint8_t ski[static CERT_SKI_LEN])
{
	size_t from = 0, to = store->n;

	assert(store->sealed);
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		int c = memcmp(store->at[mid]->ski, ski, CERT_SKI_LEN);

		if (c == 0)
			return store->at[mid];
		if (c < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return NULL;
}

size_t keystore_n(const struct keystore *store)
{
	return store->n;
}

struct key *keystore_at(const struct keystore *store, size_t i)
{
	assert(i < store->n);
	return store->at[i];
}

void keystore_free(struct keystore *store)
{
	if (store == NULL)
		return;
	for (size_t i = 0; i < store->n; i++)
		key_unref(store->at[i]);
	free(store->at);
	free(store);
}
