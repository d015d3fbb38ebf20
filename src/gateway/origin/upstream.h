/*
 * upstream.h: one connection to a server of a pool: opening, idle or in use by one origin_http1,
 * which lies in it. Private to gateway/origin.
 *
 * A stream's callbacks may end an upstream; its memory goes after the turn, so they may look at it
 * once more to see that it is over.
 */
#ifndef GATEWAY_ORIGIN_UPSTREAM_H
#define GATEWAY_ORIGIN_UPSTREAM_H

#include "gateway/origin/origin_http1.h"
#include "gateway/origin/server.h"
#include "net/stream.h"

#define UPSTREAM_STATES(X)                                                                         \
	X(UPSTREAM_CONNECTING, "connecting")                                                       \
	X(UPSTREAM_BUSY, "busy")                                                                   \
	X(UPSTREAM_IDLE, "idle")                                                                   \
	X(UPSTREAM_OVER, "over")

enum upstream_state {
#define X(id, name) id,
	UPSTREAM_STATES(X)
#undef X
	    UPSTREAM_STATE_N
};

/* STALE: it had been kept, and was gone when it was used. */
enum upstream_fate { UPSTREAM_REUSE, UPSTREAM_CLOSE, UPSTREAM_STALE, UPSTREAM_FAILED };

struct upstream {
	struct origin_http1 http1; /* first: see upstream_origin() */
	struct worker *worker;
	struct server *server;
	struct stream *stream;
	enum upstream_state state;
	bool reused;
	uint64_t idle_since; /* ms */
	uint32_t idle_limit; /* ms; below the back-end's own, as far as it says */
	struct upstream *newer, *older; /* among the server's idle or busy ones */
	struct deadline deadline; /* the idle one; in use, the origin's */
	struct later gone;
};

struct upstream *upstream_take(
    struct server *, uint64_t idle_max); /* idle for less than that; NULL */
struct upstream *upstream_open(struct server *); /* NULL: no memory, no descriptor */
void upstream_release(
    struct upstream *, enum upstream_fate); /* no event follows; REUSE may close too */
void upstream_keep_alive(struct upstream *, unsigned seconds); /* the back-end's own idle timeout */

#endif
