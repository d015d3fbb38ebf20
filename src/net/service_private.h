/*
 * service_private.h: what the files of service share. service.c: listeners, drain and life;
 * service_conn.c: one connection, its calls and their answers; service_identity.c: who called.
 */
#ifndef NET_SERVICE_PRIVATE_H
#define NET_SERVICE_PRIVATE_H

#include <sys/queue.h>

#include "base/bucket.h"
#include "net/listener.h"
#include "net/service.h"
#include "net/stream.h"
#include "net/tlsctx.h"

/* X(constant, name, deadline): each state has one, but for the one that waits for our own work. */
#define CONN_STATES(X)                                                                             \
	X(CONN_OPENING, "opening", DEADLINE_STALL) /* TLS handshake */                             \
	X(CONN_IDLE, "idle", DEADLINE_IDLE) /* nothing in work, no byte of a message */            \
	X(CONN_PARTIAL, "partial", DEADLINE_STALL) /* half a message */                            \
	X(CONN_WORKING, "working", DEADLINE_NONE) /* calls in work */                              \
	X(CONN_BLOCKED, "blocked", DEADLINE_STALL) /* answers are not read */                      \
	X(CONN_CLOSING, "closing",                                                                 \
	    DEADLINE_NONE) /* reads no more; calls in work are answered yet */                     \
	X(CONN_LINGER, "linger", DEADLINE_STALL) /* the last bytes leave */                        \
	X(CONN_DEAD, "dead", DEADLINE_NONE)

enum conn_deadline { DEADLINE_NONE, DEADLINE_IDLE, DEADLINE_STALL };
enum conn_state {
#define X(id, name, deadline) id,
	CONN_STATES(X)
#undef X
	    CONN_STATES_N
};

enum call_state {
	CALL_WORK, /* the protocol owes an answer */
	CALL_HELD, /* answered; waits for its turn */
	CALL_LAST, /* as HELD, and then the connection closes */
};

struct call {
	TAILQ_ENTRY(call) entry; /* in its connection; in the spare list */
	struct service_conn *conn;
	enum call_state state;
	bool told; /* gone() was called */
	uint8_t *held; /* heap */
	size_t held_len;
	void *user;
};

TAILQ_HEAD(calls, call);

struct service_conn {
	TAILQ_ENTRY(service_conn) entry;
	TAILQ_ENTRY(service_conn) waiting; /* for a place among calls_max */
	struct service *service; /* NULL: freed; calls may be left */
	struct loop *loop;
	struct stream *stream; /* NULL: closed */
	struct tlsctx *tls; /* NULL: plain; not owned */
	struct tlsctx_peer peer; /* whose name the identity borrows */
	struct identity identity;
	struct calls calls;
	uint32_t calls_n; /* all that lie in calls */
	uint32_t work_n; /* of these, not answered */
	enum conn_state state;
	uint32_t pass; /* it was asked about in that pass of service_recheck() */
	bool is_known; /* that it may ask */
	bool is_waiting; /* in the service's waiting list */
	bool is_blocked; /* answers are not read */
	bool is_paused; /* the stream does not read */
	bool is_reading; /* conn_read() is on the stack */
	struct deadline deadline;
	struct later later; /* frees it */
};

struct service_listener {
	TAILQ_ENTRY(service_listener) entry;
	struct service *service;
	struct listener *listener;
	struct tlsctx *tls; /* NULL: plain; not owned */
};

TAILQ_HEAD(conns, service_conn);

struct service {
	struct loop *loop;
	const struct service_params *params;
	void *arg;
	TAILQ_HEAD(, service_listener) listeners;
	struct conns conns;
	struct conns waiting; /* by their entry `waiting` */
	uint32_t opening_n; /* of conns: the handshake is not done */
	struct bucket handshakes; /* a token for each that begins */
	struct deadline rest; /* the TLS listeners pause until it passes */
	struct conns dead; /* closed, with calls in work */
	struct calls spare;
	uint32_t spare_n, work_n;
	size_t conns_n; /* in conns */
	uint64_t told_ms; /* when a failing accept was last said */
	uint64_t refused_ms; /* when a refused handshake was last said */
	uint32_t refused_n; /* of these, in all */
	uint32_t pass; /* of service_recheck() */
	bool draining;
	void (*drained)(void *arg);
	void *drained_arg;
	struct later later; /* tells drained; frees it */
};

/* Takes a connection in; fd and SSL are owned. -1: no memory, both are closed. */
int service_conn_new(struct service *, int fd, const struct endpoint *peer, SSL *, struct tlsctx *);
bool service_knows(struct service_conn *); /* that it may ask */
void service_conn_close(struct service_conn *); /* tells gone() of its calls */
void service_conn_finish(
    struct service_conn *); /* reads no more; closes when its answers have left */
void service_conn_orphan(struct service_conn *); /* closes; its service is no more */
/* service_identity.c */
void service_identify(struct service_conn *, int fd, const struct endpoint *peer);
int service_identify_tls(struct service_conn *); /* 0, -1: it is not to be let in */
void service_refused(struct service_conn *); /* its handshake has failed: says why */

/* service.c */
void service_check_drained(struct service *);

#endif
