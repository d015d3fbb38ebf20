/*
 * peers.h: the asking side: many questions in flight to a set of endpoints over few connections,
 * each with a deadline; reconnection with back-off; a breaker for each endpoint (opens at 5 failures
 * in a row or half of the last 20; then one jittered probe a second until one succeeds).
 */
#ifndef NET_PEERS_H
#define NET_PEERS_H

#include "base/bytes.h"
#include "net/endpoint.h"
#include "net/frame.h"
#include "net/loop.h"

enum peers_result { PEERS_OK, PEERS_DEADLINE, PEERS_LOST, PEERS_PROTOCOL };
enum peers_why { PEERS_ASKED, PEERS_FULL, PEERS_BREAKER, PEERS_NO_ENDPOINT };

struct peers;
struct ask;
struct tlsctx;

struct peers_params {
	const char *name; /* "key service", in log lines */
	const struct frame_codec *codec;
	struct tlsctx *tls; /* for all but Unix sockets; NULL: plain. Borrowed */
	uint32_t deadline_ms; /* of an ask */
	uint16_t
	    connections_max; /* PEERS_ANY: to so many servers, those that `worker` ranks first; others when one of
				   * these is out. 0: to all */
	uint64_t worker; /* whose rank that is: any number that differs from worker to worker */
	uint16_t
	    hedge_permille; /* budget: so many second copies for 1000 asks (those that may); 0: none */
	uint32_t in_flight_max; /* per endpoint */
	uint32_t connect_ms, ping_ms; /* connect and TLS; idle ping interval, 0: none */
	uid_t owner; /* Unix sockets: the uid that must have called listen(2); (uid_t)-1: any */
	size_t (*hello)(void *arg, uint8_t *buf,
	    size_t max); /* first message of a new connection (HELLO, AUTH); NULL: none */
	enum parse (*welcome)(void *arg,
	    struct bytes answer); /* its answer: OK, or BAD closes; NULL: any answer will do */
	/* After the welcome, before the connection is used: what is to be known of the server (NULL: nothing). Of
	 * the answer learn() makes the connection's mark, any number; 0 stands for none. */
	size_t (*inquire)(void *arg, uint8_t *buf, size_t max);
	uint64_t (*learn)(void *arg, const struct endpoint *, struct bytes answer);
	size_t (*ping)(
	    void *arg, uint8_t *buf, size_t max); /* an idle ping; its answer is dropped */
	void (*sent)(void *arg, unsigned slot,
	    struct bytes
		message); /* a question, or a copy of one, goes out there; NULL: nobody counts */
	void (*number)(
	    uint8_t *message, uint32_t id); /* writes the id into a copy; NULL where ordered */
	void *arg;
};

enum { PEERS_MAX = 64 }; /* endpoints of a set */

struct peers_choice {
	enum {
		PEERS_ANY,
		PEERS_RANK,
		PEERS_SLOT
	} by; /* two choices by load | rendezvous over all of the set, up or not | the one of that slot */
	uint64_t hash;
	uint8_t rank; /* or slot */
	bool
	    hedge; /* unanswered at the p95 of the last answers: a copy to another (RANK: the next rank), within the
		     * budget; the first good answer counts */
	bool
	    direct; /* at once over the connection that there is, or not at all: neither it nor a copy of it goes
		     * anywhere else, or over another connection */
	uint64_t
	    avoid; /* PEERS_ANY: slots not to be taken, bit 1 << slot, unless there is no other */
};

struct peers *peers_new(struct loop *, const struct peers_params *); /* copied */
void peers_free(struct peers *); /* asks in flight end as PEERS_LOST before it returns */
int peers_set(
    struct peers *, const struct endpoint *, size_t n); /* kept, added, drained. 0, -1 no memory */
void peers_connect(struct peers *); /* now, before the first ask (may be left out) */

/* message is copied. NULL: nothing will follow, *why says what stood in the way (breaker open: at once).
 * With all breakers open a few asks still go (PEERS_ANY) where a connection stands.
 * done comes once, never inside peers_ask; answer is borrowed. deadline_ms 0: the params'. */
struct ask *peers_ask(struct peers *, struct bytes message, struct peers_choice,
    uint32_t deadline_ms, void (*done)(void *arg, enum peers_result, struct bytes answer),
    void *arg, enum peers_why *why);
void ask_cancel(struct ask *); /* done will not be called */
/* The user found the answer to make no sense: counts as a failure of that endpoint; within done() only. */
void peers_blame(struct peers *, struct ask *);
unsigned ask_slot(
    const struct ask *); /* where it was sent: the number of the endpoint in peers_set()'s order */
/* Who answers there: the certificate's SPKI is no longer wanted: connections to such servers close. */
void peers_recheck(struct peers *);
/* The mark of the connection to the one that PEERS_RANK chooses; 0: none can be used now. */
uint64_t peers_mark(const struct peers *, struct peers_choice);
bool peers_usable(const struct peers *); /* some endpoint's breaker is closed */
uint32_t peers_in_flight(const struct peers *);
/* How an endpoint of the set is, for those who watch. False: there is none of that slot. */
struct peers_server {
	struct endpoint endpoint;
	bool up, broken; /* connected and welcomed; its breaker is open */
	uint32_t in_flight;
};
bool peers_server(const struct peers *, unsigned slot, struct peers_server *);
/* Called when a connection is welcomed (for asks that were held back). */
void peers_on_up(struct peers *, void (*up)(void *arg), void *arg);

#endif
