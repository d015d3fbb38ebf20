/*
 * conn.h: one client connection: its stream, handshake, client and front. conn_close() is the one
 * exit: it logs, counts and tells the front.
 */
#ifndef GATEWAY_FRONT_CONN_H
#define GATEWAY_FRONT_CONN_H

#include "base/reason.h"
#include "gateway/client.h"
#include "net/stream.h"

struct worker;
struct conn;
struct front_conn;

/* A front's connection-wide half, as conn drives it (front_http1). Embedded first in its struct. */
struct front_conn_ops {
	void (*input)(struct front_conn *); /* the stream has input, or its end */
	void (*drained)(struct front_conn *);
	void (*lost)(struct front_conn *,
	    enum reason); /* the connection is gone: end exchanges, free yourself */
	void (*drain)(struct front_conn *); /* finish what there is, then close */
};

struct front_conn {
	const struct front_conn_ops *ops;
};

struct conns *conns_new(struct worker *);
void conns_free(struct conns *);
/* kind: enum listener_mode, and LISTENER_PROXIED. fd is owned. */
void conn_accept(
    struct worker *, int kind, int fd, const struct endpoint *peer, const struct endpoint *local);
void conn_close(struct conn *, enum reason);
void conns_drain(
    struct worker *, void (*drained)(void *arg), void *arg); /* no front is left after */
size_t conns_open(const struct worker *);
bool conns_full(
    const struct worker *); /* near the limit and nothing idle to close: stop accepting */
bool conns_close_idlest(struct worker *); /* the longest idle keep-alive connection; false: none */

/* For fronts. */
struct stream *conn_stream(struct conn *);
const struct client *conn_client(const struct conn *);
struct worker *conn_worker(struct conn *);
void conn_idle(
    struct conn *, bool idle); /* between requests: may be closed when descriptors run out */

void conn_asked(struct conn *); /* a request came: the log has a line of it */

/* front_http1.c: the front of a connection that speaks HTTP/1.x. NULL: no memory. */
struct front_conn *front_http1_new(struct conn *);

#endif
