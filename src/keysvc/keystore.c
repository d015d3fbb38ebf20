/*
 * keystore.c: an array sorted by SKI. Called by control and keysvc.
 */
#include "keysvc/keystore.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keysvc/chain.h"
#include "keysvc/keyop.h"

#include "base/poison.h"

enum { SLOW_RSA_BITS = 3072 }; /* from here on a signature costs as much as five of RSA-2048 */

/* An RSA key's place in the set, by its modulus. */
struct modulus {
	uint8_t digest[32];
	size_t place;
};

struct keystore {
	struct key **at; /* by SKI, once sealed */
	struct modulus *moduli; /* of RSA keys, filled by the seal; as much room as at */
	size_t n, cap, moduli_n;
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
	    key_spki_sha256(pkey, key->spki_sha256) == -1 ||
	    (key->type == KEY_RSA && key_modulus_sha256(pkey, key->modulus_sha256) == -1)) {
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
	chain_free(key->chain);
	free(key->name);
	free(key);
}

struct keystore *keystore_new(void)
{
	return calloc(1, sizeof(struct keystore));
}

static int grow(struct keystore *store)
{
	size_t cap = store->cap == 0 ? 16 : store->cap * 2;
	struct key **at;
	struct modulus *moduli;

	if (store->n >= KEYSTORE_MAX ||
	    (at = reallocarray(store->at, cap, sizeof(struct key *))) == NULL)
		return -1;
	store->at = at;
	if ((moduli = reallocarray(store->moduli, cap, sizeof(struct modulus))) == NULL)
		return -1;
	store->moduli = moduli;
	store->cap = cap;
	return 0;
}

struct key *keystore_unsealed_find(
    const struct keystore *store, const uint8_t ski[static CERT_SKI_LEN])
{
	for (size_t i = 0; i < store->n; i++) {
		if (memcmp(store->at[i]->ski, ski, CERT_SKI_LEN) == 0)
			return store->at[i];
	}
	return NULL;
}

static int append(struct keystore *store, struct key *key)
{
	if (store->n == store->cap && grow(store) == -1) {
		key_unref(key);
		return -1;
	}
	store->at[store->n++] = key;
	return 0;
}

int keystore_add(struct keystore *store, struct key *key)
{
	assert(!store->sealed);
	if (keystore_unsealed_find(store, key->ski) != NULL) {
		key_unref(key);
		return 1;
	}
	key->leaving = false;
	key->gone_ms = 0;
	return append(store, key);
}

static int compare(const void *a, const void *b)
{
	const struct key *const *x = a, *const *y = b;

	return memcmp((*x)->ski, (*y)->ski, CERT_SKI_LEN);
}

static int compare_moduli(const void *a, const void *b)
{
	const struct modulus *x = a, *y = b;

	return memcmp(x->digest, y->digest, sizeof(x->digest));
}

void keystore_seal(struct keystore *store)
{
	assert(!store->sealed);
	if (store->n > 0)
		qsort(store->at, store->n, sizeof(struct key *), compare);
	for (size_t i = 0; i < store->n; i++) {
		if (store->at[i]->type != KEY_RSA)
			continue;
		memcpy(store->moduli[store->moduli_n].digest, store->at[i]->modulus_sha256, 32);
		store->moduli[store->moduli_n++].place = i;
	}
	if (store->moduli_n > 0)
		qsort(store->moduli, store->moduli_n, sizeof(struct modulus), compare_moduli);
	store->sealed = true;
}

static void seal_again(struct keystore *store)
{
	store->sealed = false;
	store->moduli_n = 0;
	keystore_seal(store);
}

int keystore_keep(struct keystore *store, const struct keystore *former)
{
	struct key **missing = calloc(former->n + 1, sizeof(struct key *));
	size_t n = 0;
	int rc = 0;

	if (missing == NULL)
		return -1;
	for (size_t i = 0; i < former->n; i++)
		if (keystore_find(store, former->at[i]->ski) == NULL)
			missing[n++] = former->at[i];
	for (size_t i = 0; i < n && rc == 0; i++) {
		missing[i]->leaving = true;
		rc = append(store, key_ref(missing[i]));
	}
	free(missing);
	seal_again(store);
	return rc;
}

void keystore_leave(struct keystore *store, uint64_t gone_ms)
{
	for (size_t i = 0; i < store->n; i++)
		if (store->at[i]->leaving && store->at[i]->gone_ms == 0)
			store->at[i]->gone_ms = gone_ms;
}

uint64_t keystore_forget(struct keystore *store, uint64_t now_ms)
{
	uint64_t next = 0;
	size_t kept = 0;

	for (size_t i = 0; i < store->n; i++) {
		struct key *key = store->at[i];

		if (key->leaving && key->gone_ms != 0 && key->gone_ms <= now_ms) {
			key_unref(key);
			continue;
		}
		if (key->leaving && key->gone_ms != 0 && (next == 0 || key->gone_ms < next))
			next = key->gone_ms;
		store->at[kept++] = key;
	}
	store->n = kept;
	seal_again(store);
	return next;
}

ssize_t keystore_index(const struct keystore *store, const uint8_t ski[static CERT_SKI_LEN])
{
	size_t from = 0, to = store->n;

	assert(store->sealed);
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		int c = memcmp(store->at[mid]->ski, ski, CERT_SKI_LEN);

		if (c == 0)
			return (ssize_t)mid;
		if (c < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return -1;
}

ssize_t keystore_index_of_modulus(const struct keystore *store, const uint8_t digest[static 32])
{
	struct modulus wanted = { .place = 0 }, *found;

	assert(store->sealed);
	memcpy(wanted.digest, digest, sizeof(wanted.digest));
	if (store->moduli_n == 0)
		return -1;
	found = bsearch(
	    &wanted, store->moduli, store->moduli_n, sizeof(struct modulus), compare_moduli);
	return found == NULL ? -1 : (ssize_t)found->place;
}

struct key *keystore_find(const struct keystore *store, const uint8_t ski[static CERT_SKI_LEN])
{
	ssize_t i = keystore_index(store, ski);

	return i == -1 ? NULL : store->at[i];
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
	free(store->moduli);
	free(store);
}
