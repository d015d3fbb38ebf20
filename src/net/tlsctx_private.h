/*
 * tlsctx_private.h: what the files of tlsctx share. tlsctx.c: who is let in, sessions, life;
 * tlsctx_files.c: what is read at its making.
 */
#ifndef NET_TLSCTX_PRIVATE_H
#define NET_TLSCTX_PRIVATE_H

#include <openssl/ssl.h>

#include "net/tlsctx.h"

enum { TLSCTX_CONTEXT_LEN = 32 };

/* Own chain and key, and the CAs; context names its sessions: another value where other CAs, roles or
 * another host are asked of a peer. 0, -1: error says which file and why. */
int tlsctx_read_files(SSL_CTX *, const struct tlsctx_params *,
    uint8_t context[static TLSCTX_CONTEXT_LEN], char *error, size_t error_size);

#endif
