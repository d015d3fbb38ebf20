/*
 * logfile.h: the access log's file. Lines gather in a buffer of 64 KiB and go out by write(2)s that
 * never wait for a reader: a regular file takes them, and of a pipe that is full whole lines are
 * dropped and counted. The owner ignores SIGPIPE and calls logfile_flush() by a deadline.
 */
#ifndef BASE_LOGFILE_H
#define BASE_LOGFILE_H

#include <stdint.h>

#include "base/bytes.h"

enum { LOGFILE_BUFFER_BYTES = 64 * 1024, LOGFILE_FLUSH_BYTES = 16 * 1024 };

struct logfile;

/* A path (made 0640 if missing; copied) or "stderr". NULL: errno says why. */
struct logfile *logfile_open(const char *path);
void logfile_write(
    struct logfile *, struct bytes line); /* with its newline; all of it or nothing */
void logfile_flush(struct logfile *);
/* After the file was moved away. -1 with errno: the old one is kept. */
int logfile_reopen(struct logfile *, int fd) __attribute__((warn_unused_result));
uint64_t logfile_dropped(const struct logfile *); /* lines, since it was opened */
void logfile_close(struct logfile *); /* flushes; NULL is fine */

#endif
