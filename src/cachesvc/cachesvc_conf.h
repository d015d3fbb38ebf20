/*
 * cachesvc_conf.h: what cachesvc.conf says, checked. Embedded, the master of a gateway writes this
 * text: then the socket comes as a descriptor, and listen is left out. Durations are ms.
 */
#ifndef CACHESVC_CACHESVC_CONF_H
#define CACHESVC_CACHESVC_CONF_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/conf.h"

enum { CACHESVC_CALLERS_MAX = 16 };

struct cachesvc_conf {
	struct conf_strings listen; /* "127.0.0.1:6380", "unix:/path"; not embedded */
	char *user, *group; /* names or numbers; NULL: as started */
	struct conf_strings caller_users; /* names or numbers; empty: own user and root */
	char *password_file; /* its first line is what AUTH must name; NULL: nobody has to */
	uint64_t max_memory; /* bytes, of all there is */
	int64_t connections;
	uint64_t idle_timeout; /* 0: none */
};

/* NULL: errors say why. */
struct cachesvc_conf *cachesvc_conf_new(
    const struct conf_text *, bool embedded, struct conf_errors *);
void cachesvc_conf_free(struct cachesvc_conf *);
const struct conf_option *cachesvc_conf_options(size_t *n);

#endif
