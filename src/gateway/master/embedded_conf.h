/*
 * embedded_conf.h: the configurations of the services that a gateway runs itself, made of its own.
 */
#ifndef GATEWAY_MASTER_EMBEDDED_CONF_H
#define GATEWAY_MASTER_EMBEDDED_CONF_H

#include "gateway/master/plan.h"

/* Descriptors of memory files, the caller's; -1: no memory. check: without the folder of its state, which is made and
 * given to the key service's user otherwise. */
int embedded_conf_keys(const struct plan *, bool check);
int embedded_conf_cache(const struct plan *);

#endif
