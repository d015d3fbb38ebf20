/*
 * keycheck.c: see keycheck.h. One server after the other says which keys it has, page by page; each
 * page of a server is asked of that same one. A foreign server has no such list: it is asked for a
 * signature with each key, one after the other, of what a handshake would have signed.
 */
#include "gateway/keycheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "crypto/cert.h"
#include "crypto/scheme.h"
#include "gateway/cluster/keyclient.h"
#include "wire/keyless.h"

#include "base/poison.h"

/* How a key server names the TLS 1.2 mode of a key: wire/keyless.h. */
enum { TLS12_SENTINEL, TLS12_ANY, TLS12_OFF };

struct wanted {
	uint8_t ski[CERT_SKI_LEN]; /* first: see by_ski() */
	const char *path; /* conf's */
	const struct site_conf *site;
	bool found;
	uint8_t tls12; /* where found */
	struct cert_chain *chain; /* of foreign servers' keys; owned */
};

enum { TRIAL_SPACES = 64, TRIAL_MAX = 130 };

struct keycheck {
	struct loop *loop;
	struct keyclient *keys;
	bool foreign;
	uint8_t trial
	    [TRIAL_MAX]; /* what foreign servers sign: a TLS 1.3 server's, of a random transcript */
	struct wanted *at; /* by SKI */
	size_t n;
	struct keyclient_ask *ask;
	struct deadline again;
	uint64_t heard; /* slots that have said all */
	unsigned slot; /* whose pages are being read, */
	uint32_t first; /* from this key on */
	unsigned wrong;
	void (*done)(void *arg, unsigned wrong);
	void *arg;
};

static void ask_again(struct deadline *);

/* ---- what is wanted */

static int by_ski(const void *a, const void *b)
{
	return memcmp(
	    ((const struct wanted *)a)->ski, ((const struct wanted *)b)->ski, CERT_SKI_LEN);
}

static void want(struct keycheck *c, const struct site_conf *site, const char *path)
{
	char why[256];
	struct cert_chain *chain = cert_chain_load(path, why, sizeof why);

	if (chain == NULL) /* said where it is used */
		return;
	c->at[c->n] = (struct wanted){ .path = path, .site = site };
	memcpy(c->at[c->n].ski, chain->ski, CERT_SKI_LEN);
	if (c->foreign)
		c->at[c->n].chain = chain;
	else
		cert_chain_free(chain);
	c->n++;
}

static int want_all(struct keycheck *c, const struct gateway_conf *conf)
{
	size_t n = 0;

	for (size_t i = 0; i < conf->sites.n; i++)
		n += conf->sites.at[i].certificates.n;
	if (c->foreign && n > KEYCHECK_TRIED_MAX) {
		log_info("of %zu certificates, the keys of the first %d are tried", n,
		    KEYCHECK_TRIED_MAX);
		n = KEYCHECK_TRIED_MAX;
	}
	c->at = calloc(n + 1, sizeof *c->at);
	if (c->at == NULL)
		return -1;
	for (size_t i = 0; i < conf->sites.n; i++) {
		const struct site_conf *site = &conf->sites.at[i];

		for (size_t k = 0; k < site->certificates.n && c->n < n; k++)
			want(c, site, site->certificates.at[k]);
	}
	qsort(c->at, c->n, sizeof *c->at, by_ski);
	return 0;
}

/* ---- what is said of it */

static bool without_tls13(const struct site_conf *site)
{
	return site->max_version == TLS_VERSION_1_2;
}

static bool without_tls12(const struct site_conf *site)
{
	return site->min_version == TLS_VERSION_1_3 ||
	       (site->tls_profile == TLS_PROFILE_MODERN &&
		   site->min_version == TLS_VERSION_DEFAULT);
}

/* true: something was wrong. */
static bool say(const struct wanted *w, const char *server)
{
	char ski[2 * CERT_SKI_LEN + 1];

	hex_write(ski, w->ski, CERT_SKI_LEN);
	if (w->chain != NULL && !w->found)
		log_warnx("site %s: the key server %s does not sign for this gateway with the key "
			  "of %s (SKI %s): give it that key; its log may say more",
		    w->site->name, server, w->path, ski);
	else if (w->chain != NULL)
		return false;
	else if (!w->found)
		log_warnx("site %s: the key server %s has no key for %s (SKI %s) that this gateway "
			  "may use: put it there, or into keys of its callers",
		    w->site->name, server, w->path, ski);
	else if (without_tls13(w->site) && w->tls12 != TLS12_ANY)
		log_warnx("site %s has no TLS 1.3, and the key server %s signs with the key of %s "
			  "for TLS 1.2 only beside it: name the key's file in tls12_any of "
			  "keysvc.conf",
		    w->site->name, server, w->path);
	else if (!without_tls12(w->site) && w->tls12 == TLS12_OFF)
		log_warnx("site %s: the key server %s does not sign with the key of %s for TLS "
			  "1.2: set tls12 in keysvc.conf, or min_version = \"1.3\"; at the site",
		    w->site->name, server, w->path);
	else
		return false;
	return true;
}

static void say_all(struct keycheck *c)
{
	const struct endpoint *at = keyclient_server(c->keys, c->slot);
	char server[ENDPOINT_TEXT_MAX] = "?";
	unsigned wrong = 0;

	if (at != NULL)
		endpoint_text(at, server, sizeof server);
	for (size_t i = 0; i < c->n; i++) {
		if (wrong < KEYCHECK_SAID_MAX)
			wrong += say(&c->at[i], server);
		else
			wrong += !c->at[i].found;
	}
	if (wrong > KEYCHECK_SAID_MAX)
		log_warnx(
		    "key server %s: and %u more like that", server, wrong - KEYCHECK_SAID_MAX);
	c->wrong += wrong;
}

/* ---- asking */

static void mark(struct keycheck *c, const uint8_t *key)
{
	struct wanted like = { .found = false }, *w;

	memcpy(like.ski, key, CERT_SKI_LEN);
	w = bsearch(&like, c->at, c->n, sizeof *c->at, by_ski);
	if (w == NULL)
		return;
	while (w > c->at && by_ski(w - 1, &like) == 0)
		w--;
	for (; w < c->at + c->n && by_ski(w, &like) == 0; w++) {
		w->found = true;
		w->tls12 = key[KEYLESS_KEY_LEN - 1];
	}
}

/* 1: another page is due, 0: that was all, -1: it makes no sense. */
static int take_page(struct keycheck *c, struct bytes page)
{
	struct cursor in = cursor_of(page);
	uint32_t total = cursor_u32(&in);
	struct bytes keys = cursor_take(&in, cursor_left(&in));
	size_t n = keys.len / KEYLESS_KEY_LEN;

	if (!in.ok || keys.len % KEYLESS_KEY_LEN != 0 || n > total - c->first || c->first > total)
		return -1;
	for (size_t i = 0; i < n; i++)
		mark(c, keys.at + i * KEYLESS_KEY_LEN);
	c->first += (uint32_t)n;
	return n > 0 && c->first < total;
}

static void begin_server(struct keycheck *c)
{
	c->first = 0;
	for (size_t i = 0; i < c->n; i++)
		c->at[i].found = false;
}

static unsigned heard_n(const struct keycheck *c)
{
	return (unsigned)__builtin_popcountll(c->heard);
}

static bool all_heard(const struct keycheck *c)
{
	size_t n = keyclient_servers_n(c->keys);

	return heard_n(c) >= (n < KEYCLIENT_CONNECTIONS ? n : KEYCLIENT_CONNECTIONS);
}

static void over(struct keycheck *c)
{
	void (*done)(void *arg, unsigned wrong) = c->done;

	c->done = NULL;
	if (done != NULL)
		done(c->arg, c->wrong);
}

/* The server has said all; the next one, or the end. */
static void server_over(struct keycheck *c)
{
	say_all(c);
	c->heard |= UINT64_C(1) << c->slot;
	begin_server(c);
	if (all_heard(c))
		over(c);
	else
		deadline_set(c->loop, &c->again, 0, ask_again);
}

/* The one that was being asked is out. */
static void server_lost(struct keycheck *c)
{
	begin_server(c);
	if (c->heard != 0)
		over(c);
	else
		deadline_set(c->loop, &c->again, KEYCHECK_AGAIN_MS, ask_again);
}

/* Is this answer one of the server that is being asked? If not, all is settled here. */
static bool is_turn(struct keycheck *c)
{
	unsigned slot = keyclient_slot(c->keys);

	if (c->first > 0 && slot != c->slot) {
		server_lost(c);
		return false;
	}
	if (c->first == 0 && (c->heard & UINT64_C(1) << slot) != 0) { /* the others are out */
		over(c);
		return false;
	}
	c->slot = slot;
	return true;
}

static void answered(void *arg, enum reason reason, struct bytes page)
{
	struct keycheck *c = arg;
	int more;

	c->ask = NULL;
	if (reason == REASON_KEY_REFUSED) {
		log_warnx("the key service does not tell this gateway which keys it may use: its "
			  "callers must allow \"keys\"; certificates are not checked");
		over(c);
		return;
	}
	if (reason != REASON_NONE) {
		server_lost(c);
		return;
	}
	if (!is_turn(c))
		return;
	more = take_page(c, page);
	if (more == -1)
		server_lost(c);
	else if (more == 0)
		server_over(c);
	else
		deadline_set(c->loop, &c->again, 0, ask_again);
}

/* ---- foreign servers */

static bool is_signature(void *arg, struct bytes signature, uint64_t nth)
{
	struct keycheck *c = arg;
	const struct cert_chain *chain = c->at[c->first].chain;

	(void)nth;
	return scheme_verify(X509_get0_pubkey(chain->leaf), scheme_of_key(chain->type),
	    bytes_of(c->trial, sizeof c->trial), signature);
}

static void tried(void *arg, enum reason reason, struct bytes signature)
{
	struct keycheck *c = arg;

	(void)signature;
	c->ask = NULL;
	/* These are answers, if bad ones. */
	if (reason != REASON_NONE && reason != REASON_KEY_REFUSED && reason != REASON_KEY_SERVICE &&
	    reason != REASON_SERVICE_PROTOCOL) {
		server_lost(c);
		return;
	}
	if (!is_turn(c))
		return;
	c->at[c->first].found = reason == REASON_NONE;
	if (++c->first == c->n)
		server_over(c);
	else
		deadline_set(c->loop, &c->again, 0, ask_again);
}

static struct keyclient_ask *try_key(struct keycheck *c, uint64_t avoid)
{
	const struct cert_chain *chain = c->at[c->first].chain;
	struct keyclient_key key = { .has_modulus = false };
	enum reason why;

	memcpy(key.ski, chain->ski, sizeof key.ski);
	if (chain->type == KEY_RSA)
		key.has_modulus = key_modulus_sha256(
				      X509_get0_pubkey(chain->leaf), key.modulus_sha256) == 0;
	return keyclient_try(c->keys, &key, scheme_of_key(chain->type),
	    bytes_of(c->trial, sizeof c->trial), avoid, is_signature, tried, c, &why);
}

static void make_trial(struct keycheck *c)
{
	static const char context[] = "TLS 1.3, server CertificateVerify"; /* its 0 too */

	memset(c->trial, ' ', TRIAL_SPACES);
	memcpy(c->trial + TRIAL_SPACES, context, sizeof context);
	arc4random_buf(c->trial + TRIAL_SPACES + sizeof context,
	    sizeof c->trial - TRIAL_SPACES - sizeof context);
}

/* ---- */

static void ask_again(struct deadline *d)
{
	struct keycheck *c = CONTAINER_OF(d, struct keycheck, again);
	uint64_t avoid = c->first > 0 ? ~(UINT64_C(1) << c->slot) : c->heard;
	enum reason why;

	if (c->foreign && c->n == 0) {
		over(c);
		return;
	}
	c->ask = c->foreign ? try_key(c, avoid)
			    : keyclient_keys(c->keys, c->first, avoid, answered, c, &why);
	if (c->ask == NULL)
		deadline_set(c->loop, &c->again, KEYCHECK_AGAIN_MS, ask_again);
}

struct keycheck *keycheck_new(struct loop *loop, struct keyclient *keys,
    const struct gateway_conf *conf, void (*done)(void *arg, unsigned wrong), void *arg)
{
	struct keycheck *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->loop = loop;
	c->keys = keys;
	c->foreign = conf->key_service.protocol == KEYS_KEYLESS;
	make_trial(c);
	c->done = done;
	c->arg = arg;
	if (want_all(c, conf) != 0) {
		keycheck_free(c);
		return NULL;
	}
	deadline_set(loop, &c->again, 0, ask_again);
	return c;
}

void keycheck_free(struct keycheck *c)
{
	if (c == NULL)
		return;
	if (c->ask != NULL)
		keyclient_cancel(c->ask);
	deadline_clear(c->loop, &c->again);
	for (size_t i = 0; c->at != NULL && i < c->n; i++)
		cert_chain_free(c->at[i].chain);
	free(c->at);
	free(c);
}
