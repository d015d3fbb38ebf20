/*
 * keysvc_private.h: what the files of the service share. keysvc.c: connections, who asks, what each
 * request comes to, life; signing.c: all that takes a private key, in the lanes; functions.c: the rest.
 */
#ifndef KEYSVC_KEYSVC_PRIVATE_H
#define KEYSVC_KEYSVC_PRIVATE_H

#include "keysvc/keysvc.h"
#include "keysvc/lanes.h"
#include "net/service.h"
#include "wire/keyless.h"

enum { KEYSVC_ANSWER_MAX = KEYLESS_BODY_MAX - 64 }; /* a payload; 64: the items' heads */

struct keysvc {
	struct service_params service_params;
	struct loop *loop;
	struct service *service;
	struct lanes *lanes;
	struct keystore *keys;
	struct policy *policy;
	struct epochs *epochs;
	struct tlsctx *tlsctx; /* of the TCP listeners; NULL: none. Borrowed */
	uint32_t deadline_ms;
	struct audit audit;
	struct deadline claims_tick;
	void (*drained)(void *arg);
	void *drained_arg;
	uint8_t payload[KEYSVC_ANSWER_MAX]; /* scratch of one call */
	uint8_t answer[KEYLESS_MAX];
};

/* One request; all of it is borrowed until the callee returns, but for the call. */
struct ask {
	struct call *call;
	struct caller *caller;
	const struct keyless *k;
};

/* ---- answers: each ends the call */

void keysvc_reply(struct keysvc *, struct call *, uint32_t id, bool padded, struct bytes payload);
void keysvc_reply_error(
    struct keysvc *, struct call *, uint32_t id, bool padded, enum keyless_error);
/* Counts and says it, then answers the error. */
void keysvc_refuse(struct keysvc *, const struct ask *, enum audit_event, enum keyless_error,
    const char *what, const char *why);

/* ---- claims */

/* A gateway says how many signatures it has asked for. Of a caller on a Unix socket it is nothing. */
void keysvc_claimed(struct keysvc *, struct caller *, uint64_t instance, uint64_t n);

/* ---- keys */

/* The place of the key that is asked for, if this caller may use it. -1: it has been refused. */
ssize_t keysvc_find_key(struct keysvc *, const struct ask *, const char *what);

/* ---- operations */

/* signing.c: opcodes 01 to 07, 12 to 18, 35 to 37. False: it is none of these; nothing was answered. */
bool signing_opcode(struct keysvc *, const struct ask *);
void signing_tls(struct keysvc *, const struct ask *); /* sslgw/tls-sign */
void signing_rsa_kx(struct keysvc *, const struct ask *); /* sslgw/tls-rsa-kx */
void signing_work(void *scratch, struct lane_job *); /* struct lanes_params */
void signing_done(void *svc, struct lane_job *);
void signing_gone(struct call *); /* the caller has left: its job is not worth doing */

/* functions.c: the sslgw/ function of that name, where the caller has the grant. */
void functions_call(struct keysvc *, const struct ask *);

#endif
