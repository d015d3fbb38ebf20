/*
 * session.c: libssl's session hooks. A look-up is made before libssl asks (the hello is held back
 * until the cache has answered), a store before the client can come back with the session. Whatever
 * the cache does, the worst that follows is a full handshake.
 */
#include "config.h"

#include "gateway/tls/session.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/rand.h>

#include "base/counters.h"
#include "base/log.h"

#include "gateway/cluster/secrets.h"
#include "gateway/cluster/sessioncache.h"
#include "gateway/tls/resume.h"

#include "base/poison.h"

enum {
	TICKETS_FULL =
	    2, /* a browser opens several connections at once; libssl sends 1 on a resumption */
	STORES_PAUSED_MAX = FIBRES_RESERVE / 2, /* above: stored, but not waited for */
	CLAIM_EXTRA_S = 120, /* a claim outlasts its session */
};

static struct worker_counters *counters(struct handshake *hs)
{
	return &hs->worker->counters;
}

/* ---- ids: u16 generation tag | low 24 bits of the epoch | 27 random bytes */

static uint16_t id_tag(const uint8_t *id)
{
	return (uint16_t)(id[0] << 8 | id[1]);
}

static uint32_t id_e24(const uint8_t *id)
{
	return (uint32_t)id[2] << 16 | (uint32_t)id[3] << 8 | id[4];
}

/* Always fills the id: 0 would end the handshake. Tag 0: it is neither stored nor looked up. */
static int generate_id_cb(SSL *ssl, unsigned char *id, unsigned *len)
{
	struct handshake *hs = handshake_of(ssl);
	const struct epoch_record *r = NULL;

	*len = SESSION_ID_LEN;
	memset(id, 0, SESSION_ID_LEN);
	if (RAND_bytes(id + 5, SESSION_ID_LEN - 5) != 1)
		ERR_clear_error();
	if (hs != NULL && hs->hello.keep == KEEP_ID)
		r = secrets_current(hs->worker->secrets, hs->site->group);
	if (r == NULL)
		return 1;
	id[0] = (uint8_t)(epoch_tag(r) >> 8);
	id[1] = (uint8_t)epoch_tag(r);
	id[2] = (uint8_t)(epoch_e24(r) >> 16);
	id[3] = (uint8_t)(epoch_e24(r) >> 8);
	id[4] = (uint8_t)epoch_e24(r);
	return 1;
}

/* The name and key of an id's entry. 0 or -1: no (accepted) epoch of ours. */
static int name_and_key(struct handshake *hs, const uint8_t *id, const struct epoch_record **record)
{
	struct sitectxs *tls = hs->worker->tls;
	const struct scope_keys *keys;

	if (id_tag(id) == 0)
		return -1;
	*record = secrets_find(hs->worker->secrets, hs->site->group, id_tag(id), id_e24(id));
	if (*record == NULL || (keys = sitectx_keys(hs->site, *record, hs->hello.version)) == NULL)
		return -1;
	return seal_name_and_key(tls->kit, keys->seal, hs->hello.version,
	    bytes_of(id, SESSION_ID_LEN), hs->session.seal_name, hs->session.seal_key);
}

/* ---- choosing */

static void info_cb(const SSL *, int where, int ret);

static bool is_used_once(const struct sitectx *site)
{
	return site->conf->resumption == RESUME_STATEFUL_ONCE;
}

static enum keep choose(const struct handshake *hs, bool ticket_extension, bool extended_master)
{
	const struct sitectx *site = hs->site;
	bool tls13 = hs->hello.version == TLS1_3_VERSION;

	if (site->conf->resumption == RESUME_OFF || hs->hello.version == 0)
		return KEEP_NOTHING;
	/* Without it a session is not bound to the handshake in which the client proved who it is
	 * (RFC 7627). */
	if (site->verify != SSL_VERIFY_NONE && !tls13 && !extended_master)
		return KEEP_NOTHING;
	if (site->conf->resumption == RESUME_STATEFUL || is_used_once(site))
		return KEEP_ID;
	return tls13 || (site->tickets12 && ticket_extension) ? KEEP_TICKET : KEEP_ID;
}

void session_choose(struct handshake *hs, bool ticket_extension, bool extended_master)
{
	struct worker *w = hs->worker;
	bool now;

	hs->hello.keep = choose(hs, ticket_extension, extended_master);
	hs->hello.resumable = hs->hello.keep != KEEP_NOTHING;
	now = hs->hello.resumable && secrets_current(w->secrets, hs->site->group) != NULL;
	if (hs->hello.keep == KEEP_TICKET)
		SSL_clear_options(hs->ssl, SSL_OP_NO_TICKET);
	else
		SSL_set_options(hs->ssl, SSL_OP_NO_TICKET);
	SSL_set_num_tickets(hs->ssl, now ? TICKETS_FULL : 0);
	if (hs->hello.version == TLS1_2_VERSION && hs->hello.keep == KEEP_ID)
		SSL_set_info_callback(hs->ssl, info_cb);
}

/* ---- looking up */

/* false: sealed by nobody of ours, so that server lies. */
static bool open_sealed(struct handshake *hs, struct bytes value)
{
	struct sitectxs *tls = hs->worker->tls;
	struct origin_of_session *s = &hs->session;
	struct sealed_session sealed;
	const unsigned char *der;
	SSL_SESSION *session;

	if (seal_decrypt(tls->kit, s->seal_name, s->seal_key, hs->site->scope, value, tls->plain,
		sizeof(tls->plain), &sealed) == -1)
		return false;
	if (sealed.expiry <= (uint64_t)loop_wall(hs->worker->loop))
		return true;
	s->left = sealed.expiry - (uint64_t)loop_wall(hs->worker->loop);
	s->holder = sealed.claim;
	der = sealed.session.at;
	session = d2i_SSL_SESSION(NULL, &der, (long)sealed.session.len);
	if (session != NULL && der == sealed.session.at + sealed.session.len &&
	    resume_same_id(session, s->prefetched_id) &&
	    resume_acceptable(hs, session, sealed.first_auth, sealed.intermediates) &&
	    resume_inherit(hs, sealed.first_auth, sealed.intermediates) == 0) {
		s->prefetched = session;
		session = NULL;
	}
	SSL_SESSION_free(session);
	ERR_clear_error();
	return true;
}

static void drop(struct handshake *hs)
{
	struct origin_of_session *s = &hs->session;

	SSL_SESSION_free(s->prefetched);
	s->prefetched = NULL;
	free(s->intermediates);
	s->intermediates = NULL;
	s->intermediates_len = 0;
}

/* Only what was granted is resumed: everything else may have been somebody's before. */
static bool claimed_cb(void *arg, enum sessioncache_result result, struct bytes value)
{
	struct handshake *hs = arg;
	struct worker_counters *n = counters(hs);

	(void)value;
	hs->session.ask = NULL;
	counter_sub(n->asks_open, 1);
	counter_add(result == SESSIONCACHE_OK     ? n->claims
		    : result == SESSIONCACHE_MISS ? n->claims_refused
						  : n->claims_failed,
	    1);
	hs->session.down = result == SESSIONCACHE_DOWN;
	if (result != SESSIONCACHE_OK)
		drop(hs);
	handshake_resume(hs);
	return true;
}

/* As long as any entry can lie in a cache from now on, whatever the clock of the gateway that stored it said. */
static uint64_t claim_ms(const struct handshake *hs)
{
	uint64_t lifetime = hs->site->conf->session_lifetime, left = hs->session.left * 1000;

	return (left > lifetime ? left : lifetime) + CLAIM_EXTRA_S * 1000;
}

/* true: its answer is waited for. */
static bool claim(struct handshake *hs, const struct sessioncache_ask *found)
{
	struct origin_of_session *s = &hs->session;

	if (hs->worker->tls->fault == FAULT_NO_CLAIM)
		return false;
	if (s->holder != 0 && s->holder == sessioncache_holder(hs->worker->sessions, s->seal_name))
		s->ask = sessioncache_claim(found, claim_ms(hs), claimed_cb, hs);
	if (s->ask == NULL) {
		counter_add(counters(hs)->claims_failed, 1);
		drop(hs);
		return false;
	}
	counter_add(counters(hs)->asks_open, 1);
	return true;
}

static bool fetched_cb(void *arg, enum sessioncache_result result, struct bytes value)
{
	struct handshake *hs = arg;
	struct sessioncache_ask *ask = hs->session.ask;
	bool ok = true;

	hs->session.ask = NULL;
	counter_sub(counters(hs)->asks_open, 1);
	if (result == SESSIONCACHE_OK) {
		ok = open_sealed(hs, value);
		OPENSSL_cleanse(hs->worker->tls->plain, value.len);
	}
	hs->session.down = result == SESSIONCACHE_DOWN || !ok;
	if (hs->session.prefetched != NULL && is_used_once(hs->site)) {
		if (claim(hs, ask))
			return true; /* the wait goes on */
	} else if (hs->session.prefetched != NULL) {
		sessioncache_repair(ask, value, (uint32_t)hs->session.left);
	}
	handshake_resume(hs);
	return ok;
}

static void cancel_ask(void *arg)
{
	struct handshake *hs = arg;

	if (hs->session.ask == NULL)
		return;
	sessioncache_cancel(hs->session.ask);
	hs->session.ask = NULL;
	counter_sub(counters(hs)->asks_open, 1);
}

bool session_prefetch(struct handshake *hs, struct bytes id)
{
	struct origin_of_session *s = &hs->session;
	const struct epoch_record *r;

	/* In TLS 1.3 with tickets the identity is a ticket. */
	if (!hs->hello.resumable || id.len != SESSION_ID_LEN ||
	    (hs->hello.version == TLS1_3_VERSION && hs->hello.keep != KEEP_ID) ||
	    name_and_key(hs, id.at, &r) == -1)
		return false;
	memcpy(s->prefetched_id, id.at, SESSION_ID_LEN);
	s->asked = true;
	s->ask = sessioncache_get(hs->worker->sessions, s->seal_name, fetched_cb, hs);
	s->down = s->ask == NULL;
	if (s->ask == NULL)
		return false;
	counter_add(counters(hs)->asks_open, 1);
	handshake_wait_for(hs, WAIT_SESSION, cancel_ask, hs);
	return true;
}

/* Asked again after a HelloRetryRequest, so the session is kept until the handshake is over. */
static SSL_SESSION *get_cb(SSL *ssl, const unsigned char *id, int len, int *copy)
{
	struct handshake *hs = handshake_of(ssl);

	*copy = 1;
	if (hs == NULL || hs->session.prefetched == NULL || hs->hello.no_resumption ||
	    len != SESSION_ID_LEN || memcmp(id, hs->session.prefetched_id, SESSION_ID_LEN) != 0)
		return NULL;
	hs->session.handed = true;
	return hs->session.prefetched;
}

/* ---- storing */

static bool stored_cb(void *arg, enum sessioncache_result result, struct bytes value)
{
	struct handshake *hs = arg;

	(void)value;
	hs->session.ask = NULL;
	counter_sub(counters(hs)->asks_open, 1);
	counter_add(
	    result == SESSIONCACHE_OK ? counters(hs)->cache_stores : counters(hs)->cache_errors, 1);
	if (hs->wait == WAIT_STORE)
		handshake_resume(hs);
	return true;
}

/* The sealed value of a session, into the scratch. Its length, or 0. */
static size_t seal_session(struct handshake *hs, SSL_SESSION *session, uint64_t left)
{
	struct sitectxs *tls = hs->worker->tls;
	struct origin_of_session *s = &hs->session;
	struct sealed_session sealed = { 0 };
	unsigned char *der = tls->plain;
	int len = i2d_SSL_SESSION(session, NULL);
	size_t sealed_len = 0;

	if (len <= 0 || len > SEAL_SESSION_MAX)
		return 0;
	len = i2d_SSL_SESSION(session, &der);
	sealed.expiry = (uint64_t)loop_wall(hs->worker->loop) + left;
	sealed.first_auth = resume_first_auth(hs);
	if (is_used_once(hs->site))
		sealed.claim = sessioncache_holder(hs->worker->sessions, s->seal_name);
	if (is_used_once(hs->site) && sealed.claim == 0)
		return 0; /* nobody could claim it */
	sealed.session = bytes_of(tls->plain, (size_t)len);
	sealed.intermediates = bytes_of(s->intermediates, s->intermediates_len);
	if (seal_encrypt(tls->kit, s->seal_name, s->seal_key, hs->site->scope, &sealed, tls->sealed,
		sizeof(tls->sealed), &sealed_len) == -1)
		sealed_len = 0;
	OPENSSL_cleanse(tls->plain, (size_t)len);
	return sealed_len;
}

/* Behind a balancer that says nothing of its clients all would be one. */
static bool may_store(struct handshake *hs)
{
	struct storelimit *limit = hs->worker->tls->stores;
	struct endpoint peer;

	if (limit == NULL || hs->client->trusted)
		return true;
	peer = endpoint_whole(&hs->client->peer);
	if (storelimit_take(limit, &peer, loop_now_ms(hs->worker->loop)))
		return true;
	counter_add(counters(hs)->cache_stores_limited, 1);
	return false;
}

/* On the fibre: returns when the cache has it, or after SESSIONCACHE_MS. */
static void store(struct handshake *hs, SSL_SESSION *session)
{
	struct sitectxs *tls = hs->worker->tls;
	const struct epoch_record *r;
	unsigned id_len;
	const uint8_t *id = SSL_SESSION_get_id(session, &id_len);
	uint64_t left = resume_left(hs);
	size_t len;

	if (id_len != SESSION_ID_LEN || name_and_key(hs, id, &r) == -1 ||
	    resume_set_appdata(hs, session, false) == -1)
		return;
	if (left > secrets_left_s(r))
		left = secrets_left_s(r);
	if (left == 0 || !may_store(hs) || (len = seal_session(hs, session, left)) == 0)
		return;
	cancel_ask(hs);
	hs->session.ask = sessioncache_put(hs->worker->sessions, hs->session.seal_name,
	    bytes_of(tls->sealed, len), (uint32_t)left, stored_cb, hs);
	if (hs->session.ask == NULL) {
		counter_add(counters(hs)->cache_errors, 1);
		return;
	}
	counter_add(counters(hs)->asks_open, 1);
	if (tls->storing >= STORES_PAUSED_MAX)
		return;
	tls->storing++;
	handshake_pause(hs, WAIT_STORE, cancel_ask, hs);
	tls->storing--;
}

/* TLS 1.3: no byte of the session's ticket has left yet. Runs for stateless tickets too. */
static int new_cb(SSL *ssl, SSL_SESSION *session)
{
	struct handshake *hs = handshake_of(ssl);

	if (hs != NULL && hs->hello.keep == KEEP_ID && SSL_version(ssl) == TLS1_3_VERSION)
		store(hs, session);
	return 0; /* the reference is not kept */
}

/* TLS 1.2: new_cb would be too late, the server's Finished is out by then. In this state the client's
 * has been read and checked. */
static void info_cb(const SSL *ssl, int where, int ret)
{
	struct handshake *hs = handshake_of(ssl);

	(void)ret;
	if (hs == NULL || hs->session.stored || (where & SSL_CB_LOOP) == 0 ||
	    SSL_get_state(ssl) != TLS_ST_SR_FINISHED || SSL_session_reused(ssl))
		return;
	hs->session.stored = true;
	store(hs, SSL_get_session(ssl));
}

/* ---- the rest */

void session_attach(SSL_CTX *ctx)
{
	SSL_CTX_set_session_cache_mode(
	    ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL | SSL_SESS_CACHE_NO_AUTO_CLEAR);
	SSL_CTX_set_timeout(
	    ctx, RESUME_LIFETIME_MAX_S); /* a site's own bound is checked by resume */
	SSL_CTX_set_generate_session_id(ctx, generate_id_cb);
	SSL_CTX_sess_set_get_cb(ctx, get_cb);
	SSL_CTX_sess_set_new_cb(ctx, new_cb);
}

void session_count(struct handshake *hs)
{
	const struct origin_of_session *s = &hs->session;

	if (!s->asked)
		return;
	if (s->handed && SSL_session_reused(hs->ssl))
		counter_add(counters(hs)->cache_hits, 1);
	else
		counter_add(s->down ? counters(hs)->cache_errors : counters(hs)->cache_misses, 1);
}

size_t session_public_id(const struct handshake *hs, uint8_t id[static SESSION_ID_LEN])
{
	bool by_id = SSL_session_reused(hs->ssl) ? hs->session.handed : hs->hello.keep == KEEP_ID;
	unsigned len;
	const uint8_t *at = SSL_SESSION_get_id(SSL_get_session(hs->ssl), &len);

	if (SSL_version(hs->ssl) != TLS1_2_VERSION || !by_id || len != SESSION_ID_LEN ||
	    id_tag(at) == 0)
		return 0;
	memcpy(id, at, len);
	return len;
}

void session_clear(struct handshake *hs)
{
	cancel_ask(hs);
	SSL_SESSION_free(hs->session.prefetched);
	free(hs->session.intermediates);
	OPENSSL_cleanse(&hs->session, sizeof(hs->session));
}
