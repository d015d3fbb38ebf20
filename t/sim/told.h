/*
 * told.h: what an origin_http1 on a real upstream tells its exchange, written down; its back-end is
 * the test's (t/sim/gateway.h).
 */
#ifndef T_SIM_TOLD_H
#define T_SIM_TOLD_H

#include "t/sim/gateway.h"

#define TOLD_ASKED "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* What was told, as a line: "200 abc end", "103 200 failed backend_truncated begun". */
struct told {
	struct sim_gateway *g;
	struct origin *origin;
	char text[400];
	size_t body_len;
	unsigned drained, stop_after; /* bodies until STOP; 0: never */
	uint64_t sent;
	bool over;
	size_t kept; /* told_idle_ones() at its end */
	bool cancel_at_head, cancel_at_body;
};

struct sim_gateway *told_gateway(void); /* one server; opening and answering may take 60 ms */
void told_ask(struct told *, struct sim_gateway *);
void told_ask_with(
    struct told *, struct sim_gateway *, enum pool_want, const struct origin_request *);
void told_expect(struct told *, const char *text); /* once it is over */
bool told_is_over(void *told);
void told_cancel(struct told *);
size_t told_idle_ones(struct sim_gateway *); /* connections kept, when none is in use */

#endif
