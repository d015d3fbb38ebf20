/*
 * standalone.h: the key service by itself: its sockets, its keys from the configuration's paths.
 */
#ifndef KEYSVC_STANDALONE_H
#define KEYSVC_STANDALONE_H

#include "keysvc/keystore.h"
#include "keysvc/keysvc_conf.h"

/* All keys of conf, each self-tested, sealed. NULL: what is wrong has been said. */
struct keystore *standalone_keys(const struct keysvc_conf *);
/* A listening Unix socket at "unix:/path"; a stale one is replaced. -1: said. */
int standalone_listen(const char *address);
void standalone_unlink(const char *address); /* at the end; may fail where rights were dropped */

#endif
