/*
 * conn_bed.h: a client's connections, with a front and a handshake that the test scripts (they stand in
 * for front_http1 and gateway/tls).
 */
#ifndef T_SIM_CONN_BED_H
#define T_SIM_CONN_BED_H

#include "gateway/front/conn.h"
#include "gateway/tls/handshake.h"
#include "gateway/worker.h"
#include "stream_bed.h"

enum { CLIENTS_MAX = 8 };

struct fake_front {
	struct front_conn conn;
	struct conn *c;
	int inputs, drained, lost, drains;
	enum reason why;
};

struct bed {
	struct worker worker;
	struct gateway_conf conf;
	_Atomic uint64_t cells[256];
	SSL_CTX *server, *client;
	struct fake_front fronts[CLIENTS_MAX];
	int fronts_n;
	int clients[CLIENTS_MAX], clients_n;
	SSL *peer;
	struct conn *newest;
	/* the fake handshake */
	enum stream_step step; /* DONE: a real one; else what each step comes to */
	enum reason why;
	enum client_resumed resumed;
	bool signing, stubborn; /* waits for a signature; goes on waiting when its time is over */
	int handshakes, freed, expired;
	bool no_memory; /* for fronts, and for the client's facts */
	bool closes_in_input;
	int drained;
};

struct bed *the_bed(struct worker *);
int conn_bed_setup(void **state);
void conn_bed_start(struct bed *bed, size_t limit);
int conn_bed_teardown(void **state);
int conn_bed_comes(struct bed *bed, int mode);
int conn_bed_speaks_tls(struct bed *bed);
uint64_t conn_bed_ended(const struct bed *bed, enum reason why);
bool conn_bed_is_gone(int fd);

#endif
