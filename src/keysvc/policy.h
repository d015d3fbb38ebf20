/*
 * policy.h: who may ask what. On a Unix socket a caller is its uid, as the kernel tells it; where there
 * is a family token, the first request of a connection must carry it, so that another program of the
 * same uid gets nothing. Over TLS a caller is the name and role of its certificate and the network that
 * it asks from; a rule of the configuration (rules.h) says what it gets. All on the loop.
 */
#ifndef KEYSVC_POLICY_H
#define KEYSVC_POLICY_H

#include <sys/types.h>

#include "base/bytes.h"
#include "keysvc/callers.h"
#include "keysvc/rules.h"
#include "net/service.h"
#include "wire/keyless.h"

enum { POLICY_UIDS_MAX = 64 };

/* All zero is a policy: own uid and root, on Unix sockets, nothing granted. */
struct policy {
	uid_t uids[POLICY_UIDS_MAX]; /* of callers; none: only the service's own uid and root */
	size_t uids_n;
	bool has_token;
	uint8_t token[KEYLESS_TOKEN_LEN];
	unsigned grants; /* of callers on Unix sockets: with all keys, all groups, without a rate */
	struct rules *rules; /* owned; NULL: nobody may ask by TLS */
	struct callers *callers; /* owned; made at first use */
	struct caller local; /* stands for each caller on a Unix socket */
};

/* NULL: may not ask at all (or no memory). Valid until the policy changes or another caller is asked
 * for. */
struct caller *policy_caller(struct policy *, const struct identity *, uint64_t now_ms);
bool policy_admits(struct policy *, const struct identity *); /* is there a caller? */
bool policy_token_fits(
    const struct policy *, struct bytes token); /* constant time; false without a token */

bool policy_grants(const struct policy *, const struct caller *, enum grant);
bool policy_key(const struct caller *, size_t place); /* of the keystore the rules are bound to */
bool policy_raw_key(const struct caller *, size_t place); /* for opcode 01 */
bool policy_group(const struct caller *, struct bytes group);
bool policy_take(
    struct caller *, uint64_t now_ms); /* one operation of its rate; false: beyond it */

void policy_set_rules(
    struct policy *, struct rules *); /* owned; NULL: none. The rates begin anew */
void policy_clear(struct policy *); /* frees what it owns, and wipes the token */

#endif
