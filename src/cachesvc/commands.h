/*
 * commands.h: the verbs of the cache, over one store. Pure: a request's bytes in, the answer's
 * slices out. It speaks RESP2 as Redis does, with Redis's error texts, but is a cache of sessions
 * and no Redis: what is not in the table is unknown.
 *
 *   GET k | GETDEL k | SET k v [EX s | PX ms] [NX] | SETEX k s v | DEL k... | EXISTS k... | TTL k | PTTL k |
 *   EXPIRE k s | PEXPIRE k ms | PING [text] | ECHO text | AUTH [default] secret | SELECT 0 | QUIT |
 *   HELLO [2 [AUTH default secret] [SETNAME name]] | CLIENT SETNAME|SETINFO|GETNAME|ID |
 *   COMMAND [COUNT|DOCS|INFO|LIST] | INFO [section...] | DBSIZE | FLUSHALL (operators)
 *
 * Names that begin with "claim:" are claims (store.h): SET with NX and an end is all that writes them.
 */
#ifndef CACHESVC_COMMANDS_H
#define CACHESVC_COMMANDS_H

#include <sys/uio.h>

#include "cachesvc/store.h"
#include "wire/resp.h"

enum {
	COMMANDS_SECRET_MAX = 256, /* bytes of the secret that AUTH must name */
	COMMANDS_REPLY_MAX = 4096, /* bytes of an answer without its value */
	COMMANDS_STRANGER_MAX = 1024, /* bytes of a request before AUTH, where one is due */
	COMMANDS_AUTH_FAILURES = 3, /* of a connection: then it is closed */
};

struct commands {
	struct store *store; /* borrowed */
	uint8_t secret[COMMANDS_SECRET_MAX];
	size_t secret_len; /* 0: nobody has to AUTH */
	uint64_t started_ms;
	uint64_t run, refused; /* commands run; refused for want of AUTH or of a grant */
	uint64_t auth_failures;
	uint64_t connections; /* now; kept by the owner, for INFO */
	char run_id[41]; /* 40 hex digits, new at each start and with each FLUSHALL */
	uint64_t flushes;
	struct resp_command read; /* what commands_next() has read; its words lie in the input */
};

/* A connection's; kept by its owner. */
struct commands_caller {
	uint64_t id; /* for CLIENT ID */
	bool authed; /* starts true where a certificate has said who it is */
	bool may_flush;
	bool knows_run; /* it was told the run_id by INFO, and may rely on it */
	uint8_t failures; /* of AUTH */
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
void commands_set_secret(struct commands *, struct bytes secret); /* who is in stays in */
void commands_clear(struct commands *); /* wipes the secret */
bool commands_is_stranger(
    const struct commands *, const struct commands_caller *); /* AUTH is due */

/* OK: the first *len bytes are a request; commands_run() runs it, while they lie where they are. */
enum parse commands_next(struct commands *, struct bytes in, size_t *len);
void commands_run(
    struct commands *, struct commands_caller *, uint64_t now_ms, struct commands_reply *);
/* The answer to bytes that are no request; 0: close without one. */
size_t commands_bad(struct bytes input, uint8_t *buf, size_t max);

#endif
