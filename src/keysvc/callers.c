/*
 * callers.c: a hash by name and role, and a list by age. Called by policy for each request.
 */
#include "keysvc/callers.h"

#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

enum { BUCKETS_N = 1024 };

struct callers {
	TAILQ_HEAD(, caller) ages;
	LIST_HEAD(, caller) hashed[BUCKETS_N];
	size_t n;
};

struct callers *callers_new(void)
{
	struct callers *callers = calloc(1, sizeof(*callers));

	if (callers == NULL)
		return NULL;
	TAILQ_INIT(&callers->ages);
	return callers;
}

static void drop(struct callers *callers, struct caller *caller)
{
	TAILQ_REMOVE(&callers->ages, caller, age);
	LIST_REMOVE(caller, same);
	callers->n--;
	free(caller->name);
	free(caller);
}

void callers_each(struct callers *callers, void (*each)(void *arg, struct caller *), void *arg)
{
	struct caller *caller;

	TAILQ_FOREACH (caller, &callers->ages, age)
		each(arg, caller);
}

size_t callers_n(const struct callers *callers)
{
	return callers->n;
}

void callers_free(struct callers *callers)
{
	struct caller *caller;

	if (callers == NULL)
		return;
	while ((caller = TAILQ_FIRST(&callers->ages)) != NULL)
		drop(callers, caller);
	free(callers);
}

/* Names are those of certificates of our CA, so the hash needs no secret. */
static size_t place_of(const struct identity *who)
{
	size_t h = who->role;

	for (const char *at = who->name; *at != '\0'; at++)
		h = h * 31 + (unsigned char)*at;
	return (h ^ h >> 10) % BUCKETS_N;
}

static struct caller *add(
    struct callers *callers, const struct identity *who, const struct rule *rule, uint64_t now_ms)
{
	struct caller *caller = calloc(1, sizeof(*caller));

	if (caller == NULL || (caller->name = strdup(who->name)) == NULL) {
		free(caller);
		return NULL;
	}
	if (callers->n == CALLERS_MAX)
		drop(callers, TAILQ_FIRST(&callers->ages));
	caller->role = who->role;
	if (rule->conf != NULL)
		bucket_init(&caller->bucket, rule->conf->rate, rule->conf->rate, now_ms);
	TAILQ_INSERT_TAIL(&callers->ages, caller, age);
	LIST_INSERT_HEAD(&callers->hashed[place_of(who)], caller, same);
	callers->n++;
	return caller;
}

static struct caller *known(struct callers *callers, const struct identity *who)
{
	struct caller *caller;

	LIST_FOREACH (caller, &callers->hashed[place_of(who)], same) {
		if (caller->role == who->role && strcmp(caller->name, who->name) == 0)
			return caller;
	}
	return NULL;
}

struct caller *callers_find(
    struct callers *callers, const struct rules *rules, const struct identity *who, uint64_t now_ms)
{
	struct caller *caller = known(callers, who);
	uint8_t address[16] = { 0 };
	const struct rule *rule;

	network_address(&who->address, address);
	if (caller != NULL && memcmp(caller->address, address, sizeof(address)) == 0) {
		TAILQ_REMOVE(&callers->ages, caller, age);
		TAILQ_INSERT_TAIL(&callers->ages, caller, age);
		return caller;
	}
	if ((rule = rules_find(rules, who)) == NULL)
		return NULL;
	if (caller == NULL && (caller = add(callers, who, rule, now_ms)) == NULL)
		return NULL;
	if (caller->rule != rule && rule->conf != NULL)
		bucket_set(&caller->bucket, rule->conf->rate, rule->conf->rate);
	caller->rule = rule;
	memcpy(caller->address, address, sizeof(address));
	return caller;
}
