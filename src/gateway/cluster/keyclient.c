/*
 * keyclient.c: questions to the key service: the message, the second try, the check of what comes
 * back. Called by remotekey (signatures), secrets (epoch keys) and the start of a worker (which keys
 * there are). Invariant: a question has one ask in flight or its callback has been called.
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/log.h"
#include "crypto/scheme.h"
#include "wire/keyless.h"

#include "gateway/cluster/foreign.h"
#include "gateway/cluster/keyclient.h"
#include "gateway/report.h"

#include "base/poison.h"

enum {
	KEYCLIENT_IN_FLIGHT_MAX = 4096,
	KEYCLIENT_CONNECT_MS = 1000,
	KEYCLIENT_PING_MS = 2000,
	KEYCLIENT_TRIES = 2,
	KEYCLIENT_HEDGE_PERMILLE = 50,
	KEYCLIENT_MESSAGE_MAX =
	    320, /* the longest question: a TLS 1.2 signature of TBS_MAX bytes */
	KEYCLIENT_BUDGET_S = 10,
	KEYCLIENT_BUDGET_MIN =
	    10, /* retries in KEYCLIENT_BUDGET_S that need no asks to pay for them */
	KEYCLIENT_BUDGET_SHARE = 5, /* one retry for so many asks */
	KEYCLIENT_FREE_MAX = 256, /* question structs kept for reuse */
};

/* Asks and retries of the last seconds, a cell each. */
struct budget {
	uint64_t second; /* of the newest cell */
	uint32_t asks[KEYCLIENT_BUDGET_S], retries[KEYCLIENT_BUDGET_S];
};

struct keyclient {
	struct loop *loop;
	struct peers *peers;
	uint8_t token[KEYCLIENT_TOKEN_LEN];
	bool foreign;
	struct foreign_said said;
	struct budget budget;
	struct counters *counters; /* NULL: signatures are not counted by server */
	_Atomic uint64_t *asked[PEERS_MAX]; /* by slot; NULL: not counted */
	uint64_t answers[PEERS_MAX]; /* by slot: good signatures since a connection was made */
	size_t servers_n;
	struct endpoint servers[PEERS_MAX];
	unsigned slot; /* who gave the answer that is being told */
	struct keyclient_ask *free; /* linked by next */
	size_t free_n;
	bool closing;
};

struct keyclient_ask {
	struct keyclient_ask *next;
	struct keyclient *client;
	struct ask *ask; /* in flight */
	keyclient_check check; /* may be NULL */
	keyclient_cb done;
	void *arg;
	uint64_t began; /* ms */
	uint64_t avoid; /* servers */
	uint16_t scheme; /* 0: no signature */
	uint8_t tries;
	int16_t only; /* the slot that is asked and no other; -1: any */
	bool trial; /* neither hedged nor tried again */
	size_t len;
	uint8_t message[KEYCLIENT_MESSAGE_MAX];
};

static void answered(void *arg, enum peers_result, struct bytes message);

/* ---- the connection */

static size_t hello(void *arg, uint8_t *buf, size_t max)
{
	struct keyclient *kc = arg;

	return keyless_build_custom(
	    0, KEYLESS_FN_HELLO, NULL, bytes_of(kc->token, sizeof(kc->token)), buf, max);
}

static enum parse welcome(void *arg, struct bytes answer)
{
	struct keyless k;
	enum keyless_error error;

	(void)arg;
	if (keyless_parse(answer, &k, &error) == PARSE_OK && k.opcode == KEYLESS_ANSWER)
		return PARSE_OK;
	log_warnx("key service: it refused this worker's token: was it started by another sslgw?");
	return PARSE_BAD;
}

static size_t ping(void *arg, uint8_t *buf, size_t max)
{
	struct keyless k = { .opcode = KEYLESS_PING };

	(void)arg;
	return keyless_build(&k, false, buf, max);
}

static void up(void *arg)
{
	struct keyclient *kc = arg;

	/* Another server may stand there: verify its first signatures again, and all others' too. */
	memset(kc->answers, 0, sizeof(kc->answers));
}

/* Of each that goes out, first ones, second ones and copies: the server may sign them all. */
static void sent(void *arg, unsigned slot, struct bytes message)
{
	struct keyclient *kc = arg;

	if (slot < PEERS_MAX && kc->asked[slot] != NULL &&
	    keyless_is_custom(message, KEYLESS_FN_TLS_SIGN))
		counter_add(kc->asked[slot], 1);
}

static void find_counters(struct keyclient *kc)
{
	char row[COUNTERS_NAME_MAX], at[ENDPOINT_TEXT_MAX];

	memset(kc->asked, 0, sizeof(kc->asked));
	for (size_t i = 0; kc->counters != NULL && i < kc->servers_n; i++) {
		endpoint_text(&kc->servers[i], at, sizeof(at));
		if (kc->servers[i].addr.ss_family != AF_UNIX &&
		    (size_t)snprintf(row, sizeof(row), REPORT_ASKED "%s", at) < sizeof(row))
			kc->asked[i] = counters_cell(kc->counters, row);
	}
}

struct keyclient *keyclient_new(struct loop *loop, const struct keyclient_params *with)
{
	static const struct frame_codec codec = {
		.name = "Keyless", .next = keyless_next, .ordered = false, .max = KEYLESS_MAX
	};
	struct keyclient *kc = calloc(1, sizeof(*kc));
	struct peers_params params = {
		.name = "key service",
		.codec = &codec,
		.deadline_ms = KEYCLIENT_TRY_MS,
		.in_flight_max = KEYCLIENT_IN_FLIGHT_MAX,
		.connect_ms = KEYCLIENT_CONNECT_MS,
		.ping_ms = KEYCLIENT_PING_MS,
		.tls = with->tls,
		.connections_max = KEYCLIENT_CONNECTIONS,
		.worker = with->worker,
		.hedge_permille = KEYCLIENT_HEDGE_PERMILLE,
		.owner = with->owner,
		.hello = with->token != NULL ? hello : NULL,
		.welcome = with->token != NULL ? welcome : NULL,
		.ping = ping,
		.sent = sent,
		.number = keyless_number,
		.arg = kc,
	};

	if (kc == NULL)
		return NULL;
	kc->loop = loop;
	kc->foreign = with->foreign;
	kc->counters = with->counters;
	if (with->token != NULL)
		memcpy(kc->token, with->token, sizeof(kc->token));
	if ((kc->peers = peers_new(loop, &params)) == NULL)
		goto fail;
	peers_on_up(kc->peers, up, kc);
	if (keyclient_servers(kc, with->servers, with->n) == -1)
		goto fail;
	return kc;
fail:
	keyclient_free(kc);
	return NULL;
}

void keyclient_free(struct keyclient *kc)
{
	struct keyclient_ask *ka;

	if (kc == NULL)
		return;
	kc->closing = true;
	if (kc->peers != NULL)
		peers_free(kc->peers);
	while ((ka = kc->free) != NULL) {
		kc->free = ka->next;
		free(ka);
	}
	explicit_bzero(kc->token, sizeof(kc->token));
	free(kc);
}

int keyclient_servers(struct keyclient *kc, const struct endpoint *servers, size_t n)
{
	if (peers_set(kc->peers, servers, n) == -1)
		return -1;
	kc->servers_n = n;
	if (n > 0)
		memcpy(kc->servers, servers, n * sizeof(*servers));
	memset(kc->answers, 0, sizeof(kc->answers)); /* slots have moved */
	find_counters(kc);
	peers_connect(kc->peers);
	return 0;
}

size_t keyclient_servers_n(const struct keyclient *kc)
{
	return kc->servers_n;
}

const struct endpoint *keyclient_server(const struct keyclient *kc, unsigned slot)
{
	return slot < kc->servers_n ? &kc->servers[slot] : NULL;
}

const struct peers *keyclient_peers(const struct keyclient *kc)
{
	return kc->peers;
}

void keyclient_recheck(struct keyclient *kc)
{
	peers_recheck(kc->peers);
}

/* ---- the budget of second tries */

static void budget_move(struct budget *b, uint64_t second)
{
	if (second - b->second >= KEYCLIENT_BUDGET_S) {
		memset(b, 0, sizeof(*b));
		b->second = second;
	}
	while (b->second < second) {
		b->second++;
		b->asks[b->second % KEYCLIENT_BUDGET_S] = 0;
		b->retries[b->second % KEYCLIENT_BUDGET_S] = 0;
	}
}

static bool budget_take(struct budget *b)
{
	uint32_t asks = 0, retries = 0;

	for (size_t i = 0; i < KEYCLIENT_BUDGET_S; i++) {
		asks += b->asks[i];
		retries += b->retries[i];
	}
	if (retries >= KEYCLIENT_BUDGET_MIN && retries >= asks / KEYCLIENT_BUDGET_SHARE)
		return false;
	b->retries[b->second % KEYCLIENT_BUDGET_S]++;
	return true;
}

/* ---- asking */

static struct keyclient_ask *ask_new(struct keyclient *kc, keyclient_cb done, void *arg)
{
	struct keyclient_ask *ka = kc->free;

	if (ka != NULL) {
		kc->free = ka->next;
		kc->free_n--;
	} else if ((ka = malloc(sizeof(*ka))) == NULL) {
		return NULL;
	}
	ka->next = NULL;
	ka->client = kc;
	ka->ask = NULL;
	ka->check = NULL;
	ka->done = done;
	ka->arg = arg;
	ka->began = loop_now_ms(kc->loop);
	ka->avoid = 0;
	ka->scheme = 0;
	ka->tries = 0;
	ka->only = -1;
	ka->trial = false;
	ka->len = 0;
	return ka;
}

static void ask_free(struct keyclient_ask *ka)
{
	struct keyclient *kc = ka->client;

	if (kc->closing || kc->free_n >= KEYCLIENT_FREE_MAX) {
		free(ka);
		return;
	}
	ka->next = kc->free;
	kc->free = ka;
	kc->free_n++;
}

static enum reason reason_of_why(enum peers_why why)
{
	switch (why) {
	case PEERS_FULL:
		return REASON_SERVICE_FULL;
	case PEERS_BREAKER:
		return REASON_SERVICE_BREAKER;
	case PEERS_NO_ENDPOINT:
	case PEERS_ASKED:
		break;
	}
	return REASON_KEY_SERVICE;
}

/* One try. The second has all the time that is left: the server may be starting again. */
static int try(struct keyclient_ask *ka, enum reason *why)
{
	struct keyclient *kc = ka->client;
	struct peers_choice any = {
		.by = PEERS_ANY, .avoid = ka->avoid, .hedge = ka->scheme != 0 && !ka->trial
	};
	uint64_t spent = loop_now_ms(kc->loop) - ka->began;
	uint32_t ms = ka->tries == 0 ? KEYCLIENT_TRY_MS : KEYCLIENT_ALL_MS - (uint32_t)spent;
	enum peers_why said = PEERS_ASKED;

	if (ka->only != -1)
		any = (struct peers_choice){ .by = PEERS_SLOT, .rank = (uint8_t)ka->only };
	ka->tries++;
	ka->ask = peers_ask(
	    kc->peers, bytes_of(ka->message, ka->len), any, ms, answered, ka, &said);
	if (ka->ask != NULL)
		return 0;
	*why = reason_of_why(said);
	return -1;
}

/* Takes the message that was built into ka. */
static struct keyclient_ask *ask_begin(struct keyclient_ask *ka, enum reason *why)
{
	struct keyclient *kc = ka->client;

	if (ka->len == 0) {
		*why = REASON_INTERNAL;
		ask_free(ka);
		return NULL;
	}
	budget_move(&kc->budget, ka->began / 1000);
	kc->budget.asks[kc->budget.second % KEYCLIENT_BUDGET_S]++;
	if (try(ka, why) == 0)
		return ka;
	ask_free(ka);
	return NULL;
}

static size_t tls_sign_question(
    const struct keyclient_key *key, uint16_t scheme, struct bytes tbs, uint8_t *buf, size_t size)
{
	uint8_t payload[KEYCLIENT_MESSAGE_MAX];
	struct writer w = writer_of(payload, sizeof(payload));

	writer_u16(&w, scheme);
	writer_bytes(&w, tbs);
	return w.ok ? keyless_build_custom(0, KEYLESS_FN_TLS_SIGN, key->ski,
			  bytes_of(payload, writer_len(&w)), buf, size)
		    : 0;
}

static struct keyclient_ask *sign(struct keyclient *kc, const struct keyclient_key *key,
    uint16_t scheme, struct bytes tbs, keyclient_check check, keyclient_cb done, void *arg)
{
	struct keyclient_ask *ka = ask_new(kc, done, arg);

	if (ka == NULL)
		return NULL;
	ka->check = check;
	ka->scheme = scheme;
	ka->len = (kc->foreign ? foreign_question : tls_sign_question)(
	    key, scheme, tbs, ka->message, sizeof(ka->message));
	return ka;
}

struct keyclient_ask *keyclient_sign(struct keyclient *kc, const struct keyclient_key *key,
    uint16_t scheme, struct bytes tbs, keyclient_check check, keyclient_cb done, void *arg,
    enum reason *why)
{
	struct keyclient_ask *ka = sign(kc, key, scheme, tbs, check, done, arg);

	*why = REASON_MEMORY;
	return ka != NULL ? ask_begin(ka, why) : NULL;
}

struct keyclient_ask *keyclient_try(struct keyclient *kc, const struct keyclient_key *key,
    uint16_t scheme, struct bytes tbs, uint64_t avoid, keyclient_check check, keyclient_cb done,
    void *arg, enum reason *why)
{
	struct keyclient_ask *ka = sign(kc, key, scheme, tbs, check, done, arg);

	*why = REASON_MEMORY;
	if (ka == NULL)
		return NULL;
	ka->trial = true;
	ka->avoid = avoid;
	return ask_begin(ka, why);
}

struct keyclient_ask *keyclient_epoch_ids(
    struct keyclient *kc, uint64_t avoid, keyclient_cb done, void *arg, enum reason *why)
{
	struct keyclient_ask *ka = ask_new(kc, done, arg);

	*why = REASON_MEMORY;
	if (ka == NULL)
		return NULL;
	ka->avoid = avoid;
	ka->len = keyless_build_custom(
	    0, KEYLESS_FN_EPOCH_IDS, NULL, bytes_of(NULL, 0), ka->message, sizeof(ka->message));
	return ask_begin(ka, why);
}

unsigned keyclient_slot(const struct keyclient *kc)
{
	return kc->slot;
}

struct keyclient_ask *keyclient_epoch_keys(struct keyclient *kc, struct bytes group, uint64_t avoid,
    keyclient_cb done, void *arg, enum reason *why)
{
	struct keyclient_ask *ka = ask_new(kc, done, arg);

	*why = REASON_MEMORY;
	if (ka == NULL)
		return NULL;
	ka->avoid = avoid;
	ka->len = keyless_build_custom(
	    0, KEYLESS_FN_EPOCH_KEYS, NULL, group, ka->message, sizeof(ka->message));
	return ask_begin(ka, why);
}

struct keyclient_ask *keyclient_keys(struct keyclient *kc, uint32_t first, uint64_t avoid,
    keyclient_cb done, void *arg, enum reason *why)
{
	struct keyclient_ask *ka = ask_new(kc, done, arg);
	uint8_t payload[4];
	struct writer w = writer_of(payload, sizeof(payload));

	*why = REASON_MEMORY;
	if (ka == NULL)
		return NULL;
	ka->avoid = avoid;
	writer_u32(&w, first);
	ka->len = keyless_build_custom(0, KEYLESS_FN_KEYS, NULL, bytes_of(payload, sizeof(payload)),
	    ka->message, sizeof(ka->message));
	return ask_begin(ka, why);
}

struct keyclient_ask *keyclient_signed(struct keyclient *kc, unsigned slot, uint64_t instance,
    uint64_t n, keyclient_cb done, void *arg, enum reason *why)
{
	struct keyclient_ask *ka = ask_new(kc, done, arg);
	uint8_t payload[16];
	struct writer w = writer_of(payload, sizeof(payload));

	*why = REASON_MEMORY;
	if (ka == NULL)
		return NULL;
	ka->only = (int16_t)slot;
	ka->trial = true;
	writer_u64(&w, instance);
	writer_u64(&w, n);
	ka->len = keyless_build_custom(0, KEYLESS_FN_SIGNED, NULL,
	    bytes_of(payload, sizeof(payload)), ka->message, sizeof(ka->message));
	return ask_begin(ka, why);
}

void keyclient_cancel(struct keyclient_ask *ka)
{
	assert(ka->ask != NULL);
	ask_cancel(ka->ask);
	ka->ask = NULL;
	ask_free(ka);
}

/* ---- answers */

/* Our own servers say for themselves what they refuse (keysvc/audit.h). */
static enum reason judge_error(struct keyclient_ask *ka, uint8_t code, bool *again)
{
	struct keyclient *kc = ka->client;

	if (kc->foreign) {
		*again = foreign_again(code);
		foreign_say(&kc->said, loop_now_ms(kc->loop),
		    keyclient_server(kc, ask_slot(ka->ask)), bytes_of(ka->message, ka->len), code);
	} else {
		*again = code == KEYLESS_ERR_CRYPTO || code == KEYLESS_ERR_INTERNAL;
		log_debug("key service: %s", keyless_error_text(code));
	}
	return *again ? REASON_KEY_SERVICE : REASON_KEY_REFUSED;
}

/* What an answer says. *again: another try may do better. */
static enum reason judge(
    struct keyclient_ask *ka, struct bytes message, struct bytes *payload, bool *again)
{
	struct keyclient *kc = ka->client;
	unsigned slot = ask_slot(ka->ask);
	struct keyless k;
	enum keyless_error error;

	*again = true;
	if (keyless_parse(message, &k, &error) != PARSE_OK)
		goto senseless;
	if (k.opcode == KEYLESS_ERROR && k.payload.len == 1)
		return judge_error(ka, k.payload.at[0], again);
	if (k.opcode != KEYLESS_ANSWER)
		goto senseless;
	if (ka->scheme != 0 && !scheme_has_shape(ka->scheme, k.payload))
		goto senseless;
	if (ka->check != NULL && !ka->check(ka->arg, k.payload, kc->answers[slot]))
		goto senseless;
	if (ka->scheme != 0)
		kc->answers[slot]++;
	*payload = k.payload;
	return REASON_NONE;
senseless:
	peers_blame(kc->peers, ka->ask);
	return REASON_SERVICE_PROTOCOL;
}

static bool may_try_again(struct keyclient_ask *ka)
{
	struct keyclient *kc = ka->client;
	uint64_t now = loop_now_ms(kc->loop);

	if (kc->closing || ka->trial || ka->tries >= KEYCLIENT_TRIES ||
	    now - ka->began >= KEYCLIENT_ALL_MS)
		return false;
	budget_move(&kc->budget, now / 1000);
	return budget_take(&kc->budget);
}

static void answered(void *arg, enum peers_result result, struct bytes message)
{
	struct keyclient_ask *ka = arg;
	struct keyclient *kc = ka->client;
	unsigned slot = ask_slot(ka->ask);
	keyclient_cb done = ka->done;
	void *done_arg = ka->arg;
	struct bytes payload = bytes_of(NULL, 0);
	enum reason reason = REASON_KEY_SERVICE, why;
	bool again = true;

	switch (result) {
	case PEERS_OK:
		reason = judge(ka, message, &payload, &again);
		break;
	case PEERS_DEADLINE:
		reason = REASON_SERVICE_DEADLINE;
		break;
	case PEERS_LOST:
		reason = REASON_SERVICE_LOST;
		break;
	case PEERS_PROTOCOL:
		reason = REASON_SERVICE_PROTOCOL;
		break;
	}
	ka->ask = NULL;
	ka->avoid |= UINT64_C(1) << slot;
	if (reason != REASON_NONE && again && may_try_again(ka) && try(ka, &why) == 0)
		return;
	ask_free(ka);
	kc->slot = slot;
	done(done_arg, reason, payload);
}
