/*
 * audit.h: what the service did, counted; and a line for what it refused, at most one in
 * AUDIT_LINE_MS, so that a caller cannot fill the log.
 */
#ifndef KEYSVC_AUDIT_H
#define KEYSVC_AUDIT_H

#include "net/service.h"

#define AUDIT_LIST(X)                                                                              \
	X(AUDIT_SIGNED, "signed")                                                                  \
	X(AUDIT_DECRYPTED, "decrypted")                                                            \
	X(AUDIT_EPOCH_KEYS, "epoch_keys")                                                          \
	X(AUDIT_KEYS, "keys")                                                                      \
	X(AUDIT_CHAINS, "chains")                                                                  \
	X(AUDIT_EPOCH_IDS, "epoch_ids")                                                            \
	X(AUDIT_GENERATIONS, "generations")                                                        \
	X(AUDIT_CLAIMS, "claims")                                                                  \
	X(AUDIT_UNCLAIMED, "unclaimed")                                                            \
	X(AUDIT_PINGS, "pings")                                                                    \
	X(AUDIT_STRANGERS, "strangers")                                                            \
	X(AUDIT_REFUSED, "refused")                                                                \
	X(AUDIT_NO_KEY, "no_key")                                                                  \
	X(AUDIT_NO_SECRET, "no_secret_yet")                                                        \
	X(AUDIT_RATE, "over_rate")                                                                 \
	X(AUDIT_FORMAT, "format_errors")                                                           \
	X(AUDIT_FULL, "queue_full")                                                                \
	X(AUDIT_LATE, "late")                                                                      \
	X(AUDIT_CALLER_LEFT, "caller_left")                                                        \
	X(AUDIT_FAILED, "failed")

enum audit_event {
#define X(id, name) id,
	AUDIT_LIST(X)
#undef X
	    AUDIT_N
};

enum { AUDIT_LINE_MS = 10 * 1000 };

struct audit {
	uint64_t n[AUDIT_N];
	uint64_t line_at; /* ms of the last line; 0: none yet */
	uint64_t suppressed; /* refusals since then that got no line */
};

void audit_count(struct audit *, enum audit_event);
/* Counts, and says who was refused what. */
void audit_refuse(struct audit *, enum audit_event, uint64_t now_ms, const struct identity *who,
    const char *what, const char *why);
void audit_log(const struct audit *); /* all counts on one line */
const char *audit_name(enum audit_event);

#endif
