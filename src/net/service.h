/*
 * service.h: the answering side of a protocol whose messages net/frame.h can tell apart: listens,
 * reads messages, hands them out as calls, sends the answers (ordered codecs: in the order of the
 * calls), with bounds on connections, calls in work and unread answers, and a deadline on each state.
 */
#ifndef NET_SERVICE_H
#define NET_SERVICE_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/bytes.h"
#include "net/endpoint.h"
#include "net/frame.h"
#include "net/loop.h"

struct service;
struct call;
struct tlsctx;

/* Who asks: from SO_PEERCRED for Unix sockets (uid), from the certificate over TLS, else just an address. */
struct identity {
	bool local; /* a Unix socket: uid, gid and pid are the peer's at connect(2) */
	bool tls; /* name, role and spki are those of a verified certificate (net/tlsctx.h) */
	uid_t uid;
	gid_t gid;
	pid_t pid;
	const char *name; /* "" without TLS */
	unsigned role; /* a bit of enum role; 0 without TLS */
	uint8_t spki[32];
	struct endpoint address; /* the peer's */
	void *user; /* for the protocol's own use (authenticated or not); starts NULL, not owned */
};

enum { SERVICE_HANDSHAKES_S = 200 };

struct service_params {
	const struct frame_codec *codec;
	uint32_t conns_max; /* above: closed at accept, unless there is a stranger to go */
	uint32_t calls_max; /* in work, all connections; above: reading pauses */
	uint32_t conn_calls_max; /* in work, one connection; above: reading of it pauses */
	uint32_t idle_ms; /* no call and no byte: closed; 0: never */
	uint32_t stall_ms; /* half a message, TLS half made, or answers not read: closed; not 0 */
	/* Reply now or later, any order, exactly once, or call_close(). request is borrowed until return. */
	void (*call)(void *arg, struct call *, struct bytes request);
	void (*gone)(void *arg,
	    struct call
		*); /* the caller left: drop the work; a reply is a no-op, but owed all the same */
	/* Instead of codec->next (NULL: that), of an ordered codec, for who keeps what it has read: after OK, call() is next,
	 * with the same bytes. */
	enum parse (*next)(void *arg, struct bytes in, size_t *len);
	/* How long a message of this caller may be, up to codec->max; NULL: that. Above: bytes that are no message. */
	size_t (*message_max)(void *arg, const struct identity *);
	/* Whether this caller may ask, as far as is known of it now; NULL: all may. One that may not has stall_ms between messages
	 * instead of idle_ms, and its place is another's where there is none left. */
	bool (*known)(void *arg, const struct identity *);
	/* Bytes that are no message (may be NULL): a last answer to be sent before the close, into buf; its length. */
	size_t (*bad)(void *arg, struct bytes input, uint8_t *buf, size_t max);
};

struct service *service_new(
    struct loop *, const struct service_params *, void *arg); /* params borrowed */
/* fd listening, owned; tlsctx (borrowed for the service's life) NULL: plain. 0 or -1. At most
 * SERVICE_HANDSHAKES_S handshakes begin in a second; others wait in the listening queue. */
int service_listen(struct service *, int fd, struct tlsctx *);
/* Asks keep() about each connection, and closes those that it does not want. */
void service_recheck(struct service *, bool (*keep)(void *arg, const struct identity *), void *arg);
void service_drain(struct service *,
    void (*done)(void *arg)); /* no new connections; done when all calls are answered */
void service_free(struct service *);
size_t service_connections(const struct service *);

struct identity *call_identity(struct call *); /* the connection's; never NULL */
void *call_user(const struct call *); /* what call_set_user left */
void call_set_user(struct call *, void *);
void call_reply(
    struct call *, const struct iovec *, int n); /* copies or sends; the call is gone after */
void call_reply_last(
    struct call *, const struct iovec *, int n); /* the same; then the connection closes */
void call_close(
    struct call *); /* instead of a reply: closes the connection (after earlier answers) */

#endif
