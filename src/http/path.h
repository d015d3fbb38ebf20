/*
 * path.h: the one normalisation of paths. A path is matched and forwarded in the same form: with its
 * segments "." and ".." resolved (RFC 3986, section 5.2.4; also where they are written %2e), and all
 * else as it came. Escapes are decoded for comparing only (target.h), once, and never in what is sent.
 *
 * Servers behind differ in what else separates segments or does not count. Each such habit is a bit;
 * a path that would lie elsewhere for a server with some of them is one that a gateway cannot guard.
 */
#ifndef HTTP_PATH_H
#define HTTP_PATH_H

#include "base/bytes.h"

enum path_habit {
	PATH_SLASH = 1, /* %2F separates */
	PATH_BACKSLASH = 2, /* \ and %5C separate */
	PATH_PARAMETERS =
	    4, /* what follows a ; in a segment does not count, not even to its dots */
	PATH_MERGED = 8, /* // is / */
	PATH_HABITS = 15
};

/* The path as a server with these habits has it, into buf (path.len + 1 bytes); habits 0 is the form
 * that is matched and sent. Its length; 0: it climbs above the root. path begins with '/'. */
size_t path_resolve(struct bytes path, unsigned habits, uint8_t *buf);
/* Which habits make a difference for this path; 0 for nearly all. */
unsigned path_habits(struct bytes path);

#endif
