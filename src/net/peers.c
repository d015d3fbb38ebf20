/*
 * peers.c: the asking side: the set of endpoints and its life. Any callback may ask again, cancel,
 * change the set or free it: memory goes after the turn.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/peers_private.h"

#include "base/poison.h"

/* xorshift64: for jitter and choices, not for secrets. */
uint64_t peers_chance64(struct peers *peers)
{
	peers->chance ^= peers->chance << 13;
	peers->chance ^= peers->chance >> 7;
	peers->chance ^= peers->chance << 17;
	return peers->chance;
}

uint32_t peers_chance(struct peers *peers)
{
	return (uint32_t)(peers_chance64(peers) >> 16);
}

/* ---- asking */

/* Whoever's breaker is open and whose probe is due gets a copy; the ask itself goes elsewhere. */
static void send_probes(struct peers *peers, struct bytes message)
{
	for (size_t i = 0; i < peers->n && peers->open_n > 0; i++)
		if (breaker_is_open(&peers->at[i]->breaker))
			peer_probe(peers->at[i], message);
}

/* While anything is asked the loop has something to be late for, long before the ask's deadline. */
static void pulse_cb(struct deadline *deadline)
{
	struct peers *peers = CONTAINER_OF(deadline, struct peers, pulse);

	if (peers->in_flight > 0)
		deadline_set(peers->loop, &peers->pulse, PEERS_PULSE_MS, pulse_cb);
}

struct ask *peers_ask(struct peers *peers, struct bytes message, struct peers_choice choice,
    uint32_t deadline_ms, void (*done)(void *arg, enum peers_result, struct bytes answer),
    void *arg, enum peers_why *why)
{
	struct peer *peer;
	struct ask *ask;

	assert(message.len <= peers->params.codec->max);
	if (!peers->started)
		peers_connect(peers);
	peer = peers_choose(peers, &choice, why);
	/* What is meant for one of them alone is no question to others. */
	if (peers->open_n > 0 && !choice.direct && choice.by != PEERS_SLOT)
		send_probes(peers, message);
	if (peer == NULL)
		return NULL;
	if (choice.direct && peer->state != PEER_UP) {
		*why = PEERS_NO_ENDPOINT;
		return NULL;
	}
	ask = ask_new(peer, ASK_USER);
	if (ask == NULL) {
		*why = PEERS_FULL;
		return NULL;
	}
	ask->done = done;
	ask->arg = arg;
	ask->deadline_ms = deadline_ms != 0 ? deadline_ms : peers->params.deadline_ms;
	deadline_set(peers->loop, &ask->deadline, ask->deadline_ms, ask_deadline_passed);
	if (!deadline_is_set(&peers->pulse))
		deadline_set(peers->loop, &peers->pulse, PEERS_PULSE_MS, pulse_cb);
	hedge_arm(ask, message, &choice);
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
	peers->worker_hash = hash_bytes(
	    &(struct hash_key){ { 0, 0 } }, bytes_of(&params->worker, sizeof(params->worker)));
	hedge_start(peers);
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

/* In the endpoints' order; of one that is named twice the first place counts. */
static void number_slots(struct peers *peers, const struct endpoint *endpoints, size_t n)
{
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = m; j < peers->n; j++) {
			struct peer *peer = peers->at[j];

			if (!endpoint_equal(&peer->endpoint, &endpoints[i]))
				continue;
			peer->slot = (unsigned)i;
			peers->at[j] = peers->at[m];
			peers->at[m++] = peer;
			break;
		}
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
	peers_rank(peers);
	peers_settle(peers);
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
	peers->started = true;
	peers_settle(peers);
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
	deadline_clear(peers->loop, &peers->pulse);
	peers->open_n = 0;
	for (size_t i = 0; i < peers->n; i++)
		peer_free(peers->at[i]);
	while (peers->leaving_n > 0)
		peer_free(peers->leaving[--peers->leaving_n]);
	peers->n = 0;
	loop_later(peers->loop, &peers->later, peers_free_later);
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

bool peers_server(const struct peers *peers, unsigned slot, struct peers_server *server)
{
	const struct peer *peer = slot < peers->n ? peers->at[slot] : NULL;

	if (peer == NULL)
		return false;
	*server = (struct peers_server){ .endpoint = peer->endpoint,
		.up = peer->state == PEER_UP,
		.broken = breaker_is_open(&peer->breaker),
		.in_flight = peer->in_flight };
	return true;
}

void peers_on_up(struct peers *peers, void (*up)(void *arg), void *arg)
{
	peers->up = up;
	peers->up_arg = arg;
}
