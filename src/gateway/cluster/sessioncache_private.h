/*
 * sessioncache_private.h: what the files of sessioncache share. sessioncache.c: questions and their
 * answers; sessioncache_claim.c: which server can hold claims, and what is asked of it.
 */
#ifndef GATEWAY_CLUSTER_SESSIONCACHE_PRIVATE_H
#define GATEWAY_CLUSTER_SESSIONCACHE_PRIVATE_H

#include "gateway/cluster/sessioncache.h"
#include "net/peers.h"
#include "wire/resp.h"

enum { SESSIONCACHE_MESSAGE_MAX = SEAL_VALUE_MAX + 256 };

struct sessioncache {
	struct loop *loop;
	struct peers *peers;
	size_t servers_n;
	uint64_t servers_hash; /* of the set, in any order */
	unsigned copies;
	uint64_t usual_ns; /* an answer takes so long */
	uint32_t repair_credit; /* thousandths of a repair */
	_Atomic uint64_t *found, *repairs;
	char user[SESSIONCACHE_USER_MAX], password[SESSIONCACHE_PASSWORD_MAX]; /* "": none */
	struct sessioncache_ask *free; /* linked by next */
	size_t free_n;
	uint64_t told_ms; /* when it was last said that claims cannot be made; 0: never */
	bool closing;
	uint8_t message[SESSIONCACHE_MESSAGE_MAX]; /* scratch; peers_ask copies */
};

/* A message to the server of one rank. */
struct sent {
	struct sessioncache_ask *ask;
	struct ask *at; /* NULL: not in flight */
};

enum question { QUESTION_GET, QUESTION_PUT, QUESTION_CLAIM };

struct sessioncache_ask {
	struct sessioncache_ask *next;
	struct sessioncache *cache;
	sessioncache_cb done; /* NULL: told, or cancelled */
	void *arg;
	uint64_t began; /* ns */
	uint8_t name[SEAL_NAME_LEN];
	enum question question;
	uint8_t missed; /* ranks whose servers do not have it, bit 1 << rank */
	unsigned asked, open; /* ranks; of these in flight */
	struct sent sent[SESSIONCACHE_COPIES_MAX];
	struct deadline hedge;
};

/* sessioncache.c */
struct sessioncache_ask *sessioncache_ask_new(struct sessioncache *,
    const uint8_t name[static SEAL_NAME_LEN], enum question, sessioncache_cb,
    void *arg); /* NULL: no memory */
void sessioncache_ask_free(struct sessioncache_ask *);
/* false: that server is out, or there is no time left. */
bool sessioncache_send(struct sessioncache_ask *, unsigned rank, struct bytes message);

/* sessioncache_claim.c */
size_t sessioncache_inquire(void *sessioncache, uint8_t *buf, size_t max);
uint64_t sessioncache_learn(void *sessioncache, const struct endpoint *, struct bytes answer);
uint64_t sessioncache_hash_servers(const struct endpoint *, size_t n);
/* *blame: the answer made no sense. */
enum sessioncache_result sessioncache_claimed(
    struct sessioncache *, struct bytes answer, bool *blame);

#endif
