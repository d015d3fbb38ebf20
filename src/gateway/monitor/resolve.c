/*
 * resolve.c: c-ares over the loop: its sockets become events, its timeouts a deadline. The only file
 * that knows c-ares.
 */
#include "gateway/monitor/resolve.h"

#include <ares.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/poison.h"

enum { RESOLVE_TRY_MS = 2000, RESOLVE_TRIES = 3, RESOLVE_TICK_MS = 500, RESOLVE_SOCKETS_MAX = 64 };

struct socket_event {
	int fd; /* -1: free */
	struct event *event;
};

struct question {
	struct resolver *resolver;
	char *host;
	resolve_cb done;
	void *arg;
	struct resolved answer;
	const char *why; /* NULL: answered */
	struct later told;
	LIST_ENTRY(question) link; /* while told is queued */
};

struct resolver {
	struct loop *loop;
	ares_channel channel;
	struct deadline tick;
	struct socket_event sockets[RESOLVE_SOCKETS_MAX];
	LIST_HEAD(, question) answered;
	unsigned asking;
	int freeing;
};

static void tick_cb(struct deadline *deadline)
{
	struct resolver *r = CONTAINER_OF(deadline, struct resolver, tick);

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	if (r->asking > 0)
		deadline_set(r->loop, &r->tick, RESOLVE_TICK_MS, tick_cb);
}

static void ready_cb(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = arg;

	ares_process_fd(r->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
	    what & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static struct socket_event *slot_of(struct resolver *r, int fd)
{
	for (int i = 0; i < RESOLVE_SOCKETS_MAX; i++)
		if (r->sockets[i].fd == fd)
			return &r->sockets[i];
	return NULL;
}

/* c-ares opened, changed or is about to close a socket. Without a slot its questions time out. */
static void socket_cb(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = arg;
	struct socket_event *s = slot_of(r, fd);
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));

	if (s != NULL) {
		event_free(s->event);
		s->event = NULL;
		s->fd = -1;
	}
	if (what == 0 || (s == NULL && (s = slot_of(r, -1)) == NULL))
		return;
	s->event = event_new(loop_base(r->loop), fd, (short)(what | EV_PERSIST), ready_cb, r);
	if (s->event == NULL)
		return;
	s->fd = fd;
	event_add(s->event, NULL);
}

static void told_cb(struct later *later)
{
	struct question *q = CONTAINER_OF(later, struct question, told);

	LIST_REMOVE(q, link);
	q->done(q->arg, q->why == NULL ? &q->answer : NULL, q->why);
	free(q->host);
	free(q);
}

static void keep_address(struct resolved *to, const struct ares_addrinfo_node *node)
{
	struct endpoint *e = &to->endpoints[to->n];

	if (to->n == RESOLVED_ADDRESSES_MAX || node->ai_addrlen > sizeof e->addr ||
	    (node->ai_family != AF_INET && node->ai_family != AF_INET6))
		return;
	memset(e, 0, sizeof *e);
	memcpy(&e->addr, node->ai_addr, node->ai_addrlen);
	e->len = node->ai_addrlen;
	if (to->n == 0 || (unsigned)node->ai_ttl < to->ttl)
		to->ttl = node->ai_ttl > 0 ? (unsigned)node->ai_ttl : 0;
	to->n++;
}

static void answered_cb(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	struct question *q = arg;
	struct resolver *r = q->resolver;

	(void)timeouts;
	r->asking--;
	if (r->freeing || status == ARES_EDESTRUCTION) {
		free(q->host);
		free(q);
		return;
	}
	if (status == ARES_SUCCESS) {
		strlcpy(q->answer.host, q->host, sizeof q->answer.host);
		for (struct ares_addrinfo_node *n = result->nodes; n != NULL; n = n->ai_next)
			keep_address(&q->answer, n);
		ares_freeaddrinfo(result);
		if (q->answer.ttl > RESOLVED_TTL_MAX)
			q->answer.ttl = RESOLVED_TTL_MAX;
	}
	if (status != ARES_SUCCESS || q->answer.n == 0)
		q->why = status != ARES_SUCCESS ? ares_strerror(status) : "it has no address";
	LIST_INSERT_HEAD(&r->answered, q, link);
	loop_later(r->loop, &q->told, told_cb);
}

struct resolver *resolver_new(struct loop *loop, const char *servers)
{
	struct resolver *r = calloc(1, sizeof *r);
	struct ares_options options = { .timeout = RESOLVE_TRY_MS,
		.tries = RESOLVE_TRIES,
		.sock_state_cb = socket_cb,
		.sock_state_cb_data = r };

	if (r == NULL || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(r);
		return NULL;
	}
	r->loop = loop;
	for (int i = 0; i < RESOLVE_SOCKETS_MAX; i++)
		r->sockets[i].fd = -1;
	if (ares_init_options(&r->channel, &options,
		ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS) {
		ares_library_cleanup();
		free(r);
		return NULL;
	}
	if (servers != NULL && ares_set_servers_ports_csv(r->channel, servers) != ARES_SUCCESS) {
		resolver_free(r);
		return NULL;
	}
	return r;
}

int resolver_ask(struct resolver *r, const char *host, resolve_cb done, void *arg)
{
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct question *q = calloc(1, sizeof *q);

	if (q == NULL || (q->host = strdup(host)) == NULL) {
		free(q);
		return -1;
	}
	q->resolver = r;
	q->done = done;
	q->arg = arg;
	r->asking++;
	ares_getaddrinfo(r->channel, host, NULL, &hints, answered_cb, q);
	if (r->asking > 0 && !deadline_is_set(&r->tick))
		deadline_set(r->loop, &r->tick, RESOLVE_TICK_MS, tick_cb);
	return 0;
}

void resolver_free(struct resolver *r)
{
	struct question *q;

	if (r == NULL)
		return;
	r->freeing = 1;
	while ((q = LIST_FIRST(&r->answered)) != NULL) {
		LIST_REMOVE(q, link);
		loop_later_cancel(&q->told);
		free(q->host);
		free(q);
	}
	deadline_clear(r->loop, &r->tick);
	ares_destroy(r->channel);
	for (int i = 0; i < RESOLVE_SOCKETS_MAX; i++)
		if (r->sockets[i].event != NULL)
			event_free(r->sockets[i].event);
	ares_library_cleanup();
	free(r);
}
