/*
 * embedded.h: the key service and the session cache that the master runs where gateway.conf names no
 * others: one process each, started again when it ends, over a Unix socket that the master owns. Keys
 * go to the key service as descriptors; the master reads none of them. It has an admin socket,
 * for sslgwctl epoch.
 */
#ifndef GATEWAY_MASTER_EMBEDDED_H
#define GATEWAY_MASTER_EMBEDDED_H

#include "gateway/master/plan.h"
#include "net/endpoint.h"
#include "net/loop.h"

struct embedded;

/* error: NULL, or why nothing was read (the service is gone). keys: one for each file of the plan, borrowed.
 * pem: the self-signed chain, where the plan asked for one. Comes once for each embedded_feed, in a later turn. */
typedef void (*embedded_fed)(
    void *arg, const char *error, const struct plan_key *keys, size_t n, const char *pem);

/* Opens the sockets in the runtime folder, for plan's users. NULL: said in the log. runtime_dir is borrowed. */
struct embedded *embedded_new(
    struct loop *, const struct plan *, const char *runtime_dir, int token_fd);
void embedded_admin(struct embedded *,
    int fd); /* what the key service serves it on when it starts next; -1: none. Borrowed */
void embedded_watch(
    struct embedded *); /* called every second: sockets that are gone are made again */
int embedded_start(struct embedded *, const struct plan *,
    bool
	check); /* those for which plan names no servers; check: the key service only, without its state; plan is borrowed until embedded_use() names another */
void embedded_feed(
    struct embedded *, const struct plan *, embedded_fed, void *arg); /* one at a time */
/* The key service is being started again, or reads the keys in force: another pass would cut that one short. */
bool embedded_is_reading(const struct embedded *);
/* It has fallen silent: ended, and started again; a pass that is going on fails. */
void embedded_restart_key(struct embedded *);
void embedded_commit(
    struct embedded *, const struct plan *); /* the keys just fed are in force; so is the plan */
/* A child has ended: true if it was one of these. */
bool embedded_ended(struct embedded *, pid_t, int status);
pid_t embedded_key_pid(const struct embedded *);
const struct endpoint *embedded_keys(const struct embedded *); /* len 0: it is not wanted */
const struct endpoint *embedded_cache(const struct embedded *);
void embedded_discard(struct embedded *); /* the keys just fed are not wanted */
/* The former plan holds after all. Its keys are read again, should the process be another one since; those of both are
 * found until embedded_forget(). */
void embedded_go_back(struct embedded *, const struct plan *);
void embedded_forget(struct embedded *); /* no worker needs former keys for new handshakes */
/* The key service was started again and made another self-signed pair: workers need the new chain. */
void embedded_on_renewed(struct embedded *, void (*renewed)(void *arg, const char *pem), void *arg);
void embedded_reopen(struct embedded *);
void embedded_stop(struct embedded *); /* tells both to end; they are not started again */
bool embedded_gone(const struct embedded *); /* both have ended */
void embedded_kill(struct embedded *);
void embedded_free(struct embedded *);

#endif
