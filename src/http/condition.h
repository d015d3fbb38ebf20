/*
 * condition.h: what If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since and If-Range come
 * to for something whose tag and time are known, in the order of RFC 9110, section 13.2.2.
 */
#ifndef HTTP_CONDITION_H
#define HTTP_CONDITION_H

#include <time.h>

#include "http/head.h"

enum condition {
	CONDITION_GO, /* as if none were there */
	CONDITION_NOT_MODIFIED, /* 304 */
	CONDITION_FAILED, /* 412 */
};

struct validators {
	struct bytes etag; /* strong, with its quotes */
	time_t modified;
};

/* Of a GET or HEAD. */
enum condition condition_check(const struct head *, const struct validators *, time_t now);
/* The request's Range counts: there is no If-Range, or it names just this state. */
bool condition_range(const struct head *, const struct validators *, time_t now);

#endif
