/*
 * sessioncache_claim.c: claims: names that are granted once in the whole cluster, so that a session is
 * used once. A claim lies at one server alone, the first that the entry's name ranks, and is asked for
 * once, over the connection that there is: a second try, a copy or another server could grant it a
 * second time. It ends with the server's run, so an entry says what run it was made in; whoever finds
 * another one there does not ask.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"

#include "gateway/cluster/serverinfo.h"
#include "gateway/cluster/sessioncache_private.h"

#include "base/poison.h"

enum { CLAIM_TELL_MS = 60 * 1000, CLAIM_ERROR_MAX = 120 };

#define CLAIM_PREFIX "claim:"

/* The same on all gateways; what goes in is nobody's to choose but the servers', which could grant a
 * claim twice anyway. */
static const struct hash_key no_key;

static bool may_tell(struct sessioncache *sc)
{
	uint64_t now = loop_now_ms(sc->loop);

	if (sc->told_ms != 0 && now - sc->told_ms < CLAIM_TELL_MS)
		return false;
	sc->told_ms = now;
	return true;
}

/* ---- who the servers are */

uint64_t sessioncache_hash_servers(const struct endpoint *servers, size_t n)
{
	char text[ENDPOINT_TEXT_MAX];
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += hash_bytes(
		    &no_key, bytes_str(endpoint_text(&servers[i], text, sizeof(text))));
	return sum;
}

/* The whole, since older servers take no list of sections. */
size_t sessioncache_inquire(void *arg, uint8_t *buf, size_t max)
{
	struct writer w = writer_of(buf, max);

	(void)arg;
	resp_write_array(&w, 1);
	resp_write_bulk_str(&w, "INFO");
	return w.ok ? writer_len(&w) : 0;
}

uint64_t sessioncache_learn(void *arg, const struct endpoint *at, struct bytes answer)
{
	struct sessioncache *sc = arg;
	char text[ENDPOINT_TEXT_MAX];
	const char *why = "it does not answer INFO: allow it to this user";
	struct serverinfo info;
	struct resp_reply reply;
	enum resp_fault fault;
	uint64_t mark;
	size_t used;

	if (resp_reply(answer, RESP_BULK_MAX, &reply, &used, &fault) == PARSE_OK &&
	    reply.type == RESP_BULK) {
		serverinfo_parse(reply.text, &info);
		why = serverinfo_unfit(&info);
	}
	if (why == NULL) {
		mark = hash_bytes(&no_key, info.run_id);
		return mark != 0 ? mark : 1;
	}
	if (may_tell(sc))
		log_warnx("session cache %s: sessions that are to be used once cannot lie there: "
			  "%s",
		    endpoint_text(at, text, sizeof(text)), why);
	return 0;
}

uint64_t sessioncache_holder(
    const struct sessioncache *sc, const uint8_t name[static SEAL_NAME_LEN])
{
	struct peers_choice first = { .by = PEERS_RANK };
	uint8_t both[16];
	struct writer w = writer_of(both, sizeof(both));
	uint64_t mark, hash;

	memcpy(&first.hash, name, sizeof(first.hash));
	if (sc->servers_n == 0 || (mark = peers_mark(sc->peers, first)) == 0)
		return 0;
	writer_u64(&w, sc->servers_hash);
	writer_u64(&w, mark);
	hash = hash_bytes(&no_key, bytes_of(both, sizeof(both)));
	return hash != 0 ? hash : 1;
}

/* ---- claiming */

struct sessioncache_ask *sessioncache_claim(
    const struct sessioncache_ask *found, uint64_t ttl_ms, sessioncache_cb done, void *arg)
{
	struct sessioncache *sc = found->cache;
	struct writer w = writer_of(sc->message, sizeof(sc->message));
	uint8_t name[sizeof(CLAIM_PREFIX) - 1 + SEAL_NAME_LEN];
	struct sessioncache_ask *sa;

	memcpy(name, CLAIM_PREFIX, sizeof(CLAIM_PREFIX) - 1);
	memcpy(name + sizeof(CLAIM_PREFIX) - 1, found->name, SEAL_NAME_LEN);
	resp_write_array(&w, 6);
	resp_write_bulk_str(&w, "SET");
	resp_write_bulk(&w, bytes_of(name, sizeof(name)));
	resp_write_bulk_str(&w, "1");
	resp_write_bulk_str(&w, "NX");
	resp_write_bulk_str(&w, "PX");
	resp_write_bulk_int(&w, ttl_ms);
	assert(w.ok);
	sa = sessioncache_ask_new(sc, found->name, QUESTION_CLAIM, done, arg);
	if (sa == NULL)
		return NULL;
	sa->began = found->began; /* both have one deadline */
	sa->asked = 1;
	if (sessioncache_send(sa, 0, bytes_of(sc->message, writer_len(&w))))
		return sa;
	sessioncache_ask_free(sa);
	return NULL;
}

enum sessioncache_result sessioncache_claimed(
    struct sessioncache *sc, struct bytes answer, bool *blame)
{
	struct resp_reply reply;
	enum resp_fault fault;
	size_t used;
	bool good = resp_reply(answer, RESP_BULK_MAX, &reply, &used, &fault) == PARSE_OK;

	*blame = !good;
	if (good && reply.type == RESP_SIMPLE)
		return SESSIONCACHE_OK;
	if (good && reply.type == RESP_NIL)
		return SESSIONCACHE_MISS;
	if (!good || reply.type != RESP_ERROR) {
		*blame = true;
	} else if (may_tell(sc)) { /* it is full, or does not let us write */
		log_warnx("session cache: a server refuses claims, so sessions that are to be used "
			  "once are not resumed: %.*s",
		    (int)(reply.text.len < CLAIM_ERROR_MAX ? reply.text.len : CLAIM_ERROR_MAX),
		    (const char *)reply.text.at);
	}
	return SESSIONCACHE_DOWN;
}
