/*
 * chain.h: certificate chains (public data) that lie beside the keys: in a key's own file, or in any
 * file of its folder. A key's chain is known by its leaf's public key. The service hands them out, so a
 * certificate is renewed in one place.
 */
#ifndef KEYSVC_CHAIN_H
#define KEYSVC_CHAIN_H

#include "keysvc/keystore.h"

struct chain {
	uint8_t *at; /* owned: u24 length | DER, for each certificate, leaf first */
	size_t len;
	char **names; /* owned: the leaf's host names, for policies */
	size_t names_n;
	char *file; /* owned; for messages */
	int64_t not_before, not_after; /* of the leaf, unix */
};

enum { CHAIN_MAX = 60 * 1024, CHAIN_FILES_MAX = 65536 };

/* The chain in these bytes, whatever else they hold (a private key is not looked at). NULL: why says
 * what is wrong, and "" where there is no certificate in them; ski is the leaf's key's. */
struct chain *chain_parse(
    struct bytes pem, const char *file, uint8_t ski[static CERT_SKI_LEN], char *why, size_t size);
void chain_free(struct chain *); /* NULL is fine */

/* Looks into each file beside each path (those of the keys option) and gives keys of the set, not yet
 * sealed, their chains; of several, the one that begins last. What is broken, expired or out of order
 * is said; it is no failure: the keys are good without. Returns how many keys have one. */
size_t chain_load(struct keystore *, char *const *paths, size_t n);

#endif
