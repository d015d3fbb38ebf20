/*
 * keysvc.c: what each request comes to. A signature's way: call -> job -> lane -> done -> reply; all
 * but the signing runs on the loop. A request that makes no sense gets the protocol's error; nothing
 * that a peer sends ends the process.
 */
#include "keysvc/keysvc.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "keysvc/keyop.h"
#include "keysvc/lanes.h"
#include "net/service.h"
#include "wire/keyless.h"

#include "base/poison.h"

enum {
	IDLE_MS = 3600 *
		  1000, /* our gateways ping; a foreign client of a Unix socket is given an hour */
	STALL_MS = 10 * 1000,
	CONN_CALLS_MAX = 1024,
	ANSWER_MAX = KEYLESS_KEYS_MAX * KEYLESS_KEY_LEN + 4 + 64,
};

struct keysvc {
	struct service_params service_params;
	struct loop *loop;
	struct service *service;
	struct lanes *lanes;
	struct keystore *keys;
	const struct policy *policy;
	struct epochs *epochs;
	uint32_t deadline_ms;
	struct audit audit;
	void (*drained)(void *arg);
	void *drained_arg;
	uint8_t payload[ANSWER_MAX]; /* scratch of one call */
	uint8_t answer[KEYLESS_MAX];
};

/* One signature on its way. */
struct sign_job {
	struct lane_job lane; /* first: the lanes hand it back */
	struct call *call;
	struct key *key; /* held */
	uint32_t id;
	uint16_t scheme;
	enum tls12_mode tls12; /* the key's when it was asked: a reload may change it */
	enum tbs_result tbs; /* written in the lane, as all below */
	bool failed;
	size_t message_len, signature_len;
	uint8_t message[TBS_MAX];
	uint8_t signature[KEYOP_SIGNATURE_MAX];
};

_Static_assert((size_t)EPOCH_ANSWER_MAX <= (size_t)ANSWER_MAX, "the scratch holds every answer");
_Static_assert((size_t)LANES_THREADS_MAX <= (size_t)KEY_SLOTS, "each thread has a slot");
_Static_assert((size_t)ANSWER_MAX + 64 <= (size_t)KEYLESS_BODY_MAX, "an answer fits a message");

static const struct frame_codec codec = {
	.name = "keyless", .next = keyless_next, .ordered = false, .max = KEYLESS_MAX
};

/* ---- answers */

static void reply(struct keysvc *svc, struct call *call, size_t len)
{
	struct iovec iov = { svc->answer, len };

	call_reply(call, &iov, 1);
}

static void reply_payload(struct keysvc *svc, struct call *call, uint32_t id, struct bytes payload)
{
	reply(svc, call, keyless_build_answer(id, payload, svc->answer, sizeof(svc->answer)));
}

static void reply_error(
    struct keysvc *svc, struct call *call, uint32_t id, enum keyless_error error)
{
	reply(svc, call, keyless_build_error(id, error, svc->answer, sizeof(svc->answer)));
}

static void refuse(struct keysvc *svc, struct call *call, uint32_t id, enum audit_event event,
    enum keyless_error error, const char *what, const char *why)
{
	const struct identity *who = call_identity(call);

	audit_refuse(&svc->audit, event, loop_now_ms(svc->loop), who->uid, who->pid, what, why);
	reply_error(svc, call, id, error);
}

/* ---- signatures */

static void *scratch_new(unsigned nth)
{
	return keyop_new(nth);
}

static void scratch_free(void *scratch)
{
	keyop_free(scratch);
}

/* In a lane's thread. */
static void sign_work(void *scratch, struct lane_job *lane)
{
	struct sign_job *job = (struct sign_job *)(void *)lane;
	struct bytes message = bytes_of(job->message, job->message_len);

	job->tbs = tbs_check(keyop_kit(scratch), message, job->scheme, job->key->type, job->tls12);
	if (tbs_ok(job->tbs))
		job->failed = keyop_sign(scratch, job->key, job->scheme, message, job->signature,
				  sizeof(job->signature), &job->signature_len) == -1;
}

static void sign_answer(struct keysvc *svc, struct sign_job *job)
{
	if (!tbs_ok(job->tbs)) {
		refuse(svc, job->call, job->id, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, "tls-sign",
		    tbs_result_text(job->tbs));
	} else if (job->failed) {
		audit_count(&svc->audit, AUDIT_FAILED);
		log_warnx("%s: a signature failed", job->key->name);
		reply_error(svc, job->call, job->id, KEYLESS_ERR_CRYPTO);
	} else {
		audit_count(&svc->audit, AUDIT_SIGNED);
		reply_payload(
		    svc, job->call, job->id, bytes_of(job->signature, job->signature_len));
	}
}

static void sign_done(void *arg, struct lane_job *lane)
{
	struct keysvc *svc = arg;
	struct sign_job *job = (struct sign_job *)(void *)lane;

	switch (lane->result) {
	case LANE_DONE:
		sign_answer(svc, job);
		break;
	case LANE_LATE:
		audit_count(&svc->audit, AUDIT_LATE);
		reply_error(svc, job->call, job->id, KEYLESS_ERR_INTERNAL);
		break;
	case LANE_DROPPED:
		audit_count(&svc->audit, AUDIT_CALLER_LEFT);
		reply_error(svc, job->call, job->id, KEYLESS_ERR_INTERNAL); /* owed, goes nowhere */
		break;
	case LANE_STOPPED:
		reply_error(svc, job->call, job->id, KEYLESS_ERR_INTERNAL);
		break;
	}
	key_unref(job->key);
	free(job);
}

static void call_sign(struct keysvc *svc, struct call *call, const struct keyless *k)
{
	struct cursor c = cursor_of(k->payload);
	uint16_t scheme = cursor_u16(&c);
	struct bytes message = cursor_take(&c, cursor_left(&c));
	struct key *key = k->ski.at == NULL ? NULL : keystore_find(svc->keys, k->ski.at);
	struct sign_job *job;

	if (key == NULL) {
		refuse(svc, call, k->id, AUDIT_NO_KEY, KEYLESS_ERR_KEY_NOT_FOUND, "tls-sign",
		    "no such key: the gateway's certificates and the keys here differ");
		return;
	}
	if (!c.ok || message.len > TBS_MAX) {
		refuse(svc, call, k->id, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, "tls-sign",
		    tbs_result_text(TBS_BAD_MESSAGE));
		return;
	}
	if ((job = calloc(1, sizeof(*job))) == NULL) {
		reply_error(svc, call, k->id, KEYLESS_ERR_INTERNAL);
		return;
	}
	job->call = call;
	job->key = key_ref(key);
	job->id = k->id;
	job->scheme = scheme;
	job->tls12 = key->tls12;
	job->message_len = message.len;
	memcpy(job->message, message.at, message.len);
	call_set_user(call, job);
	if (lanes_submit(
		svc->lanes, key->slow ? LANE_SLOW : LANE_FAST, &job->lane, svc->deadline_ms) == 0)
		return;
	call_set_user(call, NULL);
	key_unref(job->key);
	free(job);
	audit_count(&svc->audit, AUDIT_FULL);
	reply_error(svc, call, k->id, KEYLESS_ERR_INTERNAL);
}

/* ---- the other functions */

static void call_epoch_keys(struct keysvc *svc, struct call *call, const struct keyless *k)
{
	struct writer w = writer_of(svc->payload, sizeof(svc->payload));

	if (k->payload.len == 0 || k->payload.len > EPOCH_GROUP_MAX) {
		refuse(svc, call, k->id, AUDIT_FORMAT, KEYLESS_ERR_FORMAT, "epoch-keys",
		    "no group, or a too long one");
		return;
	}
	if (epochs_answer(svc->epochs, k->payload, &w) == -1 || !w.ok) {
		audit_count(&svc->audit, AUDIT_FAILED);
		reply_error(svc, call, k->id, KEYLESS_ERR_INTERNAL);
	} else {
		audit_count(&svc->audit, AUDIT_EPOCH_KEYS);
		reply_payload(svc, call, k->id, bytes_of(svc->payload, writer_len(&w)));
	}
	OPENSSL_cleanse(svc->payload, writer_len(&w));
	OPENSSL_cleanse(svc->answer, writer_len(&w) + 64);
}

static void call_keys(struct keysvc *svc, struct call *call, const struct keyless *k)
{
	struct writer w = writer_of(svc->payload, sizeof(svc->payload));
	struct cursor c = cursor_of(k->payload);
	size_t n = keystore_n(svc->keys), first = 0, last;

	if (k->payload.len > 0)
		first = cursor_u32(&c);
	if (!c.ok || cursor_left(&c) > 0) {
		refuse(svc, call, k->id, AUDIT_FORMAT, KEYLESS_ERR_FORMAT, "keys",
		    "the index is malformed");
		return;
	}
	if (first > n)
		first = n;
	last = n - first > KEYLESS_KEYS_MAX ? first + KEYLESS_KEYS_MAX : n;
	writer_u32(&w, (uint32_t)n);
	for (size_t i = first; i < last; i++) {
		const struct key *key = keystore_at(svc->keys, i);
		struct keyless_key record = { .type = (uint8_t)key->type,
			.tls12 = (uint8_t)key->tls12 };

		memcpy(record.ski, key->ski, sizeof(record.ski));
		memcpy(record.spki_sha256, key->spki_sha256, sizeof(record.spki_sha256));
		keyless_key_put(&w, &record);
	}
	audit_count(&svc->audit, AUDIT_KEYS);
	reply_payload(svc, call, k->id, bytes_of(svc->payload, writer_len(&w)));
}

static void call_ping(struct keysvc *svc, struct call *call, const struct keyless *k)
{
	struct keyless pong = { .id = k->id, .opcode = KEYLESS_PONG, .payload = k->payload };

	audit_count(&svc->audit, AUDIT_PINGS);
	reply(svc, call, keyless_build(&pong, false, svc->answer, sizeof(svc->answer)));
}

static const struct function {
	const char *name;
	enum grant grant;
	void (*call)(struct keysvc *, struct call *, const struct keyless *);
} functions[] = {
	{ KEYLESS_FN_TLS_SIGN, GRANT_TLS_SIGN, call_sign },
	{ KEYLESS_FN_EPOCH_KEYS, GRANT_EPOCH_KEYS, call_epoch_keys },
	{ KEYLESS_FN_KEYS, GRANT_KEYS, call_keys },
};

static void call_custom(struct keysvc *svc, struct call *call, const struct keyless *k)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (!bytes_equal_str(k->function, functions[i].name))
			continue;
		if (policy_grants(svc->policy, functions[i].grant))
			functions[i].call(svc, call, k);
		else
			refuse(svc, call, k->id, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE,
			    functions[i].name, "not granted");
		return;
	}
	refuse(svc, call, k->id, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, "a custom function",
	    "there is none of that name");
}

/* ---- requests */

/* True if the request was a welcome's: who asks is known from now on. Else the connection is closed. */
static void introduce(struct keysvc *svc, struct call *call, const struct keyless *k)
{
	struct identity *who = call_identity(call);
	bool hello = k->opcode == KEYLESS_CUSTOM && bytes_equal_str(k->function, KEYLESS_FN_HELLO);

	if (policy_admits(svc->policy, who) && hello &&
	    policy_token_fits(svc->policy, k->payload)) {
		who->user = svc; /* any pointer: introduced */
		reply_payload(svc, call, k->id, bytes_of(NULL, 0));
		return;
	}
	audit_refuse(&svc->audit, AUDIT_STRANGERS, loop_now_ms(svc->loop), who->uid, who->pid,
	    "a connection",
	    !policy_admits(svc->policy, who) ? "this user may not ask"
	    : hello                          ? "the family token is wrong"
					     : "the family token did not come first");
	call_close(call);
}

static bool introduced(const struct keysvc *svc, struct call *call)
{
	if (svc->policy->has_token)
		return call_identity(call)->user != NULL;
	return policy_admits(svc->policy, call_identity(call));
}

static void on_call(void *arg, struct call *call, struct bytes request)
{
	struct keysvc *svc = arg;
	struct keyless k;
	enum keyless_error error;
	struct iovec iov = { svc->answer, 0 };

	call_set_user(call, NULL);
	if (keyless_parse(request, &k, &error) != PARSE_OK) {
		audit_count(&svc->audit, AUDIT_FORMAT);
		iov.iov_len = keyless_build_error(k.id, error, svc->answer, sizeof(svc->answer));
		call_reply_last(call, &iov, 1);
		return;
	}
	if (!introduced(svc, call)) {
		introduce(svc, call, &k);
		return;
	}
	switch (k.opcode) {
	case KEYLESS_PING:
		call_ping(svc, call, &k);
		break;
	case KEYLESS_CUSTOM:
		call_custom(svc, call, &k);
		break;
	case KEYLESS_ANSWER:
	case KEYLESS_ERROR:
	case KEYLESS_PONG:
		refuse(svc, call, k.id, AUDIT_FORMAT, KEYLESS_ERR_UNEXPECTED_OPCODE, "an operation",
		    "it is an answer's");
		break;
	default:
		refuse(svc, call, k.id, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, "an operation",
		    "only sslgw's own functions and ping are granted");
		break;
	}
}

static void on_gone(void *arg, struct call *call)
{
	struct sign_job *job = call_user(call);

	(void)arg;
	if (job != NULL)
		atomic_store_explicit(&job->lane.drop, true, memory_order_relaxed);
}

static size_t on_bad(void *arg, struct bytes input, uint8_t *buf, size_t max)
{
	struct keysvc *svc = arg;
	size_t len;
	uint32_t id;

	audit_count(&svc->audit, AUDIT_FORMAT);
	if (keyless_next(input, &len, &id) != PARSE_BAD || input.len < KEYLESS_HEADER_LEN)
		return 0;
	return keyless_build_error(id, KEYLESS_ERR_VERSION, buf, max);
}

/* ---- life */

static int start(struct keysvc *svc, const struct keysvc_params *params)
{
	struct lanes_params lanes = {
		.threads = { params->threads, params->slow_threads },
		.queue_max = params->queue_max,
		.scratch_new = scratch_new,
		.scratch_free = scratch_free,
		.work = sign_work,
		.done = sign_done,
		.arg = svc,
	};

	svc->service_params = (struct service_params){
		.codec = &codec,
		.conns_max = params->conns_max,
		/* Full queues refuse; they do not stop the reading of pings and epoch keys. */
		.calls_max = 4 * params->queue_max + 1024,
		.conn_calls_max = CONN_CALLS_MAX,
		.idle_ms = IDLE_MS,
		.stall_ms = STALL_MS,
		.call = on_call,
		.gone = on_gone,
		.bad = on_bad,
	};
	if ((svc->keys = keystore_new()) == NULL)
		return -1;
	keystore_seal(svc->keys);
	svc->lanes = lanes_new(svc->loop, &lanes);
	svc->service = service_new(svc->loop, &svc->service_params, svc);
	return svc->lanes != NULL && svc->service != NULL ? 0 : -1;
}

struct keysvc *keysvc_new(struct loop *loop, const struct keysvc_params *params)
{
	struct keysvc *svc = calloc(1, sizeof(*svc));

	if (svc == NULL)
		return NULL;
	svc->loop = loop;
	svc->policy = params->policy;
	svc->epochs = params->epochs;
	svc->deadline_ms = params->deadline_ms;
	if (start(svc, params) == -1) {
		keysvc_free(svc);
		return NULL;
	}
	return svc;
}

int keysvc_listen(struct keysvc *svc, int fd)
{
	return service_listen(svc->service, fd, NULL);
}

void keysvc_set_keys(struct keysvc *svc, struct keystore *keys)
{
	keystore_free(svc->keys);
	svc->keys = keys;
}

const struct keystore *keysvc_keys(const struct keysvc *svc)
{
	return svc->keys;
}

const struct audit *keysvc_audit(const struct keysvc *svc)
{
	return &svc->audit;
}

static void on_drained(void *arg)
{
	struct keysvc *svc = arg;

	svc->drained(svc->drained_arg);
}

void keysvc_drain(struct keysvc *svc, void (*done)(void *arg), void *arg)
{
	svc->drained = done;
	svc->drained_arg = arg;
	service_drain(svc->service, on_drained);
}

void keysvc_free(struct keysvc *svc)
{
	if (svc == NULL)
		return;
	lanes_free(svc->lanes); /* answers what is in work, so before the service */
	if (svc->service != NULL)
		service_free(svc->service);
	keystore_free(svc->keys);
	OPENSSL_cleanse(svc, sizeof(*svc));
	free(svc);
}
