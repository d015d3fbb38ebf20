/*
 * sitecheck.h: what only libssl can say about a site's options, for -t, start and reload: named with
 * file and line before any worker meets it.
 */
#ifndef GATEWAY_TLS_SITECHECK_H
#define GATEWAY_TLS_SITECHECK_H

#include "gateway/gateway_conf.h"

void sitecheck(const struct site_conf *, struct conf_errors *);

#endif
