/*
 * accesslog.h: one line a request, in the combined format, that never blocks.
 */
#ifndef GATEWAY_EXCHANGE_ACCESSLOG_H
#define GATEWAY_EXCHANGE_ACCESSLOG_H

struct worker;
struct exchange;
struct accesslog;

/* What conf->access_log says. NULL: it cannot be opened (a log line says why), or there is none to write. */
struct accesslog *accesslog_new(struct worker *);
void accesslog_free(struct accesslog *);
/* After the file was moved away; log NULL is fine. fd: the new file, opened by who may; owned. -1: opens it. */
void accesslog_reopen(struct accesslog *, int fd);
void accesslog_write(struct accesslog *, const struct exchange *); /* at its end */

#endif
