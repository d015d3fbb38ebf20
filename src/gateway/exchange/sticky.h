/*
 * sticky.h: the cookie that keeps a client at a server of a pool (pools[].sticky_cookie).
 */
#ifndef GATEWAY_EXCHANGE_STICKY_H
#define GATEWAY_EXCHANGE_STICKY_H

#include "http/head.h"

struct exchange;
struct pool;

enum { STICKY_COOKIE_MAX = 160 };

/* 1 + the index of the server that the request's cookie names; 0: none, or a name that no server has. */
unsigned sticky_read(const struct pool *, const struct head *);
/* The field for the answer, if one is due: 1, in exchanges' scratch; 0: none is. */
size_t sticky_write(const struct exchange *, struct field *);

#endif
