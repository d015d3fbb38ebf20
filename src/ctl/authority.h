/*
 * authority.h: a folder with a cluster's CA: ca.pem and ca.key, which sign; "issued", a line for each
 * identity that it signed and that is not yet forgotten; and "deny", the SPKIs that no machine of the
 * cluster may let in any more (net/tlsctx.h reads it). Locked while it is open: one writer at a time.
 */
#ifndef CTL_AUTHORITY_H
#define CTL_AUTHORITY_H

#include <openssl/x509.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/replace.h"

enum {
	AUTHORITY_NAME_MAX = 254,
	AUTHORITY_SPKI_TEXT = 65,
	AUTHORITY_ISSUED_MAX = 100000,
	AUTHORITY_DAY_S = 86400
};

/* One signed certificate. */
struct issued {
	char name[AUTHORITY_NAME_MAX];
	char role[16]; /* "gateway" */
	char spki[AUTHORITY_SPKI_TEXT]; /* SHA-256, hex */
	int64_t not_before, not_after; /* unix */
	char *prefix; /* PREFIX.pem, PREFIX.key: absolute, or relative to the folder */
	bool current; /* the last that was written there */
};

struct authority {
	char dir[REPLACE_PATH_MAX];
	int lock;
	X509 *ca;
	EVP_PKEY *key; /* NULL: opened without */
	struct issued *issued; /* in the order of their making */
	size_t issued_n;
};

/* Makes the folder and the CA in it. 0, or -1: said. */
int authority_make(const char *dir, const char *name, bool force);
/* key: to sign with. 0, or -1: said, nothing to close. */
int authority_open(struct authority *, const char *dir, bool key)
    __attribute__((warn_unused_result));
void authority_close(struct authority *);

/* Signs a new key for that name, writes both files and the line. prefix: as in struct issued. A line of
 * the same prefix is not the current one any more. 0, or -1: said. */
int authority_issue(struct authority *, const char *name, const char *role, int64_t life_s,
    const char *prefix, const struct replace_mode *);

/* No identity of that name is current any more. 0, or -1: said. */
int authority_forget(struct authority *, const char *name);

/* The path of an identity's file: end is ".pem" or ".key". -1: too long, said. */
int authority_path(
    const struct authority *, const char *prefix, const char *end, char path[REPLACE_PATH_MAX]);
bool authority_denied(const struct authority *, const char *spki);
/* Adds a line to the deny file, with a comment above, and to those beside the identities' files. 0, 1:
 * was there; -1: said. */
int authority_deny(struct authority *, const char *spki, const char *comment);

bool authority_role_valid(const char *role);
#define AUTHORITY_ROLES "gateway, keysvc, cachesvc or operator"
/* NULL: it can be a machine's name; else what is wrong with it. */
const char *authority_name_wrong(const char *name);
int authority_spki(X509 *, char text[static AUTHORITY_SPKI_TEXT]); /* 0, -1 */
/* NULL: said where errno is not ENOENT; the leaf of a PEM file. */
X509 *authority_load(const char *path);
int64_t authority_time(const ASN1_TIME *); /* unix; 0: not understood */

#endif
