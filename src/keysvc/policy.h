/*
 * policy.h: who may ask what. On a Unix socket a caller is its uid, as the kernel tells it; where there
 * is a family token, the first request of a connection must carry it, so that another program of the
 * same uid gets nothing.
 */
#ifndef KEYSVC_POLICY_H
#define KEYSVC_POLICY_H

#include <sys/types.h>

#include "base/bytes.h"
#include "net/service.h"
#include "wire/keyless.h"

/* Bits, in the order of the option's values. Ping needs none. */
enum grant { GRANT_TLS_SIGN = 1, GRANT_EPOCH_KEYS = 2, GRANT_KEYS = 4 };
enum { POLICY_UIDS_MAX = 64 };

struct policy {
	uid_t uids[POLICY_UIDS_MAX]; /* of callers; none: only the service's own uid and root */
	size_t uids_n;
	bool has_token;
	uint8_t token[KEYLESS_TOKEN_LEN];
	unsigned grants;
};

bool policy_admits(const struct policy *, const struct identity *);
bool policy_token_fits(
    const struct policy *, struct bytes token); /* constant time; false without a token */
bool policy_grants(const struct policy *, enum grant);
void policy_clear(struct policy *); /* wipes the token */

#endif
