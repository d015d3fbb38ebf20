/*
 * epoch.h: the cluster's secrets as a gateway holds them, and what is derived from them.
 *
 * Time is cut into epochs of one period. For each epoch and group of sites the key service hands
 * out a group key G (it keeps what G came from). A gateway counts them with CLOCK_BOOTTIME: its wall
 * clock decides nothing. From G and a site's scope come the keys of tickets and sealed sessions:
 *
 *   K      = Expand(G, "sslgw scope" | scope hash, 32)
 *   ticket = Expand(K, "sslgw ticket" | v, 64)  AES-256-CBC key | HMAC-SHA256 key
 *   seal   = Expand(K, "sslgw seal"   | v, 64)
 *   name   = Expand(K, "sslgw name"   | v, 10)
 *
 * v is u16, 0303 or 0304; Expand is HKDF-Expand-SHA256; integers are big-endian.
 *
 * Answer of the key service to `sslgw/epoch-keys` (request payload: the group's name):
 *   u64 server's unix time | u8 count of revoked | that many ids (8)
 *   | records, to the end: id (8) | u8 kind | u64 start | u64 e | G (32)
 *                          | u32 seconds until current (0: is or was) | u32 seconds until void
 * An epoch is void 24 hours after its own end.
 *
 * Answer to `sslgw/epoch-ids` (empty request): which generations the records of the above come from, so
 * that they need not be fetched while nothing is new:
 *   u64 server's unix time | u8 count of revoked | that many ids | to the end: id (8) | u8 kind | u64 start
 *
 * The Rule: epoch e is ruled by the `made` generation with the latest start <= e, ties by the lowest
 * id; if there is none, by the `orphan` with the earliest start, ties by the lowest id. Only what
 * rules is used or accepted. What is learned in the middle of an epoch and would rule a past or the
 * present one does so from the next epoch on, when all gateways have heard of it; at once where a
 * revocation is heard of, or nothing rules.
 */
#ifndef CRYPTO_EPOCH_H
#define CRYPTO_EPOCH_H

#include <openssl/x509.h>

#include "base/bytes.h"
#include "crypto/kit.h"

enum {
	EPOCH_ID_LEN = 8,
	EPOCH_KEY_LEN = 32,
	EPOCH_SCOPE_LEN = 32,
	EPOCH_GROUP_MAX = 64, /* bytes of a group's name */
	EPOCH_RECORD_LEN = 65, /* on the wire */
	EPOCH_SET_MAX = 320, /* two servers' worth at the shortest period, 10 minutes */
	EPOCH_REVOKED_MAX = 255,
	EPOCH_ACCEPT_S = 86400, /* how long after its end an epoch's tickets are taken */
	EPOCH_ANSWER_MAX = 8 + 1 + EPOCH_REVOKED_MAX * EPOCH_ID_LEN +
			   EPOCH_SET_MAX * EPOCH_RECORD_LEN,
};

enum epoch_kind { EPOCH_MADE = 1, EPOCH_ORPHAN = 2 };

struct epoch_record {
	uint8_t id[EPOCH_ID_LEN]; /* of the generation; its first two bytes are the tag */
	uint8_t kind; /* enum epoch_kind */
	uint64_t start, e;
	uint8_t group_key[EPOCH_KEY_LEN];
	uint64_t current_at, void_at; /* ms of CLOCK_BOOTTIME */
	uint64_t rules_at; /* the same: it counts from then on; 0: always */
};

/* Plain memory of the caller's, zeroed at first; holds secrets: epoch_set_clear() before it goes. */
struct epoch_set {
	struct epoch_record at[EPOCH_SET_MAX];
	size_t n;
	uint8_t revoked[EPOCH_REVOKED_MAX][EPOCH_ID_LEN];
	size_t revoked_n;
};

/* Is a better than b for the same epoch? Both have start <= e. */
bool epoch_outranks(const uint8_t *a_id, uint8_t a_kind, uint64_t a_start, const uint8_t *b_id,
    uint8_t b_kind, uint64_t b_start);

/* Replaces *out (which is cleared first). PARSE_BAD: *out is empty. Never PARSE_MORE. */
enum parse epoch_answer_parse(
    struct bytes answer, uint64_t now_ms, struct epoch_set *out, uint64_t *server_unix);
enum { EPOCH_IDS_MAX = 64, EPOCH_ID_RECORD_LEN = 17 }; /* EPOCH_IDS_MAX generations in an answer */
struct epoch_ids {
	uint8_t at[EPOCH_IDS_MAX][EPOCH_ID_LEN];
	size_t n;
	uint8_t revoked[EPOCH_REVOKED_MAX][EPOCH_ID_LEN];
	size_t revoked_n;
};
/* Replaces *out. PARSE_BAD: *out is empty. Never PARSE_MORE. */
enum parse epoch_ids_parse(struct bytes answer, struct epoch_ids *out);
/* Wipes what is revoked, and remembers it. Whether an id was new; a full list takes no more. */
bool epoch_set_revoke(struct epoch_set *, const uint8_t ids[][EPOCH_ID_LEN], size_t n);
/* Has it a record of that generation? */
bool epoch_set_knows(const struct epoch_set *, const uint8_t id[static EPOCH_ID_LEN]);

/* Records must have u32 seconds in current_at and void_at here instead of times. */
void epoch_answer_begin(struct writer *, uint64_t unix_now, const struct epoch_set *revoked);
void epoch_answer_add(
    struct writer *, const struct epoch_record *, uint32_t until_current_s, uint32_t until_void_s);

/* Takes the records and revocations of from that into lacks; the times of known ones stay. -1: full,
 * what fitted was taken. */
int epoch_set_merge(struct epoch_set *into, const struct epoch_set *from, uint64_t now_ms);
/* Wipes what is void or revoked. Returns how many records are left. */
size_t epoch_set_expire(struct epoch_set *, uint64_t now_ms);
void epoch_set_clear(struct epoch_set *);

/* The ruling record of the epoch that is current now; NULL: none, so make no tickets. Both results
 * are borrowed until the set changes. */
const struct epoch_record *epoch_set_current(const struct epoch_set *, uint64_t now_ms);
/* What a ticket or session id names: tag and the low 24 bits of the epoch. NULL: not accepted (any
 * more), or it does not rule its epoch. */
const struct epoch_record *epoch_set_find(
    const struct epoch_set *, uint64_t now_ms, uint16_t tag, uint32_t e24);
/* When the answers of current and find next change by time alone; UINT64_MAX: never. */
uint64_t epoch_set_next(const struct epoch_set *, uint64_t now_ms);
uint16_t epoch_tag(const struct epoch_record *); /* never 0 */
uint32_t epoch_e24(const struct epoch_record *); /* low 24 bits of e */

/* ---- derivation */

/* G = Expand(E, "sslgw group" | group, 32); the key service's half. */
int epoch_group_key(struct kit *, const uint8_t epoch_key[static EPOCH_KEY_LEN], struct bytes group,
    uint8_t out[static EPOCH_KEY_LEN]) __attribute__((warn_unused_result));

/* Who may share sessions: SHA-256 over five items, each with its u16 length before it:
 * site name | u8 verify mode | u8 depth | CA digest (32) | crl policy (u8).
 * The CA digest is SHA-256 over the sorted SHA-256s of the certificates' DER, each once; the file's
 * layout does not count. NULL or empty: of no certificate. It is also the session_id_context. */
struct scope {
	const char *site;
	uint8_t verify, depth, crl; /* crl: 0 none, 1 checked */
	uint8_t ca_digest[32];
};
int scope_ca_digest(const STACK_OF(X509) * cas, uint8_t out[static 32])
    __attribute__((warn_unused_result));
void scope_hash(const struct scope *, uint8_t out[static EPOCH_SCOPE_LEN]);

/* For one scope, epoch and TLS version. Cache it: it costs eight HMACs. Cleanse it when done. */
struct scope_keys {
	uint8_t ticket_cipher[32], ticket_hmac[32]; /* AES-256-CBC, HMAC-SHA256 */
	uint8_t seal[64];
	uint8_t name[10];
};
int scope_keys_derive(struct kit *, const uint8_t group_key[static EPOCH_KEY_LEN],
    const uint8_t scope[static EPOCH_SCOPE_LEN], uint16_t version, struct scope_keys *out)
    __attribute__((warn_unused_result));

#endif
