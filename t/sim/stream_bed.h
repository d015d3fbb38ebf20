/*
 * stream_bed.h: a stream and its scripted far end, for tests of streams: a user that counts its events
 * and may close in any of them, a raw descriptor on the other side, with OpenSSL over it or not.
 */
#ifndef STREAM_BED_H
#define STREAM_BED_H

#include <openssl/ssl.h>

#include "net/stream.h"
#include "sim.h"

enum call { OPENED = 1, INPUT, DRAINED, CLOSED, STEP };

/* The stream's user. By itself it takes what comes and closes a dead stream. */
struct user {
	struct stream *stream;
	struct loop *loop;
	int opened, inputs, drained, closed, ended, steps;
	enum reason why;
	size_t got;
	char text[256]; /* the first bytes of it */
	bool leaves; /* consumes nothing */
	bool expects; /* calls stream_expect() after each input() */
	enum call closes_in;
	struct stream *closes_too; /* another one, in the same call */
	int pauses_in_steps; /* the handshake is paused for so many steps */
	enum reason fails_with; /* in the handshake */
	bool pauses_after_input;
};

struct stream_bed {
	struct loop *loop;
	struct user user;
	int fd; /* the far end: non-blocking */
	SSL *peer; /* over fd, where TLS is spoken */
	SSL_CTX *server, *client;
	uint8_t block[65536]; /* scratch */
};

extern const struct stream_events stream_bed_events; /* arg: a user */

int stream_bed_setup(void **state);
int stream_bed_teardown(void **state);
void stream_bed_pair(int fds[2]); /* over TCP, for its resets and halves: fds[0] is accepted */
void stream_bed_plain(struct stream_bed *); /* accepts */
void stream_bed_tls(struct stream_bed *); /* the same; the handshake is still to come */
bool stream_bed_peer_is_done(struct stream_bed *); /* the far end's step of the handshake */
void stream_bed_open(struct stream_bed *); /* the whole handshake */
void stream_bed_narrow(struct stream_bed *); /* the kernel takes little at a time */
void stream_bed_far_says(struct stream_bed *, const char *text);
void stream_bed_far_resets(struct stream_bed *);
size_t stream_bed_far_reads(struct stream_bed *); /* all that is there */
enum flow stream_bed_say(struct stream_bed *, size_t len);
void stream_bed_is_idle(
    struct stream_bed *); /* a loop with nothing to do takes no processor time */

#endif
