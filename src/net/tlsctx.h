/*
 * tlsctx.h: mutual TLS between the programs of a cluster. A peer is whom its certificate says: signed
 * by the cluster's CA, not on the deny list, of an accepted role. The role is a URI SAN, exactly
 * "sslgw:gateway", "sslgw:keysvc", "sslgw:cachesvc" or "sslgw:operator"; none at all is ROLE_NONE (foreign
 * clients of the CA), two or an unknown one are refused. The name is the first DNS SAN (ROLE_NONE:
 * the subject's common name where there is no DNS SAN). Hosts' names are not compared.
 * TLS 1.3, and 1.2 with ECDHE and AEAD for foreign peers. Refusal happens in the verification, so the
 * peer gets an alert.
 */
#ifndef NET_TLSCTX_H
#define NET_TLSCTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"

typedef struct ssl_st SSL;
typedef struct ssl_session_st SSL_SESSION;

/* Bits. */
enum role {
	ROLE_GATEWAY = 1,
	ROLE_KEYSVC = 2,
	ROLE_CACHESVC = 4,
	ROLE_OPERATOR = 8,
	ROLE_NONE = 16, /* a certificate of the CA without an sslgw: URI */
};

enum { TLSCTX_NAME_MAX = 256, TLSCTX_SPKI_LEN = 32, TLSCTX_DENY_POLL_MS = 2000 };

struct tlsctx;

struct tlsctx_params {
	bool server;
	const char *
	    identity_file; /* PEM chain, the own certificate first; NULL with key_file: none, with host only */
	const char *key_file; /* PEM, unencrypted; may be the same file */
	const char *
	    ca_file; /* PEM: who signs peers; no system CAs. A client of a public server may name those */
	const char
	    *deny_file; /* a line each: SHA-256 of an SPKI, hex; '#' begins a comment. NULL: none */
	const char *ciphers12; /* NULL: the default list */
	unsigned roles; /* accepted, bits of enum role */
	const char *
	    host; /* client: instead of the role, this name must be in the certificate (foreign server); of several,
		   * with a space between them, any */
};

/* Who a peer's certificate says it is; after the handshake. */
struct tlsctx_peer {
	char name[TLSCTX_NAME_MAX];
	unsigned role; /* one bit */
	uint8_t spki[TLSCTX_SPKI_LEN];
	int64_t not_after; /* unix */
};

/* Reads the files now (call it with the rights to). NULL: error says which file and why, for a person. */
struct tlsctx *tlsctx_new(const struct tlsctx_params *, char *error, size_t error_size);
/* NULL is allowed; SSLs in use keep what they need, and let nobody in any more. A watched one: before its loop. */
void tlsctx_free(struct tlsctx *);
/* Reads all files again for new connections; on failure all stays. 0, -1: error says why. */
int tlsctx_reload(struct tlsctx *, char *error, size_t error_size);
SSL *tlsctx_ssl(
    struct tlsctx *); /* a new connection's, in accept or connect state; NULL: no memory */
/* The same for a client that comes back: offers *last where it may still be resumed, and puts the newest
 * session there, until the connection is closed. *last starts NULL; SSL_SESSION_free() it in the end. */
SSL *tlsctx_ssl_again(struct tlsctx *, SSL_SESSION **last);
/* Why the peer's certificate was refused, for a person; NULL: it was not, or there was none. */
const char *tlsctx_refusal(const SSL *);
int tlsctx_peer(const SSL *, struct tlsctx_peer *); /* 0, -1: no verified certificate */
int64_t tlsctx_not_after(const struct tlsctx *); /* of the own certificate, unix */
const char *tlsctx_name(const struct tlsctx *); /* of the own certificate */

/* Looks every TLSCTX_DENY_POLL_MS whether the deny file has changed, and reads it (a bad one: the former
 * list stays, said). changed() may be NULL; it is where live connections are checked again. */
void tlsctx_watch(struct tlsctx *, struct loop *, void (*changed)(void *arg), void *arg);
bool tlsctx_denied(const struct tlsctx *, const uint8_t spki[static TLSCTX_SPKI_LEN]);

#endif
