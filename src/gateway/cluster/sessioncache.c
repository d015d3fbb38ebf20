/*
 * sessioncache.c: GET and SET to the cache servers, and nothing that could fail a handshake. Called
 * by gateway/tls/session. Invariant: a question has a message in flight, or its callback has been
 * called; it is freed with its last message.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/log.h"

#include "gateway/cluster/sessioncache_private.h"

#include "base/poison.h"

enum {
	SESSIONCACHE_IN_FLIGHT_MAX = 4096,
	SESSIONCACHE_CONNECT_MS = 1000,
	SESSIONCACHE_PING_MS = 2000,
	SESSIONCACHE_FREE_MAX = 256,
	SESSIONCACHE_USUAL_SHIFT =
	    4, /* the usual time of an answer is a mean of the last 16 or so */
	SESSIONCACHE_HEDGE_TIMES = 4, /* of it: then the next server is asked too */
	SESSIONCACHE_REPAIR_COST =
	    1000, /* of one; each look-up pays in SESSIONCACHE_REPAIR_PERMILLE */
};

static void answered(void *arg, enum peers_result, struct bytes message);

/* ---- the connection */

static size_t hello(void *arg, uint8_t *buf, size_t max)
{
	struct sessioncache *sc = arg;
	struct writer w = writer_of(buf, max);

	resp_write_array(&w, sc->user[0] != '\0' ? 3 : 2);
	resp_write_bulk_str(&w, "AUTH");
	if (sc->user[0] != '\0')
		resp_write_bulk_str(&w, sc->user);
	resp_write_bulk_str(&w, sc->password);
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
	log_warnx("session cache: a server refused the password: see session_cache.password_file; "
		  "or was it started by another sslgw?");
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

struct sessioncache *sessioncache_new(struct loop *loop, const struct sessioncache_params *with)
{
	static const struct frame_codec codec = {
		.name = "RESP", .next = resp_reply_next, .ordered = true, .max = RESP_REPLY_MAX
	};
	struct sessioncache *sc = calloc(1, sizeof(*sc));
	struct peers_params params = {
		.name = "session cache",
		.codec = &codec,
		.deadline_ms = SESSIONCACHE_MS,
		.in_flight_max = SESSIONCACHE_IN_FLIGHT_MAX,
		.connect_ms = SESSIONCACHE_CONNECT_MS,
		.ping_ms = SESSIONCACHE_PING_MS,
		.tls = with->tls,
		.owner = with->owner,
		.hello = with->password != NULL ? hello : NULL,
		.welcome = with->password != NULL ? welcome : NULL,
		.inquire = with->claims ? sessioncache_inquire : NULL,
		.learn = with->claims ? sessioncache_learn : NULL,
		.ping = ping,
		.arg = sc,
	};

	if (sc == NULL)
		return NULL;
	assert(with->copies >= 1 && with->copies <= SESSIONCACHE_COPIES_MAX);
	sc->loop = loop;
	sc->copies = with->copies;
	sc->found = with->found;
	sc->repairs = with->repairs;
	sc->repair_credit = SESSIONCACHE_REPAIR_BURST * SESSIONCACHE_REPAIR_COST;
	strlcpy(sc->user, with->user != NULL ? with->user : "", sizeof(sc->user));
	strlcpy(sc->password, with->password != NULL ? with->password : "", sizeof(sc->password));
	if ((sc->peers = peers_new(loop, &params)) == NULL ||
	    sessioncache_servers(sc, with->servers, with->n) == -1) {
		sessioncache_free(sc);
		return NULL;
	}
	return sc;
}

int sessioncache_servers(struct sessioncache *sc, const struct endpoint *servers, size_t n)
{
	if (peers_set(sc->peers, servers, n) == -1)
		return -1;
	sc->servers_n = n;
	sc->servers_hash = sessioncache_hash_servers(servers, n);
	peers_connect(sc->peers);
	return 0;
}

const struct peers *sessioncache_peers(const struct sessioncache *sc)
{
	return sc->peers;
}

void sessioncache_recheck(struct sessioncache *sc)
{
	peers_recheck(sc->peers);
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
	explicit_bzero(sc->password, sizeof(sc->password));
	free(sc);
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

	if (resp_reply(message, RESP_BULK_MAX, &reply, &used, &fault) != PARSE_OK)
		return SESSIONCACHE_DOWN;
	if (reply.type == RESP_ERROR || /* it is full: lookups may succeed all the same */
	    reply.type == RESP_NIL) /* a repair that came too late to be one */
		return SESSIONCACHE_MISS;
	return reply.type == RESP_SIMPLE ? SESSIONCACHE_OK : SESSIONCACHE_DOWN;
}

void sessioncache_ask_free(struct sessioncache_ask *sa)
{
	struct sessioncache *sc = sa->cache;

	assert(sa->open == 0);
	deadline_clear(sc->loop, &sa->hedge);
	if (sc->closing || sc->free_n >= SESSIONCACHE_FREE_MAX) {
		free(sa);
		return;
	}
	sa->next = sc->free;
	sc->free = sa;
	sc->free_n++;
}

/* ---- telling */

static bool tell(struct sessioncache_ask *sa, enum sessioncache_result result, struct bytes value)
{
	sessioncache_cb done = sa->done;

	sa->done = NULL;
	if (done == NULL)
		return true;
	if (sa->question == QUESTION_GET && result == SESSIONCACHE_OK && sa->cache->found != NULL)
		counter_add(sa->cache->found, 1);
	return done(sa->arg, result, value);
}

/* A lookup's other messages have become useless. */
static void forget_others(struct sessioncache_ask *sa)
{
	for (unsigned i = 0; i < sa->asked; i++) {
		if (sa->sent[i].at == NULL)
			continue;
		ask_cancel(sa->sent[i].at);
		sa->sent[i].at = NULL;
		sa->open--;
	}
}

/* ---- asking */

static unsigned ranks(const struct sessioncache *sc)
{
	return sc->servers_n < sc->copies ? (unsigned)sc->servers_n : sc->copies;
}

bool sessioncache_send(struct sessioncache_ask *sa, unsigned rank, struct bytes message)
{
	struct sessioncache *sc = sa->cache;
	uint64_t spent = (loop_now(sc->loop) - sa->began) / 1000000;
	struct peers_choice choice = {
		.by = PEERS_RANK, .rank = (uint8_t)rank, .direct = sa->question == QUESTION_CLAIM
	};
	struct sent *sent = &sa->sent[rank];
	enum peers_why why;

	if (spent >= SESSIONCACHE_MS || sc->closing)
		return false;
	memcpy(&choice.hash, sa->name, sizeof(choice.hash));
	sent->ask = sa;
	sent->at = peers_ask(
	    sc->peers, message, choice, SESSIONCACHE_MS - (uint32_t)spent, answered, sent, &why);
	if (sent->at == NULL)
		return false;
	sa->open++;
	return true;
}

/* To the server of the next rank; those that are out are passed over. false: there is no other. */
static bool send_next(struct sessioncache_ask *sa, struct bytes message)
{
	while (sa->asked < ranks(sa->cache))
		if (sessioncache_send(sa, sa->asked++, message))
			return true;
	return false;
}

static struct bytes get_message(struct sessioncache_ask *sa)
{
	struct sessioncache *sc = sa->cache;
	struct writer w = writer_of(sc->message, sizeof(sc->message));

	resp_write_array(&w, 2);
	resp_write_bulk_str(&w, "GET");
	resp_write_bulk(&w, bytes_of(sa->name, SEAL_NAME_LEN));
	assert(w.ok);
	return bytes_of(sc->message, writer_len(&w));
}

static void hedge_cb(struct deadline *d)
{
	struct sessioncache_ask *sa = CONTAINER_OF(d, struct sessioncache_ask, hedge);

	send_next(sa, get_message(sa));
}

static void arm_hedge(struct sessioncache_ask *sa)
{
	uint64_t ms = SESSIONCACHE_HEDGE_TIMES * sa->cache->usual_ns / 1000000;

	if (sa->asked >= ranks(sa->cache))
		return;
	if (ms < SESSIONCACHE_HEDGE_MIN_MS)
		ms = SESSIONCACHE_HEDGE_MIN_MS;
	if (ms > SESSIONCACHE_HEDGE_MAX_MS)
		ms = SESSIONCACHE_HEDGE_MAX_MS;
	deadline_set(sa->cache->loop, &sa->hedge, ms, hedge_cb);
}

struct sessioncache_ask *sessioncache_ask_new(struct sessioncache *sc,
    const uint8_t name[static SEAL_NAME_LEN], enum question question, sessioncache_cb done,
    void *arg)
{
	struct sessioncache_ask *sa = sc->free;

	if (sa != NULL) {
		sc->free = sa->next;
		sc->free_n--;
	} else if ((sa = malloc(sizeof(*sa))) == NULL) {
		return NULL;
	}
	*sa = (struct sessioncache_ask){ .cache = sc,
		.done = done,
		.arg = arg,
		.question = question,
		.began = loop_now(sc->loop) };
	memcpy(sa->name, name, SEAL_NAME_LEN);
	return sa;
}

struct sessioncache_ask *sessioncache_get(struct sessioncache *sc,
    const uint8_t name[static SEAL_NAME_LEN], sessioncache_cb done, void *arg)
{
	struct sessioncache_ask *sa = sessioncache_ask_new(sc, name, QUESTION_GET, done, arg);

	if (sa == NULL)
		return NULL;
	if (sc->repair_credit < SESSIONCACHE_REPAIR_BURST * SESSIONCACHE_REPAIR_COST)
		sc->repair_credit += SESSIONCACHE_REPAIR_PERMILLE;
	if (!send_next(sa, get_message(sa))) {
		sessioncache_ask_free(sa);
		return NULL;
	}
	arm_hedge(sa);
	return sa;
}

/* len 0: it is too long. A name's entry never changes, so one that is there may stay (only_new). */
static struct bytes put_message(struct sessioncache *sc, const uint8_t name[static SEAL_NAME_LEN],
    struct bytes sealed, uint32_t ttl_s, bool only_new)
{
	struct writer w = writer_of(sc->message, sizeof(sc->message));

	resp_write_array(&w, only_new ? 6 : 5);
	resp_write_bulk_str(&w, "SET");
	resp_write_bulk(&w, bytes_of(name, SEAL_NAME_LEN));
	resp_write_bulk(&w, sealed);
	resp_write_bulk_str(&w, "EX");
	resp_write_bulk_int(&w, ttl_s);
	if (only_new)
		resp_write_bulk_str(&w, "NX");
	return bytes_of(sc->message, w.ok ? writer_len(&w) : 0);
}

struct sessioncache_ask *sessioncache_put(struct sessioncache *sc,
    const uint8_t name[static SEAL_NAME_LEN], struct bytes sealed, uint32_t ttl_s,
    sessioncache_cb done, void *arg)
{
	struct sessioncache_ask *sa;
	struct bytes message;

	if (ttl_s == 0)
		return NULL;
	message = put_message(sc, name, sealed, ttl_s, false);
	if (message.len == 0 ||
	    (sa = sessioncache_ask_new(sc, name, QUESTION_PUT, done, arg)) == NULL)
		return NULL;
	while (send_next(sa, message))
		;
	if (sa->open > 0)
		return sa;
	sessioncache_ask_free(sa);
	return NULL;
}

/* Nobody waits for it, and whether it arrives does not matter: the next look-up shows. */
void sessioncache_repair(const struct sessioncache_ask *found, struct bytes sealed, uint32_t ttl_s)
{
	struct sessioncache *sc = found->cache;
	struct sessioncache_ask *sa;
	struct bytes message;

	if (found->missed == 0 || ttl_s == 0 || sc->repair_credit < SESSIONCACHE_REPAIR_COST)
		return;
	message = put_message(sc, found->name, sealed, ttl_s, true);
	if (message.len == 0 ||
	    (sa = sessioncache_ask_new(sc, found->name, QUESTION_PUT, NULL, NULL)) == NULL)
		return;
	for (unsigned rank = 0; rank < found->asked; rank++) {
		if ((found->missed & 1U << rank) == 0 ||
		    sc->repair_credit < SESSIONCACHE_REPAIR_COST ||
		    !sessioncache_send(sa, rank, message))
			continue;
		sc->repair_credit -= SESSIONCACHE_REPAIR_COST;
		if (sc->repairs != NULL)
			counter_add(sc->repairs, 1);
	}
	if (sa->open == 0)
		sessioncache_ask_free(sa);
}

void sessioncache_cancel(struct sessioncache_ask *sa)
{
	assert(sa->done != NULL);
	sa->done = NULL;
	if (sa->question == QUESTION_PUT) /* on its way, and freed with its last answer */
		return;
	forget_others(sa);
	sessioncache_ask_free(sa);
}

/* ---- answers */

static void measure(struct sessioncache *sc, uint64_t began)
{
	uint64_t took = loop_now(sc->loop) - began;

	sc->usual_ns += (took >> SESSIONCACHE_USUAL_SHIFT) -
			(sc->usual_ns >> SESSIONCACHE_USUAL_SHIFT);
}

/* false: the server's answer was no sealed session. */
static bool got(
    struct sessioncache_ask *sa, unsigned rank, enum sessioncache_result result, struct bytes value)
{
	bool good = true;

	if (result == SESSIONCACHE_OK) {
		forget_others(sa);
		good = tell(sa, SESSIONCACHE_OK, value);
		sessioncache_ask_free(sa);
		return good;
	}
	if (result == SESSIONCACHE_MISS)
		sa->missed |= (uint8_t)(1U << rank);
	send_next(sa, get_message(sa));
	if (sa->open > 0)
		return true;
	tell(sa, sa->missed != 0 ? SESSIONCACHE_MISS : SESSIONCACHE_DOWN, bytes_of(NULL, 0));
	sessioncache_ask_free(sa);
	return true;
}

/* The first that has it is enough: a lookup goes on from one that has it not yet. A claim has but one. */
static void stored(struct sessioncache_ask *sa, enum sessioncache_result result)
{
	if (result == SESSIONCACHE_OK || sa->open == 0)
		tell(sa, result, bytes_of(NULL, 0));
	if (sa->open == 0)
		sessioncache_ask_free(sa);
}

static void answered(void *arg, enum peers_result result, struct bytes message)
{
	struct sent *sent = arg;
	struct sessioncache_ask *sa = sent->ask;
	struct sessioncache *sc = sa->cache;
	struct ask *at = sent->at;
	enum sessioncache_result said = SESSIONCACHE_DOWN;
	struct bytes value = bytes_of(NULL, 0);
	bool blame = false;

	sent->at = NULL;
	sa->open--;
	if (result == PEERS_OK && sa->question == QUESTION_CLAIM) {
		said = sessioncache_claimed(sc, message, &blame);
	} else if (result == PEERS_OK) {
		said = sa->question == QUESTION_PUT ? result_of_put(message)
						    : result_of_get(message, &value);
		blame = said == SESSIONCACHE_DOWN;
		if (sa->asked == 1)
			measure(sc, sa->began);
	}
	if (sa->question == QUESTION_GET)
		blame |= !got(sa, (unsigned)(sent - sa->sent), said, value);
	else
		stored(sa, said);
	if (blame)
		peers_blame(sc->peers, at);
}
