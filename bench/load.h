/*
 * load.h: what the files of the load generator share. load.c: options, phases, the result; visit.c: one
 * connection and its operations; request.c: what it asks; reply.c: HTTP answers; sample.c: latencies.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { LOAD_PORTS_MAX = 32, LOAD_BLOCK = 256 * 1024, REPLY_HEAD_MAX = 8192 };

/* What one operation is. */
enum op {
	OP_HANDSHAKE, /* connect, TLS, close_notify, the peer's end */
	OP_FETCH, /* connect, TLS, one request, its whole answer, close */
	OP_REQUEST, /* one request on an open connection */
	OP_IDLE, /* connect, TLS, one request; then the connection stays open, idle */
};
enum resume { RESUME_NONE, RESUME_TICKET, RESUME_ID };

struct options {
	enum op op;
	enum resume resume;
	int tls; /* 12, 13 */
	bool ecdsa;
	int connections;
	uint16_t ports[LOAD_PORTS_MAX];
	int ports_n;
	double seconds;
	double rate; /* operations a second, by the clock (open loop); 0: as fast as they end */
	int warm; /* operations of each connection before the measurement; -1: as the operation needs */
	const char *path, *name, *groups;
	long post; /* bytes of a request's body; 0: GET */
	double patience; /* seconds that an operation may take */
	const char *ca; /* certificates are checked against this file; NULL: not at all */
	const char *each; /* each operation is told in this file; NULL: in none */
	double lead; /* seconds that all are busy before it is measured */
	long names, paths; /* how many, by number; 0: the one */
};

/* Where a number stands in a text. */
struct run {
	size_t at, len;
};

/* Microseconds, in the order they came until samples_sort(). */
struct samples {
	float *at;
	size_t n, size;
};

/* The answer that is being read. */
struct reply {
	bool in_body, closes;
	int status;
	int64_t left; /* of the body; negative: until the end of the connection */
	size_t head_n;
	char *head; /* where it came in parts; REPLY_HEAD_MAX */
};
enum reply_step { REPLY_MORE, REPLY_WHOLE, REPLY_BAD };

enum visit_state {
	VISIT_OFF,
	VISIT_HANDSHAKE,
	VISIT_REPLY,
	VISIT_OPEN,
	VISIT_CLOSING,
	VISIT_DRAINING
};

struct load;

struct visit {
	struct load *load;
	struct visit *next; /* in the list of those without work */
	int fd, number, warm_left;
	enum visit_state state;
	bool busy; /* in an operation */
	bool resumed; /* its handshake */
	SSL *ssl;
	SSL_SESSION *session; /* the newest */
	double due, began, answered; /* seconds; due is when it should have begun */
	char *request, *name; /* with its numbers; the load's where there are none */
	size_t sent; /* of the request */
	long connects;
	struct reply reply;
};

struct load {
	struct options options;
	SSL_CTX *ctx;
	int epoll;
	bool measuring;
	double from, until, last;
	struct visit *visits, *free;
	int resting; /* visits without work */
	char *request, *block;
	size_t request_len;
	struct run path_run, host_run, name_run;
	long names_used, paths_used;
	struct samples samples;
	long started, done, failed, handshakes, resumed, reconnects, bad_status, forced, late,
	    warm_failed;
	int64_t bytes;
	char error[160]; /* the first */
	FILE *each; /* a line an operation: when it was due, seconds it took, resumed, good */
};

double load_now(void);
void load_note(
    struct load *, const char *what); /* keeps the first error, with OpenSSL's or errno's text */
void load_free_visit(struct visit *); /* its operation is over: what next? */

void visit_begin(struct visit *, double due);
void visit_event(struct visit *);
void visit_close(struct visit *);
void visit_end(struct visit *, bool good);
void visit_watch(struct visit *, double now); /* ends an operation that takes too long */

void request_new(struct load *);
void request_of_visit(struct visit *);
void request_next_name(struct visit *); /* before it connects */
void request_next_path(struct visit *); /* before it asks */

void reply_begin(struct reply *);
enum reply_step reply_feed(struct reply *, const char *, size_t);

void samples_add(struct samples *, double seconds);
void samples_sort(struct samples *);
double samples_at(const struct samples *, double share); /* sorted; microseconds */

#endif
