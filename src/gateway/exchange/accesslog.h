/*
 * accesslog.h: one line a request, and where it is wanted one for a connection without any, to a file or
 * to syslog, that never blocks.
 */
#ifndef GATEWAY_EXCHANGE_ACCESSLOG_H
#define GATEWAY_EXCHANGE_ACCESSLOG_H

#include "base/reason.h"
#include "gateway/client.h"

struct worker;
struct exchange;
struct accesslog;

/* What conf->access_log says. NULL: it cannot be opened (a log line says why), or there is none to write. */
struct accesslog *accesslog_new(struct worker *);
void accesslog_free(struct accesslog *);
/* After the file was moved away; log NULL is fine. fd: the new file, opened by who may; owned. -1: opens it. */
void accesslog_reopen(struct accesslog *, int fd);
void accesslog_write(struct accesslog *, const struct exchange *); /* at its end */
/* A connection that ended without a request; where access_log.connections wants it, log NULL is fine. */
void accesslog_connection(struct accesslog *, const struct client *, enum reason);

#endif
