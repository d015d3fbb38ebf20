/*
 * hearsay.h: what a trusted proxy's PROXY header says of the connection that it took, as text that is safe
 * in a field and in the log. Made once a connection, and only where something is said.
 */
#ifndef GATEWAY_FRONT_HEARSAY_H
#define GATEWAY_FRONT_HEARSAY_H

#include "gateway/client.h"
#include "net/proxied.h"

/* Copied. NULL: no memory. */
struct hearsay *hearsay_new(const struct proxied_tlvs *);
void hearsay_free(const struct hearsay *);

#endif
