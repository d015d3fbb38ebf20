/*
 * remotekey_sign.c: the provider's signatures. libssl asks for one on a handshake's fibre; the whole
 * message goes to the key service, the fibre pauses, and the answer is checked and handed on. No
 * SSL reaches here: the worker knows whose handshake is on the stack.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/async.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "base/counters.h"
#include "crypto/scheme.h"

#include "gateway/cluster/keyclient.h"
#include "gateway/tls/remotekey_private.h"
#include "gateway/tls/tls_private.h"

#include "base/poison.h"

enum {
	VERIFY_FIRST = 32, /* answers of a connection that are all verified */
	VERIFY_EVERY = 64, /* and one in so many after that; foreign servers' RSA always */
};

struct signer {
	struct remotekey *key;
	int bits; /* of the hash: 256, 384, 512; 0: none */
	int pad; /* RSA: RSA_PKCS1_PADDING or RSA_PKCS1_PSS_PADDING */
};

/* On the fibre's stack while it is paused. */
struct request {
	struct handshake *handshake;
	struct remotekey *key;
	struct signwait turn;
	struct keyclient_ask *ask; /* NULL: not asked yet, or over */
	uint16_t scheme;
	struct bytes tbs;
	uint8_t *sig;
	size_t sig_max, sig_len; /* 0: failed */
};

/* ---- the context */

static void *signer_new(void *provctx, const char *propq)
{
	(void)provctx;
	(void)propq;
	return calloc(1, sizeof(struct signer));
}

static void signer_free(void *ctx)
{
	free(ctx);
}

static void *signer_dup(void *ctx)
{
	struct signer *copy = malloc(sizeof(*copy));

	if (copy != NULL)
		memcpy(copy, ctx, sizeof(*copy));
	return copy;
}

static int hash_bits(const char *name)
{
	static const struct {
		const char *name;
		int bits;
	} hashes[] = {
		{ "SHA256", 256 },
		{ "SHA2-256", 256 },
		{ "SHA384", 384 },
		{ "SHA2-384", 384 },
		{ "SHA512", 512 },
		{ "SHA2-512", 512 },
	};

	for (size_t i = 0; name != NULL && i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		if (strcasecmp(name, hashes[i].name) == 0)
			return hashes[i].bits;
	}
	return 0;
}

static int signer_set_params(void *ctx, const OSSL_PARAM params[])
{
	struct signer *s = ctx;
	const OSSL_PARAM *p;

	if (params == NULL)
		return 1;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	if (p != NULL && (!OSSL_PARAM_get_int(p, &s->pad) ||
			     (s->pad != RSA_PKCS1_PADDING && s->pad != RSA_PKCS1_PSS_PADDING)))
		return 0;
	/* The salt is as long as the hash, always: the key service does nothing else. */
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
	return p == NULL || (p->data_type == OSSL_PARAM_UTF8_STRING &&
				strcmp(p->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0);
}

static const OSSL_PARAM *signer_settable_params(void *ctx, void *provctx)
{
	static const OSSL_PARAM settable[] = {
		OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)ctx;
	(void)provctx;
	return settable;
}

/* Runs about twice a handshake: nothing is asked here. */
static int signer_init(void *ctx, const char *digest, void *keydata, const OSSL_PARAM params[])
{
	struct signer *s = ctx;

	if (keydata != NULL)
		s->key = keydata;
	if (s->key == NULL || s->key->worker == NULL)
		return 0;
	s->bits = hash_bits(digest);
	s->pad = RSA_PKCS1_PADDING;
	if (s->key->type == KEY_ED25519 ? digest != NULL && digest[0] != '\0' : s->bits == 0)
		return 0;
	return signer_set_params(s, params);
}

/* RFC 8446, 4.2.3; 0: none that a server of ours uses. */
static uint16_t scheme_of(const struct signer *s)
{
	uint16_t hash = (uint16_t)(s->bits == 256 ? 4 : s->bits == 384 ? 5 : 6);

	switch (s->key->type) {
	case KEY_RSA:
		return s->pad == RSA_PKCS1_PSS_PADDING ? 0x0800 | hash : (uint16_t)(hash << 8 | 1);
	case KEY_P256:
	case KEY_P384:
		return (uint16_t)(hash << 8 | 3);
	case KEY_ED25519:
		return 0x0807;
	}
	return 0;
}

/* ---- checking an answer */

/* Set up once: each of libcrypto's set-ups costs several look-ups. */
static EVP_PKEY_CTX *verifier(struct remotekey *key, uint16_t scheme)
{
	struct remotekey_verifier *v = key->verifiers;
	EVP_PKEY_CTX *ctx;

	for (size_t i = 0; i < REMOTEKEY_VERIFIERS; i++, v++) {
		if (v->scheme == scheme)
			return v->ctx;
		if (v->scheme == 0 || i + 1 == REMOTEKEY_VERIFIERS)
			break;
	}
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->verify, NULL);
	if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1)
		goto fail;
	if (scheme >> 8 == 8 &&
	    (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
		EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) != 1))
		goto fail;
	if (EVP_PKEY_CTX_set_signature_md(ctx, scheme_md(scheme)) != 1)
		goto fail;
	EVP_PKEY_CTX_free(v->ctx);
	v->ctx = ctx;
	v->scheme = scheme;
	return ctx;
fail:
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

bool remotekey_verify(struct remotekey *key, uint16_t scheme, struct bytes tbs, struct bytes sig)
{
	uint8_t digest[SCHEME_DIGEST_MAX];
	EVP_PKEY_CTX *ctx;

	ERR_clear_error();
	if (scheme == SCHEME_ED25519)
		return scheme_verify(key->verify, scheme, tbs, sig);
	ctx = verifier(key, scheme);
	return ctx != NULL && EVP_PKEY_verify(ctx, sig.at, sig.len, digest,
				  scheme_digest(scheme, tbs, digest)) == 1;
}

static bool check_cb(void *arg, struct bytes sig, uint64_t n)
{
	struct request *r = arg;
	struct remotekey *key = r->key;

	if (sig.len > r->sig_max)
		return false;
	if (key->type == KEY_RSA && sig.len != (size_t)key->max_size)
		return false;
	/* A faulty RSA signature gives the key away. Our own service checks each one before it leaves; whether others do
	 * nobody knows. */
	if (n >= VERIFY_FIRST && n % VERIFY_EVERY != 0 &&
	    (key->type != KEY_RSA || key->worker->conf->key_service.protocol != KEYS_KEYLESS))
		return true;
	return remotekey_verify(key, r->scheme, r->tbs, sig);
}

/* ---- signing */

static void next_turns(struct later *);
static void signed_cb(void *arg, enum reason, struct bytes sig);

static void request_over(struct request *r)
{
	struct worker *w = r->handshake->worker;

	if (r->ask != NULL)
		counter_sub(w->counters.asks_open, 1);
	r->ask = NULL;
	signqueue_leave(&w->tls->signers, &r->turn);
	if (w->tls->signers.waiting_n > 0)
		loop_later(w->loop, &w->tls->signers_later, next_turns);
}

static bool send_request(struct request *r)
{
	struct handshake *hs = r->handshake;
	struct worker *w = hs->worker;

	r->ask = keyclient_sign(
	    w->keys, &r->key->named, r->scheme, r->tbs, check_cb, signed_cb, r, &hs->reason);
	if (r->ask == NULL)
		return false;
	hs->reason = REASON_NONE;
	counter_add(w->counters.asks_open, 1);
	return true;
}

static void signed_cb(void *arg, enum reason reason, struct bytes sig)
{
	struct request *r = arg;

	request_over(r);
	if (reason == REASON_NONE) {
		memcpy(r->sig, sig.at, sig.len); /* check_cb saw that it fits */
		r->sig_len = sig.len;
	} else {
		r->handshake->reason = reason;
	}
	handshake_resume(r->handshake);
}

static void cancel_cb(void *arg)
{
	struct request *r = arg;

	if (r->ask != NULL)
		keyclient_cancel(r->ask);
	request_over(r);
}

/* Of one that waited in line: its handshake goes on, and fails with an alert. */
static void shed(struct signwait *turn)
{
	struct request *r = CONTAINER_OF(turn, struct request, turn);

	counter_add(r->handshake->worker->counters.signatures_shed, 1);
	r->handshake->reason = REASON_KEY_SHED;
	handshake_resume(r->handshake);
}

/* After the turn, so that nothing is asked from within the service's answers. */
static void next_turns(struct later *later)
{
	struct sitectxs *tls = CONTAINER_OF(later, struct sitectxs, signers_later);
	uint64_t now = loop_now_ms(tls->worker->loop);
	struct signwait *turn;

	while ((turn = signqueue_late(&tls->signers, now)) != NULL)
		shed(turn);
	while ((turn = signqueue_next(&tls->signers)) != NULL) {
		struct request *r = CONTAINER_OF(turn, struct request, turn);

		if (!send_request(r)) {
			signqueue_leave(&tls->signers, turn);
			handshake_resume(r->handshake);
		}
	}
}

/* Resumed handshakes and plain traffic must not feel a flood of full ones. */
static bool ask(struct request *r)
{
	struct handshake *hs = r->handshake;
	struct worker *w = hs->worker;
	struct signqueue *q = &w->tls->signers;
	struct signwait *oldest;
	bool now = signqueue_enter(q, &r->turn, loop_now_ms(w->loop), &oldest);

	if (oldest != NULL)
		shed(oldest);
	if (r->turn.state == SIGNWAIT_NOT) {
		counter_add(w->counters.signatures_shed, 1);
		hs->reason = REASON_KEY_SHED;
		return false;
	}
	if (now && !send_request(r)) {
		request_over(r);
		return false;
	}
	return handshake_pause(hs, WAIT_KEY, cancel_cb, r) && r->sig_len > 0;
}

static int signer_sign(void *ctx, unsigned char *sig, size_t *sig_len, size_t sig_max,
    const unsigned char *tbs, size_t tbs_len)
{
	struct signer *s = ctx;
	struct worker *w = s->key->worker;
	struct request r = {
		.handshake = w->handshaking,
		.key = s->key,
		.scheme = scheme_of(s),
		.tbs = bytes_of(tbs, tbs_len),
		.sig = sig,
		.sig_max = sig_max,
	};

	if (sig == NULL) {
		*sig_len = (size_t)s->key->max_size;
		return 1;
	}
	/* Off a fibre this would have to block: never. */
	if (r.handshake == NULL || r.scheme == 0 || r.handshake->cancelled ||
	    ASYNC_get_current_job() == NULL)
		return 0;
	if (!ask(&r)) {
		counter_add(w->counters.signatures_failed, 1);
		return 0;
	}
	counter_add(w->counters.signatures, 1);
	*sig_len = r.sig_len;
	return 1;
}

static const OSSL_DISPATCH functions[] = {
	{ OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))signer_new },
	{ OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))signer_free },
	{ OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))signer_dup },
	{ OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))signer_init },
	{ OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void))signer_sign },
	{ OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))signer_set_params },
	{ OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))signer_settable_params },
	{ 0, NULL },
};

const OSSL_ALGORITHM remotekey_signatures[] = {
	{ "RSA", "provider=sslgw", functions, "RSA signatures of the key service" },
	{ "ECDSA", "provider=sslgw", functions, "ECDSA signatures of the key service" },
	{ "ED25519", "provider=sslgw", functions, "Ed25519 signatures of the key service" },
	{ NULL, NULL, NULL, NULL },
};
