/*
 * epochs_private.h: what the files of epochs share. epochs.c: life, the timer, the file; epochs_make.c:
 * when one is made; epochs_peers.c: what peers say; epochs_command.c: the operator's commands.
 */
#ifndef KEYSVC_EPOCHS_PRIVATE_H
#define KEYSVC_EPOCHS_PRIVATE_H

#include "keysvc/epochclock.h"
#include "keysvc/epochs.h"
#include "keysvc/exchange.h"

enum {
	EPOCHS_TICK_MS = 10 * 1000,
	EPOCHS_WANTING_TICK_MS = 1000, /* while none rules the present */
	EPOCHS_ROUND_S = 30, /* between two rounds of questions to the peers */
	EPOCHS_FIRST_ROUNDS_S = 10, /* the same in the first minute: others start now as well */
	EPOCHS_FIRST_S = 60,
	EPOCHS_ECHO_S =
	    5, /* who is asked asks, too, unless it did so lately: news spread at once */
	EPOCHS_FRESH_S = 100, /* what a peer said is believed so long: three rounds */
	EPOCHS_AGREE_S = 60, /* two clocks show the same time */
	EPOCHS_SAY_S = 600, /* between two lines about the same trouble */
	EPOCHS_WAIT_S = 600, /* before an automatic generation, drawn: another may be first */
	EPOCHS_ELECT_S = 10, /* whoever is not first waits so long for the first to make one */
};

/* X(constant, text). What is wrong with a peer. */
#define EPOCHS_TROUBLES(X)                                                                         \
	X(TROUBLE_NONE, "")                                                                        \
	X(TROUBLE_PERIOD, "has another epoch_period: set the same everywhere; until then nothing " \
			  "of it is taken")                                                        \
	X(TROUBLE_CLOCK,                                                                           \
	    "its clock and this one's are over an epoch apart: set them right (NTP); until then "  \
	    "nothing of it is taken")                                                              \
	X(TROUBLE_CONFLICT,                                                                        \
	    "has a generation of the same id with another start or secret: one of both files was " \
	    "tampered with or damaged: sslgwctl epoch new --now --revoke-old")                     \
	X(TROUBLE_AHEAD, "has a generation that starts more than 7 days ahead: it is not taken")   \
	X(TROUBLE_FULL, "has more generations or revoked ids than fit here: they were not taken")

enum trouble {
#define X(id, text) id,
	EPOCHS_TROUBLES(X)
#undef X
};

struct epochs_peer {
	struct endpoint endpoint;
	bool self; /* this very server, or one that stands further up in the list as well */
	bool answered; /* in the round that was last */
	bool ever;
	bool held; /* its clock */
	bool empty; /* it has no generation */
	uint64_t at; /* CLOCK_BOOTTIME when it last answered */
	int64_t ahead; /* its unix time less CLOCK_BOOTTIME then */
	uint8_t sender[EPOCH_ID_LEN];
	enum trouble trouble;
	uint64_t said; /* when its trouble was last logged; 0: never */
};

struct epochs {
	struct loop *loop;
	struct kit *kit;
	char *path;
	uint64_t lifetime_s;
	void (*read_clock)(void *arg, uint64_t *wall, uint64_t *boot);
	void *clock_arg;
	struct generations g;
	struct epochclock clock;
	struct deadline tick;
	uint64_t make_at; /* CLOCK_BOOTTIME: an automatic generation is made then; 0: none is due */
	uint64_t wanting_since; /* the same: none rules the present; 0: one does */
	uint64_t said_hold, said_wanting; /* the same, of the last line about it; 0: none */
	uint64_t write_at; /* the next try, after one that failed */
	bool dirty; /* the file lacks something */
	bool told_write;
	uint8_t sender[EPOCH_ID_LEN]; /* tells this server from others, in its own list too */
	struct exchange *exchange; /* NULL: no peers */
	uint64_t round_at, rounded; /* CLOCK_BOOTTIME of the next round and of the last */
	struct generations_offer *offer; /* scratch */
	struct epochs_peer peers[EPOCHS_PEERS_MAX];
	size_t peers_n;
};

struct epochs_time {
	uint64_t wall, boot;
};

struct epochs_time epochs_time(const struct epochs *);
/* The time by which what there is is served: not the wall clock's while that is not believed. */
uint64_t epochs_serve_time(const struct epochs *);
/* What the timer does: clock, moving on, making, asking, writing. For the tests too. */
void epochs_work(struct epochs *);
/* Has a round of questions begin in a moment. */
void epochs_ask_soon(struct epochs *);
/* 0, -1: said in the log. Nothing to do without a path. */
int epochs_write(struct epochs *);

/* epochs_make.c: makes one now if that is due and no peer need be asked before, else has a round begin. */
void epochs_make_if_due(struct epochs *, struct epochs_time);
/* A round is over: what was waiting for it is decided. */
void epochs_decide(struct epochs *, struct epochs_time);

/* epochs_peers.c */
bool epochs_peer_said(
    struct epochs *, size_t peer, struct bytes payload); /* exchange's answered() */
size_t epochs_others(const struct epochs *); /* configured, without oneself */
bool epochs_peers_agree(const struct epochs *, struct epochs_time); /* with the wall clock */
const char *epochs_trouble_text(enum trouble);

#endif
