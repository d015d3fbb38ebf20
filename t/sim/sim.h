/*
 * sim.h: what the simulation tests share: the real loop driven turn by turn, two small codecs, and a
 * scripted far end over Unix sockets that does just what the test says.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>

#include "net/endpoint.h"
#include "net/frame.h"
#include "net/loop.h"

enum { SIM_PATIENCE_MS = 10000, SIM_FDS_MAX = 64 };

/* Ordered: a line that ends in LF; '!' is BAD. At most 32768 bytes. */
extern const struct frame_codec sim_lines;
/* Numbered: u8 length of the body | u32 id | body; a length of 255 is BAD. */
extern const struct frame_codec sim_numbered;

uint64_t sim_now_ns(void);
uint64_t sim_now_ms(void);
void sim_stand_still(uint64_t ms); /* as a process that is not let run */
void sim_turn(struct loop *); /* runs the loop for about 1 ms */

/* Runs the loop until cond holds; fails after SIM_PATIENCE_MS. */
#define sim_until(loop, cond)                                                                      \
	do {                                                                                       \
		uint64_t sim_end = sim_now_ms() + SIM_PATIENCE_MS;                                 \
		while (!(cond)) {                                                                  \
			if (sim_now_ms() > sim_end)                                                \
				fail_msg("never came: %s", #cond);                                 \
			sim_turn(loop);                                                            \
		}                                                                                  \
	} while (0)
/* Runs it for so long; cond must hold all the time. */
#define sim_while(loop, ms, cond)                                                                  \
	do {                                                                                       \
		uint64_t sim_end = sim_now_ms() + (ms);                                            \
		while (sim_now_ms() < sim_end) {                                                   \
			if (!(cond))                                                               \
				fail_msg("did not last: %s", #cond);                               \
			sim_turn(loop);                                                            \
		}                                                                                  \
	} while (0)

/* A listening Unix socket of this test's own, under a new folder. */
struct sim_server {
	char dir[64], path[108];
	struct endpoint endpoint;
	int listen_fd; /* -1: not listening */
	int fd; /* the newest accepted; -1: none */
	int accepted_n;
	char in[65536]; /* what came from fd, NUL-terminated */
	size_t in_len;
};

void sim_server_init(struct sim_server *); /* a path; does not listen yet */
void sim_server_listen(struct sim_server *);
void sim_server_stop(struct sim_server *); /* closes all; the path is gone */
void sim_server_clear(struct sim_server *); /* and the folder */
bool sim_server_accepted(struct sim_server *, int n); /* accepts what is there; n in all by now? */
bool sim_server_got(
    struct sim_server *, const char *text); /* is that just what came since the last take? */
size_t sim_server_len(struct sim_server *); /* bytes that came */
void sim_server_take(struct sim_server *); /* forgets what came */
void sim_server_send(struct sim_server *, const void *, size_t);
void sim_server_say(struct sim_server *, const char *);
bool sim_server_sees_end(struct sim_server *); /* the other side has closed */
void sim_server_close(struct sim_server *); /* the accepted connection */

/* A client's end, for the answering side. */
int sim_connect(const struct endpoint *);
bool sim_got(
    int fd, char *buf, size_t size, size_t *len, const char *text); /* gathers; is it just that? */
bool sim_ended(int fd); /* drops what comes; true at the end */

#endif
