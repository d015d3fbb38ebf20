/*
 * ask.c: an ask's life. It ends once: by its answer, its deadline, the loss of its connection, or
 * ask_cancel(). What lies in a peer's lists is an ask of a user, the copy of one that was hedged, or
 * one of our own (hello, ping, probe).
 * A hedged ask and its copy are twins, on two peers. The ask is its user's handle, so when the copy
 * comes out better the two change places, and all else goes on as for any ask.
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "net/peers_private.h"

#include "base/poison.h"

enum { PEERS_SPARE_ASKS = 1024 };

static const struct bytes no_bytes;

static bool is_users(const struct ask *ask)
{
	return ask->kind == ASK_USER || ask->kind == ASK_COPY;
}

struct ask *ask_new(struct peer *peer, enum ask_kind kind)
{
	struct peers *peers = peer->peers;
	struct ask *ask = TAILQ_FIRST(&peers->spare);

	if (ask != NULL) {
		TAILQ_REMOVE(&peers->spare, ask, entry);
		peers->spare_n--;
		memset(ask, 0, sizeof(*ask));
	} else if ((ask = calloc(1, sizeof(*ask))) == NULL) {
		return NULL;
	}
	ask->peer = peer;
	ask->kind = kind;
	if (is_users(ask))
		peer->in_flight++;
	else
		peer->own++;
	peers->in_flight += kind == ASK_USER;
	return ask;
}

void ask_move(struct ask *ask, struct asks *to)
{
	if (ask->list != NULL)
		TAILQ_REMOVE(ask->list, ask, entry);
	TAILQ_INSERT_TAIL(to, ask, entry);
	ask->list = to;
}

void ask_hold(struct ask *ask, struct bytes message)
{
	if (ask->held != NULL)
		return;
	ask->held = malloc(message.len > 0 ? message.len : 1);
	if (ask->held == NULL)
		return;
	if (message.len > 0)
		memcpy(ask->held, message.at, message.len);
	ask->held_len = message.len;
}

static void ask_clear_timers(struct ask *ask)
{
	deadline_clear(ask->peer->loop, &ask->deadline);
	deadline_clear(ask->peer->loop, &ask->hedge);
}

/* It is no longer in flight; its slot may be, as late. */
static void ask_not_in_flight(struct ask *ask)
{
	ask_clear_timers(ask);
	if (is_users(ask))
		ask->peer->in_flight--;
	else
		ask->peer->own--;
	ask->peer->peers->in_flight -= ask->kind == ASK_USER;
}

void ask_recycle(struct ask *ask)
{
	struct peer *peer = ask->peer;
	struct peers *peers = peer->peers;

	assert(ask->twin == NULL);
	if (ask->list != NULL)
		TAILQ_REMOVE(ask->list, ask, entry);
	if (ask->state == ASK_LATE)
		peer->late--;
	else
		ask_not_in_flight(ask);
	peer_slot_free(peer, ask);
	free(ask->held);
	if (!peers->freed && peers->spare_n < PEERS_SPARE_ASKS) {
		ask->list = NULL;
		TAILQ_INSERT_HEAD(&peers->spare, ask, entry);
		peers->spare_n++;
	} else {
		free(ask);
	}
	peer_ask_over(peer);
}

/* An ask that is over is in no list while done runs, so whatever done does finds it gone. */
static void ask_call(struct ask *ask, enum peers_result result, struct bytes answer)
{
	void (*done)(void *, enum peers_result, struct bytes) = ask->done;

	ask->done = NULL;
	if (done != NULL)
		done(ask->arg, result, answer);
}

void ask_end(struct ask *ask, enum peers_result result, struct bytes answer)
{
	if (ask->list != NULL)
		TAILQ_REMOVE(ask->list, ask, entry);
	ask->list = NULL;
	ask_clear_timers(ask);
	ask_call(ask, result, answer);
	if (ask->blamed)
		peer_distrust(ask->peer);
	if (ask->blamed)
		peer_failed(ask->peer);
	else if (result == PEERS_OK)
		peer_answered(ask->peer);
	ask_recycle(ask);
}

/* Ordered codecs: the answer will come in its turn, and be dropped. */
static void ask_turn_late(struct ask *ask)
{
	ask_not_in_flight(ask);
	ask->state = ASK_LATE;
	ask->peer->late++;
}

/* ---- twins */

static struct ask *ask_part(struct ask *ask)
{
	struct ask *twin = ask->twin;

	ask->twin = twin->twin = NULL;
	return twin;
}

static void ask_own_slot(struct ask *ask)
{
	if (ask->peer->slots != NULL && ask->state != ASK_QUEUED)
		ask->peer->slots[(uint16_t)ask->id] = ask;
}

/* Each takes the other's place at its peer. Timers, user and message stay. */
static void ask_change_places(struct ask *a, struct ask *b)
{
	struct ask mark = { .list = a->list };
	struct ask old = *a;

	TAILQ_INSERT_BEFORE(a, &mark, entry);
	TAILQ_REMOVE(a->list, a, entry);
	TAILQ_INSERT_BEFORE(b, a, entry);
	TAILQ_REMOVE(b->list, b, entry);
	TAILQ_INSERT_BEFORE(&mark, b, entry);
	TAILQ_REMOVE(mark.list, &mark, entry);
	a->list = b->list;
	a->peer = b->peer;
	a->state = b->state;
	a->id = b->id;
	a->sent_ns = b->sent_ns;
	b->list = old.list;
	b->peer = old.peer;
	b->state = old.state;
	b->id = old.id;
	b->sent_ns = old.sent_ns;
	ask_own_slot(a);
	ask_own_slot(b);
}

/* It lost the race, and goes on for what it tells of its peer: an answer in time, or none. */
static void ask_lose(struct ask *copy)
{
	uint64_t now = loop_now_ms(copy->peer->loop),
		 end = copy->sent_ns / 1000000 + copy->deadline_ms;

	if (copy->state == ASK_QUEUED) {
		ask_recycle(copy);
		return;
	}
	deadline_set(
	    copy->peer->loop, &copy->deadline, end > now ? end - now : 0, ask_deadline_passed);
}

/* Its answer has come, or its twin's at that one's peer: the race is over. Returns the user's ask, in
 * the place of the answer. */
struct ask *ask_win(struct ask *ask)
{
	struct ask *twin;

	if (ask->twin == NULL)
		return ask;
	twin = ask_part(ask);
	if (ask->kind == ASK_COPY) {
		ask_change_places(ask, twin);
		ask_lose(ask);
		return twin;
	}
	ask_lose(twin);
	return ask;
}

/* Its connection is lost. True: its twin goes on, and there is nothing to tell. */
bool ask_survives(struct ask *ask)
{
	struct ask *twin;

	if (ask->twin == NULL && !hedge_now(ask))
		return false;
	twin = ask_part(ask);
	if (ask->kind == ASK_COPY) {
		ask_recycle(ask);
		return true;
	}
	ask_change_places(ask, twin);
	ask_recycle(twin);
	return true;
}

/* ---- deadlines */

/* Misses count one after the other, not ten at once because ten were asked at once. */
static void peer_count_miss(struct peer *peer, const struct ask *ask)
{
	if (ask->state != ASK_SENT ||
	    (peer->missed > 0 && ask->sent_ns / 1000000 < peer->missed_ms))
		return;
	peer->missed++;
	peer->missed_ms = loop_now_ms(peer->loop);
}

/* A copy that was sent late had less time than its peer may take. */
static bool had_time(const struct ask *ask)
{
	return ask->state != ASK_SENT ||
	       loop_now_ms(ask->peer->loop) - ask->sent_ns / 1000000 >= ask->deadline_ms / 2;
}

void ask_deadline_passed(struct deadline *deadline)
{
	struct ask *ask = CONTAINER_OF(deadline, struct ask, deadline);
	struct peer *peer = ask->peer;
	struct stream *stream = peer->stream;

	if (ask->twin != NULL)
		ask_lose(ask_part(ask));
	if (had_time(ask)) {
		peer_count_miss(peer, ask);
		peer_failed(peer);
	}
	if (ask->state == ASK_SENT && peer->peers->params.codec->ordered) {
		ask_turn_late(ask);
		ask_call(ask, PEERS_DEADLINE, no_bytes);
	} else {
		ask_end(ask, PEERS_DEADLINE, no_bytes);
	}
	if (stream == NULL || peer->stream != stream)
		return;
	if (peer->missed >= PEER_MISSED_MAX)
		peer_lost(peer, PEERS_LOST, "three deadlines were missed");
	else if (peer->late >= PEER_LATE_MAX)
		peer_lost(peer, PEERS_LOST, "too many answers are late");
}

/* ---- its user */

void ask_cancel(struct ask *ask)
{
	struct peer *peer = ask->peer;

	ask->done = NULL;
	if (ask->list == NULL) /* its done() is running, or it has just ended */
		return;
	if (ask->twin != NULL)
		ask_cancel(ask_part(ask));
	if (ask->state == ASK_SENT && peer->peers->params.codec->ordered) {
		ask_turn_late(ask);
		peer_ask_over(peer);
	} else if (ask->state != ASK_LATE) {
		ask_recycle(ask);
	}
}

void peers_blame(struct peers *peers, struct ask *ask)
{
	(void)peers;
	ask->blamed = true;
}

unsigned ask_slot(const struct ask *ask)
{
	return ask->peer->slot;
}
