/*
 * functions.c: sslgw's own functions, but for those that take a private key: the cluster's secrets,
 * which keys there are, and their certificate chains. One table: name, grant, function.
 */
#include <openssl/crypto.h>
#include <string.h>

#include "keysvc/chain.h"
#include "keysvc/keysvc_private.h"

#include "base/poison.h"

/* Answers what was written, and wipes it. */
static void reply_secret(struct keysvc *svc, const struct ask *ask, int rc, const struct writer *w,
    enum audit_event event)
{
	if (rc == -1 || !w->ok) {
		/* Just started, it may wait for the other key servers' answers: no fault. */
		audit_count(
		    &svc->audit, epochs_ready(svc->epochs) ? AUDIT_FAILED : AUDIT_NO_SECRET);
		keysvc_reply_error(
		    svc, ask->call, ask->k->id, ask->k->padded, KEYLESS_ERR_INTERNAL);
	} else {
		audit_count(&svc->audit, event);
		keysvc_reply(svc, ask->call, ask->k->id, ask->k->padded,
		    bytes_of(svc->payload, writer_len(w)));
		OPENSSL_cleanse(svc->answer, writer_len(w) + 64);
	}
	OPENSSL_cleanse(svc->payload, writer_len(w));
}

static void call_epoch_keys(struct keysvc *svc, const struct ask *ask)
{
	struct writer w = writer_of(svc->payload, sizeof(svc->payload));
	struct bytes group = ask->k->payload;

	if (group.len == 0 || group.len > EPOCH_GROUP_MAX)
		keysvc_refuse(svc, ask, AUDIT_FORMAT, KEYLESS_ERR_FORMAT, "epoch-keys",
		    "no group, or a too long one");
	else if (!policy_group(ask->caller, group))
		keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, "epoch-keys",
		    "its caller in keysvc.conf does not name this group");
	else
		reply_secret(svc, ask, epochs_answer(svc->epochs, group, &w), &w, AUDIT_EPOCH_KEYS);
}

static void call_epoch_ids(struct keysvc *svc, const struct ask *ask)
{
	struct writer w = writer_of(svc->payload, sizeof(svc->payload));

	reply_secret(svc, ask, epochs_ids(svc->epochs, &w), &w, AUDIT_EPOCH_IDS);
}

static void call_generations(struct keysvc *svc, const struct ask *ask)
{
	struct writer w = writer_of(svc->payload, sizeof(svc->payload));

	reply_secret(svc, ask, epochs_generations(svc->epochs, &w), &w, AUDIT_GENERATIONS);
}

static void put_key(struct writer *w, const struct key *key)
{
	struct keyless_key record = { .type = (uint8_t)key->type, .tls12 = (uint8_t)key->tls12 };

	memcpy(record.ski, key->ski, sizeof(record.ski));
	memcpy(record.spki_sha256, key->spki_sha256, sizeof(record.spki_sha256));
	keyless_key_put(w, &record);
}

/* The index counts the keys of this caller. */
static void call_keys(struct keysvc *svc, const struct ask *ask)
{
	struct writer w = writer_of(svc->payload, sizeof(svc->payload)), head = w;
	struct cursor c = cursor_of(ask->k->payload);
	uint32_t first = 0, n = 0, put = 0;

	if (ask->k->payload.len > 0)
		first = cursor_u32(&c);
	if (!c.ok || cursor_left(&c) > 0) {
		keysvc_refuse(
		    svc, ask, AUDIT_FORMAT, KEYLESS_ERR_FORMAT, "keys", "the index is malformed");
		return;
	}
	writer_u32(&w, 0); /* n, below */
	for (size_t i = 0; i < keystore_n(svc->keys); i++) {
		if (!policy_key(ask->caller, i))
			continue;
		if (n++ >= first && put < KEYLESS_KEYS_MAX) {
			put_key(&w, keystore_at(svc->keys, i));
			put++;
		}
	}
	writer_u32(&head, n);
	audit_count(&svc->audit, AUDIT_KEYS);
	keysvc_reply(
	    svc, ask->call, ask->k->id, ask->k->padded, bytes_of(svc->payload, writer_len(&w)));
}

static void call_chains(struct keysvc *svc, const struct ask *ask)
{
	ssize_t place = keysvc_find_key(svc, ask, "chains");
	const struct chain *chain;

	if (place == -1)
		return;
	chain = keystore_at(svc->keys, (size_t)place)->chain;
	if (chain == NULL || chain->len > KEYSVC_ANSWER_MAX) {
		keysvc_refuse(svc, ask, AUDIT_NO_KEY, KEYLESS_ERR_NO_CERTIFICATE, "chains",
		    "no certificate lies beside this key");
		return;
	}
	audit_count(&svc->audit, AUDIT_CHAINS);
	keysvc_reply(svc, ask->call, ask->k->id, ask->k->padded, bytes_of(chain->at, chain->len));
}

static void call_signed(struct keysvc *svc, const struct ask *ask)
{
	struct cursor c = cursor_of(ask->k->payload);
	uint64_t instance = cursor_u64(&c), n = cursor_u64(&c);

	if (!c.ok || cursor_left(&c) > 0 || instance == 0) {
		keysvc_refuse(svc, ask, AUDIT_FORMAT, KEYLESS_ERR_FORMAT, "signed",
		    "not an instance and a count");
		return;
	}
	audit_count(&svc->audit, AUDIT_CLAIMS);
	keysvc_claimed(svc, ask->caller, instance, n);
	keysvc_reply(svc, ask->call, ask->k->id, ask->k->padded, bytes_of(NULL, 0));
}

static const struct function {
	const char *name;
	enum grant grant;
	void (*call)(struct keysvc *, const struct ask *);
} functions[] = {
	{ KEYLESS_FN_TLS_SIGN, GRANT_TLS_SIGN, signing_tls },
	{ KEYLESS_FN_TLS_RSA_KX, GRANT_TLS_RSA_KX, signing_rsa_kx },
	{ KEYLESS_FN_EPOCH_KEYS, GRANT_EPOCH_KEYS, call_epoch_keys },
	{ KEYLESS_FN_EPOCH_IDS, GRANT_EPOCH_KEYS, call_epoch_ids },
	{ KEYLESS_FN_KEYS, GRANT_KEYS, call_keys },
	{ KEYLESS_FN_CHAINS, GRANT_CHAINS, call_chains },
	{ KEYLESS_FN_SIGNED, GRANT_TLS_SIGN, call_signed },
	{ KEYLESS_FN_GENERATIONS, GRANT_GENERATIONS, call_generations },
};

void functions_call(struct keysvc *svc, const struct ask *ask)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (!bytes_equal_str(ask->k->function, functions[i].name))
			continue;
		if (policy_grants(svc->policy, ask->caller, functions[i].grant))
			functions[i].call(svc, ask);
		else
			keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE,
			    functions[i].name, "not granted");
		return;
	}
	keysvc_refuse(svc, ask, AUDIT_REFUSED, KEYLESS_ERR_BAD_OPCODE, "a custom function",
	    "there is none of that name");
}
