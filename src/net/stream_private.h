/*
 * stream_private.h: what the files of stream share. stream.c: life and events; stream_input.c and
 * stream_output.c: the two ways; stream_tls.c: the BIO that joins libssl to the loop's buffers.
 */
#ifndef NET_STREAM_PRIVATE_H
#define NET_STREAM_PRIVATE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "net/buffers.h"
#include "net/stream.h"

_Static_assert(IOBUFS_BATCH_BYTES <= UINT16_MAX, "struct stream counts its bytes of them");

enum stream_state { STREAM_CONNECTING, STREAM_HANDSHAKE, STREAM_OPEN, STREAM_DEAD };

struct stream {
	struct loop *loop;
	struct iobufs *bufs; /* the loop's */
	const struct stream_events *events;
	void *arg;
	SSL *ssl;
	int fd;
	enum stream_state state;
	enum reason failure; /* met in a call of the user's: told in a later turn */
	bool accepted; /* by a listener, not connected */
	bool local; /* a Unix socket */
	bool bulk; /* more than one read waits in line */
	bool readable; /* the kernel may have more; cleared by a short read */
	bool expected; /* readable is a guess of the user's */
	bool hangup; /* a FIN is there: read on until it shows */
	bool writable;
	bool hs_paused; /* the handshake waits for stream_wake */
	bool delivering; /* input() is on the stack */
	bool paused; /* by the user: no input() */
	bool eof; /* FIN or close_notify read */
	bool clean_eof; /* it was a close_notify */
	bool stopped; /* the user was told STOP */
	bool finish, finish_sent; /* stream_finish; FIN has left */
	bool woken, resumed; /* what the next turn has to do besides */
	uint16_t batched; /* bytes of its output in the loop's batch */
	struct buffer inbuf; /* input that was not consumed in its turn */
	struct buffer rawbuf; /* ciphertext that SSL did not take (a paused handshake) */
	struct buffer pend; /* output that the kernel did not take */
	struct bytes view; /* input: in the loop's plain buffer during input(), else in inbuf */
	uint64_t sent, received;
	size_t write_max; /* the most that the user gave at once */
	size_t high_water; /* of pend */
	struct event event;
	struct later turn; /* more work for it; once it is closed: its end */
};

void stream_again(struct stream *); /* its turn comes once more, after this one */
void stream_go_on(struct stream *); /* the same, in line with the others where it is bulk */
/* Calls closed() with the reason, unless the stream is dead. Not from within a call of the user's. */
void stream_fail(struct stream *, enum reason);
/* The same from within one: in a later turn. */
void stream_fail_later(struct stream *, enum reason);

/* Of a Unix socket every read at the far end is an edge of EV_WRITE, whether one waits for it or not. So such a stream is
 * watched for it only while its output waits. */
void stream_watch_output(struct stream *, bool on);

/* stream_input.c: reads once, decrypts, calls input(). */
void stream_read(struct stream *);
void stream_step(struct stream *); /* the handshake, with what rawbuf holds */
void stream_redeliver(struct stream *); /* input() again, after a pause */
bool stream_wants_read(const struct stream *);
ssize_t stream_recv(struct stream *, void *buf,
    size_t max); /* > 0; 0: end; -1: nothing now or failed (stream_fail called) */

/* stream_output.c */
void stream_own(
    struct stream *); /* the shared output is this stream's; another's joins the batch or is sent */
void stream_send_out(struct stream *); /* its bytes in out to the kernel or to pend */
void stream_send_batch(struct iobufs *); /* its streams' bytes, the same */
void stream_drop_output(struct stream *);
void stream_flush_all(struct stream *); /* what it has in gather, out and the batch */
void stream_flush_loop(struct iobufs *); /* of all streams: at the end of a turn */
void stream_writable(struct stream *); /* the kernel takes again */
void stream_put_out(struct stream *, const uint8_t *, size_t); /* appends to out; sends when full */

/* stream_tls.c */
int stream_tls_attach(struct stream *); /* gives the SSL the loop's BIO. 0, -1: no memory */
/* fresh: bytes just received, where rawbuf is empty. What is not taken lies in rawbuf after. */
enum stream_step stream_tls_step(struct stream *, struct bytes fresh, enum reason *);
enum reason stream_tls_read(
    struct stream *, struct bytes fresh, uint8_t *buf, size_t max, size_t *got);
int stream_tls_write(struct stream *, const uint8_t *, size_t); /* records, into out. 0, -1 */
void stream_tls_shutdown(struct stream *); /* close_notify into out */
void stream_tls_unbuffer(struct stream *); /* libssl reads no more */
void stream_tls_free(struct stream *);
void stream_tls_bio_free(struct iobufs *);

#endif
