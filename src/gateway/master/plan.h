/*
 * plan.h: a configuration that was checked against the machine: the users exist, the certificates can
 * be read and hold no keys, the key files are there. What start, reload and -t have in common.
 */
#ifndef GATEWAY_MASTER_PLAN_H
#define GATEWAY_MASTER_PLAN_H

#include <sys/types.h>

#include "base/conf.h"
#include "crypto/cert.h"
#include "gateway/gateway_conf.h"

enum { PLAN_PATH_MAX = 1024 }; /* longer paths are refused */

#define PLAN_KEY_NONE                                                                              \
	"holds no private key" /* how the key service calls a file of something else */

/* One certificate chain of one site. */
struct plan_cert {
	const struct site_conf *site;
	const char *path;
	uint8_t ski[CERT_SKI_LEN];
	enum key_type type;
};

struct plan_user {
	uid_t uid;
	gid_t gid;
};

struct plan {
	struct conf_text *text;
	struct gateway_conf *conf;
	struct plan_cert *certs;
	size_t certs_n;
	char **key_files; /* of private_keys; folders are read */
	bool *key_any; /* each: it serves a site without TLS 1.3; known after plan_match() */
	size_t key_files_n;
	unsigned workers;
	struct plan_user gateway, key, cache;
};

/* Takes text over. NULL: errors say why, with file, line and mend. */
struct plan *plan_new(struct conf_text *text, struct conf_errors *);
void plan_free(struct plan *);

/* What the key service said of the files: each certificate needs a key. Adds errors. */
struct plan_key {
	char *name; /* the file */
	char *error; /* NULL: it was read */
	uint8_t ski[CERT_SKI_LEN];
};
void plan_match(const struct plan *, const struct plan_key *, size_t n, struct conf_errors *);

/* Identity, CA and password of key_service and session_cache: can they be used? Called by plan_new(). */
void plan_services(const struct plan *, struct conf_errors *);

/* The folders of routes with files: are they there? Called by plan_new(). */
void plan_files(const struct plan *, struct conf_errors *);

/* For the services' programs: NULL if the program is not found. buf holds the path. */
const char *plan_program(const struct plan *, const char *name, char *buf, size_t size);

#endif
