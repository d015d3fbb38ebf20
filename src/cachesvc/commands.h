/*
 * commands.h: the verbs of the cache, over one store. Pure: a request's bytes in, the answer's
 * slices out. It speaks RESP2 as Redis does, with Redis's error texts, but is a cache of sessions
 * and no Redis: what is not in the table is unknown.
 *
 *   GET k | GETDEL k | SET k v [EX s | PX ms] [NX] | SETEX k s v | DEL k... | EXISTS k... | TTL k | PTTL k |
 *   EXPIRE k s | PEXPIRE k ms | PING [text] | ECHO text | AUTH [default] secret | HELLO [2] | SELECT 0 |
 *   CLIENT SETNAME|SETINFO|GETNAME|ID | COMMAND [COUNT|DOCS] | INFO [section] | DBSIZE | QUIT
 */
#ifndef CACHESVC_COMMANDS_H
#define CACHESVC_COMMANDS_H

#include <sys/uio.h>

#include "cachesvc/store.h"

enum {
	COMMANDS_SECRET_MAX = 256, /* bytes of the secret that AUTH must name */
	COMMANDS_REPLY_MAX = 4096, /* bytes of an answer without its value */
};

struct commands {
	struct store *store; /* borrowed */
	uint8_t secret[COMMANDS_SECRET_MAX];
	size_t secret_len; /* 0: nobody has to AUTH */
	uint64_t started_ms;
	uint64_t run, refused; /* commands run; refused for want of AUTH */
	uint64_t connections; /* now; kept by the owner, for INFO */
	char run_id[41]; /* 40 hex digits, new at each start */
};

/* The answer to one request. iov points into buf, the request and the store: send it before the next. */
struct commands_reply {
	struct iovec iov[3];
	int n; /* 0: nothing to send */
	bool close; /* then close the connection */
	uint8_t buf[COMMANDS_REPLY_MAX];
};

/* secret is copied; len 0: none. */
void commands_init(struct commands *, struct store *, struct bytes secret, uint64_t now_ms);
void commands_clear(struct commands *); /* wipes the secret */

/* One whole request as resp_command_next() cuts it. authed is the connection's; it starts false. */
void commands_run(struct commands *, bool *authed, struct bytes request, uint64_t now_ms,
    struct commands_reply *);
/* The answer to bytes that are no request; 0: close without one. */
size_t commands_bad(struct bytes input, uint8_t *buf, size_t max);

#endif
