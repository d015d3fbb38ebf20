/*
 * keysvc_conf.h: what keysvc.conf says, checked. Embedded, the master of a gateway writes this text:
 * then sockets and keys come as descriptors, and listen and keys are left out. Durations are ms.
 */
#ifndef KEYSVC_KEYSVC_CONF_H
#define KEYSVC_KEYSVC_CONF_H

#include <stdbool.h>

#include "base/conf.h"

struct keysvc_conf {
	struct conf_strings listen; /* "unix:/path"; not embedded */
	struct conf_strings keys; /* PEM files and folders; not embedded */
	char *user, *group; /* names or numbers; NULL: as started */
	struct conf_strings caller_users; /* names or numbers; empty: own user and root */
	unsigned allow; /* bits of enum grant */
	int tls12; /* enum tls12_mode of every key */
	struct conf_strings
	    tls12_any; /* key files (as named to the service) that are `any` instead */
	char *cluster_secret_file; /* NULL: memory only */
	uint64_t epoch_period, generation_lifetime;
	int64_t threads, slow_threads; /* threads 0: one a CPU */
	int64_t queue; /* jobs that wait in a lane */
	uint64_t deadline; /* of a signature */
	int64_t connections;
};

/* NULL: errors say why. */
struct keysvc_conf *keysvc_conf_new(const struct conf_text *, bool embedded, struct conf_errors *);
void keysvc_conf_free(struct keysvc_conf *);
const struct conf_option *keysvc_conf_options(size_t *n);

#endif
