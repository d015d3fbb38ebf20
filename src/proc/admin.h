/*
 * admin.h: how a daemon can be watched and told: HTTP on an address (GET and HEAD only, Host checked
 * against rebinding) and on a Unix socket (there also POST /command, the only way to change anything).
 * evhttp with small limits: it serves operators, not the public. Pages every daemon has: /healthz,
 * /ready, /metrics (Prometheus text 0.0.4), /status.json, / (the same for a person's browser).
 */
#ifndef PROC_ADMIN_H
#define PROC_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"

struct admin;
struct
    admin_out; /* where a page is written to; grows up to ADMIN_PAGE_MAX, then the answer is 500 */

enum { ADMIN_PAGE_MAX = 8 << 20, ADMIN_CONNS_MAX = 64, ADMIN_TIMEOUT_S = 10 };

void admin_printf(struct admin_out *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* With quotes and escapes, for JSON; HTML's special characters too. */
void admin_json_string(struct admin_out *, const char *text);
/* One sample, with its # HELP and # TYPE lines when name differs from the sample's before.
 * labels: "site=\"a\"" or NULL. type: "counter" | "gauge". */
void admin_metric(struct admin_out *, const char *name, const char *type, const char *help,
    const char *labels, double value);

struct admin_params {
	const char *program; /* "sslgw-keysvc" */
	void (*metrics)(void *arg, struct admin_out *);
	/* The members of the object of /status.json, after "program", "version", "pid", "uptime_s". */
	void (*status)(void *arg, struct admin_out *);
	bool (*ready)(void *arg); /* false: /ready answers 503 (starting, draining) */
	/* A command and its words, from the Unix socket. Writes its answer (text) and returns true, or why not
	 * and false. NULL: there are none. */
	bool (*command)(void *arg, int argc, char *const argv[], struct admin_out *);
	void *arg;
};

struct admin *admin_new(struct loop *, const struct admin_params *); /* copied. NULL: no memory */
/* fd: a listening socket, owned. local: a Unix socket, so commands are served; who may connect is the
 * socket's file mode and what `uids` says (0 of them: root and the own uid). 0, -1. */
int admin_listen(struct admin *, int fd, bool local);
void admin_free(struct admin *);

#endif
