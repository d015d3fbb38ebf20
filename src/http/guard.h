/*
 * guard.h: a byte-exact check of every line of a head against RFC 9112 before any parser sees it:
 * CRLF only, token names, no space before the colon, no folds, no controls, one SP where one SP stands.
 * It also finds the head's end and keeps the limits. Called by head.c; trailers and chunk lines have
 * the same grammar, kept octet by octet in chunk.c.
 */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include "http/head.h"

/*
 * OK: the head is in[scan->first, scan->at), and scan says what stands in its first line. A verdict
 * depends on the bytes alone, not on the pieces in which they came.
 */
enum parse guard_head(enum message, struct bytes in, const struct head_limits *, struct head_scan *,
    struct verdict *) __attribute__((warn_unused_result));

#endif
