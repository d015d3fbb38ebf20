/*
 * log.h: lines for the operator, on stderr (with <N> priorities under systemd) or, once
 * daemonized, to syslog by a non-blocking datagram. A line says what failed, why, and what to do.
 * The variants without x add ": " and the text of errno. Never blocks: what does not fit is
 * dropped and counted. Control characters are written as \xNN, so nothing forges a line.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG };

#define LOG_PRINTF(f, a) __attribute__((format(printf, f, a)))

void log_init(
    const char *tag); /* tag (copied) opens each line: "sslgw[worker 0]". The environment's
	SSLGW_LOG=syslog, which a daemon sets for its children, makes syslog the target. */
void log_set(enum log_target, enum log_level max);
uint64_t log_dropped(void);

void log_error(const char *fmt, ...) LOG_PRINTF(1, 2); /* errno's text added */
void log_errorx(const char *fmt, ...) LOG_PRINTF(1, 2);
void log_warn(const char *fmt, ...) LOG_PRINTF(1, 2); /* errno's text added */
void log_warnx(const char *fmt, ...) LOG_PRINTF(1, 2);
void log_info(const char *fmt, ...) LOG_PRINTF(1, 2);
void log_debug(const char *fmt, ...) LOG_PRINTF(1, 2);

/* For the start of a process only; never reachable from a peer's bytes. */
__attribute__((noreturn)) void fatal(int status, const char *fmt, ...) LOG_PRINTF(2, 3);
__attribute__((noreturn)) void fatalx(int status, const char *fmt, ...) LOG_PRINTF(2, 3);

/* Exit statuses of every daemon. */
enum { EXIT_CONFIG = 1, EXIT_USAGE = 2, EXIT_RUNTIME = 3 };

#endif
