/*
 * keycheck.h: at the start of a worker: do the key servers elsewhere have a key for each certificate,
 * one that this gateway may use and that signs for the versions of TLS that the site speaks? What is
 * missing is said, with site, certificate and server; the other sites are served all the same. Foreign
 * servers are tried: each signs once with each key.
 */
#ifndef GATEWAY_KEYCHECK_H
#define GATEWAY_KEYCHECK_H

#include "gateway/gateway_conf.h"
#include "net/loop.h"

enum { KEYCHECK_AGAIN_MS = 5000, KEYCHECK_SAID_MAX = 20, KEYCHECK_TRIED_MAX = 256 };

struct keyclient;
struct keycheck;

/* Reads the certificates now. done (may be NULL): each server that answers has been asked; wrong: what was said.
 * Comes once, in a later turn. NULL: no memory. */
struct keycheck *keycheck_new(struct loop *, struct keyclient *, const struct gateway_conf *,
    void (*done)(void *arg, unsigned wrong), void *arg);
void keycheck_free(struct keycheck *); /* before the keyclient */

#endif
