/*
 * signing.c: all that takes a private key: asked on the loop, done in a lane, answered on the loop. The
 * order of the checks: grant, key, form of the request, rate; so what is refused costs nothing, and the
 * rate counts only what is worked on. The one check in the lane is tbs_check(): it costs a point's
 * arithmetic.
 */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "keysvc/keyop.h"
#include "keysvc/keysvc_private.h"

#include "base/poison.h"

enum job_kind { JOB_TLS_SIGN, JOB_DIGEST, JOB_RAW, JOB_RSA_KX };

/* One operation on its way. */
struct sign_job {
	struct lane_job lane; /* first: the lanes hand it back */
	struct call *call;
	struct key *key; /* held */
	const char *what; /* for messages */
	enum job_kind kind;
	uint32_t id;
	bool padded;
	uint16_t scheme; /* JOB_RSA_KX: the client's version */
	uint16_t other; /* JOB_RSA_KX: the other version */
	enum tls12_mode tls12; /* the key's when it was asked: a reload may change it */
	enum tbs_result tbs; /* written in the lane, as all below */
	bool failed;
	size_t out_len, in_len;
	uint8_t out[KEYOP_SIGNATURE_MAX];
	uint8_t in[]; /* what is signed or decrypted */
};

_Static_assert((int)KEYOP_PREMASTER_LEN == (int)KEYLESS_PREMASTER_LEN, "one premaster secret");

/* ---- in a lane's thread */

void signing_work(void *scratch, struct lane_job *lane)
{
	struct sign_job *job = (struct sign_job *)(void *)lane;
	struct bytes in = bytes_of(job->in, job->in_len);
	int rc = -1;

	switch (job->kind) {
	case JOB_TLS_SIGN:
		job->tbs = tbs_check(
		    keyop_kit(scratch), in, job->scheme, job->key->type, job->tls12);
		if (!tbs_ok(job->tbs))
			return;
		rc = keyop_sign(
		    scratch, job->key, job->scheme, in, job->out, sizeof(job->out), &job->out_len);
		break;
	case JOB_DIGEST:
		rc = keyop_sign_digest(
		    scratch, job->key, job->scheme, in, job->out, sizeof(job->out), &job->out_len);
		break;
	case JOB_RAW:
		rc = keyop_raw_decrypt(
		    scratch, job->key, in, job->out, sizeof(job->out), &job->out_len);
		break;
	case JOB_RSA_KX:
		job->out_len = KEYOP_PREMASTER_LEN;
		rc = keyop_rsa_kx(scratch, job->key, job->scheme, job->other, in, job->out);
		break;
	}
	job->failed = rc == -1;
}

/* ---- on the loop */

static void answer(struct keysvc *svc, struct sign_job *job)
{
	bool decrypts = job->kind == JOB_RAW || job->kind == JOB_RSA_KX;
	const struct ask ask = { .call = job->call,
		.k = &(struct keyless){ .id = job->id, .padded = job->padded } };

	if (job->kind == JOB_TLS_SIGN && !tbs_ok(job->tbs)) {
		keysvc_refuse(svc, &ask, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, job->what,
		    tbs_result_text(job->tbs));
	} else if (job->failed) {
		keysvc_refuse(
		    svc, &ask, AUDIT_FAILED, KEYLESS_ERR_CRYPTO, job->what, "the operation failed");
	} else {
		audit_count(&svc->audit, decrypts ? AUDIT_DECRYPTED : AUDIT_SIGNED);
		keysvc_reply(
		    svc, job->call, job->id, job->padded, bytes_of(job->out, job->out_len));
		if (decrypts)
			OPENSSL_cleanse(svc->answer, job->out_len + 64);
	}
}

static void job_free(struct sign_job *job)
{
	key_unref(job->key);
	if (job->kind == JOB_RAW || job->kind == JOB_RSA_KX)
		OPENSSL_cleanse(job->out, sizeof(job->out));
	free(job);
}

void signing_done(void *arg, struct lane_job *lane)
{
	struct keysvc *svc = arg;
	struct sign_job *job = (struct sign_job *)(void *)lane;

	switch (lane->result) {
	case LANE_DONE:
		answer(svc, job);
		break;
	case LANE_LATE:
		audit_count(&svc->audit, AUDIT_LATE);
		keysvc_reply_error(svc, job->call, job->id, job->padded, KEYLESS_ERR_INTERNAL);
		break;
	case LANE_DROPPED:
		audit_count(&svc->audit, AUDIT_CALLER_LEFT);
		/* owed, goes nowhere */
		keysvc_reply_error(svc, job->call, job->id, false, KEYLESS_ERR_INTERNAL);
		break;
	case LANE_STOPPED:
		keysvc_reply_error(svc, job->call, job->id, job->padded, KEYLESS_ERR_INTERNAL);
		break;
	}
	job_free(job);
}

void signing_gone(struct call *call)
{
	struct sign_job *job = call_user(call);

	if (job != NULL)
		atomic_store_explicit(&job->lane.drop, true, memory_order_relaxed);
}

static void submit(struct keysvc *svc, const struct ask *ask, const struct sign_job *like,
    struct key *key, struct bytes in)
{
	struct sign_job *job;

	if (!policy_take(ask->caller, loop_now_ms(svc->loop))) {
		keysvc_refuse(svc, ask, AUDIT_RATE, KEYLESS_ERR_INTERNAL, like->what,
		    "it asks more often than its rate allows (rate of its caller in keysvc.conf)");
		return;
	}
	if ((job = malloc(sizeof(*job) + in.len)) == NULL) {
		keysvc_reply_error(
		    svc, ask->call, ask->k->id, ask->k->padded, KEYLESS_ERR_INTERNAL);
		return;
	}
	*job = *like;
	job->call = ask->call;
	job->key = key_ref(key);
	job->id = ask->k->id;
	job->padded = ask->k->padded;
	job->tls12 = key->tls12;
	job->in_len = in.len;
	if (in.len > 0)
		memcpy(job->in, in.at, in.len);
	call_set_user(ask->call, job);
	if (lanes_submit(
		svc->lanes, key->slow ? LANE_SLOW : LANE_FAST, &job->lane, svc->deadline_ms) == 0)
		return;
	call_set_user(ask->call, NULL);
	job_free(job);
	audit_count(&svc->audit, AUDIT_FULL);
	keysvc_reply_error(svc, ask->call, ask->k->id, ask->k->padded, KEYLESS_ERR_INTERNAL);
}

void signing_tls(struct keysvc *svc, const struct ask *ask)
{
	struct sign_job like = { .kind = JOB_TLS_SIGN, .what = "tls-sign" };
	ssize_t place = keysvc_find_key(svc, ask, like.what);
	struct cursor c = cursor_of(ask->k->payload);
	struct bytes message;

	ask->caller->tls_asks++;
	if (place == -1)
		return;
	like.scheme = cursor_u16(&c);
	message = cursor_take(&c, cursor_left(&c));
	if (!c.ok || message.len > TBS_MAX) {
		keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, like.what,
		    tbs_result_text(TBS_BAD_MESSAGE));
		return;
	}
	submit(svc, ask, &like, keystore_at(svc->keys, (size_t)place), message);
}

void signing_rsa_kx(struct keysvc *svc, const struct ask *ask)
{
	struct sign_job like = { .kind = JOB_RSA_KX, .what = "tls-rsa-kx" };
	ssize_t place = keysvc_find_key(svc, ask, like.what);
	struct cursor c = cursor_of(ask->k->payload);
	struct bytes ciphertext;
	struct key *key;

	if (place == -1)
		return;
	key = keystore_at(svc->keys, (size_t)place);
	like.scheme = cursor_u16(&c);
	like.other = cursor_u16(&c);
	ciphertext = cursor_take(&c, cursor_left(&c));
	if (!c.ok) {
		keysvc_refuse(svc, ask, AUDIT_FORMAT, KEYLESS_ERR_FORMAT, like.what,
		    "the two versions are missing");
	} else if (key->type != KEY_RSA || key->tls12 == TLS12_OFF) {
		keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, like.what,
		    "not an RSA key, or TLS 1.2 is off for it");
	} else {
		submit(svc, ask, &like, key, ciphertext);
	}
}

/* ---- the protocol's own operations, for foreign clients */

/* From the first opcode of each kind on, in the protocol's order. */
static const struct {
	uint8_t opcode;
	uint16_t scheme;
} digests[] = {
	{ 0x02, KEYOP_RSA_MD5SHA1 },
	{ 0x03, 0x0201 },
	{ 0x04, 0x0301 },
	{ 0x05, 0x0401 },
	{ 0x06, 0x0501 },
	{ 0x07, 0x0601 },
	{ 0x12, KEYOP_ECDSA_MD5SHA1 },
	{ 0x13, 0x0203 },
	{ 0x14, 0x0303 },
	{ 0x15, 0x0403 },
	{ 0x16, 0x0503 },
	{ 0x17, 0x0603 },
	{ 0x18, 0x0807 },
	{ 0x35, 0x0804 },
	{ 0x36, 0x0805 },
	{ 0x37, 0x0806 },
};
enum { DIGESTS_N = sizeof(digests) / sizeof(digests[0]) };

static void sign_digest(struct keysvc *svc, const struct ask *ask, uint16_t scheme)
{
	struct sign_job like = { .kind = JOB_DIGEST, .what = "digest-sign", .scheme = scheme };
	ssize_t place;
	struct key *key;

	if (!policy_grants(svc->policy, ask->caller, GRANT_DIGEST_SIGN)) {
		keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, like.what,
		    "not granted: it could have anything signed (allow in keysvc.conf)");
		return;
	}
	if ((place = keysvc_find_key(svc, ask, like.what)) == -1)
		return;
	key = keystore_at(svc->keys, (size_t)place);
	if (keyop_takes_digest(scheme, key->type, ask->k->payload.len))
		submit(svc, ask, &like, key, ask->k->payload);
	else
		keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_CRYPTO, like.what,
		    "the operation does not fit the key's type, or the digest has another length");
}

static void raw_decrypt(struct keysvc *svc, const struct ask *ask)
{
	struct sign_job like = { .kind = JOB_RAW, .what = "raw RSA" };
	ssize_t place;
	struct key *key;

	if (!policy_grants(svc->policy, ask->caller, GRANT_RAW_RSA)) {
		keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, like.what,
		    "not granted: it signs and decrypts anything (unsafe_raw_rsa in keysvc.conf)");
		return;
	}
	if ((place = keysvc_find_key(svc, ask, like.what)) == -1)
		return;
	key = keystore_at(svc->keys, (size_t)place);
	if (!policy_raw_key(ask->caller, (size_t)place))
		keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, like.what,
		    "unsafe_raw_rsa of its caller does not name this key");
	else if (key->type == KEY_RSA &&
		 ask->k->payload.len == (size_t)EVP_PKEY_get_size(key->pkey))
		submit(svc, ask, &like, key, ask->k->payload);
	else
		keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_CRYPTO, like.what,
		    "not an RSA key, or a ciphertext of another length than its modulus");
}

bool signing_opcode(struct keysvc *svc, const struct ask *ask)
{
	if (ask->k->opcode == KEYLESS_RSA_DECRYPT) {
		raw_decrypt(svc, ask);
		return true;
	}
	for (size_t i = 0; i < DIGESTS_N; i++) {
		if (digests[i].opcode == ask->k->opcode) {
			sign_digest(svc, ask, digests[i].scheme);
			return true;
		}
	}
	return false;
}
