/*
 * fake_peers.h: peers for tests of those who ask: linked in place of net/peers, each ask is answered
 * by hand.
 */
#ifndef T_SIM_FAKE_PEERS_H
#define T_SIM_FAKE_PEERS_H

#include "net/peers.h"

enum { ASKS_MAX = 128 };

struct ask {
	struct peers *peers;
	bool open;
	unsigned slot; /* that is to have answered */
	struct peers_choice choice;
	uint8_t *message;
	size_t len;
	uint32_t deadline_ms;
	void (*done)(void *arg, enum peers_result, struct bytes answer);
	void *arg;
};

struct peers {
	struct peers_params params;
	struct ask asks[ASKS_MAX];
	size_t n, blamed, set_n;
	unsigned asked; /* n, to wait for */
	uint64_t mark; /* of all connections */
	enum peers_why why; /* PEERS_ASKED: takes asks */
	void (*up)(void *arg);
	void *up_arg;
};

/* The last that was made: its owner keeps it to itself. Set by peers_new, NULL after peers_free. */
struct peers *fake_peers(void);
void fake_forget(void); /* all asks; those that are open are lost */
void fake_answer(size_t i, enum peers_result, const void *bytes, size_t len);

#endif
