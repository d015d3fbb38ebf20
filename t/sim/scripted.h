/*
 * scripted.h: a front and origins that do what a test says, with the exchange between them. The pool
 * is faked: each take is noted, and hands out the next origin.
 */
#ifndef T_SIM_SCRIPTED_H
#define T_SIM_SCRIPTED_H

#include "gateway/exchange/exchange.h"
#include "gateway/origin/pool.h"
#include "gateway/sites.h"
#include "gateway/worker.h"

#define SCRIPTED_TEXT(text) ((char *)(uintptr_t)(text))

#define SCRIPTED_GET "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
#define SCRIPTED_POST "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 6\r\n\r\n"

/* The fakes of gateway/origin: what an origin was told, and its pool. */
struct upstream {
	struct origin origin;
	unsigned server;
	bool reused, chunked, body_follows, ended, cancelled, taken;
	unsigned resumed;
	char head[4096], body[70000];
	size_t body_len;
	enum flow flow;
};

struct pool {
	struct pool_conf conf;
	struct upstream ups[8];
	size_t taken, servers;
	enum pool_want wants[8];
	uint64_t tried[8];
	bool none, busy, line_full;
	struct pool_waiter *waiter; /* the last one */
};

/* The worker, and the front; told is what the front was told: "200 hi end". */
struct scripted {
	struct front front;
	struct worker worker;
	struct gateway_conf conf;
	struct site_conf sites[2];
	struct route_conf routes[2];
	char *names[2][1];
	struct listener_conf listener;
	_Atomic uint64_t cells[256];
	struct pool pool;
	struct client client;
	struct head head;
	struct exchange *x;
	/* What was told. */
	char told[8192];
	size_t body_len;
	unsigned resumed, done;
	bool unread; /* exchange_request_unread() at done */
	enum flow flow;
	bool lose_at_head;
};

struct scripted *scripted_new(
    size_t servers); /* two sites: shop.example with all paths, other.example with /only */
void scripted_free(struct scripted *);
void scripted_begin(struct scripted *, const char *request);
void scripted_turn(struct scripted *);

/* What the n-th origin says. */
void scripted_fails(struct scripted *, unsigned n, enum reason, bool begun, uint64_t sent);
void scripted_says_head(struct scripted *, unsigned n, unsigned status, enum body);
void scripted_answers(struct scripted *, unsigned n);
void scripted_expect_page(
    struct scripted *, unsigned status); /* of our own; then done() has come */

#endif
