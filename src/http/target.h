/*
 * target.h: the parts of a request's target and of an authority, what is odd about a path, and which
 * paths lie under a route's. All of it on the raw bytes: nothing is decoded into another buffer.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "base/bytes.h"

#define TARGET_HOST_MAX 255 /* bytes of a host's name, as in DNS */

enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_ASTERISK };

struct target {
	enum target_form form;
	struct bytes authority; /* TARGET_ABSOLUTE only */
	uint16_t default_port; /* of its scheme: 80 or 443 */
	struct bytes path, query; /* path is never empty; query.at NULL: no '?' */
};

struct authority {
	struct bytes host; /* without a final dot; with its brackets if IPv6 */
	uint16_t port; /* 0: none */
};

/* Bits; what a server behind may read otherwise than we do. */
enum target_oddity {
	TARGET_DOTS = 0x01, /* a "." or ".." segment, also as %2e or before ;parameters */
	TARGET_CLIMBS = 0x02, /* ".." above the root, in any reading of the separators */
	TARGET_SLASH = 0x04, /* %2F in the path */
	TARGET_BACKSLASH = 0x08, /* backslash or %5C in the path */
	TARGET_NUL = 0x10, /* %00 in the path (a query may carry binary data) */
	TARGET_ESCAPE = 0x20, /* a malformed escape in the path */
	TARGET_EMPTY = 0x40, /* an empty segment: // */
	TARGET_QUERY_ESCAPE = 0x80, /* a malformed escape in the query: common, and harmless here */
};
/* With these no two servers agree what the path is: the request is refused. */
#define TARGET_REFUSED (TARGET_CLIMBS | TARGET_NUL | TARGET_ESCAPE)

/* Origin form, absolute form (http, https; no userinfo) or "*". False: none of these. */
bool target_split(struct bytes target, struct target *) __attribute__((warn_unused_result));
unsigned target_oddities(struct bytes path, struct bytes query);

/* Name, IPv4 or [IPv6], with or without :port (1 to 65535). False: malformed or empty. */
bool target_authority(struct bytes, struct authority *) __attribute__((warn_unused_result));
/* Same host without case, and the same port, where a missing one is default_port. */
bool target_authority_equal(struct bytes, struct bytes, uint16_t default_port);
/* Lower case into buf, with a NUL; its length, or 0 if it does not fit. */
size_t target_host_lower(struct bytes host, char *buf, size_t size);

/*
 * Is the path the route's prefix or under it? By segments: /asp holds /asp and /asp/x but not /aspx;
 * /asp/ holds /asp/ and /asp/x. Escapes in the path are compared as what they stand for (/%61sp is
 * /asp to every server), except that %2F is not a separator. any_case: ASCII letters are compared without case.
 */
bool target_under(struct bytes path, const char *prefix, bool any_case);
/* The same, as the length of what stands for the prefix, in bytes of the path; 0: not under it. */
size_t target_prefix(struct bytes path, const char *prefix, bool any_case);
bool target_is(struct bytes path, const char *exact, bool any_case); /* escapes as above */
/* As strcmp() or strcasecmp(), escapes as above: every prefix of a path comes before it, and those between begin with
 * that prefix. */
int target_order(struct bytes path, const char *route, bool any_case);

#endif
