/*
 * policy.c: see policy.h. Called by keysvc for each request, and by main and control on changes.
 */
#include "keysvc/policy.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include "base/poison.h"

static bool admits_uid(const struct policy *policy, uid_t uid)
{
	if (policy->uids_n == 0)
		return uid == geteuid() || uid == 0;
	for (size_t i = 0; i < policy->uids_n; i++) {
		if (policy->uids[i] == uid)
			return true;
	}
	return false;
}

struct caller *policy_caller(struct policy *policy, const struct identity *who, uint64_t now_ms)
{
	if (who->local)
		return admits_uid(policy, who->uid) ? &policy->local : NULL;
	if (!who->tls || policy->rules == NULL)
		return NULL;
	if (policy->callers == NULL && (policy->callers = callers_new()) == NULL)
		return NULL;
	return callers_find(policy->callers, policy->rules, who, now_ms);
}

bool policy_admits(struct policy *policy, const struct identity *who)
{
	if (who->local)
		return admits_uid(policy, who->uid);
	return who->tls && policy->rules != NULL && rules_find(policy->rules, who) != NULL;
}

bool policy_token_fits(const struct policy *policy, struct bytes token)
{
	return policy->has_token &&
	       bytes_equal_consttime(token, bytes_of(policy->token, sizeof(policy->token)));
}

bool policy_grants(const struct policy *policy, const struct caller *caller, enum grant grant)
{
	unsigned grants = caller->rule == NULL ? policy->grants : caller->rule->grants;

	return (grants & grant) != 0;
}

bool policy_key(const struct caller *caller, size_t place)
{
	return caller->rule == NULL || rule_key(caller->rule, place);
}

bool policy_raw_key(const struct caller *caller, size_t place)
{
	return caller->rule != NULL && rule_raw_key(caller->rule, place);
}

bool policy_group(const struct caller *caller, struct bytes group)
{
	return caller->rule == NULL || rule_group(caller->rule, group);
}

bool policy_take(struct caller *caller, uint64_t now_ms)
{
	if (caller->rule != NULL && !bucket_take(&caller->bucket, 1, now_ms))
		return false;
	caller->taken++;
	return true;
}

void policy_set_rules(struct policy *policy, struct rules *rules)
{
	assert(rules == NULL || rules != policy->rules);
	callers_free(policy->callers); /* they point to the former rules */
	policy->callers = NULL;
	rules_free(policy->rules);
	policy->rules = rules;
}

void policy_clear(struct policy *policy)
{
	policy_set_rules(policy, NULL);
	OPENSSL_cleanse(policy, sizeof(*policy));
}
