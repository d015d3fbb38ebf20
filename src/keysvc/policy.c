/*
 * policy.c: the embedded service's policy: tls-sign, epoch-keys, keys and ping for the gateway's own
 * workers. Called by keysvc for each connection's first request and for each operation.
 */
#include "keysvc/policy.h"

#include <openssl/crypto.h>
#include <unistd.h>

#include "base/poison.h"

bool policy_admits(const struct policy *policy, const struct identity *who)
{
	if (!who->local)
		return false;
	if (policy->uids_n == 0)
		return who->uid == geteuid() || who->uid == 0;
	for (size_t i = 0; i < policy->uids_n; i++) {
		if (policy->uids[i] == who->uid)
			return true;
	}
	return false;
}

bool policy_token_fits(const struct policy *policy, struct bytes token)
{
	return policy->has_token &&
	       bytes_equal_consttime(token, bytes_of(policy->token, sizeof(policy->token)));
}

bool policy_grants(const struct policy *policy, enum grant grant)
{
	return (policy->grants & grant) != 0;
}

void policy_clear(struct policy *policy)
{
	OPENSSL_cleanse(policy, sizeof(*policy));
}
