/*
 * filetypes.h: media types by the end of a file's name, as /etc/mime.types has them. Read once, at
 * start; const afterwards.
 */
#ifndef GATEWAY_ORIGIN_FILETYPES_H
#define GATEWAY_ORIGIN_FILETYPES_H

#include "base/bytes.h"

#define FILETYPES_FILE "/etc/mime.types"
#define FILETYPES_OTHER "application/octet-stream"

enum {
	FILETYPES_FILE_MAX = 1 << 20, /* bytes of the file that are read */
	FILETYPES_TYPE_MAX =
	    127, /* of a type (RFC 6838: two names of that length; none is near it) */
	FILETYPES_END_MAX = 31, /* of an end */
};

struct filetypes;

/* file: may be missing; a small list of our own has what it lacks. NULL: no memory. */
struct filetypes *filetypes_new(const char *file);
struct filetypes *filetypes_of(struct bytes text);
void filetypes_free(struct filetypes *);
/* For "a/b.html": "text/html". Never NULL. */
const char *filetypes_find(const struct filetypes *, const char *name);

#endif
