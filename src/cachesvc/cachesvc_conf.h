/*
 * cachesvc_conf.h: what cachesvc.conf says, checked. Embedded, the master of a gateway writes this
 * text: then the socket comes as a descriptor, and listen is left out. Durations are ms.
 */
#ifndef CACHESVC_CACHESVC_CONF_H
#define CACHESVC_CACHESVC_CONF_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/conf.h"
#include "net/endpoint.h"
#include "proc/adminconf.h"

enum { CACHESVC_CALLERS_MAX = 16, CACHESVC_LISTEN_MAX = 64 };

struct cachesvc_conf {
	struct conf_strings
	    listen; /* "*:6380", "unix:/path"; not embedded. TCP is TLS if there is identity */
	struct conf_strings listen_plain; /* "127.0.0.1:6379": TCP without TLS all the same */
	bool allow_plain_network; /* without TLS, and not on loopback */
	char *identity, *identity_key, *ca_file; /* all or none */
	char *deny_file; /* NULL: none */
	char *user, *group; /* names or numbers; NULL: as started */
	struct conf_strings caller_users; /* names or numbers; empty: own user and root */
	char *password_file; /* its first line is what AUTH must name; NULL: nobody has to */
	uint64_t max_memory; /* bytes, of all there is */
	int64_t connections;
	uint64_t idle_timeout; /* 0: none */
	struct adminconf admin; /* not embedded */
};

/* NULL: errors say why. */
struct cachesvc_conf *cachesvc_conf_new(
    const struct conf_text *, bool embedded, struct conf_errors *);
void cachesvc_conf_free(struct cachesvc_conf *);
const struct conf_option *cachesvc_conf_options(size_t *n);
bool cachesvc_conf_is_loopback(const struct endpoint *); /* or a Unix socket */
bool cachesvc_conf_is_tls(
    const struct cachesvc_conf *, const char *listen); /* that address of listen */

#endif
