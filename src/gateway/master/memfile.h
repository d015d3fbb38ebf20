/*
 * memfile.h: what children inherit as a file without a path: sealed memory.
 */
#ifndef GATEWAY_MASTER_MEMFILE_H
#define GATEWAY_MASTER_MEMFILE_H

#include <stddef.h>

int memfile_of(const char *name, const void *data,
    size_t len); /* sealed, close-on-exec, readable by all. -1: errno */
int memfile_secret(const char *name, size_t len); /* so many random bytes. -1: errno */

#endif
