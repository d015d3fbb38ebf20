/*
 * authority_private.h: the two lists of a CA's folder, for authority.c.
 */
#ifndef CTL_AUTHORITY_PRIVATE_H
#define CTL_AUTHORITY_PRIVATE_H

#include "ctl/authority.h"

#define AUTHORITY_DENY_HEAD                                                                        \
	"# Public keys (SHA-256 of the SPKI) that no machine of the cluster lets in: sslgwctl "    \
	"pki deny.\n"

int authority_read_issued(struct authority *); /* 0, or -1: said */
/* Adds a line in memory; its elders of the same prefix are not current any more. 0, -1: no memory, said. */
int authority_record(
    struct authority *, X509 *, const char *name, const char *role, const char *prefix);
/* Writes "issued", without what has expired and is not current. 0, or -1: said. */
int authority_save(struct authority *);

#endif
