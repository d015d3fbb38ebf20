/*
 * selftest.h: what sslgwctl selftest finds out, and the parts that do it: selftest.c asks and prints,
 * selftest_probe.c makes the handshakes, selftest_verdict.c says what is wrong.
 */
#ifndef CTL_SELFTEST_H
#define CTL_SELFTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

enum { SELFTEST_GATEWAYS_MAX = 64, SELFTEST_WHY = 160, SELFTEST_DIGEST = 32 };

/* TLS 1.3 has one kind: whether a ticket holds the session or its number is not the client's business. */
enum kind { KIND_TLS12_TICKET, KIND_TLS12_ID, KIND_TLS13, KINDS_N };

enum result {
	RESULT_RESUMED,
	RESULT_FULL, /* it took a full handshake instead */
	RESULT_NONE, /* where the session was to be made: no such session is given, or no such version is spoken */
	RESULT_FAILED /* no connection, or no handshake */
};

/* What a full handshake shows of a gateway's configuration. */
struct seen {
	bool any; /* one was made */
	bool asks; /* for a client's certificate */
	uint8_t cas[SELFTEST_DIGEST]; /* SHA-256 over the names of the CAs that it asks for */
	uint8_t
	    leaf[SELFTEST_DIGEST]; /* SHA-256 of its certificate, of the last kind that was made */
};

struct gateway {
	const char *text; /* "10.0.0.1:443", borrowed */
	struct sockaddr_storage addr;
	socklen_t len;
	struct seen seen[KINDS_N];
	char why[KINDS_N][SELFTEST_WHY]; /* the last time that it did not do what was asked */
};

struct selftest {
	struct gateway *gateways;
	size_t n;
	uint8_t *results; /* enum result, [kind][made at][resumed at] */
};

enum result selftest_result(const struct selftest *, enum kind, size_t from, size_t to);
const char *selftest_kind_name(enum kind);

/* ---- selftest_probe.c */

struct probe;
struct ssl_session_st;

struct probe_params {
	const char *sni; /* NULL: none is sent */
	const char *ca_file; /* NULL: the gateways' certificates are not checked */
	const char *cert_file, *key_file; /* the client's; NULL: none */
	int timeout_ms; /* of a handshake */
};

struct probe *probe_new(const struct probe_params *); /* borrowed. NULL: said */
void probe_free(struct probe *);
/* A new session at that gateway: RESULT_FULL with a session (owned by the caller), NONE or FAILED: why. */
enum result probe_make(struct probe *, struct gateway *, enum kind, struct ssl_session_st **);
enum result probe_resume(struct probe *, struct gateway *, enum kind, struct ssl_session_st *);
void probe_session_free(struct ssl_session_st *);

/* ---- selftest_verdict.c */

/* Prints what is wrong, and the likely cause, a paragraph each; how many there were. */
size_t selftest_verdict(const struct selftest *, FILE *);

#endif
