/*
 * peers_private.h: what the files of peers share. peers.c: the set; peers_choose.c: the choice and
 * hedging; ask.c: an ask's life; peer.c, peer_io.c: the one connection to one endpoint.
 */
#ifndef NET_PEERS_PRIVATE_H
#define NET_PEERS_PRIVATE_H

#include <sys/queue.h>

#include "base/hash.h"
#include "net/breaker.h"
#include "net/delays.h"
#include "net/peers.h"
#include "net/stream.h"
#include "net/tlsctx.h"

enum {
	PEERS_PULSE_MS = 20, /* while anything is asked: loop.h says what for */
	PEER_BACKOFF_MIN_MS = 50,
	PEER_BACKOFF_MAX_MS = 1000,
	PEER_MISSED_MAX = 3, /* deadlines missed one after the other: closes */
	PEER_LATE_MAX = 64, /* slots that wait for an answer nobody wants: closes */
	PEER_LAST_RESORT =
	    4, /* asks in flight to a server whose breaker is open, as all others' are */
	PEER_OWN_ASKS = 8, /* hello, pings and probes beside in_flight_max */
	PEER_TCP_TIMEOUT_MS = 3000, /* TCP_USER_TIMEOUT */
	/* A fleet comes back over so long, where others answer meanwhile: the longer the more servers
	 * there are, since a large set has many callers. */
	PEER_SPREAD_FROM = 4, /* servers; up to so many: no longer than the back-off */
	PEER_SPREAD_MS = 500, /* for each above */
	PEER_SPREAD_MAX_MS = 10 * 1000,
	PEER_REST_MS = 10 * 1000, /* without an ask: a connection that is not wanted closes */
	PEER_PROBE_WAIT_MS =
	    200, /* a due probe waits so long for an ask to copy; then it is a ping */
};

enum ask_kind {
	ASK_USER,
	ASK_COPY, /* of a user's: at a second peer */
	ASK_HELLO,
	ASK_INQUIRY,
	ASK_PING,
	ASK_PROBE,
};
enum ask_state {
	ASK_QUEUED, /* the connection is not up yet */
	ASK_SENT,
	ASK_LATE, /* ordered codecs: done was called or is not wanted; the answer will be dropped */
};

TAILQ_HEAD(asks, ask);

struct ask {
	TAILQ_ENTRY(ask) entry; /* in one of its peer's lists; in the spare list */
	struct asks *list;
	struct peer *peer;
	enum ask_kind kind;
	enum ask_state state;
	bool blamed;
	bool may_hedge; /* no copy was sent yet */
	uint32_t id; /* where not ordered */
	uint32_t deadline_ms;
	uint64_t sent_ns;
	struct deadline deadline;
	struct deadline hedge; /* a copy goes to another peer */
	struct peers_choice choice; /* of one that may be hedged */
	struct ask *twin; /* the copy, or whose copy it is; NULL: neither */
	uint8_t *held; /* heap; the message of one that is queued or may be hedged */
	size_t held_len;
	void (*done)(void *arg, enum peers_result, struct bytes answer); /* NULL: nobody waits */
	void *arg;
};

/* X(constant, name) */
#define PEER_STATES(X)                                                                             \
	X(PEER_DOWN, "down") /* never connected yet */                                             \
	X(PEER_WAITING, "waiting") /* for the back-off's end */                                    \
	X(PEER_CONNECTING, "connecting") /* TCP and TLS */                                         \
	X(PEER_WELCOMING, "welcoming") /* the answer to hello or inquiry is awaited */             \
	X(PEER_UP, "up")                                                                           \
	X(PEER_GONE, "gone") /* freed after the turn */

enum peer_state {
#define X(id, name) id,
	PEER_STATES(X)
#undef X
	    PEER_STATES_N
};

struct peer {
	struct peers *peers;
	struct loop *loop;
	struct endpoint endpoint;
	uint64_t id; /* hash of the endpoint's text, for the rendezvous */
	unsigned slot; /* its place in peers_set()'s order */
	SSL_SESSION *session; /* the last TLS session; NULL: none */
	enum peer_state state;
	bool wanted; /* PEERS_ANY: of the few that this worker keeps to */
	bool distrusted; /* its answers made no sense: only one that does makes good */
	bool lost; /* until it is up again */
	bool replied; /* something was answered on this connection */
	bool leaving; /* no longer of the set: goes when its last ask is over */
	bool blocked; /* output is above high water */
	bool asked; /* something was sent since the ping timer last ran */
	bool told; /* "failed too often" was logged */
	const char *why; /* the last loss */
	uint64_t mark; /* learnt at the welcome */
	struct stream *stream; /* NULL: none */
	struct breaker breaker;
	struct delays delays; /* of its answers */
	uint64_t asked_ms; /* the last time */
	uint32_t backoff_ms;
	uint32_t in_flight; /* user's asks, queued and sent */
	uint32_t own; /* hello, pings, probes that wait */
	uint32_t late;
	uint32_t missed; /* deadlines in a row */
	uint64_t missed_ms; /* when the last one was counted */
	struct asks queue, sent, ending;
	struct ask **slots; /* where not ordered: by the id's low half */
	uint16_t *free_slots;
	uint32_t free_slots_n;
	uint16_t generation; /* the id's high half */
	struct deadline deadline; /* of the state: back-off, connect and welcome, ping */
	struct deadline probe; /* the breaker is open: a ping, if no ask came to be copied */
	struct later later;
};

struct peers {
	struct loop *loop;
	struct peers_params params;
	struct peer **at; /* by slot */
	size_t n;
	uint8_t order[PEERS_MAX]; /* their places in at, as this worker ranks them */
	uint64_t worker_hash;
	bool started; /* connections are wanted */
	uint32_t hedge_credit; /* thousandths of a copy */
	uint32_t leaving_n;
	struct peer **leaving; /* n of them */
	uint32_t in_flight;
	uint32_t open_n; /* breakers that are open, of those in at */
	bool freed;
	struct asks spare;
	uint32_t spare_n;
	uint64_t chance; /* state of the random numbers */
	struct hash_key hash_key;
	uint8_t *scratch; /* a message while it gets its number */
	size_t scratch_cap;
	void (*up)(void *arg);
	void *up_arg;
	struct deadline pulse;
	struct later later;
};

/* peers.c */

uint64_t peers_chance64(struct peers *);
uint32_t peers_chance(struct peers *);

/* peers_choose.c */
void peers_rank(struct peers *); /* after the set has changed */
void peers_settle(struct peers
	*); /* after that, and when a peer is lost, up, or its breaker turns: who is wanted */
bool peers_others_up(const struct peers *, const struct peer *than);
/* NULL: none can be asked, *why says why. */
struct peer *peers_choose(struct peers *, const struct peers_choice *, enum peers_why *why);
void hedge_start(struct peers *);
void hedge_arm(struct ask *, struct bytes message, const struct peers_choice *);
bool hedge_now(struct ask *); /* true: it has a twin now */

/* ask.c */
struct ask *ask_new(struct peer *, enum ask_kind); /* NULL: no memory */
void ask_move(struct ask *, struct asks *to);
void ask_hold(struct ask *, struct bytes message); /* a copy; NULL in held: no memory */
void ask_recycle(struct ask *); /* off its list, back to the spare ones */
void ask_end(struct ask *, enum peers_result, struct bytes); /* done, then recycled */
struct ask *ask_win(struct ask *); /* its answer is there: the ask to end with it */
bool ask_survives(struct ask *); /* its connection is lost: true: its twin goes on */
void ask_deadline_passed(struct deadline *);

/* peer.c */
struct peer *peer_new(struct peers *, const struct endpoint *);
void peer_free(struct peer *); /* its asks end as PEERS_LOST */
void peer_leave(struct peer *); /* goes when its last ask is over */
void peer_connect(struct peer *);
bool peer_has_room(const struct peer *);
void peer_ask(struct peer *, struct ask *, struct bytes message); /* sends or queues */
void peer_probe(struct peer *, struct bytes message); /* sends a copy, if a probe is due */
void peer_ok(struct peer *); /* it is there: it greets, it answers a ping */
void peer_answered(struct peer *); /* it answers what users ask */
void peer_distrust(struct peer *);
void peer_failed(struct peer *);
void peer_lost(
    struct peer *, enum peers_result, const char *why); /* closes; asks end; connects again */
void peer_ask_over(struct peer *); /* one of its asks has ended */
void peer_recheck(struct peer *); /* closes, where the server's certificate is denied by now */
void peer_enter(struct peer *); /* the server welcomes us: what is to be learnt of it, then up */
void peer_up(struct peer *); /* the connection can be used: what was held back goes out */

/* peer_io.c */
int peer_slots_new(struct peer *); /* 0, -1: no memory */
void peer_slot_free(struct peer *, struct ask *);
void peer_send(struct peer *, struct ask *, struct bytes message);
int peer_send_own(
    struct peer *, enum ask_kind, size_t (*make)(void *arg, uint8_t *buf, size_t max));
void peer_ping(struct peer *);
void peer_read(struct peer *); /* all answers that lie there */

#endif
