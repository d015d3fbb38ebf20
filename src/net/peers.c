/*
 * peers.c: the asking side: the set of endpoints, the choice among them, and an ask's life. An ask
 * ends once: by its answer, its deadline, the loss of its connection, or ask_cancel(). Any callback
 * may ask again, cancel, change the set or free it: memory goes after the turn.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/choice.h"
#include "net/peers_private.h"

#include "base/poison.h"

enum { PEERS_SPARE_ASKS = 1024 };

static const struct bytes no_bytes;

/* xorshift64: for jitter and choices, not for secrets. */
static uint64_t chance64(struct peers *peers)
{
	peers->chance ^= peers->chance << 13;
	peers->chance ^= peers->chance >> 7;
	peers->chance ^= peers->chance << 17;
	return peers->chance;
}

uint32_t peers_chance(struct peers *peers)
{
	return (uint32_t)(chance64(peers) >> 16);
}

/* ---- asks */

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
	if (kind == ASK_USER) {
		peer->in_flight++;
		peers->in_flight++;
	} else {
		peer->own++;
	}
	return ask;
}

void ask_move(struct ask *ask, struct asks *to)
{
	if (ask->list != NULL)
		TAILQ_REMOVE(ask->list, ask, entry);
	TAILQ_INSERT_TAIL(to, ask, entry);
	ask->list = to;
}

/* It is no longer in flight; its slot may be, as late. */
static void ask_not_in_flight(struct ask *ask)
{
	deadline_clear(ask->peer->loop, &ask->deadline);
	if (ask->kind == ASK_USER) {
		ask->peer->in_flight--;
		ask->peer->peers->in_flight--;
	} else {
		ask->peer->own--;
	}
}

void ask_recycle(struct ask *ask)
{
	struct peer *peer = ask->peer;
	struct peers *peers = peer->peers;

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
	deadline_clear(ask->peer->loop, &ask->deadline);
	ask_call(ask, result, answer);
	if (ask->blamed)
		peer_failed(ask->peer);
	else if (result == PEERS_OK)
		peer_ok(ask->peer);
	ask_recycle(ask);
}

/* Ordered codecs: the answer will come in its turn, and be dropped. */
static void ask_turn_late(struct ask *ask)
{
	ask_not_in_flight(ask);
	ask->state = ASK_LATE;
	ask->peer->late++;
}

/* Misses count one after the other, not ten at once because ten were asked at once. */
static void peer_count_miss(struct peer *peer, const struct ask *ask)
{
	if (ask->state != ASK_SENT || (peer->missed > 0 && ask->sent_ms < peer->missed_ms))
		return;
	peer->missed++;
	peer->missed_ms = loop_now_ms(peer->loop);
}

static void ask_deadline_passed(struct deadline *deadline)
{
	struct ask *ask = CONTAINER_OF(deadline, struct ask, deadline);
	struct peer *peer = ask->peer;
	struct stream *stream = peer->stream;

	peer_count_miss(peer, ask);
	peer_failed(peer);
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

void ask_cancel(struct ask *ask)
{
	struct peer *peer = ask->peer;

	ask->done = NULL;
	if (ask->list == NULL) /* its done() is running, or it has just ended */
		return;
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

/* ---- the choice */

static size_t choose_by_load(struct peers *peers, bool *any_closed)
{
	uint32_t load[PEERS_MAX];

	*any_closed = false;
	for (size_t i = 0; i < peers->n; i++) {
		struct peer *peer = peers->at[i];
		bool closed = !breaker_is_open(&peer->breaker);

		*any_closed |= closed;
		load[i] = closed && peer_has_room(peer) ? peer->in_flight : CHOICE_LOAD_OUT;
	}
	return choice_by_load(load, peers->n, chance64(peers));
}

static size_t choose_by_rank(
    struct peers *peers, const struct peers_choice *choice, bool *any_closed)
{
	uint64_t ids[PEERS_MAX];
	size_t i;

	for (i = 0; i < peers->n; i++)
		ids[i] = peers->at[i]->id;
	i = choice_by_rank(ids, peers->n, choice->hash, choice->rank);
	*any_closed = i != CHOICE_NONE && !breaker_is_open(&peers->at[i]->breaker);
	if (!*any_closed || !peer_has_room(peers->at[i]))
		return CHOICE_NONE;
	return i;
}

/* Whoever's breaker is open and whose probe is due gets a copy; the ask itself goes elsewhere. */
static void send_probes(struct peers *peers, struct bytes message)
{
	for (size_t i = 0; i < peers->n && peers->open_n > 0; i++)
		if (breaker_is_open(&peers->at[i]->breaker))
			peer_probe(peers->at[i], message);
}

static struct peer *choose(
    struct peers *peers, const struct peers_choice *choice, enum peers_why *why)
{
	bool any_closed;
	size_t i;

	if (peers->n == 0 || peers->freed) {
		*why = PEERS_NO_ENDPOINT;
		return NULL;
	}
	if (peers->n == 1 && choice->by == PEERS_ANY) { /* the usual case, without the tables */
		any_closed = !breaker_is_open(&peers->at[0]->breaker);
		i = any_closed && peer_has_room(peers->at[0]) ? 0 : CHOICE_NONE;
	} else if (choice->by == PEERS_ANY) {
		i = choose_by_load(peers, &any_closed);
	} else {
		i = choose_by_rank(peers, choice, &any_closed);
	}
	*why = i != CHOICE_NONE ? PEERS_ASKED : any_closed ? PEERS_FULL : PEERS_BREAKER;
	return i != CHOICE_NONE ? peers->at[i] : NULL;
}

struct ask *peers_ask(struct peers *peers, struct bytes message, struct peers_choice choice,
    uint32_t deadline_ms, void (*done)(void *arg, enum peers_result, struct bytes answer),
    void *arg, enum peers_why *why)
{
	struct peer *peer;
	struct ask *ask;

	assert(message.len <= peers->params.codec->max);
	peer = choose(peers, &choice, why);
	if (peers->open_n > 0)
		send_probes(peers, message);
	if (peer == NULL)
		return NULL;
	ask = ask_new(peer, ASK_USER);
	if (ask == NULL) {
		*why = PEERS_FULL;
		return NULL;
	}
	ask->done = done;
	ask->arg = arg;
	ask->deadline_ms = deadline_ms != 0 ? deadline_ms : peers->params.deadline_ms;
	deadline_set(peers->loop, &ask->deadline, ask->deadline_ms, ask_deadline_passed);
	peer_ask(peer, ask, message);
	return ask;
}

/* ---- the set */

struct peers *peers_new(struct loop *loop, const struct peers_params *params)
{
	struct peers *peers = calloc(1, sizeof(*peers));

	if (peers == NULL)
		return NULL;
	assert(params->codec->ordered || params->number != NULL);
	assert(params->in_flight_max > 0 && params->in_flight_max < UINT16_MAX - PEER_OWN_ASKS);
	peers->loop = loop;
	peers->params = *params;
	TAILQ_INIT(&peers->spare);
	arc4random_buf(&peers->chance, sizeof(peers->chance));
	peers->chance |= 1;
	return peers;
}

static struct peer *take_equal(struct peers *peers, const struct endpoint *endpoint)
{
	for (size_t i = 0; i < peers->n; i++) {
		struct peer *peer = peers->at[i];

		if (peer != NULL && endpoint_equal(&peer->endpoint, endpoint)) {
			peers->at[i] = NULL;
			return peer;
		}
	}
	return NULL;
}

static void count_open(struct peers *peers)
{
	peers->open_n = 0;
	for (size_t i = 0; i < peers->n; i++)
		peers->open_n += breaker_is_open(&peers->at[i]->breaker);
}

static void number_slots(struct peers *peers, const struct endpoint *endpoints, size_t n)
{
	for (size_t i = n; i-- > 0;)
		for (size_t j = 0; j < peers->n; j++)
			if (endpoint_equal(&peers->at[j]->endpoint, &endpoints[i]))
				peers->at[j]->slot = (unsigned)i;
}

/* Room for those that leave, made before anything is changed. */
static int reserve_leaving(struct peers *peers)
{
	struct peer **room;

	room = reallocarray(peers->leaving, peers->leaving_n + peers->n + 1, sizeof(*room));
	if (room == NULL)
		return -1;
	peers->leaving = room;
	return 0;
}

static bool is_among(struct peer *const *at, size_t n, const struct endpoint *endpoint)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] != NULL && endpoint_equal(&at[i]->endpoint, endpoint))
			return true;
	return false;
}

/* Peers for the endpoints that the set does not have yet. Returns how many, or -1 and none. */
static ssize_t make_new(
    struct peers *peers, const struct endpoint *endpoints, size_t n, struct peer **made)
{
	size_t m = 0;

	for (size_t i = 0; i < n; i++) {
		if (is_among(peers->at, peers->n, &endpoints[i]) ||
		    is_among(made, m, &endpoints[i]))
			continue;
		made[m] = peer_new(peers, &endpoints[i]);
		if (made[m] == NULL) {
			while (m > 0)
				peer_free(made[--m]);
			return -1;
		}
		m++;
	}
	return (ssize_t)m;
}

/* All memory is taken first: without it nothing has changed. */
int peers_set(struct peers *peers, const struct endpoint *endpoints, size_t n)
{
	struct peer **at, **old = peers->at, *kept;
	size_t old_n = peers->n, m;
	ssize_t made;

	assert(n <= PEERS_MAX);
	at = calloc(n > 0 ? n : 1, sizeof(*at));
	if (at == NULL || reserve_leaving(peers) != 0 ||
	    (made = make_new(peers, endpoints, n, at)) < 0) {
		free(at);
		return -1;
	}
	m = (size_t)made;
	for (size_t i = 0; i < n; i++)
		if ((kept = take_equal(peers, &endpoints[i])) != NULL)
			at[m++] = kept;
	peers->at = at;
	peers->n = m;
	number_slots(peers, endpoints, n);
	count_open(peers);
	for (size_t i = 0; i < old_n; i++)
		if (old[i] != NULL)
			peers->leaving[peers->leaving_n++] = old[i];
	for (size_t i = peers->leaving_n; i-- > 0;)
		peer_leave(peers->leaving[i]);
	free(old);
	return 0;
}

void peers_connect(struct peers *peers)
{
	for (size_t i = 0; i < peers->n; i++)
		peer_connect(peers->at[i]);
}

static void peers_free_later(struct later *later)
{
	struct peers *peers = CONTAINER_OF(later, struct peers, later);
	struct ask *ask;

	while ((ask = TAILQ_FIRST(&peers->spare)) != NULL) {
		TAILQ_REMOVE(&peers->spare, ask, entry);
		free(ask);
	}
	free(peers->at);
	free(peers->leaving);
	free(peers->scratch);
	free(peers);
}

void peers_free(struct peers *peers)
{
	if (peers == NULL || peers->freed)
		return;
	peers->freed = true;
	peers->open_n = 0;
	for (size_t i = 0; i < peers->n; i++)
		peer_free(peers->at[i]);
	while (peers->leaving_n > 0)
		peer_free(peers->leaving[--peers->leaving_n]);
	peers->n = 0;
	loop_later(peers->loop, &peers->later, peers_free_later);
}

unsigned ask_slot(const struct ask *ask)
{
	return ask->peer->slot;
}

void peers_recheck(struct peers *peers)
{
	for (size_t i = 0; i < peers->n; i++)
		peer_recheck(peers->at[i]);
}

bool peers_usable(const struct peers *peers)
{
	return peers->open_n < peers->n;
}

uint32_t peers_in_flight(const struct peers *peers)
{
	return peers->in_flight;
}

void peers_on_up(struct peers *peers, void (*up)(void *arg), void *arg)
{
	peers->up = up;
	peers->up_arg = arg;
}
