/*
 * keyclient_bed.h: a key client over fake peers (fake_peers.h), and one question of it at a time.
 */
#ifndef T_SIM_KEYCLIENT_BED_H
#define T_SIM_KEYCLIENT_BED_H

#include "gateway/cluster/keyclient.h"
#include "t/sim/fake_peers.h"
#include "wire/keyless.h"

/* What came of a question. */
struct told {
	unsigned n, checks;
	enum reason reason;
	size_t len;
	uint64_t nth;
	bool refuse; /* what check_cb says */
};

struct fixture {
	struct loop *loop;
	struct keyclient *keys;
	struct told told;
};

extern const struct keyclient_key bed_key;
extern const uint8_t bed_ecdsa_sig[8]; /* has the shape of one */

/* Two servers beside what params say. */
void bed_setup(struct fixture *, struct keyclient_params);
void bed_teardown(struct fixture *);

void told_cb(void *told, enum reason, struct bytes sig);
bool check_cb(void *told, struct bytes sig, uint64_t nth);
struct keyclient_ask *ask_sign(struct fixture *, uint16_t scheme, enum reason *why);
void sign(struct fixture *, uint16_t scheme); /* the same, into an empty told */
struct keyless asked(size_t i); /* the i-th message, parsed */
void answer_keyless(size_t i, uint8_t opcode, const void *payload, size_t len);

#endif
