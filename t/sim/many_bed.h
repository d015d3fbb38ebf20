/*
 * many_bed.h: several servers of one kind, each with a behaviour that the test changes at will, and
 * users that ask them as the gateway does: once more, elsewhere, when an ask fails.
 */
#ifndef MANY_BED_H
#define MANY_BED_H

#include "net/peers.h"
#include "net/service.h"

#include "sim.h"

enum { SERVERS_MAX = 6, USERS_MAX = 2048, ANSWERS_MAX = 2048 };

enum behaviour { ECHO, HANG, RUBBISH, SLOW };

struct many_bed;

/* An answer that a slow server owes. */
struct owed {
	struct many_server *server;
	struct call *call;
	struct deadline deadline;
	char text[16];
	size_t len;
};

struct many_server {
	struct many_bed *bed;
	struct sim_server at; /* its path */
	struct service *service; /* NULL: nobody listens */
	enum behaviour behaviour;
	uint32_t slow_ms;
	int calls_n;
};

struct user {
	struct many_bed *bed;
	struct ask *ask;
	uint64_t began_ms, took_ms;
	uint64_t avoid;
	int tries, done_n;
	enum peers_result result;
	unsigned slot; /* who answered */
	bool blames; /* finds answers to be nonsense, of server 0 */
};

struct many_bed {
	struct loop *loop;
	struct service_params service_params;
	struct peers_params params;
	struct peers *peers;
	struct many_server servers[SERVERS_MAX];
	int n;
	struct user users[USERS_MAX];
	int users_n, ended_n, failed_n;
	struct peers_choice choice; /* of the users' first try */
	bool retry;
	struct owed owed[ANSWERS_MAX];
	int owed_n;
	struct call *hung[ANSWERS_MAX]; /* answered in the teardown */
	int hung_n;
};

int many_setup(void **state);
int many_teardown(void **state);
void many_start(struct many_bed *, int n); /* n servers listen, the peers know them */
void many_server_stop(struct many_server *); /* the process is killed */
void many_server_start(struct many_server *);
void many_set(struct many_bed *, int n); /* peers_set() to the first n */
void many_ask(struct many_bed *); /* one user more */
/* One user each 2 ms for so long. */
void many_ask_for(struct many_bed *, uint32_t ms);
uint64_t many_slowest(const struct many_bed *, int from); /* ms, of the users from that one on */
void many_answer_hung(struct many_bed *); /* they come to life */

#endif
