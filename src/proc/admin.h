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
#include <sys/types.h>

#include "net/loop.h"

struct admin;
/* Where a page is written to; grows up to ADMIN_PAGE_MAX, then the answer is 500. */
struct admin_out;

enum {
	ADMIN_PAGE_MAX = 8 << 20,
	ADMIN_CONNS_MAX = 64, /* of these a quarter is kept for the Unix socket */
	ADMIN_TIMEOUT_S = 10, /* a connection's whole life: it has one request */
	ADMIN_RATE = 100, /* connections a second on each side; above, they wait in the queue */
	ADMIN_UIDS_MAX = 4,
	ADMIN_NAMES_MAX = 16,
	ADMIN_WORDS_MAX = 16, /* of a command */
	ADMIN_COMMAND_MAX = 4096, /* bytes of one */
};

void admin_printf(struct admin_out *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* With quotes and escapes, for JSON; HTML's special characters too. */
void admin_json_string(struct admin_out *, const char *text);
/* "NAME":"TEXT" or "NAME":NUMBER of a JSON object, with the comma before it where one is due. */
void admin_json_text(struct admin_out *, const char *name, const char *text);
void admin_json_number(struct admin_out *, const char *name, double value);
void admin_json_bool(struct admin_out *, const char *name, bool value);
/* "NAME": and the opening bracket, '{' or '['; name NULL: in a list, or at the top. */
void admin_json_open(struct admin_out *, const char *name, char bracket);
void admin_json_close(struct admin_out *, char bracket);
/* A member of the list "problems": what is not well, in words, and what to do. sslgwctl prints them. */
void admin_problem(struct admin_out *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One sample, with its # HELP and # TYPE lines when name differs from the sample's before.
 * labels: "site=\"a\"" or NULL. type: "counter" | "gauge". */
void admin_metric(struct admin_out *, const char *name, const char *type, const char *help,
    const char *labels, double value);
/* name="value" with Prometheus's escapes, into buf; returns buf. */
const char *admin_label(char *buf, size_t size, const char *name, const char *value);

struct admin_params {
	const char *program; /* "sslgw-keysvc"; borrowed */
	void (*metrics)(void *arg, struct admin_out *);
	/* The members of the object of /status.json, after "program", "version", "pid", "uptime_s", "ready". */
	void (*status)(void *arg, struct admin_out *);
	bool (*ready)(void *arg); /* false: /ready answers 503 (starting, draining) */
	/* A command and its words, from the Unix socket. Writes its answer (text) and returns true, or why not
	 * and false. NULL: there are none. */
	bool (*command)(void *arg, int argc, char *const argv[], struct admin_out *);
	void *arg;
	/* Whom status.json is about, where that is not this process: 0, or from when (unix seconds) and which. */
	int64_t started;
	pid_t pid;
	/* Host names that may stand in Host besides address literals, localhost and the machine's own. Borrowed. */
	const char *names[ADMIN_NAMES_MAX];
	size_t names_n;
	uid_t uids[ADMIN_UIDS_MAX];
	size_t uids_n;
};

struct admin *admin_new(struct loop *, const struct admin_params *); /* copied. NULL: no memory */
/* fd: a listening socket, owned. local: a Unix socket, so commands are served; who may connect is the
 * socket's file mode and what `uids` says (0 of them: root and the own uid). 0, -1. */
int admin_listen(struct admin *, int fd, bool local);
int admin_listen_instead(
    struct admin *, int fd); /* of the Unix socket that it had; the same otherwise */
void admin_free(struct admin *);

#endif
