/*
 * keystore.h: the private keys of the service, by SKI. A set is filled, sealed, then only read; a
 * reload makes a new set and lets go of the old one, whose keys live on while a job signs with them.
 * All of this runs on the loop's thread; lanes only read a key that its job holds.
 */
#ifndef KEYSVC_KEYSTORE_H
#define KEYSVC_KEYSTORE_H

#include <sys/types.h>

#include "crypto/cert.h"
#include "crypto/tbs.h"

enum { KEYSTORE_MAX = 65536, KEY_SLOTS = 64 };

struct keyop_prepared;
struct chain;

struct key {
	unsigned refs;
	EVP_PKEY *pkey; /* cleansed by libcrypto when freed */
	enum key_type type;
	int bits;
	uint8_t ski[CERT_SKI_LEN], spki_sha256[32];
	uint8_t modulus_sha256[32]; /* RSA: of the modulus in upper-case hex, Keyless's tag 01 */
	enum tls12_mode tls12; /* the loop's; lanes are told it by the job */
	bool slow; /* signs in the slow lane */
	bool leaving; /* of a former set: see keystore_keep() */
	uint64_t gone_ms; /* when it goes, then; 0: workers present it */
	char *name; /* the file's, for messages */
	struct chain *chain; /* owned; what lies beside the key; NULL: none. Set before the seal */
	/* libcrypto's contexts, made at first use by the thread of that number in the key's lane, and used
	 * by it alone; they go with the key. */
	struct keyop_prepared *prepared[KEY_SLOTS];
};

/* Takes over pkey, also when it fails. NULL: why says what is wrong with it. */
struct key *key_new(EVP_PKEY *, const char *name, char *why, size_t size);
struct key *key_ref(struct key *);
void key_unref(struct key *); /* NULL is fine */

struct keystore;

struct keystore *keystore_new(void);
/* Takes over the reference. 0; 1: the key is there already (of another file; this one was let go);
 * -1: full or no memory. */
int keystore_add(struct keystore *, struct key *) __attribute__((warn_unused_result));
struct key *keystore_unsealed_find(
    const struct keystore *, const uint8_t ski[static CERT_SKI_LEN]); /* before the seal; slow */
void keystore_seal(struct keystore *); /* after the last keystore_add; look-ups work from now on */
struct key *keystore_find(
    const struct keystore *, const uint8_t ski[static CERT_SKI_LEN]); /* borrowed */
/* The place of the key in the set, or -1. digest: of an RSA key's modulus. */
ssize_t keystore_index(const struct keystore *, const uint8_t ski[static CERT_SKI_LEN]);
ssize_t keystore_index_of_modulus(const struct keystore *, const uint8_t digest[static 32]);
/* Both sealed: those of former that are not in the store are found in it too, until keystore_forget().
 * -1: not all of them, there is no room or no memory. */
int keystore_keep(struct keystore *, const struct keystore *former);
/* No worker presents any more what was kept up to now: it goes at that time (milliseconds, not 0). */
void keystore_leave(struct keystore *, uint64_t gone_ms);
/* What was to be gone by now goes. When the next of them does; 0: none. */
uint64_t keystore_forget(struct keystore *, uint64_t now_ms);
size_t keystore_n(const struct keystore *);
struct key *keystore_at(const struct keystore *, size_t); /* in the order of their SKIs */
void keystore_free(struct keystore *);

#endif
