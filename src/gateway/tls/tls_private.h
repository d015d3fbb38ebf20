/*
 * tls_private.h: what the files of gateway/tls share. An SSL finds its handshake as its app data
 * (NULL once the handshake is over); nothing here outlives the worker.
 */
#ifndef GATEWAY_TLS_TLS_PRIVATE_H
#define GATEWAY_TLS_TLS_PRIVATE_H

#include <sys/queue.h>

#include <openssl/ssl.h>

#include "base/hash.h"
#include "crypto/epoch.h"
#include "crypto/kit.h"
#include "crypto/seal.h"
#include "gateway/sites.h"
#include "gateway/tls/handshake.h"
#include "gateway/tls/signqueue.h"
#include "gateway/tls/storelimit.h"
#include "gateway/worker.h"

enum {
	HELLO_MAX = 16 * 1024, /* bytes of a ClientHello, its 4 bytes of head included */
	HELLO_PSKS_MAX = 16, /* identities that are remembered for the second hello */
	SITECTX_KEYS = 8, /* derived keys that a site caches: epochs in use, times two versions */
	FIBRES_RESERVE =
	    64, /* beside those that wait for a signature: the running one, and stores */
	SESSION_ID_LEN = 32,
};

/* What a handshake pauses for. SESSION is outside of a fibre, KEY and STORE are on one; JOB: there is none. */
enum handshake_wait { WAIT_NONE, WAIT_KEY, WAIT_SESSION, WAIT_STORE, WAIT_JOB };

enum hello_phase { HELLO_AWAITED, HELLO_FETCHING, HELLO_TAKEN, HELLO_RETRIED };

/* How a session of this handshake would be kept. */
enum keep { KEEP_NOTHING, KEEP_TICKET, KEEP_ID };

/* What was seen in the ClientHello, and decided by it. */
struct hello {
	enum hello_phase phase;
	uint16_t version; /* that will be chosen: 0x0303 or 0x0304; 0: none */
	bool plain; /* the first bytes are an HTTP request's */
	bool too_long;
	bool no_resumption; /* of what the second hello offers */
	bool resumable; /* sessions may be resumed and kept */
	enum keep keep;
	size_t read; /* bytes of handshake records before the first hello was whole */
	size_t len; /* of the whole message */
	uint8_t sni_len;
	uint8_t tickets_tried; /* calls for a ticket's key in this hello */
	uint16_t psks_n; /* of the first hello; may be above HELLO_PSKS_MAX */
	uint64_t psks[HELLO_PSKS_MAX]; /* hashes of the identities */
	char sni[256]; /* lower case; "" if none */
};

/* A session that is being resumed, or the start of a new one. */
struct origin_of_session {
	SSL_SESSION *prefetched; /* owned */
	uint8_t prefetched_id[SESSION_ID_LEN];
	bool asked; /* the cache was */
	bool down; /* and it did not answer */
	bool handed; /* get_session_cb gave it to libssl */
	bool stored; /* the TLS 1.2 session was put */
	uint64_t left; /* seconds until the prefetched one's end */
	uint64_t holder; /* of the claim on it, when it was sealed */
	uint64_t first_auth; /* unix seconds; of the session that is resumed, else now */
	size_t intermediates_len; /* DER, in the heap */
	uint8_t *intermediates;
	struct sessioncache_ask *ask; /* in flight: WAIT_SESSION or WAIT_STORE */
	uint8_t seal_key[SEAL_KEY_LEN], seal_name[SEAL_NAME_LEN];
};

struct handshake {
	struct worker *worker;
	const struct client *client; /* borrowed: who asks */
	SSL *ssl; /* a reference of its own */
	void (*wake)(void *arg);
	void *wake_arg;
	enum handshake_wait wait;
	void (*wait_cancel)(void *arg); /* the pending question's end; then wait is over */
	void *wait_arg;
	enum reason reason; /* why it fails, where that is known better than by libssl */
	bool cancelled; /* being freed: nothing pauses any more */
	bool done;
	const struct sitectx *site; /* by SNI; the default's until the hello */
	struct hello hello;
	struct origin_of_session session;
	TAILQ_ENTRY(handshake) job_link;
};

struct derived {
	uint8_t id[EPOCH_ID_LEN]; /* of the generation */
	uint64_t e;
	uint16_t version; /* 0: free */
	struct scope_keys keys;
};

struct sitectx {
	struct sitectxs *all;
	const struct site *site;
	const struct site_conf *conf;
	SSL_CTX *ctx;
	X509_STORE *store; /* of client certificates; NULL: none are wanted. Owned by ctx */
	unsigned group; /* of secrets */
	uint8_t scope[EPOCH_SCOPE_LEN];
	int verify, depth; /* SSL_VERIFY_* */
	int min_version, max_version; /* TLS1_2_VERSION ... */
	uint64_t options; /* of those in SITECTX_OPTIONS */
	char groups[128],
	    groups12[128]; /* in the library's syntax; 1.2: what the key service signs for */
	bool groups_differ;
	bool tickets12;
	unsigned derived_next;
	struct derived derived[SITECTX_KEYS];
};

/* Options that a site sets or clears; the rest is the same for all. */
#define SITECTX_OPTIONS                                                                            \
	(SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA)

TAILQ_HEAD(handshake_list, handshake);

struct sitectxs {
	struct worker *worker;
	struct kit *kit;
	EVP_CIPHER *aes_256_cbc;
	struct hash_key hash_key;
	struct sitectx *at; /* by site's index */
	size_t n;
	struct signqueue signers; /* handshakes that wait on a fibre, for a signature, */
	struct later signers_later;
	size_t storing; /* for a store */
	struct storelimit *stores; /* by network of the client; NULL: no limit */
	struct handshake_list job_waiters;
	size_t fibres, fibres_used; /* that libcrypto may make; on which handshakes wait now */
	size_t fibres_made; /* at least, since they were last given back */
	uint8_t plain[SEAL_VALUE_MAX], sealed[SEAL_VALUE_MAX]; /* scratch; never across a pause */
	int fault; /* COUNTER_PROOF: enum sitectx_fault */
	const char *fault_key;
};

/* For a build with COUNTER_PROOF only: what the tests must find. */
enum sitectx_fault {
	FAULT_OFF,
	FAULT_LOCAL_KEY,
	FAULT_NO_SITE_SETTINGS,
	FAULT_NO_SCOPE,
	FAULT_NO_CLAIM,
	FAULTS_N
};

struct handshake *handshake_of(const SSL *);

/* On a fibre: returns when handshake_resume() was called, or cancel(). false: it cannot wait. */
bool handshake_pause(struct handshake *, enum handshake_wait, void (*cancel)(void *arg), void *arg);
/* Outside of a fibre: the next step will be asked for by handshake_resume(). */
void handshake_wait_for(
    struct handshake *, enum handshake_wait, void (*cancel)(void *arg), void *arg);
void handshake_resume(struct handshake *);

/* hello.c */
int hello_cb(SSL *, int *alert, void *sitectxs);
void hello_message_cb(int write, int version, int type, const void *buf, size_t len, SSL *, void *);

/* sitectx.c */
const struct scope_keys *sitectx_keys(const struct sitectx *, const struct epoch_record *,
    uint16_t version); /* NULL: libcrypto failed. Borrowed until keys change */

#endif
