/*
 * secrets.h: the epoch keys of this worker's groups of sites, asked of two key servers and counted
 * with CLOCK_BOOTTIME; never written anywhere. Until the first answer, and when the service is gone
 * for longer than its keys last, there is no current key: no new tickets, said in the log. Where the
 * key service is a foreign Keyless server they come of the gateways' own secret (ownsecrets.h).
 */
#ifndef GATEWAY_CLUSTER_SECRETS_H
#define GATEWAY_CLUSTER_SECRETS_H

#include "crypto/epoch.h"
#include "gateway/gateway_conf.h"
#include "net/loop.h"

enum {
	SECRETS_POLL_MS = 30000,
	SECRETS_FIRST_MS = 20,
	SECRETS_RETRY_MAX_MS = 2000,
	SECRETS_DIFFER_MS = 120000, /* two servers' ids differ for so long: an alarm */
};

struct keyclient;
struct secrets;
struct ticketsecrets;

/* Asks at once, for each group that conf's sites name. own: copied; then nobody is asked, and the key client
 * may be NULL. NULL: no memory. */
struct secrets *secrets_new(struct loop *, struct keyclient *, const struct gateway_conf *,
    const struct ticketsecrets *own);
void secrets_free(struct secrets *); /* before the keyclient; wipes all keys */

unsigned secrets_group(const struct secrets *, const char *name); /* must be one of conf's */
/* NULL: make no tickets now. Both are borrowed until the next turn of the loop. */
const struct epoch_record *secrets_current(struct secrets *, unsigned group);
/* What a ticket or session id names; NULL: not accepted (any more). */
const struct epoch_record *secrets_find(
    struct secrets *, unsigned group, uint16_t tag, uint32_t e24);

uint32_t secrets_left_s(const struct epoch_record *); /* seconds until it is void */

/* changed(): keys came or went; wipe what was derived. ready(): every group has had its first answer
 * (at most once; in a later turn). */
void secrets_on_change(struct secrets *, void (*changed)(void *arg), void *arg);
void secrets_on_ready(struct secrets *, void (*ready)(void *arg), void *arg);
bool secrets_ready(const struct secrets *);

#endif
