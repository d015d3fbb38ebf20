/*
 * parse.h: from a head that the guard has passed to its fields, by http-parser. It is asked for lines
 * and fields only: it frames no bodies and decides nothing. Called by head.c.
 */
#ifndef HTTP_PARSE_H
#define HTTP_PARSE_H

#include "http/head.h"

/*
 * The head is in[scan->first, scan->at). Fills method and target or status and phrase, version and
 * fields of an initialised head. BAD also where the two readings of the same bytes differ.
 */
enum parse parse_head(enum message, struct bytes in, const struct head_scan *, struct head *,
    struct verdict *) __attribute__((warn_unused_result));

const char *parse_library(char *buf, size_t size); /* "http-parser 2.9.4"; buf */

#endif
