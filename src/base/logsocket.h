/*
 * logsocket.h: lines of a log as datagrams to a Unix socket, which is how syslog takes them. Nothing ever
 * waits: what the other side does not take at once is dropped and counted. A socket that is not there
 * (the log daemon restarts) is tried again, once a second at most.
 */
#ifndef BASE_LOGSOCKET_H
#define BASE_LOGSOCKET_H

#include <stdint.h>

#include "base/bytes.h"

struct logsocket;

struct logsocket *logsocket_new(const char *path); /* copied. NULL: too long, or no memory */
void logsocket_free(struct logsocket *); /* NULL is fine */
void logsocket_send(struct logsocket *, struct bytes, uint64_t now_ms);
void logsocket_reopen(struct logsocket *); /* connects anew with the next one */
uint64_t logsocket_dropped(const struct logsocket *);

#endif
