/*
 * tls_services.c: the fakes of gateway/cluster/keyclient and sessioncache: see tls_bed.h.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "t/sim/tls_bed.h"

#include "base/poison.h"

struct keyclient_ask {
	struct keyclient_ask *next;
	struct keyclient *client;
	struct later later;
	enum bed_mode mode;
	uint8_t ski[20];
	uint16_t scheme; /* 0: epoch keys */
	uint8_t tbs[TBS_MAX];
	size_t tbs_len;
	char group[EPOCH_GROUP_MAX];
	keyclient_check check;
	keyclient_cb done;
	void *arg;
};

struct sessioncache_ask {
	struct sessioncache_ask *next;
	struct sessioncache *cache;
	struct later later;
	enum bed_mode mode;
	bool put, claim;
	uint8_t name[SEAL_NAME_LEN];
	uint8_t *value;
	size_t len;
	sessioncache_cb done;
	void *arg;
};

/* ---- the key service */

static struct bed_key *key_by_ski(struct tls_bed *bed, const uint8_t *ski)
{
	struct bed_key *keys[] = { &bed->rsa, &bed->ecdsa, &bed->ed25519 };
	uint8_t own[CERT_SKI_LEN];

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(key_ski(keys[i]->key, own), 0);
		if (memcmp(own, ski, sizeof(own)) == 0)
			return keys[i];
	}
	fail_msg("a key that is nobody's");
	return NULL;
}

static size_t sign(struct keyclient_ask *a, uint8_t *sig, size_t max)
{
	struct bed_key *key = key_by_ski(a->client->bed, a->ski);
	uint16_t hash = a->scheme >> 8 == 8 ? a->scheme & 0xff : a->scheme >> 8;
	const EVP_MD *md = hash == 4 ? EVP_sha256() : hash == 5 ? EVP_sha384() : EVP_sha512();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;

	/* The real service signs nothing else. */
	assert_true(tbs_ok(tbs_check(a->client->bed->kit, bytes_of(a->tbs, a->tbs_len), a->scheme,
	    key_type_of(key->key, NULL), a->client->tls12)));
	if (a->mode == BED_WRONG)
		a->tbs[a->tbs_len - 1] ^= 1;
	if (a->scheme == 0x0807)
		md = NULL;
	assert_int_equal(EVP_DigestSignInit(ctx, &pctx, md, NULL, key->key), 1);
	if (a->scheme >> 8 == 8 && md != NULL) {
		assert_true(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0);
		assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) > 0);
	}
	assert_int_equal(EVP_DigestSign(ctx, sig, &max, a->tbs, a->tbs_len), 1);
	EVP_MD_CTX_free(ctx);
	return a->mode == BED_GARBAGE ? 5 : max;
}

/* What the key service's own half makes of its generations: one current epoch and the next. */
static size_t epoch_keys(struct keyclient_ask *a, uint8_t *buf, size_t size)
{
	struct tls_bed *bed = a->client->bed;
	struct writer w = writer_of(buf, size);
	static const struct epoch_set none;

	epoch_answer_begin(&w, (uint64_t)time(NULL), &none);
	for (uint64_t e = 1000; e <= 1001 && !bed->no_epochs; e++) {
		struct epoch_record r = {
			.id = "\x12\x34gene", .kind = EPOCH_MADE, .start = 900, .e = e
		};
		uint8_t epoch_key[EPOCH_KEY_LEN] = { (uint8_t)e };

		assert_int_equal(
		    epoch_group_key(bed->kit, epoch_key, bytes_str(a->group), r.group_key), 0);
		epoch_answer_add(&w, &r, e == 1000 ? 0 : 3600, 90000);
	}
	assert_true(w.ok);
	return writer_len(&w);
}

static void unlink_key_ask(struct keyclient_ask *a)
{
	struct keyclient_ask **p = &a->client->asks;

	while (*p != a)
		p = &(*p)->next;
	*p = a->next;
	a->client->open--;
}

static void answer_keys(struct later *later)
{
	struct keyclient_ask *a = CONTAINER_OF(later, struct keyclient_ask, later);
	struct keyclient *kc = a->client;
	enum reason reason = REASON_NONE;
	uint8_t buf[1024];
	size_t len = 0;

	kc->bed->laters--;
	if (a->mode == BED_FAILS)
		reason = REASON_SERVICE_DEADLINE;
	else
		len = a->scheme != 0 ? sign(a, buf, sizeof(buf)) : epoch_keys(a, buf, sizeof(buf));
	if (reason == REASON_NONE && a->check != NULL &&
	    !a->check(a->arg, bytes_of(buf, len), kc->answers)) {
		kc->rejected_n++;
		reason = REASON_SERVICE_PROTOCOL;
	}
	if (reason == REASON_NONE && a->scheme != 0) {
		kc->signed_n++;
		kc->answers++;
	}
	unlink_key_ask(a);
	a->done(a->arg, reason, bytes_of(buf, reason == REASON_NONE ? len : 0));
	free(a);
}

static struct keyclient_ask *ask_keys(struct keyclient *kc, keyclient_cb done, void *arg)
{
	struct keyclient_ask *a = calloc(1, sizeof(*a));

	assert_non_null(a);
	a->client = kc;
	a->mode = kc->mode;
	a->done = done;
	a->arg = arg;
	a->next = kc->asks;
	kc->asks = a;
	kc->open++;
	return a;
}

static struct keyclient_ask *queue_keys(struct keyclient_ask *a)
{
	if (a->mode == BED_HOLD)
		return a;
	a->client->bed->laters++;
	loop_later(a->client->bed->worker.loop, &a->later, answer_keys);
	return a;
}

struct keyclient_ask *keyclient_sign(struct keyclient *kc, const struct keyclient_key *key,
    uint16_t scheme, struct bytes tbs, keyclient_check check, keyclient_cb done, void *arg,
    enum reason *why)
{
	struct keyclient_ask *a;

	kc->scheme = scheme;
	*why = REASON_SERVICE_BREAKER;
	if (kc->mode == BED_REFUSES)
		return NULL;
	a = ask_keys(kc, done, arg);
	memcpy(a->ski, key->ski, sizeof(a->ski));
	a->scheme = scheme;
	a->check = check;
	assert_true(tbs.len <= sizeof(a->tbs));
	memcpy(a->tbs, tbs.at, tbs.len);
	a->tbs_len = tbs.len;
	return queue_keys(a);
}

struct keyclient_ask *keyclient_epoch_ids(
    struct keyclient *kc, uint64_t avoid, keyclient_cb done, void *arg, enum reason *why)
{
	(void)kc, (void)avoid, (void)done, (void)arg;
	*why = REASON_KEY_SERVICE;
	return NULL;
}

unsigned keyclient_slot(const struct keyclient *kc)
{
	(void)kc;
	return 0;
}

struct keyclient_ask *keyclient_epoch_keys(struct keyclient *kc, struct bytes group, uint64_t avoid,
    keyclient_cb done, void *arg, enum reason *why)
{
	struct keyclient_ask *a = ask_keys(kc, done, arg);

	(void)why, (void)avoid;
	a->mode = BED_GOOD;
	memcpy(a->group, group.at, group.len);
	return queue_keys(a);
}

void keyclient_cancel(struct keyclient_ask *a)
{
	if (loop_later_is_queued(&a->later)) {
		a->client->bed->laters--;
		loop_later_cancel(&a->later);
	}
	unlink_key_ask(a);
	free(a);
}

size_t keyclient_servers_n(const struct keyclient *kc)
{
	(void)kc;
	return 1;
}

/* ---- the cache */

static struct bed_entry *entry_by_name(struct sessioncache *sc, const uint8_t *name)
{
	for (size_t i = 0; i < sc->entries_n; i++) {
		if (memcmp(sc->entries[i].name, name, SEAL_NAME_LEN) == 0)
			return &sc->entries[i];
	}
	return NULL;
}

static void unlink_cache_ask(struct sessioncache_ask *a)
{
	struct sessioncache_ask **p = &a->cache->asks;

	while (*p != a)
		p = &(*p)->next;
	*p = a->next;
	a->cache->open--;
}

static enum sessioncache_result serve(struct sessioncache_ask *a, struct bytes *value)
{
	struct sessioncache *sc = a->cache;
	struct bed_entry *e = entry_by_name(sc, a->name);

	if (a->put) {
		if (e == NULL) {
			assert_true(sc->entries_n < BED_ENTRIES);
			e = &sc->entries[sc->entries_n++];
			memcpy(e->name, a->name, sizeof(e->name));
		}
		free(e->value);
		e->value = a->value;
		e->len = a->len;
		a->value = NULL;
		return SESSIONCACHE_OK;
	}
	if (e == NULL)
		return SESSIONCACHE_MISS;
	if (a->claim) {
		bool was = e->claimed;

		e->claimed = true;
		return was ? SESSIONCACHE_MISS : SESSIONCACHE_OK;
	}
	if (a->mode == BED_WRONG)
		e->value[e->len / 2] ^= 1;
	*value = bytes_of(e->value, a->mode == BED_GARBAGE ? 3 : e->len);
	return SESSIONCACHE_OK;
}

static void answer_cache(struct later *later)
{
	struct sessioncache_ask *a = CONTAINER_OF(later, struct sessioncache_ask, later);
	struct sessioncache *sc = a->cache;
	struct bytes value = { 0 };
	enum sessioncache_result result = SESSIONCACHE_DOWN;

	sc->bed->laters--;
	if (a->mode != BED_FAILS)
		result = serve(a, &value);
	unlink_cache_ask(a);
	if (!a->done(a->arg, result, value))
		sc->blamed++;
	free(a->value);
	free(a);
}

static struct sessioncache_ask *ask_cache(
    struct sessioncache *sc, const uint8_t *name, bool put, sessioncache_cb done, void *arg)
{
	struct sessioncache_ask *a = calloc(1, sizeof(*a));

	assert_non_null(a);
	a->cache = sc;
	a->mode = sc->mode;
	a->put = put;
	memcpy(a->name, name, sizeof(a->name));
	a->done = done;
	a->arg = arg;
	a->next = sc->asks;
	sc->asks = a;
	sc->open++;
	if (a->mode != BED_HOLD) {
		sc->bed->laters++;
		loop_later(sc->bed->worker.loop, &a->later, answer_cache);
	}
	return a;
}

struct sessioncache_ask *sessioncache_get(struct sessioncache *sc,
    const uint8_t name[static SEAL_NAME_LEN], sessioncache_cb done, void *arg)
{
	sc->lookups++;
	return sc->mode == BED_REFUSES ? NULL : ask_cache(sc, name, false, done, arg);
}

struct sessioncache_ask *sessioncache_put(struct sessioncache *sc,
    const uint8_t name[static SEAL_NAME_LEN], struct bytes sealed, uint32_t ttl_s,
    sessioncache_cb done, void *arg)
{
	struct sessioncache_ask *a;

	sc->puts++;
	assert_true(ttl_s > 0);
	if (sc->mode == BED_REFUSES)
		return NULL;
	a = ask_cache(sc, name, true, done, arg);
	a->value = malloc(sealed.len);
	assert_non_null(a->value);
	memcpy(a->value, sealed.at, sealed.len);
	a->len = sealed.len;
	return a;
}

void sessioncache_repair(const struct sessioncache_ask *a, struct bytes sealed, uint32_t ttl_s)
{
	(void)a;
	(void)sealed;
	assert_true(ttl_s > 0);
	((struct sessioncache *)a->cache)->repairs++;
}

uint64_t sessioncache_holder(
    const struct sessioncache *sc, const uint8_t name[static SEAL_NAME_LEN])
{
	(void)name;
	return sc->holder;
}

struct sessioncache_ask *sessioncache_claim(
    const struct sessioncache_ask *found, uint64_t ttl_ms, sessioncache_cb done, void *arg)
{
	struct sessioncache *sc = found->cache;
	enum bed_mode mode = sc->mode;
	struct sessioncache_ask *a;

	sc->claims++;
	sc->claim_ms = ttl_ms;
	if (sc->claim_mode == BED_REFUSES)
		return NULL;
	sc->mode = sc->claim_mode;
	a = ask_cache(sc, found->name, false, done, arg);
	a->claim = true;
	sc->mode = mode;
	return a;
}

void sessioncache_cancel(struct sessioncache_ask *a)
{
	if (loop_later_is_queued(&a->later)) {
		a->cache->bed->laters--;
		loop_later_cancel(&a->later);
	}
	unlink_cache_ask(a);
	free(a->value);
	free(a);
}

/* ---- both */

void bed_release(struct tls_bed *bed)
{
	struct loop *loop = bed->worker.loop;

	bed->keys.mode = bed->cache.mode = BED_GOOD;
	for (struct keyclient_ask *a = bed->keys.asks; a != NULL; a = a->next) {
		if (a->mode != BED_HOLD)
			continue;
		a->mode = BED_GOOD;
		bed->laters++;
		loop_later(loop, &a->later, answer_keys);
	}
	for (struct sessioncache_ask *a = bed->cache.asks; a != NULL; a = a->next) {
		if (a->mode != BED_HOLD)
			continue;
		a->mode = BED_GOOD;
		bed->laters++;
		loop_later(loop, &a->later, answer_cache);
	}
}

void services_init(struct tls_bed *bed)
{
	bed->keys.bed = bed->cache.bed = bed;
	bed->worker.keys = &bed->keys;
	bed->worker.sessions = &bed->cache;
	bed->cache.holder = 1;
}

void services_clear(struct tls_bed *bed)
{
	for (size_t i = 0; i < bed->cache.entries_n; i++)
		free(bed->cache.entries[i].value);
}
