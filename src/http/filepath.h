/*
 * filepath.h: the file that a request's path names, as a path below a folder. Decoded once; what two
 * readers could take for different files, or for one outside, is refused.
 */
#ifndef HTTP_FILEPATH_H
#define HTTP_FILEPATH_H

#include "base/bytes.h"

enum { FILEPATH_MAX = 4096 };

/*
 * What follows the route's prefix (any_case: as in target.h), without empty segments, into buf with a NUL; "." if that is nothing.
 * *folder: it ends in a slash. False, and then it is no file's name: not under the prefix; a segment
 * that begins with a dot (but .well-known as the first, RFC 8615); a separator that is encoded, a
 * backslash, a control character, a malformed escape; too long.
 */
bool filepath_read(struct bytes path, const char *prefix, bool any_case,
    char buf[static FILEPATH_MAX], bool *folder) __attribute__((warn_unused_result));

#endif
