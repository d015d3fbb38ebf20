/*
 * trusted.h: whose word about a client counts: the networks of trusted_proxies. Made once, const.
 */
#ifndef GATEWAY_TRUSTED_H
#define GATEWAY_TRUSTED_H

#include <stdbool.h>

#include "base/conf.h"
#include "net/endpoint.h"

struct trusted;

struct trusted *trusted_new(const struct conf_strings *); /* NULL: no memory */
void trusted_free(struct trusted *);
bool trusted_holds(const struct trusted *, const struct endpoint *);
bool trusted_valid(const char *text); /* a network, an address, or "unix:" */

#endif
