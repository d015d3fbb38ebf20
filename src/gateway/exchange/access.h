/*
 * access.h: who may ask: by client certificate and by network. Made at start, const then.
 */
#ifndef GATEWAY_EXCHANGE_ACCESS_H
#define GATEWAY_EXCHANGE_ACCESS_H

#include "gateway/client.h"

struct access;

/* NULL with *none: all may; else no memory. */
struct access *access_new(const struct require_conf *, bool *none);
void access_free(struct access *);
/* access NULL: yes. peer: the client's address as text, as a trusted proxy has it. */
bool access_allows(const struct access *, const struct client *, const char *peer);

#endif
