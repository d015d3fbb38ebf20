/*
 * keysvc.c: connections, who asks, what each request comes to, and life. A request that makes no sense
 * gets the protocol's error; nothing that a peer sends ends the process. Signing is signing.c, which
 * alone leaves the loop; sslgw's other functions are functions.c.
 */
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "keysvc/keyop.h"
#include "keysvc/keysvc_private.h"
#include "net/tlsctx.h"

#include "base/poison.h"

enum {
	IDLE_MS = 3600 *
		  1000, /* our gateways ping; a foreign client of a Unix socket is given an hour */
	STALL_MS = 10 * 1000,
	CONN_CALLS_MAX = 1024,
};

_Static_assert((size_t)EPOCH_ANSWER_MAX <= (size_t)KEYSVC_ANSWER_MAX, "the scratch holds them");
_Static_assert((size_t)KEYLESS_KEYS_MAX *KEYLESS_KEY_LEN + 4 <= (size_t)KEYSVC_ANSWER_MAX,
    "a page of keys fits a message");
_Static_assert((size_t)LANES_THREADS_MAX <= (size_t)KEY_SLOTS, "each thread has a slot");

static const struct frame_codec codec = {
	.name = "keyless", .next = keyless_next, .ordered = false, .max = KEYLESS_MAX
};

/* ---- answers */

static void reply(struct keysvc *svc, struct call *call, const struct keyless *k, bool padded)
{
	struct iovec iov = { svc->answer,
		keyless_build(k, padded, svc->answer, sizeof(svc->answer)) };

	call_reply(call, &iov, 1);
}

void keysvc_reply(
    struct keysvc *svc, struct call *call, uint32_t id, bool padded, struct bytes payload)
{
	struct keyless k = { .id = id, .opcode = KEYLESS_ANSWER, .payload = payload };

	if (payload.at == NULL)
		k.payload = bytes_str(""); /* an answer has a payload, if an empty one */
	reply(svc, call, &k, padded);
}

void keysvc_reply_error(
    struct keysvc *svc, struct call *call, uint32_t id, bool padded, enum keyless_error error)
{
	uint8_t code = (uint8_t)error;
	struct keyless k = { .id = id, .opcode = KEYLESS_ERROR, .payload = bytes_of(&code, 1) };

	reply(svc, call, &k, padded);
}

void keysvc_refuse(struct keysvc *svc, const struct ask *ask, enum audit_event event,
    enum keyless_error error, const char *what, const char *why)
{
	audit_refuse(
	    &svc->audit, event, loop_now_ms(svc->loop), call_identity(ask->call), what, why);
	keysvc_reply_error(svc, ask->call, ask->k->id, ask->k->padded, error);
}

/* ---- keys */

static ssize_t named_key(const struct keysvc *svc, const struct keyless *k)
{
	if (k->ski.at != NULL)
		return keystore_index(svc->keys, k->ski.at);
	return k->digest.len == KEYLESS_DIGEST_LEN
		   ? keystore_index_of_modulus(svc->keys, k->digest.at)
		   : -1;
}

static bool names_no_key(const struct keyless *k)
{
	static const uint8_t zero[KEYLESS_SKI_LEN];

	return k->ski.at == NULL ? k->digest.at == NULL
				 : memcmp(k->ski.at, zero, sizeof(zero)) == 0;
}

/* A key that is not for this caller is not there: the answer must not tell which keys there are. */
ssize_t keysvc_find_key(struct keysvc *svc, const struct ask *ask, const char *what)
{
	ssize_t place;

	if (names_no_key(ask->k)) {
		keysvc_refuse(
		    svc, ask, AUDIT_NO_KEY, KEYLESS_ERR_INTERNAL, what, "the request names no key");
		return -1;
	}
	if ((place = named_key(svc, ask->k)) == -1)
		keysvc_refuse(svc, ask, AUDIT_NO_KEY, KEYLESS_ERR_KEY_NOT_FOUND, what,
		    "no such key: the gateway's certificates and the keys here differ");
	else if (!policy_key(ask->caller, (size_t)place)) {
		keysvc_refuse(svc, ask, AUDIT_NO_KEY, KEYLESS_ERR_KEY_NOT_FOUND, what,
		    "its caller in keysvc.conf does not name this key");
		place = -1;
	}
	return place;
}

/* ---- claims */

/* Others of ours sign nothing, and foreign ones do not know the function. */
static bool is_compared(const struct caller *caller)
{
	return caller->rule != NULL && caller->role == ROLE_GATEWAY &&
	       (caller->rule->grants & GRANT_TLS_SIGN) != 0;
}

static void alarm_of(struct keysvc *svc, const struct caller *caller, uint64_t found)
{
	if (found == 0)
		return;
	svc->audit.n[AUDIT_UNCLAIMED] += found;
	log_errorx("ALARM: as \"%s\" %" PRIu64 " signatures were asked for that no gateway of this "
		   "name claims: if its identity was stolen, sslgwctl pki deny %s",
	    caller->name, found, caller->name);
}

void keysvc_claimed(struct keysvc *svc, struct caller *caller, uint64_t instance, uint64_t n)
{
	bool was = caller->claims.doubled;

	if (!is_compared(caller))
		return;
	alarm_of(svc, caller,
	    claims_take(&caller->claims, instance, n, caller->tls_asks, loop_now_ms(svc->loop)));
	if (caller->claims.doubled && !was)
		log_errorx("ALARM: two gateways use the identity \"%s\": give each its own, or if "
			   "there is only one of that name, sslgwctl pki deny %s",
		    caller->name, caller->name);
}

static void tick_caller(void *arg, struct caller *caller)
{
	struct keysvc *svc = arg;

	if (is_compared(caller))
		alarm_of(svc, caller,
		    claims_tick(&caller->claims, caller->tls_asks, loop_now_ms(svc->loop)));
}

static void tick(struct deadline *d)
{
	struct keysvc *svc = CONTAINER_OF(d, struct keysvc, claims_tick);

	deadline_set(svc->loop, &svc->claims_tick, CLAIMS_TICK_MS, tick);
	if (svc->policy->callers != NULL)
		callers_each(svc->policy->callers, tick_caller, svc);
}

struct alarms {
	void (*each)(void *arg, const struct caller *);
	void *arg;
};

static void alarm_caller(void *arg, struct caller *caller)
{
	const struct alarms *a = arg;

	if (caller->claims.unclaimed > 0 || caller->claims.doubled)
		a->each(a->arg, caller);
}

void keysvc_alarms(
    const struct keysvc *svc, void (*each)(void *arg, const struct caller *), void *arg)
{
	struct alarms a = { each, arg };

	if (svc->policy->callers != NULL)
		callers_each(svc->policy->callers, alarm_caller, &a);
}

/* ---- requests */

static void stranger(struct keysvc *svc, struct call *call, const char *why)
{
	audit_refuse(&svc->audit, AUDIT_STRANGERS, loop_now_ms(svc->loop), call_identity(call),
	    "a connection", why);
	call_close(call);
}

/* The first request of an embedded service's connection: who asks is known from then on. */
static void introduce(struct keysvc *svc, struct call *call, const struct keyless *k)
{
	struct identity *who = call_identity(call);

	if (k->opcode != KEYLESS_CUSTOM || !bytes_equal_str(k->function, KEYLESS_FN_HELLO)) {
		stranger(svc, call, "the family token did not come first");
	} else if (!policy_token_fits(svc->policy, k->payload)) {
		stranger(svc, call, "the family token is wrong");
	} else {
		who->user = svc; /* any pointer: introduced */
		keysvc_reply(svc, call, k->id, k->padded, bytes_of(NULL, 0));
	}
}

static void call_ping(struct keysvc *svc, struct call *call, const struct keyless *k)
{
	struct keyless pong = { .id = k->id, .opcode = KEYLESS_PONG, .payload = k->payload };

	audit_count(&svc->audit, AUDIT_PINGS);
	reply(svc, call, &pong, k->padded);
}

static void dispatch(struct keysvc *svc, const struct ask *ask)
{
	switch (ask->k->opcode) {
	case KEYLESS_PING:
		call_ping(svc, ask->call, ask->k);
		break;
	case KEYLESS_CUSTOM:
		functions_call(svc, ask);
		break;
	case KEYLESS_SEAL:
	case KEYLESS_UNSEAL:
		keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_INTERNAL, "sealing",
		    "this service has no sealer");
		break;
	case KEYLESS_ANSWER:
	case KEYLESS_ERROR:
	case KEYLESS_PONG:
		keysvc_refuse(svc, ask, AUDIT_FORMAT, KEYLESS_ERR_UNEXPECTED_OPCODE, "an operation",
		    "it is an answer's");
		break;
	default:
		if (!signing_opcode(svc, ask))
			keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE,
			    "an operation", "it is unknown");
		break;
	}
}

static void on_call(void *arg, struct call *call, struct bytes request)
{
	struct keysvc *svc = arg;
	struct identity *who = call_identity(call);
	struct keyless k;
	struct ask ask = { .call = call, .k = &k };
	enum keyless_error error;
	struct iovec iov = { svc->answer, 0 };

	call_set_user(call, NULL);
	if (keyless_parse(request, &k, &error) != PARSE_OK) {
		audit_count(&svc->audit, AUDIT_FORMAT);
		iov.iov_len = keyless_build_error(k.id, error, svc->answer, sizeof(svc->answer));
		call_reply_last(call, &iov, 1);
		return;
	}
	ask.caller = policy_caller(svc->policy, who, loop_now_ms(svc->loop));
	if (ask.caller == NULL)
		stranger(svc, call,
		    who->local ? "this user may not ask (caller_users in keysvc.conf)"
			       : "no caller in keysvc.conf has this name, role and network");
	else if (svc->policy->has_token && who->user == NULL)
		introduce(svc, call, &k);
	else
		dispatch(svc, &ask);
}

static bool on_known(void *arg, const struct identity *who)
{
	const struct keysvc *svc = arg;

	return policy_admits(svc->policy, who) && (!svc->policy->has_token || who->user != NULL);
}

static void on_gone(void *arg, struct call *call)
{
	(void)arg;
	signing_gone(call);
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

static void *scratch_new(unsigned nth)
{
	return keyop_new(nth);
}

static void scratch_free(void *scratch)
{
	keyop_free(scratch);
}

static int start(struct keysvc *svc, const struct keysvc_params *params)
{
	struct lanes_params lanes = {
		/* One alone would only be handed what the loop can do. */
		.threads = { params->threads > 1 ? params->threads : 0, params->slow_threads },
		.queue_max = params->queue_max,
		.scratch_new = scratch_new,
		.scratch_free = scratch_free,
		.work = signing_work,
		.done = signing_done,
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
		.known = on_known,
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
	deadline_set(loop, &svc->claims_tick, CLAIMS_TICK_MS, tick);
	return svc;
}

int keysvc_listen(struct keysvc *svc, int fd, struct tlsctx *tlsctx)
{
	if (tlsctx != NULL)
		svc->tlsctx = tlsctx;
	return service_listen(svc->service, fd, tlsctx);
}

static bool keep(void *arg, const struct identity *who)
{
	struct keysvc *svc = arg;

	if (policy_admits(svc->policy, who) &&
	    (!who->tls || !tlsctx_denied(svc->tlsctx, who->spki)))
		return true;
	audit_refuse(&svc->audit, AUDIT_STRANGERS, loop_now_ms(svc->loop), who,
	    "an open connection",
	    "it is on the deny list, or no caller of keysvc.conf any more: closed");
	return false;
}

void keysvc_recheck(struct keysvc *svc)
{
	service_recheck(svc->service, keep, svc);
}

void keysvc_set_keys(struct keysvc *svc, struct keystore *keys)
{
	keystore_free(svc->keys);
	svc->keys = keys;
}

void keysvc_leave_keys(struct keysvc *svc, uint64_t gone_ms)
{
	keystore_leave(svc->keys, gone_ms);
}

uint64_t keysvc_forget_keys(struct keysvc *svc, uint64_t now_ms)
{
	return keystore_forget(svc->keys, now_ms);
}

const struct keystore *keysvc_keys(const struct keysvc *svc)
{
	return svc->keys;
}

const struct audit *keysvc_audit(const struct keysvc *svc)
{
	return &svc->audit;
}

void keysvc_counts(const struct keysvc *svc, struct keysvc_counts *counts)
{
	counts->connections = service_connections(svc->service);
	counts->callers = svc->policy->callers != NULL ? callers_n(svc->policy->callers) : 0;
	for (int i = 0; i < LANES_N; i++)
		counts->waiting[i] = lanes_waiting(svc->lanes, i, &counts->threads[i]);
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
	deadline_clear(svc->loop, &svc->claims_tick);
	lanes_free(svc->lanes); /* answers what is in work, so before the service */
	if (svc->service != NULL)
		service_free(svc->service);
	keystore_free(svc->keys);
	OPENSSL_cleanse(svc, sizeof(*svc));
	free(svc);
}
