/*
 * peers_choose.c: whom to ask. PEERS_ANY keeps to few servers, those that rank first for this worker;
 * for one that is lost, or whose breaker is open, the next one stands in until it is back. PEERS_RANK goes by the
 * name alone. And hedging: an ask that is not answered when most are goes to a second server too.
 */
#include <assert.h>
#include <stddef.h>

#include "net/choice.h"
#include "net/peers_private.h"

#include "base/poison.h"

enum {
	HEDGE_BURST = 10, /* copies that may be saved up */
	HEDGE_COST = 1000, /* of one; each ask that may be hedged pays hedge_permille in */
	HEDGE_PERMILLE = 950, /* of the answers have come by then */
};

/* Those that are worth a connection now. One that is lost is, and takes nobody's place. */
void peers_settle(struct peers *peers)
{
	size_t max = peers->params.connections_max, taken = 0;

	if (max == 0 || max > peers->n)
		max = peers->n;
	for (size_t r = 0; r < peers->n; r++) {
		struct peer *peer = peers->at[peers->order[r]];

		peer->wanted = taken < max && !breaker_is_open(&peer->breaker);
		taken += peer->wanted && !peer->lost;
		if (peer->wanted && peers->started)
			peer_connect(peer);
	}
}

void peers_rank(struct peers *peers)
{
	uint64_t ids[PEERS_MAX];

	for (size_t i = 0; i < peers->n; i++)
		ids[i] = peers->at[i]->id;
	for (size_t r = 0; r < peers->n; r++)
		peers->order[r] = (uint8_t)choice_by_rank(ids, peers->n, peers->worker_hash, r);
}

bool peers_others_up(const struct peers *peers, const struct peer *than)
{
	for (size_t i = 0; i < peers->n; i++)
		if (peers->at[i] != than && peers->at[i]->state == PEER_UP)
			return true;
	return false;
}

/* X(constant): the lower the better; by load within one. */
enum tier {
	TIER_UP,
	TIER_UP_BEYOND, /* not one of those that rank first */
	TIER_CONNECTING,
	TIER_CONNECTING_BEYOND,
	TIER_AVOIDED,
	TIER_WAITING, /* it was lost, and may not be back in time */
	TIER_WAITING_AVOIDED,
	TIERS_N,
};

static enum tier tier_of(const struct peer *peer, uint64_t avoid)
{
	bool avoided = (avoid & UINT64_C(1) << peer->slot) != 0;

	if (peer->state == PEER_WAITING)
		return avoided ? TIER_WAITING_AVOIDED : TIER_WAITING;
	if (avoided)
		return TIER_AVOIDED;
	if (peer->state == PEER_UP)
		return peer->wanted ? TIER_UP : TIER_UP_BEYOND;
	return peer->wanted ? TIER_CONNECTING : TIER_CONNECTING_BEYOND;
}

/* With all breakers open a few asks go where a connection still stands: the trouble may have been ours, and
 * the first answer shows it. Where none stands, it fails at once. */
static bool may_ask(const struct peer *peer, bool any_closed)
{
	if (!peer_has_room(peer))
		return false;
	if (any_closed)
		return !breaker_is_open(&peer->breaker);
	return peer->state == PEER_UP && peer->in_flight < PEER_LAST_RESORT;
}

/* Two choices by load, among the best there are. not: never that one (NULL: none). */
static size_t choose_any(
    struct peers *peers, uint64_t avoid, const struct peer * not, bool *any_closed)
{
	uint32_t load[PEERS_MAX];
	enum tier tiers[PEERS_MAX], best = TIERS_N;

	*any_closed = peers_usable(peers);
	for (size_t i = 0; i < peers->n; i++) {
		struct peer *peer = peers->at[i];

		tiers[i] = TIERS_N;
		if (peer != not &&may_ask(peer, *any_closed))
			tiers[i] = tier_of(peer, avoid);
		if (tiers[i] < best)
			best = tiers[i];
	}
	if (best == TIERS_N)
		return CHOICE_NONE;
	for (size_t i = 0; i < peers->n; i++)
		load[i] = tiers[i] == best ? peers->at[i]->in_flight : CHOICE_LOAD_OUT;
	return choice_by_load(load, peers->n, peers_chance64(peers));
}

static size_t choose_by_rank(
    const struct peers *peers, uint64_t hash, size_t rank, bool *any_closed)
{
	uint64_t ids[PEERS_MAX];
	size_t i;

	for (i = 0; i < peers->n; i++)
		ids[i] = peers->at[i]->id;
	i = choice_by_rank(ids, peers->n, hash, rank);
	*any_closed = i != CHOICE_NONE && !breaker_is_open(&peers->at[i]->breaker);
	if (!*any_closed || !peer_has_room(peers->at[i]))
		return CHOICE_NONE;
	return i;
}

static size_t choose_slot(struct peers *peers, size_t slot, bool *any_closed)
{
	*any_closed = slot < peers->n && !breaker_is_open(&peers->at[slot]->breaker);
	return *any_closed && peer_has_room(peers->at[slot]) ? slot : CHOICE_NONE;
}

struct peer *peers_choose(
    struct peers *peers, const struct peers_choice *choice, enum peers_why *why)
{
	bool any_closed;
	size_t i;

	if (peers->n == 0 || peers->freed) {
		*why = PEERS_NO_ENDPOINT;
		return NULL;
	}
	if (peers->n == 1 && choice->by == PEERS_ANY) { /* the usual case, without the tables */
		any_closed = peers_usable(peers);
		i = may_ask(peers->at[0], any_closed) ? 0 : CHOICE_NONE;
	} else if (choice->by == PEERS_ANY) {
		i = choose_any(peers, choice->avoid, NULL, &any_closed);
	} else if (choice->by == PEERS_SLOT) {
		i = choose_slot(peers, choice->rank, &any_closed);
	} else {
		i = choose_by_rank(peers, choice->hash, choice->rank, &any_closed);
	}
	*why = i != CHOICE_NONE ? PEERS_ASKED : any_closed ? PEERS_FULL : PEERS_BREAKER;
	return i != CHOICE_NONE ? peers->at[i] : NULL;
}

uint64_t peers_mark(const struct peers *peers, struct peers_choice choice)
{
	bool any_closed;
	size_t i;

	assert(choice.by == PEERS_RANK);
	i = choose_by_rank(peers, choice.hash, choice.rank, &any_closed);
	return i != CHOICE_NONE && peers->at[i]->state == PEER_UP ? peers->at[i]->mark : 0;
}

/* ---- hedging */

/* Where a copy may go: a server that can answer at once. */
static struct peer *choose_second(struct peers *peers, const struct ask *ask)
{
	bool any_closed;
	size_t i;

	if (peers->freed)
		return NULL;
	if (ask->choice.by == PEERS_ANY)
		i = choose_any(peers, ask->choice.avoid, ask->peer, &any_closed);
	else
		i = choose_by_rank(
		    peers, ask->choice.hash, (size_t)ask->choice.rank + 1, &any_closed);
	if (i == CHOICE_NONE || peers->at[i] == ask->peer || peers->at[i]->state != PEER_UP)
		return NULL;
	return peers->at[i];
}

/* Sends the copy, where one may be: there is a message, a budget and a server. */
bool hedge_now(struct ask *ask)
{
	struct peers *peers = ask->peer->peers;
	struct peer *second;
	struct ask *copy;

	if (!ask->may_hedge || ask->held == NULL || ask->done == NULL ||
	    peers->hedge_credit < HEDGE_COST)
		return false;
	second = choose_second(peers, ask);
	if (second == NULL || (copy = ask_new(second, ASK_COPY)) == NULL)
		return false;
	peers->hedge_credit -= HEDGE_COST;
	ask->may_hedge = false;
	deadline_clear(peers->loop, &ask->hedge);
	copy->deadline_ms = ask->deadline_ms;
	copy->twin = ask;
	ask->twin = copy;
	peer_ask(second, copy, bytes_of(ask->held, ask->held_len));
	return true;
}

static void hedge_passed(struct deadline *deadline)
{
	(void)hedge_now(CONTAINER_OF(deadline, struct ask, hedge));
}

/* The p95 of the fastest server: a slow one is what hedging is for, and must not set its time. Before
 * anything is known, a quarter of the deadline; never so late that the copy cannot be in time. */
static uint64_t hedge_delay_ms(const struct peers *peers, uint32_t deadline_ms)
{
	uint64_t best = (uint64_t)deadline_ms * 1000 / 4, us;
	bool known = false;

	for (size_t i = 0; i < peers->n; i++) {
		us = delays_quantile(&peers->at[i]->delays, HEDGE_PERMILLE);
		if (us != 0 && (!known || us < best)) {
			best = us;
			known = true;
		}
	}
	if (best > (uint64_t)deadline_ms * 1000 / 2)
		best = (uint64_t)deadline_ms * 1000 / 2;
	return best / 1000;
}

void hedge_start(struct peers *peers)
{
	peers->hedge_credit = HEDGE_BURST * HEDGE_COST;
}

void hedge_arm(struct ask *ask, struct bytes message, const struct peers_choice *choice)
{
	struct peers *peers = ask->peer->peers;
	uint32_t credit = peers->hedge_credit + peers->params.hedge_permille;

	if (!choice->hedge || peers->params.hedge_permille == 0 || peers->n < 2)
		return;
	peers->hedge_credit = credit < HEDGE_BURST * HEDGE_COST ? credit : HEDGE_BURST * HEDGE_COST;
	ask->may_hedge = true;
	ask->choice = *choice;
	ask_hold(ask, message);
	deadline_set(
	    peers->loop, &ask->hedge, hedge_delay_ms(peers, ask->deadline_ms), hedge_passed);
}
