/*
 * rules.h: the callers of keysvc.conf, made ready to be asked for each request: caller x key x group x
 * operation x rate. A rule fits by the certificate's name and role and by the source network; of several
 * that fit the first counts.
 */
#ifndef KEYSVC_RULES_H
#define KEYSVC_RULES_H

#include "base/bytes.h"
#include "keysvc/keystore.h"
#include "keysvc/keysvc_conf.h"
#include "net/network.h"
#include "net/service.h"

/* Bits, in the order of the option's values; the last ones are no values of it. Ping needs none. */
#define GRANT_NAMES "tls-sign|epoch-keys|keys|chains|digest-sign|tls-rsa-kx"
enum grant {
	GRANT_TLS_SIGN = 1,
	GRANT_EPOCH_KEYS = 2,
	GRANT_KEYS = 4,
	GRANT_CHAINS = 8,
	GRANT_DIGEST_SIGN = 16,
	GRANT_TLS_RSA_KX = 32,
	GRANT_GENERATIONS = 64, /* role sslgw:keysvc has it */
	GRANT_RAW_RSA = 128, /* unsafe_raw_rsa names keys */
};
/* Those that are nothing without a key. */
enum { GRANTS_OF_KEYS = GRANT_TLS_SIGN | GRANT_CHAINS | GRANT_DIGEST_SIGN | GRANT_TLS_RSA_KX };
enum { RULES_MAX = 256 };

struct rule {
	const struct caller_conf *conf; /* NULL: what other key services get */
	unsigned role; /* a bit of enum role */
	unsigned grants; /* bits of enum grant */
	struct network *networks; /* as many as conf's; none: any */
	uint8_t *keys, *raw_keys; /* bits by the key's place in the set */
	size_t keys_n; /* of the set */
};

struct rules;

/* conf is borrowed until rules_free. NULL: no memory. */
struct rules *rules_new(const struct keysvc_conf *conf);
/* Works out each rule's keys in a sealed set. 0, -1: no memory; then the former set's stay. */
int rules_bind(struct rules *, const struct keystore *) __attribute__((warn_unused_result));
void rules_warn(const struct rules *); /* says what is wide, and what fits no key; bound */
void rules_free(struct rules *); /* NULL is fine */

const struct rule *rules_find(const struct rules *, const struct identity *); /* NULL: none */
bool rule_key(const struct rule *, size_t place);
bool rule_raw_key(const struct rule *, size_t place);
bool rule_group(const struct rule *, struct bytes group);

/* "*" stands for any text, also for none; fold: ASCII letters are the same in both cases. */
bool rules_match(const char *pattern, const char *text, bool fold);

#endif
