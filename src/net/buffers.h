/*
 * buffers.h: a growing byte queue for what must wait, and the I/O space that all streams of a loop
 * share while one of them runs. A stream that is idle holds no buffer at all.
 */
#ifndef NET_BUFFERS_H
#define NET_BUFFERS_H

#include <stdbool.h>

#include "base/bytes.h"

struct stream;

/* A queue of bytes in one heap block, which is freed when it runs empty. Where nothing waits it is a
 * NULL pointer: each stream has three. */
struct buffer_block;
struct buffer {
	struct buffer_block *block;
};

int buffer_append(struct buffer *, const void *, size_t); /* 0, -1: no memory */
uint8_t *buffer_reserve(struct buffer *, size_t); /* room at the end; NULL: no memory */
void buffer_added(struct buffer *, size_t); /* after reserve: so much was written */
void buffer_consume(struct buffer *, size_t);
void buffer_free(struct buffer *);
size_t buffer_len(const struct buffer *);
struct bytes buffer_bytes(const struct buffer *); /* at NULL: empty */

enum {
	IOBUFS_READ = 32 * 1024, /* one recv(2); measured: 16K and 64K cost more CPU a byte */
	IOBUFS_PLAIN = IOBUFS_READ +
		       20 * 1024, /* that, decrypted, and a record that had begun before */
	IOBUFS_GATHER = 16 * 1024, /* one TLS record */
	IOBUFS_OUT = 64 * 1024, /* sent when it holds so much, or at the end of the turn */
	IOBUFS_OUT_SLACK = 20 * 1024, /* one more record */
	/* Of streams that wrote little, so that who reads is woken once for all of them. Sent when there are so many or so
	 * much, before anything larger and before a handshake's step, or at the end of the turn. */
	IOBUFS_BATCH = 32,
	IOBUFS_BATCH_BYTES = 48 * 1024,
	IOBUFS_BATCH_EACH = 4 * 1024, /* more goes out alone */
};

/* Of one stream, which may have several: len bytes at out[at]. */
struct batched {
	struct stream *stream;
	size_t at, len;
};

struct iobufs {
	struct stream
	    *owner; /* whose output lies in gather and at the end of out; NULL: nobody's */
	size_t gather_len; /* plaintext that is no record yet */
	size_t out_at; /* where the owner's begin in out; those of the batch lie before */
	size_t out_len; /* bytes in out */
	struct batched batch[IOBUFS_BATCH];
	int batch_n;
	struct stream
	    *running; /* whose SSL call is on the stack: the BIO's reads and writes are its */
	size_t pending, pending_max; /* output that waits in all streams */
	struct bytes raw; /* bytes of the socket that SSL has not taken yet */
	void *bio; /* the BIO shared by all SSLs of the loop; net/stream_tls.c */
	void *bio_method;
	uint8_t in[IOBUFS_READ];
	uint8_t plain[IOBUFS_PLAIN];
	uint8_t gather[IOBUFS_GATHER];
	uint8_t out[IOBUFS_BATCH_BYTES + IOBUFS_OUT + IOBUFS_OUT_SLACK];
};

#endif
