/*
 * tls_bed.h: a worker's TLS side for tests: real sites, secrets and handshakes over memory BIOs; the
 * key service and the session cache are fakes that the test scripts (tls_services.c), linked in place
 * of gateway/cluster/keyclient and sessioncache. Time as the gateway sees it is moved by hand.
 */
#ifndef T_SIM_TLS_BED_H
#define T_SIM_TLS_BED_H

#include <openssl/ssl.h>

#include "crypto/generation.h"
#include "crypto/kit.h"
#include "crypto/tbs.h"
#include "gateway/cluster/keyclient.h"
#include "gateway/cluster/secrets.h"
#include "gateway/cluster/sessioncache.h"
#include "gateway/sites.h"
#include "gateway/tls/handshake.h"
#include "gateway/worker.h"

enum { BED_SITES_MAX = 6, BED_ENTRIES = 128, BED_VALUE_MAX = 32768 };

/* How a fake service behaves. HOLD: until released. */
enum bed_mode {
	BED_GOOD,
	BED_HOLD,
	BED_WRONG, /* keys: a signature of something else; cache: one bit is turned */
	BED_GARBAGE, /* bytes of another length */
	BED_FAILS, /* in a later turn */
	BED_REFUSES, /* at once: breaker open */
};

struct keyclient {
	struct tls_bed *bed;
	enum bed_mode mode;
	struct keyclient_ask *asks;
	size_t open;
	unsigned signed_n, rejected_n;
	uint64_t answers;
	uint16_t scheme; /* of the last question */
	enum tls12_mode tls12; /* of all keys */
};

struct sessioncache {
	struct tls_bed *bed;
	enum bed_mode mode;
	struct sessioncache_ask *asks;
	size_t open;
	unsigned lookups, puts, blamed, repairs; /* offered */
	uint64_t holder; /* of claims; 0: nobody */
	unsigned claims; /* asked for */
	uint64_t claim_ms; /* of the last */
	enum bed_mode claim_mode;
	struct bed_entry {
		uint8_t name[SEAL_NAME_LEN];
		size_t len;
		uint8_t *value;
		bool claimed;
	} entries[BED_ENTRIES];
	size_t entries_n;
};

struct bed_key {
	EVP_PKEY *key;
	X509 *cert;
	char path[96]; /* of the certificate */
};

struct tls_bed {
	struct worker worker;
	struct gateway_conf conf;
	struct site_conf sites[BED_SITES_MAX];
	char *names[BED_SITES_MAX];
	char *certificates[3]; /* of every site */
	_Atomic uint64_t cells[256];
	char dir[64];
	struct bed_key rsa, ecdsa, ed25519, ca, client_ca, client_sub, client, stranger;
	char client_ca_path[96];
	struct kit *kit;
	struct generations generations;
	bool no_epochs;
	struct keyclient keys;
	struct sessioncache cache;
	unsigned laters; /* queued: the loop has something to do */
	struct endpoint peer; /* of clients that connect from now on */
	bool trusted;
	SSL_SESSION *got; /* the newest session that a client was given */
};

/* One connection: both ends. */
struct bed_conn {
	struct tls_bed *bed;
	SSL *client, *server;
	struct handshake *hs;
	bool woken, paused, client_failed;
	enum stream_step step;
	enum reason reason; /* FAILED */
	int alert; /* that the client got; -1: none */
	struct client facts; /* DONE */
};

/* Sites 0 "a.test" (tickets), 1 "b.test" (tickets), 2 "stateful.test", 3 "client.test" (requires a
 * certificate), 4 "off.test", 5 "both.test" (optional certificate, stateful); conf may be changed before
 * bed_start. */
struct tls_bed *bed_new(void);
void bed_start(struct tls_bed *);
struct tls_bed *bed_started(void);
void bed_stop(struct tls_bed *); /* and frees; asserts that nothing is left open */
void bed_restart(
    struct tls_bed *); /* the TLS side anew, with changed conf; sessions and epochs stay */
void bed_turns(struct tls_bed *); /* until the loop has nothing to do */
void bed_release(struct tls_bed *); /* what the services hold; they are good from now on */
void bed_move_clock(int64_t seconds); /* the gateway's wall clock against the real one */
uint64_t bed_count(const _Atomic uint64_t *);

SSL_CTX *bed_client(struct tls_bed *, int version); /* 0x0303, 0x0304; 0: both */
struct bed_conn *bed_open(struct tls_bed *, SSL_CTX *, const char *host, SSL_SESSION *resume);
void bed_drive(struct bed_conn *); /* as far as it goes; a pause that nobody ends is as far */
void bed_close(struct bed_conn *);
/* The whole: opens, drives to DONE, asserts it. */
struct bed_conn *bed_connect(struct tls_bed *, SSL_CTX *, const char *host, SSL_SESSION *resume);
/* Drives to DONE with a session of bed->got, closes; how it was resumed. */
enum client_resumed bed_again(struct tls_bed *, SSL_CTX *, const char *host);
void bed_use_client_cert(struct tls_bed *, SSL_CTX *, struct bed_key *);

/* tls_services.c */
void services_init(struct tls_bed *);
void services_clear(struct tls_bed *);

#endif
