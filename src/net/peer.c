/*
 * peer.c: the one connection to one endpoint: connects, greets, pings when idle, and comes back after
 * a loss; what goes over it is peer_io.c. Invariant: an ask lies in exactly one of queue (not up
 * yet), sent and ending (the connection is lost, its done is about to be called), or is being ended.
 */
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/peers_private.h"

#include "base/poison.h"

static const char *const state_names[PEER_STATES_N] = {
#define X(id, name) [id] = name,
	PEER_STATES(X)
#undef X
};

static const struct stream_events peer_events;

static void peer_state_deadline(struct deadline *);
static void peer_probe_deadline(struct deadline *);

static const char *peer_text(const struct peer *peer, char *buf, size_t size)
{
	return endpoint_text(&peer->endpoint, buf, size);
}

/* Half to one and a half of it. */
static uint32_t jittered(struct peer *peer, uint32_t ms)
{
	return ms / 2 + peers_chance(peer->peers) % (ms + 1);
}

static void peer_set_state(struct peer *peer, enum peer_state state, uint32_t ms)
{
	char text[ENDPOINT_TEXT_MAX];

	log_debug("%s %s: %s -> %s", peer->peers->params.name, peer_text(peer, text, sizeof(text)),
	    state_names[peer->state], state_names[state]);
	peer->state = state;
	if (ms != 0)
		deadline_set(peer->loop, &peer->deadline, ms, peer_state_deadline);
	else
		deadline_clear(peer->loop, &peer->deadline);
}

/* ---- the breaker */

void peer_answered(struct peer *peer)
{
	peer->distrusted = false;
	peer_ok(peer);
}

/* With one server alone there is nothing to be gained by it. */
void peer_distrust(struct peer *peer)
{
	peer->distrusted = peer->peers->n > 1;
}

void peer_ok(struct peer *peer)
{
	if (peer->distrusted)
		return;
	peer->backoff_ms = PEER_BACKOFF_MIN_MS;
	if (!breaker_ok(&peer->breaker))
		return;
	deadline_clear(peer->loop, &peer->probe);
	if (peer->leaving || peer->state == PEER_GONE)
		return;
	peer->peers->open_n--;
	peers_settle(peer->peers);
}

void peer_failed(struct peer *peer)
{
	uint64_t now = loop_now_ms(peer->loop);
	char text[ENDPOINT_TEXT_MAX];

	if (peer->state == PEER_GONE ||
	    !breaker_failed(&peer->breaker, now, peers_chance(peer->peers)))
		return;
	if (!peer->leaving && !peer->peers->freed) {
		peer->peers->open_n++;
		peers_settle(peer->peers);
	}
	deadline_set(peer->loop, &peer->probe, peer->breaker.probe_ms - now + PEER_PROBE_WAIT_MS,
	    peer_probe_deadline);
	if (peer->told)
		return;
	peer->told = true;
	log_warnx("%s %s: failed too often (%s): it is spared until it answers again; see whether "
		  "it runs and can be reached",
	    peer->peers->params.name, peer_text(peer, text, sizeof(text)), peer->why);
}

/* No ask came that could be copied: a ping does. */
static void peer_probe_deadline(struct deadline *deadline)
{
	struct peer *peer = CONTAINER_OF(deadline, struct peer, probe);
	uint64_t now = loop_now_ms(peer->loop), next;

	if (peer->state == PEER_UP &&
	    breaker_probe(&peer->breaker, now, peers_chance(peer->peers))) {
		if (peer->peers->params.ping != NULL)
			peer_ping(peer);
		else
			peer_ok(peer); /* nothing to ask it with: the next ask shows */
	}
	if (!breaker_is_open(&peer->breaker))
		return;
	next = peer->breaker.probe_ms > now ? peer->breaker.probe_ms - now : 0;
	deadline_set(peer->loop, &peer->probe, next + PEER_PROBE_WAIT_MS, peer_probe_deadline);
}

/* ---- connecting */

static void peer_connect_now(struct peer *peer)
{
	struct peers *peers = peer->peers;
	bool plain = peers->params.tls == NULL || peer->endpoint.addr.ss_family == AF_UNIX;
	SSL *ssl = plain ? NULL : tlsctx_ssl_again(peers->params.tls, &peer->session);

	peer->blocked = false;
	peer->missed = 0;
	peer->replied = false;
	if (plain || ssl != NULL)
		peer->stream = stream_connect(peer->loop, &peer->endpoint, ssl, &peer_events, peer);
	peer_set_state(peer, PEER_CONNECTING, peers->params.connect_ms);
	if (peer->stream == NULL) /* no memory or descriptor: the same as a refusal, soon */
		peer_set_state(peer, PEER_CONNECTING, 1);
}

void peer_connect(struct peer *peer)
{
	if (peer->state == PEER_DOWN)
		peer_connect_now(peer);
}

static bool owner_is_right(const struct peer *peer)
{
	uid_t owner = peer->peers->params.owner;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (owner == (uid_t)-1 || peer->endpoint.addr.ss_family != AF_UNIX)
		return true;
	return getsockopt(stream_fd(peer->stream), SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	       cred.uid == owner;
}

static void set_tcp_timeout(const struct peer *peer)
{
	unsigned timeout = PEER_TCP_TIMEOUT_MS;

	/* For speed of notice alone; without it a missed deadline still shows. */
	if (peer->endpoint.addr.ss_family != AF_UNIX)
		(void)setsockopt(stream_fd(peer->stream), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout,
		    sizeof(timeout));
}

/* The connection can be used: what was held back goes out. */
void peer_up(struct peer *peer)
{
	struct peers *peers = peer->peers;
	char text[ENDPOINT_TEXT_MAX];
	struct ask *ask;

	peer_set_state(peer, PEER_UP, peers->params.ping_ms);
	peer->lost = false;
	peers_settle(peers);
	if (peer->told)
		log_info("%s %s: answers again", peers->params.name,
		    peer_text(peer, text, sizeof(text)));
	peer->told = false;
	while ((ask = TAILQ_FIRST(&peer->queue)) != NULL) {
		if (ask->held == NULL) { /* there was no memory for it */
			if (!ask_survives(ask))
				ask_end(ask, PEERS_LOST, bytes_of(NULL, 0));
			continue;
		}
		peer_send(peer, ask, bytes_of(ask->held, ask->held_len));
		if (!ask->may_hedge && ask->twin == NULL) {
			free(ask->held);
			ask->held = NULL;
		}
	}
	/* Nothing has answered in time yet: find out now. */
	if (peer->state == PEER_UP && breaker_is_open(&peer->breaker)) {
		if (peers->params.ping != NULL)
			peer_ping(peer);
		else
			peer_ok(peer);
	}
	if (peers->up != NULL)
		peers->up(peers->up_arg);
}

static void on_opened(void *arg)
{
	struct peer *peer = arg;
	const struct peers_params *params = &peer->peers->params;

	if (!owner_is_right(peer)) {
		peer_lost(peer, PEERS_LOST, "the socket is another user's");
		return;
	}
	set_tcp_timeout(peer);
	if (params->hello == NULL) {
		peer_enter(peer);
		return;
	}
	peer->state = PEER_WELCOMING; /* under the deadline of connecting */
	if (peer_send_own(peer, ASK_HELLO, params->hello) != 0)
		peer_lost(peer, PEERS_LOST, "no memory");
}

void peer_enter(struct peer *peer)
{
	const struct peers_params *params = &peer->peers->params;

	if (params->inquire == NULL) {
		peer_up(peer);
		return;
	}
	peer->state = PEER_WELCOMING; /* under the same deadline */
	if (peer_send_own(peer, ASK_INQUIRY, params->inquire) != 0)
		peer_lost(peer, PEERS_LOST, "no memory");
}

static void on_drained(void *arg)
{
	struct peer *peer = arg;

	peer->blocked = false;
}

static void on_input(void *arg)
{
	peer_read(arg);
}

/* For the operator: what the other side's alert says, or why its certificate was not taken. */
static const char *tls_text(const struct peer *peer)
{
	const char *why = tlsctx_refusal(stream_ssl(peer->stream));

	if (why == NULL)
		why = ERR_reason_error_string(ERR_peek_error());
	return why != NULL ? why : reason_text(REASON_TLS);
}

static void on_closed(void *arg, enum reason reason)
{
	struct peer *peer = arg;

	peer_lost(peer, PEERS_LOST,
	    reason == REASON_CONNECT ? "it cannot be connected to"
	    : reason == REASON_TLS   ? tls_text(peer)
				     : reason_text(reason));
}

static const struct stream_events peer_events = {
	.opened = on_opened,
	.input = on_input,
	.drained = on_drained,
	.closed = on_closed,
};

/* ---- loss and end */

static void peer_close_stream(struct peer *peer)
{
	if (peer->stream != NULL)
		stream_close(peer->stream);
	peer->stream = NULL;
	peer->blocked = false;
}

/* All asks end; done() may ask anew, which then waits for the next connection. Returns whether any
 * was waited for. */
static bool peer_end_asks(struct peer *peer, enum peers_result result)
{
	struct ask *ask;
	bool any = false;

	while ((ask = TAILQ_FIRST(&peer->sent)) != NULL)
		ask_move(ask, &peer->ending);
	while ((ask = TAILQ_FIRST(&peer->queue)) != NULL)
		ask_move(ask, &peer->ending);
	while ((ask = TAILQ_FIRST(&peer->ending)) != NULL) {
		if (ask->state == ASK_LATE || (ask->done == NULL && ask->twin == NULL)) {
			ask_recycle(ask);
			continue;
		}
		any = true;
		peer_failed(peer);
		if (!ask_survives(ask))
			ask_end(ask, result, bytes_of(NULL, 0));
	}
	return any;
}

/* How long until it is tried again. Soon, unless others answer: then a whole fleet that lost one server
 * of many need not come back at once. */
static uint32_t wait_of(struct peer *peer)
{
	struct peers *peers = peer->peers;
	uint32_t wait = jittered(peer, peer->backoff_ms), spread;

	if (peers->n > PEER_SPREAD_FROM && peers_others_up(peers, peer)) {
		spread = (uint32_t)(peers->n - PEER_SPREAD_FROM) * PEER_SPREAD_MS;
		if (spread > PEER_SPREAD_MAX_MS)
			spread = PEER_SPREAD_MAX_MS;
		spread = peers_chance(peers) % (spread + 1);
		if (spread > wait)
			wait = spread;
	}
	return wait > 0 ? wait : 1;
}

void peer_lost(struct peer *peer, enum peers_result result, const char *why)
{
	char text[ENDPOINT_TEXT_MAX];
	uint32_t wait = wait_of(peer);
	bool was_up;

	if (peer->state == PEER_GONE)
		return;
	peer->why = why;
	if (peer->state == PEER_UP)
		log_info("%s %s: connection lost: %s", peer->peers->params.name,
		    peer_text(peer, text, sizeof(text)), why);
	peer_close_stream(peer);
	peer->backoff_ms *= 2;
	if (peer->backoff_ms > PEER_BACKOFF_MAX_MS)
		peer->backoff_ms = PEER_BACKOFF_MAX_MS;
	was_up = peer->state == PEER_UP;
	if (was_up && result == PEERS_PROTOCOL)
		peer_distrust(peer);
	peer_set_state(peer, PEER_WAITING, wait);
	peer->lost = true;
	if (!peer->leaving && !peer->peers->freed)
		peers_settle(peer->peers);
	/* Each lost ask is a failure; an idle connection that was of use and is closed is none. */
	if (!peer_end_asks(peer, result) && (!was_up || result == PEERS_PROTOCOL || !peer->replied))
		peer_failed(peer);
	peer_ask_over(peer);
}

/* Nobody asks it: it stood in for one that is back. */
static bool may_rest(const struct peer *peer)
{
	return !peer->wanted && !breaker_is_open(&peer->breaker) && peer->in_flight == 0 &&
	       peer->own == 0 && peer->late == 0 &&
	       loop_now_ms(peer->loop) - peer->asked_ms >= PEER_REST_MS;
}

static void peer_state_deadline(struct deadline *deadline)
{
	struct peer *peer = CONTAINER_OF(deadline, struct peer, deadline);

	switch (peer->state) {
	case PEER_WAITING:
		if (peer->wanted || breaker_is_open(&peer->breaker) || peer->leaving ||
		    !TAILQ_EMPTY(&peer->queue))
			peer_connect_now(peer);
		else
			peer_set_state(peer, PEER_DOWN, 0);
		break;
	case PEER_CONNECTING:
	case PEER_WELCOMING:
		peer_lost(peer, PEERS_LOST, "connecting took too long");
		break;
	case PEER_UP:
		if (may_rest(peer)) {
			peer_close_stream(peer);
			peer_set_state(peer, PEER_DOWN, 0);
			break;
		}
		if (!peer->asked && peer->in_flight == 0)
			peer_ping(peer);
		peer->asked = false;
		deadline_set(
		    peer->loop, deadline, peer->peers->params.ping_ms, peer_state_deadline);
		break;
	case PEER_DOWN:
	case PEER_GONE:
	case PEER_STATES_N:
		break;
	}
}

static void peer_free_later(struct later *later)
{
	struct peer *peer = CONTAINER_OF(later, struct peer, later);

	SSL_SESSION_free(peer->session);
	free(peer->slots);
	free(peer->free_slots);
	free(peer);
}

struct peer *peer_new(struct peers *peers, const struct endpoint *endpoint)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	char text[ENDPOINT_TEXT_MAX];

	if (peer == NULL)
		return NULL;
	peer->peers = peers;
	peer->loop = peers->loop;
	peer->endpoint = *endpoint;
	/* The same on all machines, so all agree on who is first for a name. */
	peer->id = hash_bytes(
	    &(struct hash_key){ { 0, 0 } }, bytes_str(endpoint_text(endpoint, text, sizeof(text))));
	peer->backoff_ms = PEER_BACKOFF_MIN_MS;
	peer->why = "no answer in time";
	breaker_init(&peer->breaker);
	TAILQ_INIT(&peer->queue);
	TAILQ_INIT(&peer->sent);
	TAILQ_INIT(&peer->ending);
	if (peer_slots_new(peer) != 0) {
		free(peer->slots);
		free(peer->free_slots);
		free(peer);
		return NULL;
	}
	return peer;
}

void peer_free(struct peer *peer)
{
	if (peer->state == PEER_GONE)
		return;
	peer_close_stream(peer);
	peer_set_state(peer, PEER_GONE, 0);
	deadline_clear(peer->loop, &peer->probe);
	peer_end_asks(peer, PEERS_LOST);
	loop_later(peer->loop, &peer->later, peer_free_later);
}

void peer_recheck(struct peer *peer)
{
	SSL *ssl = peer->stream != NULL ? stream_ssl(peer->stream) : NULL;
	struct tlsctx_peer who;

	if (ssl != NULL && tlsctx_peer(ssl, &who) == 0 &&
	    tlsctx_denied(peer->peers->params.tls, who.spki))
		peer_lost(peer, PEERS_LOST, "its certificate is on the deny list");
}

void peer_ask_over(struct peer *peer)
{
	struct peers *peers = peer->peers;

	if (!peer->leaving || peer->state == PEER_GONE || peer->in_flight > 0)
		return;
	for (uint32_t i = 0; i < peers->leaving_n; i++)
		if (peers->leaving[i] == peer) {
			peers->leaving[i] = peers->leaving[--peers->leaving_n];
			break;
		}
	peer_free(peer);
}

void peer_leave(struct peer *peer)
{
	peer->leaving = true;
	peer_ask_over(peer);
}
