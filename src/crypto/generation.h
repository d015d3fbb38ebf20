/*
 * generation.h: what the epochs' keys come from; in the key service only.
 *
 * A generation is a secret S that is ratcheted forward once an epoch and never back, so what is
 * stolen today opens nothing older than the window of accepted epochs:
 *   S_{e+1} = Expand(S_e, "sslgw ratchet", 32);   E_e = Expand(S_e, "sslgw epoch" | id | u64 e, 32)
 * e = floor(unix / period); W = 24 h / period; accepted are now-W <= e <= now+1.
 *
 * The state file, integers big-endian:
 *   "SSLGWEP" | u8 2 | u32 period | u64 unix time of the last write
 *   | u16 n | n x { id (8) | u8 kind | u64 start | u64 base | S at epoch base (32) }
 *   | u16 n | n x { revoked id (8) | u64 unix time of the revocation }
 *   | u16 n | n x { dropped id (8) | u64 unix time }: they ruled nothing any more
 *   | SHA-256 of all before it
 *
 * The exchange, answer to `sslgw/generations` between key services (generation_exchange.c):
 *   sender (8 random bytes, drawn at its start) | u64 unix | u32 period | u8 held (1: its clock is)
 *   | u16 n | n x generation as above | u16 n | n x revocation as above
 * Of it is taken: revocations always, with their time; and where the period is the same, the clocks
 * are at most an epoch apart and this server's is not held, each generation that is new here, is not
 * revoked, was not dropped here, rules something from now-W on and starts at most 7 days ahead. It is
 * ratcheted to now-W before it is stored. A known id with another kind, start or S stays as it is here.
 */
#ifndef CRYPTO_GENERATION_H
#define CRYPTO_GENERATION_H

#include "crypto/epoch.h"

enum {
	GENERATIONS_MAX = 64,
	GENERATION_RECORD_LEN = 57,
	GENERATION_PERIOD_MIN_S = 600, /* and a divisor of 24 h */
	GENERATION_PERIOD_MAX_S = 3600,
	GENERATIONS_DROPPED_MAX = 64,
	GENERATIONS_REVOKED_S = 366 * 86400, /* a revoked id is kept so long */
	GENERATIONS_AWAY_S = 2 * 86400, /* what was dropped so lately may live on elsewhere */
	GENERATION_START_MAX_S = 7 * 86400, /* a peer's generation may start so far ahead */
	GENERATION_AHEAD = 2, /* a made one starts so many epochs ahead, to reach everybody */
	GENERATIONS_FILE_MAX = 8 + 4 + 8 + 2 + GENERATIONS_MAX * GENERATION_RECORD_LEN + 2 +
			       EPOCH_REVOKED_MAX * 16 + 2 + GENERATIONS_DROPPED_MAX * 16 + 32,
	GENERATIONS_EXCHANGE_MAX = 8 + 8 + 4 + 1 + 2 + GENERATIONS_MAX * GENERATION_RECORD_LEN + 2 +
				   EPOCH_REVOKED_MAX * 16,
};

struct generation {
	uint8_t id[EPOCH_ID_LEN];
	uint8_t kind; /* enum epoch_kind */
	uint64_t start;
	uint64_t base; /* the epoch that secret belongs to; >= start */
	uint8_t secret[EPOCH_KEY_LEN];
};

struct revocation {
	uint8_t id[EPOCH_ID_LEN];
	uint64_t when; /* unix */
};

/* Holds secrets: generations_clear() before its memory goes. */
struct generations {
	uint32_t period; /* seconds */
	uint64_t written; /* unix time of the last write of the file; 0: never */
	struct generation at[GENERATIONS_MAX];
	size_t n;
	struct revocation revoked[EPOCH_REVOKED_MAX];
	size_t revoked_n;
	struct revocation dropped[GENERATIONS_DROPPED_MAX]; /* oldest first */
	size_t dropped_n;
};

bool generation_period_valid(uint64_t seconds);
void generations_init(struct generations *, uint32_t period); /* empty */
void generations_clear(struct generations *);
uint64_t generations_epoch(const struct generations *, uint64_t unix_now);

/* The oldest epoch whose tickets are still accepted. */
uint64_t generations_oldest(const struct generations *, uint64_t unix_now);

/* Draws a new generation. 0, or -1: full, no randomness, or too many start in the same epoch. Its tag
 * is not 0 and not that of a known generation, and it rules the epoch in which it starts. ORPHAN starts
 * now; MADE starts GENERATION_AHEAD epochs from now, or now if at_once. */
int generations_make(struct generations *, enum epoch_kind, uint64_t unix_now, bool at_once)
    __attribute__((warn_unused_result));
/* Should a new one be made: none rules the present, or the newest is older than lifetime and none lies
 * ahead. */
bool generations_due(const struct generations *, uint64_t unix_now, uint64_t lifetime_s);

/* Moves on to now, forgetting: every S is ratcheted to max(start, now-W), and generations that rule
 * nothing from now-W on are dropped. Never back. 1: something changed (write the file), 0: nothing,
 * -1: failed; then what could not be moved is gone. */
int generations_advance(struct generations *, struct kit *, uint64_t unix_now)
    __attribute__((warn_unused_result));
/* Drops what rules nothing from now-W on, and remembers its id. Whether there was any. */
bool generations_prune(struct generations *, uint64_t unix_now);
/* Adds to the revoked ids and wipes the generation. 0; -1: the list is full. */
int generations_revoke(struct generations *, const uint8_t id[static EPOCH_ID_LEN], uint64_t when)
    __attribute__((warn_unused_result));
/* All but one, and what was dropped in the last GENERATIONS_AWAY_S. 0; -1: the list is full. */
int generations_revoke_all(struct generations *, const uint8_t keep[static EPOCH_ID_LEN],
    uint64_t unix_now) __attribute__((warn_unused_result));
bool generations_is_revoked(const struct generations *, const uint8_t id[static EPOCH_ID_LEN]);
bool generations_is_dropped(const struct generations *, const uint8_t id[static EPOCH_ID_LEN]);
/* Moves one secret on to e. 0, -1: further than a year, or libcrypto failed. */
int generation_ratchet(struct kit *, struct generation *, uint64_t e)
    __attribute__((warn_unused_result));

/* The ruler of e; NULL: none. Borrowed. */
const struct generation *generations_ruler(const struct generations *, uint64_t e);
/* The answer to sslgw/epoch-keys for one group: a record for each accepted epoch that has a ruler.
 * 0; -1: no room (EPOCH_ANSWER_MAX is enough), or libcrypto failed. */
int generations_answer(const struct generations *, struct kit *, struct bytes group,
    uint64_t unix_now, struct writer *) __attribute__((warn_unused_result));

/* The answer to sslgw/epoch-ids. 0; -1: no room. */
int generations_ids(const struct generations *, uint64_t unix_now, struct writer *)
    __attribute__((warn_unused_result));

/* The state file's bytes. 0 with *len set; -1: no room. */
int generations_encode(const struct generations *, uint8_t *out, size_t size, size_t *len)
    __attribute__((warn_unused_result));
/* PARSE_BAD: truncated, altered or not ours; *out is then empty. */
enum parse generations_decode(struct bytes, struct generations *out);

/* ---- the exchange. Holds secrets: generations_offer_clear() before its memory goes. */
struct generations_offer {
	uint8_t sender[EPOCH_ID_LEN];
	uint64_t unix_now;
	uint32_t period;
	bool held;
	struct generation at[GENERATIONS_MAX];
	size_t n;
	struct revocation revoked[EPOCH_REVOKED_MAX];
	size_t revoked_n;
};

/* What came of an offer. */
struct generations_taken {
	bool other_period, other_clock; /* so no generation of it was taken */
	unsigned made, revoked; /* new here */
	unsigned conflicts; /* a known id with another kind, start or S */
	unsigned ahead; /* start, or base, too far ahead */
	unsigned full, failed;
	uint8_t id[EPOCH_ID_LEN]; /* the last of conflicts or ahead */
};

/* 0; -1: no room (GENERATIONS_EXCHANGE_MAX is enough). */
int generations_offer(const struct generations *, const uint8_t sender[static EPOCH_ID_LEN],
    uint64_t unix_now, bool held, struct writer *) __attribute__((warn_unused_result));
/* PARSE_BAD: *out is empty. Never PARSE_MORE. */
enum parse generations_offer_parse(struct bytes, struct generations_offer *out);
void generations_offer_clear(struct generations_offer *);
/* held: this side's clock; then only revocations are taken. Whether anything has changed. */
bool generations_take(struct generations *, struct kit *, const struct generations_offer *,
    uint64_t unix_now, bool held, struct generations_taken *);

/* ---- the parts that file and exchange share */
void generation_put(struct writer *, const struct generation *);
bool generation_take(struct cursor *, struct generation *); /* false: short or senseless */
void revocations_put(struct writer *, const struct revocation *, size_t n);
bool revocations_take(struct cursor *, struct revocation *, size_t max, size_t *n);

#endif
