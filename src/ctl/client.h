/*
 * client.h: asks a daemon's admin address or Unix socket: HTTP by libcurl. Nothing of the environment
 * (proxies, .netrc) has a say, nothing is followed, and answers are bounded in size and time.
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <stddef.h>

enum { CLIENT_BODY_MAX = 8 << 20, CLIENT_SOCKETS_MAX = 3, CLIENT_WHY_MAX = 512 };

struct client_answer {
	long code; /* 200, ... */
	char *body; /* heap, NUL-terminated; never NULL where 0 was returned */
	size_t len;
};

/* target: a path with a slash, "unix:/path" or "HOST:PORT". 0; -1: no answer, and why says what to look at. */
int client_get(const char *target, const char *path, struct client_answer *, char *why, size_t);
/* A command, by a Unix socket only: the daemon takes it from root and its own user. Done if code is 200; else
 * body says why not. */
int client_command(
    const char *target, int argc, char *const argv[], struct client_answer *, char *why, size_t);
void client_answer_clear(struct client_answer *);

/* The usual admin sockets that are there: of sslgw, sslgw-keysvc, sslgw-cachesvc. How many. */
size_t client_sockets(const char *found[static CLIENT_SOCKETS_MAX]);

#endif
