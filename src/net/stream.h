/*
 * stream.h: the bytes of one descriptor, plain or TLS, for all its users: client, back-end, key and
 * cache service. Edge-triggered: one epoll_ctl when it opens and one when it closes (a Unix socket is watched for
 * room to write only while something waits: each read at its other end would be an event); reads and
 * writes until the kernel says it has no more. Output is gathered and sent at the end of the turn,
 * so a head and the body that follows it make one record and one write, and who waits for little of many
 * streams is woken once for all of it (IOBUFS_BATCH). An accepted stream is read
 * when its turn comes among all that are ready (loop_ready), one that was connected to at once. Of a large
 * answer up to STREAM_READS reads follow when its turn comes: a tenth less of the processor than one each.
 *
 * Ownership: the stream owns fd and SSL. No callback follows stream_close(); the memory goes after
 * the turn. Any callback may close the stream.
 * Bounds: STREAM_READ_MAX a read and, for input that is not consumed, STREAM_INPUT_MAX; output is
 * the high water (STREAM_HIGH_WATER, or what stream_set_high_water() said) plus one write of the
 * user; once the output that waits in all streams of the loop is over stream_limit_output(), it is
 * STREAM_LOW_WATER plus one write.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <sys/uio.h>

#include "base/bytes.h"
#include "base/reason.h"
#include "net/endpoint.h"
#include "net/loop.h"

typedef struct ssl_st SSL; /* as in openssl/types.h */

enum {
	STREAM_READ_MAX = 32 * 1024,
	STREAM_READS = 4, /* measured: uploads cost 7 % more with as many of a client's */
	STREAM_INPUT_MAX = 128 * 1024,
	STREAM_HIGH_WATER = 64 * 1024, /* above: FLOW_STOP */
	STREAM_LOW_WATER = 16 * 1024, /* at or below, after a STOP: drained() */
};

/* What a step of the TLS handshake came to. */
enum stream_step {
	STREAM_STEP_DONE,
	STREAM_STEP_READ,
	STREAM_STEP_WRITE,
	STREAM_STEP_PAUSED,
	STREAM_STEP_FAILED
};

struct stream;

struct stream_events {
	void (*opened)(void *arg); /* connected and, with TLS, the handshake is done */
	void (*input)(void *arg); /* stream_input() has grown, or its end has come */
	void (*drained)(void *arg); /* after FLOW_STOP: output is at or below low water */
	void (*closed)(void *arg,
	    enum reason); /* reset or error; the stream is dead already: call stream_close() */
	enum stream_step (*handshake)(
	    void *arg, SSL *, enum reason *); /* one step; NULL: SSL_do_handshake */
};

/* Accepted descriptor (of a listener: non-blocking, TCP_NODELAY); local: it is a Unix socket. ssl NULL: plain. events and arg are
 * borrowed until close. With TLS, the handshake begins in the next turn. NULL: no memory; then fd and SSL are closed. */
struct stream *stream_accept(
    struct loop *, int fd, bool local, SSL *, const struct stream_events *, void *arg);
/* Connects; failure comes as closed(REASON_CONNECT) in a later turn. NULL: no memory or no descriptor (SSL freed). */
struct stream *stream_connect(
    struct loop *, const struct endpoint *, SSL *, const struct stream_events *, void *arg);

struct bytes stream_input(
    const struct stream *); /* decrypted; borrowed until consume or return to the loop */
void stream_consume(struct stream *, size_t);
bool stream_ended(const struct stream *); /* FIN or close_notify read and all input consumed */
bool stream_at_end(
    const struct stream *); /* the end was read; input may be left, but no more will come */
bool stream_unread(const struct stream *); /* more, or the end, is known to lie in the kernel */
bool stream_truncated(const struct stream *); /* the end was a TCP FIN without close_notify */

/* Not before opened(). Takes all. STOP: above high water, wait for drained(). On a dead stream the bytes are dropped. */
enum flow stream_write(struct stream *, const struct iovec *, int n);
/* Connected: what is more than one read waits in line with the others (loop_ready). */
void stream_set_bulk(struct stream *);
void stream_set_high_water(struct stream *, size_t); /* at least STREAM_LOW_WATER */
void stream_limit_output(struct loop *, size_t all); /* SIZE_MAX, the default: no limit */
size_t stream_queued(const struct stream *); /* bytes that the kernel has not taken */
uint64_t stream_sent(const struct stream *); /* bytes given to write(2) and taken, in all */
uint64_t stream_received(const struct stream *); /* bytes read from the kernel, in all */

/* The message is not complete: should an end have come with the last bytes, it shows now. (A short read is taken
 * for the last, but an error may lie behind it, of which there is no event of its own.) Called in input(). */
void stream_expect(struct stream *);
void stream_pause(struct stream *); /* reading only; input() will not be called */
void stream_resume(struct stream *); /* input() comes again in its turn if there is any */
void stream_finish(struct stream *); /* flush, then close_notify and FIN; reading goes on */
/* For the end of what both sides have said all of. True: everything has left for the kernel, nothing was unread there, and
 * the FIN is that of stream_close(), which has to be next. False: as after stream_finish(). */
bool stream_finish_both(struct stream *);
/* TLS: close_notify, with what leaves by stream_close(), which has to be next. */
void stream_say_end(struct stream *);
bool stream_finished(const struct stream *); /* finish was called and everything has left */
void stream_close(struct stream *); /* no event follows; freed after the turn */
void stream_wake(
    struct stream *); /* a paused handshake's answer has come: steps in this turn or the next */
void stream_flush(struct stream *); /* now, not at the end of the turn */
/* What has not left for the kernel never will: stream_sent() is the last word. For who may say the same elsewhere. */
void stream_drop(struct stream *);

SSL *stream_ssl(const struct stream *); /* NULL: plain */
int stream_fd(const struct stream *);

#endif
