/*
 * player.h: one end of a connection as a test plays it: what it is to say and what it has heard, plain or
 * over TLS, a piece at a time. SIGPIPE must be ignored.
 */
#ifndef T_SIM_PLAYER_H
#define T_SIM_PLAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <openssl/ssl.h>

struct text {
	char *at;
	size_t len, sent, cap;
};

struct player {
	int fd; /* -1: gone */
	SSL *ssl; /* over it; NULL: plain */
	size_t again; /* bytes of a write that is to be repeated */
	struct text out, in;
	bool finished, closing;
};

void text_add(struct text *, const char *at, size_t len); /* with a NUL behind it */
__attribute__((format(printf, 2, 3))) void text_addf(struct text *, const char *format, ...);

ssize_t player_put(struct player *, const char *at, size_t len); /* as send(2) */
ssize_t player_get(struct player *, char *at, size_t len); /* as recv(2) */
void player_finish(struct player *); /* says nothing more */
void player_gone(struct player *); /* closes */
void player_reset(struct player *);
void player_clear(struct player *);
SSL_CTX *player_server_tls(void); /* with a certificate that nobody looks at */

#endif
