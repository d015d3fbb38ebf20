/*
 * remote.h: the servers of a service as gateway.conf names them: key_service.servers and
 * session_cache.servers. Pure: names are resolved by the monitor, and what it found is passed in.
 */
#ifndef GATEWAY_REMOTE_H
#define GATEWAY_REMOTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/conf.h"
#include "net/endpoint.h"

enum { REMOTE_HOST_MAX = 256, REMOTE_USER_MAX = 64 };

enum remote_kind {
	REMOTE_TLS, /* "10.0.1.1:6380": mutual TLS */
	REMOTE_UNIX, /* "unix:/path" */
	REMOTE_REDIS, /* "redis://10.0.1.1:6379/0": plain TCP */
	REMOTE_REDISS, /* "rediss://user@cache.example:6379/0": TLS by the host's name */
};

struct remote {
	enum remote_kind kind;
	char host[REMOTE_HOST_MAX]; /* without brackets; "" for Unix sockets */
	char user[REMOTE_USER_MAX]; /* "": none */
	uint16_t port;
	struct endpoint at; /* len 0: host is a name */
};

/* redis: URLs are allowed. NULL, or what is wrong with it and how to mend it. */
const char *remote_parse(const char *text, bool redis, struct remote *);

/* All servers of a service, with the addresses of their names. */
struct remotes;

struct remotes *remotes_new(const struct conf_strings *); /* checked ones; NULL: no memory */
void remotes_free(struct remotes *);
/* The name has these addresses (port 0) from now on. true: one of the servers bears it. */
bool remotes_resolved(struct remotes *, const char *host, const struct endpoint *, size_t n);
/* The addresses that are known, each once, in an order of the servers; at most max. Their number. */
size_t remotes_list(const struct remotes *, struct endpoint *, size_t max);

#endif
