/*
 * callers.h: those that have asked by TLS: each name with its role is one caller, however many
 * connections and certificates it has, and has one rate. Bounded: the one that was silent longest goes.
 */
#ifndef KEYSVC_CALLERS_H
#define KEYSVC_CALLERS_H

#include <sys/queue.h>

#include "base/bucket.h"
#include "keysvc/claims.h"
#include "keysvc/rules.h"

enum { CALLERS_MAX = 4096 };

struct caller {
	TAILQ_ENTRY(caller) age; /* the last is who asked last */
	LIST_ENTRY(caller) same; /* of one hash */
	char *name;
	unsigned role;
	uint8_t address[16]; /* that the rule was found for */
	const struct rule *rule; /* NULL: a caller on a Unix socket (policy.h) */
	struct bucket bucket;
	uint64_t taken; /* private-key operations */
	uint64_t tls_asks; /* for sslgw/tls-sign, refused ones too */
	struct claims claims; /* of a gateway */
};

struct callers;

struct callers *callers_new(void); /* NULL: no memory */
/* Who asks, with its rule for where it asks from. NULL: no rule fits, or no memory. Valid until the next
 * call. */
struct caller *callers_find(
    struct callers *, const struct rules *, const struct identity *, uint64_t now_ms);
void callers_each(struct callers *, void (*each)(void *arg, struct caller *), void *arg);
size_t callers_n(const struct callers *); /* that are remembered */
void callers_free(struct callers *); /* NULL is fine */

#endif
