/*
 * peers_bed.h: one set of peers, and a scripted server for it.
 */
#ifndef PEERS_BED_H
#define PEERS_BED_H

#include "net/peers.h"

#include "sim.h"

enum { ASKS_MAX = 128 };

struct bed;

/* One ask and what became of it. */
struct asked {
	struct bed *bed;
	struct ask *ask;
	int done_n;
	enum peers_result result;
	char answer[64];
	void (*then)(struct asked *); /* within done */
};

struct bed {
	struct loop *loop;
	struct peers *peers;
	struct peers_params params;
	struct sim_server server, other;
	struct asked asked[ASKS_MAX];
	bool asking; /* peers_ask is on the stack: done must not run */
	int up_n;
	enum peers_why why;
};

size_t bed_hello(void *arg, uint8_t *buf, size_t max);
enum parse bed_welcome(void *arg, struct bytes answer);
size_t bed_ping(void *arg, uint8_t *buf, size_t max);
void bed_number(uint8_t *message, uint32_t id);
int bed_setup(void **state);
int bed_teardown(void **state);
void bed_start(struct bed *bed, bool listening);
void bed_done(void *arg, enum peers_result result, struct bytes answer);
struct ask *bed_ask_bytes(struct bed *bed, int i, struct bytes message, uint32_t deadline_ms);
void bed_ask(struct bed *bed, int i, const char *text, uint32_t deadline_ms);
void bed_connect(struct bed *bed);
bool bed_ended(struct bed *bed, int i, enum peers_result result);

#endif
