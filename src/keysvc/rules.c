/*
 * rules.c: see rules.h. Called by policy.
 */
#include "keysvc/rules.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "base/log.h"
#include "keysvc/chain.h"
#include "net/tlsctx.h"

#include "base/poison.h"

struct rules {
	struct rule
	    at[RULES_MAX + 1]; /* the last of them: key services without a rule of their own */
	size_t n;
};

bool rules_match(const char *pattern, const char *text, bool fold)
{
	const char *star = NULL, *from = NULL;

	while (*text != '\0') {
		unsigned char p = (unsigned char)*pattern, t = (unsigned char)*text;

		if (p == '*') {
			star = ++pattern;
			from = text;
		} else if (p == t || (fold && tolower(p) == tolower(t))) {
			pattern++;
			text++;
		} else if (star != NULL) { /* the last star takes one more */
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* ---- keys */

static bool is_ski(const char *pattern, const struct key *key)
{
	char hex[2 * CERT_SKI_LEN + 1];

	return strcasecmp(pattern, hex_write(hex, key->ski, CERT_SKI_LEN)) == 0;
}

static bool names_key(const char *pattern, const struct key *key)
{
	const char *slash = strrchr(key->name, '/');

	if (rules_match(pattern, key->name, false) ||
	    (slash != NULL && rules_match(pattern, slash + 1, false)) || is_ski(pattern, key))
		return true;
	for (size_t i = 0; key->chain != NULL && i < key->chain->names_n; i++) {
		if (rules_match(pattern, key->chain->names[i], true))
			return true;
	}
	return false;
}

static bool any_names_key(const struct conf_strings *patterns, const struct key *key)
{
	for (size_t i = 0; i < patterns->n; i++) {
		if (names_key(patterns->at[i], key))
			return true;
	}
	return false;
}

static uint8_t *bits_of(const struct conf_strings *patterns, const struct keystore *keys)
{
	uint8_t *bits = calloc(1, keystore_n(keys) / 8 + 1);

	for (size_t i = 0; bits != NULL && patterns->n > 0 && i < keystore_n(keys); i++) {
		if (any_names_key(patterns, keystore_at(keys, i)))
			bits[i / 8] |= (uint8_t)(1 << i % 8);
	}
	return bits;
}

static void free_bits(uint8_t **bits)
{
	for (size_t i = 0; i < 2 * (RULES_MAX + 1); i++)
		free(bits[i]);
	free(bits);
}

int rules_bind(struct rules *rules, const struct keystore *keys)
{
	uint8_t **bits = calloc(2 * (RULES_MAX + 1), sizeof(*bits));

	if (bits == NULL)
		return -1;
	for (size_t i = 0; i < rules->n; i++) {
		const struct caller_conf *conf = rules->at[i].conf;

		if (conf == NULL)
			continue;
		bits[2 * i] = bits_of(&conf->keys, keys);
		bits[2 * i + 1] = bits_of(&conf->unsafe_raw_rsa, keys);
		if (bits[2 * i] == NULL || bits[2 * i + 1] == NULL) {
			free_bits(bits);
			return -1;
		}
	}
	for (size_t i = 0; i < rules->n; i++) {
		struct rule *rule = &rules->at[i];

		free(rule->keys);
		free(rule->raw_keys);
		rule->keys = bits[2 * i];
		rule->raw_keys = bits[2 * i + 1];
		rule->keys_n = keystore_n(keys);
	}
	free(bits);
	return 0;
}

static bool bit(const struct rule *rule, const uint8_t *bits, size_t place)
{
	return bits != NULL && place < rule->keys_n && (bits[place / 8] >> place % 8 & 1) != 0;
}

bool rule_key(const struct rule *rule, size_t place)
{
	return bit(rule, rule->keys, place);
}

bool rule_raw_key(const struct rule *rule, size_t place)
{
	return bit(rule, rule->raw_keys, place);
}

/* ---- groups */

static bool has(const struct conf_strings *list, const char *text)
{
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(list->at[i], text) == 0)
			return true;
	}
	return false;
}

bool rule_group(const struct rule *rule, struct bytes group)
{
	if (rule->conf == NULL)
		return false;
	for (size_t i = 0; i < rule->conf->groups.n; i++) {
		if (bytes_equal_str(group, rule->conf->groups.at[i]))
			return true;
	}
	return has(&rule->conf->groups, "*");
}

/* ---- callers */

static bool fits(const struct rule *rule, const struct identity *who)
{
	if (rule->role != who->role)
		return false;
	if (rule->conf == NULL)
		return true;
	if (!rules_match(rule->conf->name, who->name, true))
		return false;
	for (size_t i = 0; i < rule->conf->networks.n; i++) {
		if (network_holds(&rule->networks[i], &who->address))
			return true;
	}
	return rule->conf->networks.n == 0;
}

const struct rule *rules_find(const struct rules *rules, const struct identity *who)
{
	for (size_t i = 0; i < rules->n; i++) {
		if (fits(&rules->at[i], who))
			return &rules->at[i];
	}
	return NULL;
}

/* ---- life */

static int rule_init(struct rule *rule, const struct caller_conf *conf)
{
	static const unsigned roles[] = { [CALLER_GATEWAY] = ROLE_GATEWAY,
		[CALLER_KEYSVC] = ROLE_KEYSVC,
		[CALLER_OPERATOR] = ROLE_OPERATOR,
		[CALLER_NONE] = ROLE_NONE };

	rule->conf = conf;
	rule->role = roles[conf->role];
	rule->grants = conf->allow;
	if (rule->role == ROLE_KEYSVC)
		rule->grants |= GRANT_GENERATIONS;
	if (conf->unsafe_raw_rsa.n > 0)
		rule->grants |= GRANT_RAW_RSA;
	if ((rule->networks = calloc(conf->networks.n + 1, sizeof(*rule->networks))) == NULL)
		return -1;
	for (size_t i = 0; i < conf->networks.n; i++) {
		/* conf was checked; one that fails stays all zero with 128 bits: nobody's */
		if (network_parse(&rule->networks[i], conf->networks.at[i]) == -1)
			rule->networks[i] = (struct network){ .bits = 128 };
	}
	return 0;
}

struct rules *rules_new(const struct keysvc_conf *conf)
{
	struct rules *rules = calloc(1, sizeof(*rules));

	if (rules == NULL)
		return NULL;
	for (size_t i = 0; i < conf->callers_n && i < RULES_MAX; i++) {
		if (rule_init(&rules->at[rules->n++], &conf->callers[i]) == -1) {
			rules_free(rules);
			return NULL;
		}
	}
	rules->at[rules->n++] = (struct rule){ .role = ROLE_KEYSVC, .grants = GRANT_GENERATIONS };
	return rules;
}

void rules_free(struct rules *rules)
{
	if (rules == NULL)
		return;
	for (size_t i = 0; i < rules->n; i++) {
		free(rules->at[i].networks);
		free(rules->at[i].keys);
		free(rules->at[i].raw_keys);
	}
	free(rules);
}

/* ---- what an operator should know */

static bool is_bound(const struct rule *rule)
{
	for (size_t i = 0; i < rule->keys_n / 8 + 1; i++) {
		if (rule->keys[i] != 0)
			return true;
	}
	return false;
}

static void warn_rule(const struct rule *rule)
{
	const struct caller_conf *conf = rule->conf;
	const char *name = conf->name;

	if (has(&conf->keys, "*"))
		log_warnx(
		    "caller \"%s\" may use every key (keys = [ \"*\" ]): name the keys of its "
		    "sites, so that a stolen identity gets no others",
		    name);
	else if ((rule->grants & GRANTS_OF_KEYS) != 0 && !is_bound(rule))
		log_warnx(
		    "caller \"%s\": its keys fit none of the keys here: name files, host names "
		    "of certificates beside them, or SKIs (sslgw-keysvc -t lists them)",
		    name);
	if (has(&conf->groups, "*"))
		log_warnx("caller \"%s\" gets the epoch keys of every group (groups = [ \"*\" ]): "
			  "name those of its sites",
		    name);
	if (conf->networks.n == 0)
		log_warnx(
		    "caller \"%s\" may ask from anywhere: add networks = [ \"10.0.0.0/8\" ], so "
		    "that a stolen identity is of no use elsewhere",
		    name);
	if ((rule->grants & GRANT_TLS_SIGN) != 0 && (rule->grants & GRANT_DIGEST_SIGN) != 0)
		log_warnx("caller \"%s\" has tls-sign and digest-sign: with the second it can have "
			  "anything signed, so the first protects nothing; leave one out of allow",
		    name);
	if ((rule->grants & GRANT_RAW_RSA) != 0)
		log_warnx("caller \"%s\" may do raw RSA (unsafe_raw_rsa): it can sign and decrypt "
			  "anything with those keys",
		    name);
}

void rules_warn(const struct rules *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		if (rules->at[i].conf != NULL)
			warn_rule(&rules->at[i]);
	}
}
