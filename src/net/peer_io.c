/*
 * peer_io.c: what goes over a peer's connection: asks and our own messages out, answers in, matched
 * to their asks by order or by number.
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "net/peers_private.h"

#include "base/poison.h"

enum { PEER_HELLO_MAX = 1024 };

/* ---- slots: numbers of codecs that are not ordered */

int peer_slots_new(struct peer *peer)
{
	uint32_t n = peer->peers->params.in_flight_max + PEER_OWN_ASKS;

	if (peer->peers->params.codec->ordered)
		return 0;
	peer->slots = calloc(n, sizeof(struct ask *));
	peer->free_slots = calloc(n, sizeof(uint16_t));
	if (peer->slots == NULL || peer->free_slots == NULL)
		return -1;
	for (uint32_t i = 0; i < n; i++)
		peer->free_slots[i] = (uint16_t)i;
	peer->free_slots_n = n;
	return 0;
}

/* The high half changes with each ask, so a late answer never meets another's question. */
static void slot_take(struct peer *peer, struct ask *ask)
{
	uint16_t slot;

	if (peer->slots == NULL)
		return;
	assert(peer->free_slots_n > 0);
	slot = peer->free_slots[--peer->free_slots_n];
	peer->slots[slot] = ask;
	ask->id = (uint32_t)++peer->generation << 16 | slot;
}

void peer_slot_free(struct peer *peer, struct ask *ask)
{
	uint16_t slot = (uint16_t)ask->id;

	if (peer->slots == NULL || ask->state == ASK_QUEUED || peer->slots[slot] != ask)
		return;
	peer->slots[slot] = NULL;
	peer->free_slots[peer->free_slots_n++] = slot;
}

/* ---- sending */

bool peer_has_room(const struct peer *peer)
{
	return !peer->blocked && !peer->leaving && peer->state != PEER_GONE &&
	       peer->in_flight < peer->peers->params.in_flight_max;
}

/* The message in scratch, with its number. NULL: no memory. */
static uint8_t *numbered(struct peer *peer, const struct ask *ask, struct bytes message)
{
	struct peers *peers = peer->peers;
	uint8_t *room;

	if (message.len > peers->scratch_cap) {
		room = realloc(peers->scratch, message.len);
		if (room == NULL)
			return NULL;
		peers->scratch = room;
		peers->scratch_cap = message.len;
	}
	memcpy(peers->scratch, message.at, message.len);
	peers->params.number(peers->scratch, ask->id);
	return peers->scratch;
}

void peer_send(struct peer *peer, struct ask *ask, struct bytes message)
{
	struct iovec iov = { (void *)(uintptr_t)message.at, message.len };

	ask->state = ASK_SENT;
	ask->sent_ns = loop_now(peer->loop);
	slot_take(peer, ask);
	ask_move(ask, &peer->sent);
	peer->asked = true;
	if (peer->slots != NULL)
		iov.iov_base = numbered(peer, ask, message);
	if (iov.iov_base == NULL)
		return; /* its deadline ends it */
	if (peer->peers->params.sent != NULL && !peer->leaving)
		peer->peers->params.sent(peer->peers->params.arg, peer->slot, message);
	if (stream_write(peer->stream, &iov, 1) == FLOW_STOP)
		peer->blocked = true;
}

void peer_ask(struct peer *peer, struct ask *ask, struct bytes message)
{
	peer->asked_ms = loop_now_ms(peer->loop);
	if (peer->state == PEER_UP) {
		peer_send(peer, ask, message);
		return;
	}
	ask->state = ASK_QUEUED;
	ask_move(ask, &peer->queue);
	ask_hold(ask, message);
	peer_connect(peer);
}

/* A message of ours; nobody waits for its answer. */
int peer_send_own(
    struct peer *peer, enum ask_kind kind, size_t (*make)(void *arg, uint8_t *buf, size_t max))
{
	uint8_t buf[PEER_HELLO_MAX];
	size_t len = make(peer->peers->params.arg, buf, sizeof(buf));
	struct ask *ask;

	assert(len > 0 && len <= sizeof(buf));
	if (peer->own >= PEER_OWN_ASKS || (ask = ask_new(peer, kind)) == NULL)
		return -1;
	peer_send(peer, ask, bytes_of(buf, len));
	return 0;
}

static void own_deadline_passed(struct deadline *deadline)
{
	struct ask *ask = CONTAINER_OF(deadline, struct ask, deadline);
	struct peer *peer = ask->peer;

	/* A ping or a probe has as long as a connection has to be made: half-open ones end here. */
	peer_failed(peer);
	if (peer->stream != NULL)
		peer_lost(peer, PEERS_LOST, "a ping was not answered");
}

void peer_ping(struct peer *peer)
{
	const struct peers_params *params = &peer->peers->params;
	struct ask *ask;

	if (params->ping == NULL || peer->blocked || peer->own > 0 ||
	    peer_send_own(peer, ASK_PING, params->ping) != 0)
		return;
	ask = TAILQ_LAST(&peer->sent, asks);
	deadline_set(peer->loop, &ask->deadline, params->connect_ms, own_deadline_passed);
}

void peer_probe(struct peer *peer, struct bytes message)
{
	struct ask *ask;

	if (peer->state != PEER_UP || peer->blocked || peer->own >= PEER_OWN_ASKS ||
	    !breaker_probe(&peer->breaker, loop_now_ms(peer->loop), peers_chance(peer->peers)) ||
	    (ask = ask_new(peer, ASK_PROBE)) == NULL)
		return;
	peer_send(peer, ask, message);
	deadline_set(
	    peer->loop, &ask->deadline, peer->peers->params.connect_ms, own_deadline_passed);
}

/* ---- answers */

static struct ask *peer_match(struct peer *peer, uint32_t id, bool *known)
{
	uint32_t slot = id & 0xffff;
	struct ask *ask;

	if (peer->slots == NULL) {
		ask = TAILQ_FIRST(&peer->sent);
		*known = ask != NULL;
		return ask;
	}
	*known = slot < peer->peers->params.in_flight_max + PEER_OWN_ASKS;
	ask = *known ? peer->slots[slot] : NULL;
	return ask != NULL && ask->id == id ? ask : NULL;
}

static void peer_welcomed(struct peer *peer, struct bytes answer, bool in_time)
{
	const struct peers_params *params = &peer->peers->params;

	if (params->welcome != NULL && params->welcome(params->arg, answer) != PARSE_OK) {
		peer_lost(
		    peer, PEERS_PROTOCOL, "it does not welcome us: see its log and the token");
		return;
	}
	if (in_time)
		peer_ok(peer);
	peer_enter(peer);
}

static void peer_answer(struct peer *peer, struct ask *ask, struct bytes answer)
{
	enum ask_kind kind = ask->kind;
	uint64_t us = (loop_now(peer->loop) - ask->sent_ns) / 1000;
	bool in_time;

	peer->missed = 0;
	peer->replied = true;
	if ((kind == ASK_USER || kind == ASK_COPY) && ask->state == ASK_SENT) {
		delays_add(&peer->delays, us);
		ask_end(ask_win(ask), PEERS_OK, answer);
		return;
	}
	/* A probe that is answered too late to be of use to an ask does not close the breaker. */
	in_time = us / 1000 <= peer->peers->params.deadline_ms;
	ask_recycle(ask);
	if (kind == ASK_HELLO) {
		peer_welcomed(peer, answer, in_time);
	} else if (kind == ASK_INQUIRY) {
		peer->mark = peer->peers->params.learn(
		    peer->peers->params.arg, &peer->endpoint, answer);
		peer_up(peer);
	}
	if (kind == ASK_PROBE && in_time)
		peer_answered(peer);
	else if (kind == ASK_PING && in_time)
		peer_ok(peer);
}

void peer_read(struct peer *peer)
{
	const struct frame_codec *codec = peer->peers->params.codec;
	struct stream *stream = peer->stream;

	for (;;) {
		struct bytes in = stream_input(stream);
		size_t len = 0;
		uint32_t id = 0;
		bool known;
		struct ask *ask;
		enum parse r = in.len > 0 ? codec->next(in, &len, &id) : PARSE_MORE;

		if (r == PARSE_MORE && in.len < codec->max)
			break;
		if (r != PARSE_OK || len > codec->max) {
			peer_lost(peer, PEERS_PROTOCOL, "its answer makes no sense");
			return;
		}
		ask = peer_match(peer, id, &known);
		if (!known) {
			peer_lost(peer, PEERS_PROTOCOL, "it answers what was not asked");
			return;
		}
		if (ask != NULL)
			peer_answer(peer, ask, bytes_sub(in, 0, len));
		if (peer->stream != stream)
			return;
		stream_consume(stream, len);
	}
	if (stream_at_end(stream))
		peer_lost(peer, PEERS_LOST, "it closed the connection");
}
