/*
 * keysvc_conf.h: what keysvc.conf says, checked. Embedded, the master of a gateway writes this text:
 * then sockets and keys come as descriptors, and listen and keys are left out. Durations are ms.
 */
#ifndef KEYSVC_KEYSVC_CONF_H
#define KEYSVC_KEYSVC_CONF_H

#include <stdbool.h>

#include "base/conf.h"
#include "proc/adminconf.h"

/* Who may ask by TLS, and what. */
struct caller_conf {
	char *name; /* pattern over the certificate's name */
	int role; /* enum caller_role */
	struct conf_strings networks; /* empty: anywhere */
	struct conf_strings keys, groups;
	unsigned allow; /* bits of enum grant */
	uint64_t rate; /* private-key operations a second */
	struct conf_strings unsafe_raw_rsa; /* keys */
};

/* In the order of the option's values. */
enum caller_role { CALLER_GATEWAY, CALLER_KEYSVC, CALLER_OPERATOR, CALLER_NONE };

struct keysvc_conf {
	struct conf_strings listen; /* addresses, "unix:/path"; not embedded */
	char *identity, *identity_key, *ca_file; /* all three where listen has TCP */
	char *deny_file; /* NULL: none */
	struct conf_strings keys; /* PEM files and folders; not embedded */
	char *user, *group; /* names or numbers; NULL: as started */
	struct conf_strings caller_users; /* names or numbers; empty: own user and root */
	unsigned allow; /* on Unix sockets; bits of enum grant */
	struct caller_conf *callers;
	size_t callers_n;
	int tls12; /* enum tls12_mode of every key */
	struct conf_strings
	    tls12_any; /* key files (as named to the service) that are `any` instead */
	char *cluster_secret_file; /* NULL: memory only */
	struct conf_strings peers; /* addresses of other key services; this one may be among them */
	uint64_t epoch_period, generation_lifetime;
	int64_t threads, slow_threads; /* threads 0: one a CPU */
	int64_t queue; /* jobs that wait in a lane */
	uint64_t deadline; /* of a signature, from its arrival */
	int64_t connections;
	struct adminconf admin; /* not embedded */
};

/* NULL: errors say why. */
struct keysvc_conf *keysvc_conf_new(const struct conf_text *, bool embedded, struct conf_errors *);
void keysvc_conf_free(struct keysvc_conf *);
const struct conf_option *keysvc_conf_options(size_t *n);

#endif
