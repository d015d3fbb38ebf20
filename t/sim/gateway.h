/*
 * gateway.h: a worker without TLS for tests: sites, pools and exchanges over the real loop; clients
 * over socket pairs, whose conn is a fake; back-ends on loopback that the test plays by hand.
 */
#ifndef T_SIM_GATEWAY_H
#define T_SIM_GATEWAY_H

#include "gateway/exchange/exchange.h"
#include "gateway/front/conn.h"
#include "gateway/origin/pool.h"
#include "gateway/sites.h"
#include "gateway/worker.h"

enum { SIM_SERVERS_MAX = 4, SIM_CONNS_MAX = 64, SIM_TIMEOUT_MS = 5000 };

/* The fake of gateway/front/conn.c. */
struct conn {
	struct sim_gateway *gateway;
	struct stream *stream;
	struct front_conn *front;
	struct client client;
	bool idle, closed;
	enum reason reason; /* of its close */
};

struct sim_gateway {
	struct worker worker;
	struct gateway_conf conf;
	struct site_conf site;
	struct route_conf route;
	struct pool_conf pool;
	struct server_conf servers[SIM_SERVERS_MAX];
	char addresses[SIM_SERVERS_MAX][64];
	char *names[1];
	int listeners[SIM_SERVERS_MAX]; /* of the back-ends */
	_Atomic uint64_t cells[256];
	struct ssl_ctx_st *tls; /* clients speak it; NULL: they do not. The test's */
	struct conn conns[SIM_CONNS_MAX];
	size_t conns_n;
};

/* A worker with one pool of so many servers, each listening on loopback. The conf may be changed before start. */
struct sim_gateway *sim_gateway_new(size_t servers);
void sim_gateway_start(struct sim_gateway *);
struct sim_gateway *sim_gateway_started(size_t servers); /* both */
void sim_gateway_stop(struct sim_gateway *); /* and frees it */

int sim_client(struct sim_gateway *, struct conn **); /* the client's end, non-blocking */
void sim_turns(struct sim_gateway *, int n); /* each waits for at most a few ms */
int sim_accept(
    struct sim_gateway *, size_t server); /* a back-end's end; turns until there is one */
void sim_send(int fd, const char *text); /* all of it at once */
/* Turns until so many bytes, or the text's, have come, and compares; or until the end has. */
void sim_expect(struct sim_gateway *, int fd, const char *text);
/* Turns until the end of a head, then a NUL. Returns its length. */
size_t sim_read_head(struct sim_gateway *, int fd, char *buf, size_t size);
size_t sim_read_to_end(
    struct sim_gateway *, int fd, char *buf, size_t size); /* ECONNRESET counts as the end */
void sim_until(struct sim_gateway *, bool (*)(void *), void *);
bool sim_quiet(int fd); /* nothing to read now, and no end */
uint64_t sim_count(const struct sim_gateway *, enum reason);

/* A page of our own, its length and id unknown to the test. */
void sim_expect_page(struct sim_gateway *, int fd, const char *first_line, bool closes);

#define SIM_GET "GET /a?b HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n"
#define SIM_OK "HTTP/1.1 200 OK\r\nDate: x\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"

#endif
