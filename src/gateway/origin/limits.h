/*
 * limits.h: what gateway.conf allows of a head, for both sides: answers are read as strictly as requests.
 */
#ifndef GATEWAY_ORIGIN_LIMITS_H
#define GATEWAY_ORIGIN_LIMITS_H

#include "gateway/gateway_conf.h"
#include "http/head.h"

enum { LIMITS_LINE_BYTES = 16 * 1024 }; /* of a first line, and of each field */

struct head_limits limits_of(const struct gateway_conf *);

#endif
