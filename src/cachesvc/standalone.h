/*
 * standalone.h: the cache service by itself: its sockets, its password, its identity. Called by main, at
 * start and on SIGHUP, with the rights that it has then.
 */
#ifndef CACHESVC_STANDALONE_H
#define CACHESVC_STANDALONE_H

#include <sys/types.h>

#include "cachesvc/cachesvc_conf.h"
#include "net/tlsctx.h"

enum { STANDALONE_PASSWORD_MIN = 8, STANDALONE_PASSWORD_MAX = 255 };

struct standalone_secret {
	size_t len; /* 0: nobody has to AUTH */
	char text[STANDALONE_PASSWORD_MAX + 2]; /* with a NUL; whoever asked wipes it */
};

/* A listening socket; a Unix socket that an earlier run left behind is replaced. -1: said. */
int standalone_listen(const char *address);
void standalone_unlink(const struct conf_strings *listen); /* Unix sockets, at the end */
/* Says which addresses are open to the network without TLS. */
void standalone_warn(const struct cachesvc_conf *);
/* password_file's first line. -1: said. */
int standalone_secret(const struct cachesvc_conf *, struct standalone_secret *);
/* *tls is NULL where there is no identity. -1: said. */
int standalone_tls(const struct cachesvc_conf *, struct tlsctx **tls);
/* caller_users as numbers; left out: the own user, and root. How many. */
size_t standalone_callers(const struct cachesvc_conf *, uid_t callers[static CACHESVC_CALLERS_MAX]);
/* The name of what has changed and takes a restart; NULL: nothing. */
const char *standalone_fixed(const struct cachesvc_conf *now, const struct cachesvc_conf *started);

#endif
