/*
 * handshake.h: one SSL_do_handshake, paused or not; the only owner of SSL_MODE_ASYNC and its jobs.
 * The connection drives it from its stream's handshake step; a wait (for a signature, a session)
 * pauses it, and wake() asks for the next step.
 */
#ifndef GATEWAY_TLS_HANDSHAKE_H
#define GATEWAY_TLS_HANDSHAKE_H

#include "base/reason.h"
#include "gateway/client.h"
#include "net/stream.h"

struct worker;
struct handshake;

/* A new server-side SSL of the default site's SSL_CTX with its handshake. The client's address is known, and
 * borrowed for the handshake's life. wake(arg) is stream_wake of the connection. The SSL is borrowed by the handshake: it goes to the stream. NULL: no memory. */
struct handshake *handshake_new(
    struct worker *, const struct client *, void (*wake)(void *arg), void *arg, SSL **ssl);
/* One step; on FAILED the reason is set (and the alert is in the output). */
enum stream_step handshake_step(struct handshake *, enum reason *);
/* After DONE: fills the TLS facts (site, version, cipher, SNI, certificate, resumed). cert and sni are owned by the
 * caller: clientcert_free(), free(). 0, -1: no memory. */
int handshake_client(struct handshake *, struct client *);
/* Its time is over. true: it waited for a signature, and fails with its next step, which tells the client;
 * false: whatever it waits for is the client's, so there is nothing but to close. */
bool handshake_expire(struct handshake *);
/* Ends it in any state, paused too: fails the wait, drives once more, leaves the SSL safe to free. Before stream_close. */
void handshake_free(struct handshake *);
const char *handshake_waits_for(const struct handshake *); /* "key", "session", "" : for the log */
void clientcert_free(const struct clientcert *);

/* gateway/tls's part of a worker. sitectxs_new: certificates, SSL_CTX of each site, provider. NULL with log lines. */
struct sitectxs *sitectxs_new(struct worker *);
void sitectxs_free(struct sitectxs *);
/* Frees the fibres of a rush that is over. false: there were few, or some handshake is on one. */
bool sitectxs_give_back(struct sitectxs *);

#endif
