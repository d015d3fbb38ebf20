/*
 * sockets.h: the listening sockets: one SO_REUSEPORT socket for each address and worker slot, owned
 * by the master for as long as the address is served, so that a worker that ends loses no connection.
 */
#ifndef GATEWAY_MASTER_SOCKETS_H
#define GATEWAY_MASTER_SOCKETS_H

#include <stdio.h>

#include "gateway/gateway_conf.h"

struct sockets;

/* Opens conf's addresses for so many slots; those that old (may be NULL) has already are
 * shared with it. NULL: errors name the listener's line; then nothing has changed. Further slots of an
 * address that old has take connections from sockets_listen() on: whoever gives up before that resets
 * nobody's. */
struct sockets *sockets_open(
    const struct gateway_conf *, unsigned slots, const struct sockets *old, struct conf_errors *);
void sockets_free(struct sockets *); /* closes what is not shared with a later one */
size_t sockets_listeners(const struct sockets *); /* as many as conf's, in their order */
unsigned sockets_slots(const struct sockets *);
int sockets_fd(const struct sockets *, size_t listener, unsigned slot); /* stays the sockets' */
int sockets_mode(
    const struct sockets *, size_t listener); /* enum listener_mode, and LISTENER_PROXIED */
int sockets_listen(const struct sockets *, size_t listener, unsigned slot); /* 0, -1: errno */
/* Unix sockets' files, at the end; kept (may be NULL): but for those that it has too. */
void sockets_unlink(const struct sockets *, const struct sockets *kept);
void sockets_print(const struct sockets *, FILE *); /* " https://127.0.0.1:8443 http://..." */

#endif
