/*
 * pemkeys.h: private keys from PEM files. The bytes read are cleansed, whatever comes of them.
 */
#ifndef KEYSVC_PEMKEYS_H
#define KEYSVC_PEMKEYS_H

#include "keysvc/keystore.h"

enum { PEMKEYS_FILE_MAX = 256 * 1024 };
#define PEMKEYS_NONE "holds no private key" /* how why begins for a file of something else */

/* The first private key of the file; certificates and parameters beside it are skipped. The descriptor
 * stays the caller's. NULL: why says what is wrong and how to mend it; it does not name the file. */
struct key *pemkeys_read(int fd, const char *name, char *why, size_t size);

/* What goes between a folder, as it is configured, and a name in it: "/", or "". */
const char *pemkeys_between(const char *folder);

/* A file, or each regular file of a folder that holds a key (hidden ones are not looked at). Adds to
 * store; each error goes to failed(). Returns how many keys were read. */
size_t pemkeys_load(struct keystore *, const char *path, void (*loaded)(void *arg, struct key *),
    void (*failed)(void *arg, const char *file, const char *why), void *arg);

#endif
