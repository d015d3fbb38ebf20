/*
 * keyupdate.h: after the handshake: how often a client may change its keys.
 */
#ifndef GATEWAY_TLS_KEYUPDATE_H
#define GATEWAY_TLS_KEYUPDATE_H

#include <stdbool.h>

#include <openssl/ssl.h>

enum { KEYUPDATE_MAX = 128 }; /* in one connection's life; a client needs one in 2^24 records */

void keyupdate_watch(SSL *); /* instead of its handshake, which is over */
bool keyupdate_is_count(const void *app_data);

#endif
