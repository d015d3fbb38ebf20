/*
 * sessioncache.c: GET and SET to the cache service, and nothing that could fail a handshake.
 * Called by gateway/tls/session. Invariant: a question has one ask in flight or its callback has
 * been called.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "wire/resp.h"

#include "gateway/cluster/sessioncache.h"
#include "net/peers.h"

#include "base/poison.h"

enum {
	SESSIONCACHE_IN_FLIGHT_MAX = 4096,
	SESSIONCACHE_CONNECT_MS = 1000,
	SESSIONCACHE_PING_MS = 2000,
	SESSIONCACHE_FREE_MAX = 256,
	SESSIONCACHE_MESSAGE_MAX = SEAL_VALUE_MAX + 256,
};

struct sessioncache {
	struct peers *peers;
	char token[2 * SESSIONCACHE_TOKEN_LEN + 1]; /* hex, as AUTH wants it */
	struct sessioncache_ask *free; /* linked by next */
	size_t free_n;
	bool closing;
	uint8_t message[SESSIONCACHE_MESSAGE_MAX]; /* scratch; peers_ask copies */
};

struct sessioncache_ask {
	struct sessioncache_ask *next;
	struct sessioncache *cache;
	struct ask *ask;
	sessioncache_cb done;
	void *arg;
	bool put;
};

/* ---- the connection */

static size_t hello(void *arg, uint8_t *buf, size_t max)
{
	struct sessioncache *sc = arg;
	struct writer w = writer_of(buf, max);

	resp_write_array(&w, 2);
	resp_write_bulk_str(&w, "AUTH");
	resp_write_bulk_str(&w, sc->token);
	return w.ok ? writer_len(&w) : 0;
}

static enum parse welcome(void *arg, struct bytes answer)
{
	struct resp_reply reply;
	enum resp_fault fault;
	size_t used;

	(void)arg;
	if (resp_reply(answer, RESP_BULK_MAX, &reply, &used, &fault) == PARSE_OK &&
	    reply.type == RESP_SIMPLE)
		return PARSE_OK;
	log_warnx(
	    "session cache: it refused this worker's token: was it started by another sslgw?");
	return PARSE_BAD;
}

static size_t ping(void *arg, uint8_t *buf, size_t max)
{
	struct writer w = writer_of(buf, max);

	(void)arg;
	resp_write_array(&w, 1);
	resp_write_bulk_str(&w, "PING");
	return w.ok ? writer_len(&w) : 0;
}

struct sessioncache *sessioncache_new(struct loop *loop, const struct endpoint *endpoint,
    uid_t owner, const uint8_t token[static SESSIONCACHE_TOKEN_LEN])
{
	static const struct frame_codec codec = {
		.name = "RESP", .next = resp_reply_next, .ordered = true, .max = RESP_REPLY_MAX
	};
	static const char hex[] = "0123456789abcdef";
	struct sessioncache *sc = calloc(1, sizeof(*sc));
	struct peers_params params = {
		.name = "session cache",
		.codec = &codec,
		.deadline_ms = SESSIONCACHE_MS,
		.in_flight_max = SESSIONCACHE_IN_FLIGHT_MAX,
		.connect_ms = SESSIONCACHE_CONNECT_MS,
		.ping_ms = SESSIONCACHE_PING_MS,
		.owner = owner,
		.hello = hello,
		.welcome = welcome,
		.ping = ping,
		.arg = sc,
	};

	if (sc == NULL)
		return NULL;
	for (size_t i = 0; i < SESSIONCACHE_TOKEN_LEN; i++) {
		sc->token[2 * i] = hex[token[i] >> 4];
		sc->token[2 * i + 1] = hex[token[i] & 15];
	}
	if ((sc->peers = peers_new(loop, &params)) == NULL ||
	    peers_set(sc->peers, endpoint, 1) == -1) {
		sessioncache_free(sc);
		return NULL;
	}
	peers_connect(sc->peers);
	return sc;
}

void sessioncache_free(struct sessioncache *sc)
{
	struct sessioncache_ask *sa;

	if (sc == NULL)
		return;
	sc->closing = true;
	if (sc->peers != NULL)
		peers_free(sc->peers);
	while ((sa = sc->free) != NULL) {
		sc->free = sa->next;
		free(sa);
	}
	explicit_bzero(sc->token, sizeof(sc->token));
	free(sc);
}

/* ---- asking */

static void ask_free(struct sessioncache_ask *sa)
{
	struct sessioncache *sc = sa->cache;

	if (sc->closing || sc->free_n >= SESSIONCACHE_FREE_MAX) {
		free(sa);
		return;
	}
	sa->next = sc->free;
	sc->free = sa;
	sc->free_n++;
}

static enum sessioncache_result result_of_get(struct bytes message, struct bytes *value)
{
	struct resp_reply reply;
	enum resp_fault fault;
	size_t used;

	if (resp_reply(message, SEAL_VALUE_MAX, &reply, &used, &fault) != PARSE_OK)
		return SESSIONCACHE_DOWN;
	if (reply.type == RESP_NIL)
		return SESSIONCACHE_MISS;
	if (reply.type != RESP_BULK)
		return SESSIONCACHE_DOWN;
	*value = reply.text;
	return SESSIONCACHE_OK;
}

static enum sessioncache_result result_of_put(struct bytes message)
{
	struct resp_reply reply;
	enum resp_fault fault;
	size_t used;

	if (resp_reply(message, RESP_BULK_MAX, &reply, &used, &fault) != PARSE_OK ||
	    reply.type != RESP_SIMPLE)
		return SESSIONCACHE_DOWN;
	return SESSIONCACHE_OK;
}

static void answered(void *arg, enum peers_result result, struct bytes message)
{
	struct sessioncache_ask *sa = arg;
	struct sessioncache *sc = sa->cache;
	struct ask *ask = sa->ask;
	enum sessioncache_result got = SESSIONCACHE_DOWN;
	struct bytes value = bytes_of(NULL, 0);
	sessioncache_cb done = sa->done;
	void *done_arg = sa->arg;

	if (result == PEERS_OK)
		got = sa->put ? result_of_put(message) : result_of_get(message, &value);
	ask_free(sa);
	if (!done(done_arg, got, value) || (result == PEERS_OK && got == SESSIONCACHE_DOWN))
		peers_blame(sc->peers, ask);
}

static struct sessioncache_ask *ask_begin(struct sessioncache *sc, const uint8_t *name,
    struct bytes message, bool put, sessioncache_cb done, void *arg)
{
	struct sessioncache_ask *sa = sc->free;
	/* One name's entry lies at one server: rank by the name. */
	struct peers_choice choice = { .by = PEERS_RANK };
	enum peers_why why;

	memcpy(&choice.hash, name, sizeof(choice.hash));
	if (sa != NULL) {
		sc->free = sa->next;
		sc->free_n--;
	} else if ((sa = malloc(sizeof(*sa))) == NULL) {
		return NULL;
	}
	*sa = (struct sessioncache_ask){ .cache = sc, .done = done, .arg = arg, .put = put };
	sa->ask = peers_ask(sc->peers, message, choice, SESSIONCACHE_MS, answered, sa, &why);
	if (sa->ask != NULL)
		return sa;
	ask_free(sa);
	return NULL;
}

struct sessioncache_ask *sessioncache_get(struct sessioncache *sc,
    const uint8_t name[static SEAL_NAME_LEN], sessioncache_cb done, void *arg)
{
	struct writer w = writer_of(sc->message, sizeof(sc->message));

	resp_write_array(&w, 2);
	resp_write_bulk_str(&w, "GET");
	resp_write_bulk(&w, bytes_of(name, SEAL_NAME_LEN));
	assert(w.ok);
	return ask_begin(sc, name, bytes_of(sc->message, writer_len(&w)), false, done, arg);
}

struct sessioncache_ask *sessioncache_put(struct sessioncache *sc,
    const uint8_t name[static SEAL_NAME_LEN], struct bytes sealed, uint32_t ttl_s,
    sessioncache_cb done, void *arg)
{
	struct writer w = writer_of(sc->message, sizeof(sc->message));

	if (ttl_s == 0)
		return NULL;
	resp_write_array(&w, 5);
	resp_write_bulk_str(&w, "SET");
	resp_write_bulk(&w, bytes_of(name, SEAL_NAME_LEN));
	resp_write_bulk(&w, sealed);
	resp_write_bulk_str(&w, "EX");
	resp_write_bulk_int(&w, ttl_s);
	if (!w.ok)
		return NULL;
	return ask_begin(sc, name, bytes_of(sc->message, writer_len(&w)), true, done, arg);
}

void sessioncache_cancel(struct sessioncache_ask *sa)
{
	assert(sa->ask != NULL);
	ask_cancel(sa->ask);
	ask_free(sa);
}
