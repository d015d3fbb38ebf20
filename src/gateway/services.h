/*
 * services.h: a worker's clients of the key service and of the session cache: of those that the
 * master runs, or of the servers that gateway.conf names. Made while the process has its rights:
 * the gateway's own identity and the password are read here.
 */
#ifndef GATEWAY_SERVICES_H
#define GATEWAY_SERVICES_H

#include <stddef.h>
#include <stdint.h>

#include "net/endpoint.h"
#include "net/peers.h"
#include "net/tlsctx.h"

#include "gateway/gateway_conf.h"
#include "gateway/remote.h"

struct roles_given;
struct services;
struct worker;

/* Sets worker->keys and worker->sessions. token: of the family, KEYCLIENT_TOKEN_LEN bytes. NULL: error says what
 * is wrong and how to mend it. */
struct services *services_new(
    struct worker *, const struct roles_given *, const uint8_t *token, char *error, size_t size);
void services_free(struct services *);
void services_drain(struct services *); /* its worker ends soon */
/* A name has these addresses from now on. */
void services_resolved(struct services *, const char *host, const struct endpoint *, size_t n);

/* What mutual TLS with either service is made of; false: that service has no use for TLS. params may point
 * into the buffers. */
enum { SERVICES_HOSTS_MAX = PEERS_MAX * REMOTE_HOST_MAX };
bool services_keys_tls(
    const struct gateway_conf *, struct tlsctx_params *, char hosts[static SERVICES_HOSTS_MAX]);
bool services_cache_tls(
    const struct gateway_conf *, struct tlsctx_params *, char host[static REMOTE_HOST_MAX]);
/* The user that the servers' URLs name; "": none. */
void services_user(const struct conf_strings *servers, char *user, size_t size);
/* The file's first line. 0, -1: error says why. */
int services_password(const char *file, char *buf, size_t buf_size, char *error, size_t size);

#endif
