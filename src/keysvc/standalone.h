/*
 * standalone.h: the key service by itself: its sockets, its keys from the configuration's paths.
 */
#ifndef KEYSVC_STANDALONE_H
#define KEYSVC_STANDALONE_H

#include "keysvc/keystore.h"
#include "keysvc/keysvc_conf.h"
#include "keysvc/rules.h"

struct tlsctx;

/* All keys of conf, each self-tested, with the chains beside them, sealed. NULL: what is wrong has been
 * said. */
struct keystore *standalone_keys(const struct keysvc_conf *);
/* The callers of conf, bound to the keys; what is wide is said. conf is borrowed. NULL: said. */
struct rules *standalone_rules(const struct keysvc_conf *, const struct keystore *);

/* All that is read with the rights of the start. */
struct standalone {
	struct keystore *keys;
	struct rules *rules;
	struct tlsctx *tls; /* of the listeners; NULL: there is no TCP among them */
	struct tlsctx *peers_tls; /* to ask other key services with; NULL: none is asked by TLS */
};

int standalone_read(struct standalone *, const struct keysvc_conf *); /* 0, -1: said, and cleared */
void standalone_clear(struct standalone *);

/* A listening socket at the address; a stale Unix one is replaced. -1: said. */
int standalone_listen(const char *address);
/* What it listens on, with the port that was picked. */
const char *standalone_address(int fd, const char *address, char *buf, size_t size);
void standalone_unlink(const char *address); /* at the end; may fail where rights were dropped */

#endif
