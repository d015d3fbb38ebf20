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
void accesslog_reopen(struct accesslog *); /* after the file was moved away; NULL is fine */
void accesslog_write(struct accesslog *, const struct exchange *); /* at its end */

#endif
