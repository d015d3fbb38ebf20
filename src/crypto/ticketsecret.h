/*
 * ticketsecret.h: a secret of the gateways' own, where no key service of ours makes epoch keys for
 * tickets: from a file that all of them have, or random ones of a single gateway.
 *
 * The file (ticket_secret_file) is text: a secret a line, 64 hex digits (32 bytes), as
 * "openssl rand -hex 32" prints it; '#' begins a comment, empty lines are nothing. New tickets are
 * made with the first; those of the others are accepted, so that a secret can be changed without an
 * end of sessions: add the new one below the old one everywhere, then put it first everywhere, and a
 * day later take the old one out. Only its owner may read it (mode 0600 or 0400), and that is root or
 * who runs the program.
 *
 * Epoch keys as the key service's (crypto/epoch.h), with a period of an hour, from a secret T:
 *   id  = Expand(T, "sslgw ticket id", 8); were its first two bytes 0, the first is 1
 *   E_e = Expand(T, "sslgw ticket epoch" | u64 e, 32), e = floor(unix time / 3600)
 *   G   = epoch_group_key(E_e, group)
 * Nothing is forgotten as time goes on: whoever has the file can open all tickets ever made with it.
 */
#ifndef CRYPTO_TICKETSECRET_H
#define CRYPTO_TICKETSECRET_H

#include "base/bytes.h"
#include "crypto/epoch.h"

enum {
	TICKETSECRET_LEN = 32,
	TICKETSECRETS_MAX = 4,
	TICKETSECRET_FILE_MAX = 1024,
	TICKETSECRET_PERIOD_S = 3600,
	TICKETSECRET_PAST = EPOCH_ACCEPT_S / TICKETSECRET_PERIOD_S, /* epochs that are accepted */
	TICKETSECRET_EPOCHS = TICKETSECRET_PAST + 2, /* those, the present one and the next */
};

/* Plain memory of the caller's: ticketsecrets_clear() before it goes. */
struct ticketsecrets {
	uint8_t at[TICKETSECRETS_MAX][TICKETSECRET_LEN];
	size_t n;
};

/* 0, or -1: why says what is wrong with the file and how to mend it; *out is empty. */
int ticketsecrets_load(const char *path, struct ticketsecrets *out, char *why, size_t size)
    __attribute__((warn_unused_result));
/* The text of a file. NULL, or what is wrong with it; *line: where. *out is empty then. */
const char *ticketsecrets_parse(struct bytes text, struct ticketsecrets *out, unsigned *line);
void ticketsecrets_clear(struct ticketsecrets *);

/* The record of epoch e at unix time `unix_now`, which is now_ms of CLOCK_BOOTTIME. 0, or -1. */
int ticketsecret_record(struct kit *, const uint8_t secret[static TICKETSECRET_LEN],
    struct bytes group, uint64_t e, uint64_t unix_now, uint64_t now_ms, struct epoch_record *out)
    __attribute__((warn_unused_result));

#endif
