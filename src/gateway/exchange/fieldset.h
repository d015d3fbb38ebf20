/*
 * fieldset.h: the fields that a site and a route add and remove: in requests on their way to a
 * server, or in answers on their way to the client. What is added stands alone: fields of that name,
 * in any spelling, that came along are taken out; so nobody can forge them. Set-Cookie is added to
 * what there is. A route's rule goes before its site's for the same name. Made at start, const then.
 */
#ifndef GATEWAY_EXCHANGE_FIELDSET_H
#define GATEWAY_EXCHANGE_FIELDSET_H

#include "base/bytes.h"
#include "gateway/exchange/facts.h"
#include "http/head.h"

struct fieldset;

/* route NULL: of the site alone. NULL with *none: there is nothing to do; else no memory. */
struct fieldset *fieldset_new(
    const struct site_conf *, const struct route_conf *, enum facts_where, bool *none);
void fieldset_free(struct fieldset *);
/* All of these take a NULL fieldset: one without rules. */
bool fieldset_takes_out(const struct fieldset *, struct bytes name);
/* What is to be added, as lines of a head; what has no value is left out. */
void fieldset_write(const struct fieldset *, const struct facts *, struct writer *);
/* The same as fields, values written by the writer; without room they are left out. */
size_t fieldset_add(
    const struct fieldset *, const struct facts *, struct writer *, struct field *to, size_t room);
size_t fieldset_bound(const struct fieldset *, const struct facts *); /* as lines of a head */

#endif
