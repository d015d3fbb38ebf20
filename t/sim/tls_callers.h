/*
 * tls_callers.h: a service that asks for certificates, on a port of its own, and callers that come as
 * the test says: with this or that certificate, without one, or with no handshake at all.
 */
#ifndef TLS_CALLERS_H
#define TLS_CALLERS_H

#include <openssl/ssl.h>

#include "net/service.h"

#include "pki.h"
#include "sim.h"

enum { CALLERS_MAX = 320, OWED_MAX = 16 };

struct caller {
	int fd; /* -1: none */
	SSL *ssl; /* NULL: speaks no TLS */
	int alert; /* that it got; 0: none */
	bool open; /* the handshake is done */
	bool ended; /* the other side has closed */
	char in[64];
	size_t len;
};

struct tls_callers {
	struct loop *loop;
	struct pki pki;
	struct tlsctx *ctx;
	struct service_params params;
	struct service *service;
	struct endpoint at;
	struct caller callers[CALLERS_MAX];
	int calls_n, gone_n;
	bool hold; /* does not answer */
	struct call *held[OWED_MAX];
	int held_n;
	struct identity identity; /* of the last call */
	char name[TLSCTX_NAME_MAX];
};

int callers_setup(void **state);
int callers_teardown(void **state);
void callers_start(struct tls_callers *, unsigned roles); /* the service listens */
/* tls NULL: a bare connection. */
struct caller *caller_connect(struct tls_callers *, int i, SSL *);
void caller_work(struct caller *); /* what can be done now */
bool caller_is_open(struct caller *);
bool caller_is_ended(struct caller *);
void caller_say(struct caller *, const char *);
bool caller_got(struct caller *, const char *);
void caller_leave(struct caller *);

#endif
