/*
 * conf_check.h: what must be true of several options of gateway.conf together. Called by
 * gateway_conf.c only; conf_check.c calls the others.
 */
#ifndef GATEWAY_CONF_CHECK_H
#define GATEWAY_CONF_CHECK_H

#include "gateway/gateway_conf.h"

void conf_check(const struct gateway_conf *, struct conf_errors *);
void conf_check_watch(const struct gateway_conf *, struct conf_errors *);
void conf_check_routes(const struct site_conf *, struct conf_errors *);
void conf_check_services(const struct gateway_conf *, struct conf_errors *);

#endif
