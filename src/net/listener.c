/*
 * listener.c: accept4 in batches. A batch bounds what one busy listener can take of a turn, and lets
 * a neighbour's worker take its share.
 */
#include "net/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/poison.h"

enum { LISTENER_BACKLOG = 4096, LISTENER_REST_MS = 100 };

struct listener {
	struct loop *loop;
	int fd;
	struct event *event;
	struct endpoint local;
	void (*accepted)(void *arg, struct listener *, int fd, const struct endpoint *peer);
	void (*failed)(void *arg, int err);
	void *arg;
	struct deadline rest; /* no descriptors left: accepting again would only spin */
	bool paused, dead;
	struct later turn; /* to accept, and once it is freed: its end */
};

static void arm(struct listener *l)
{
	if (l->paused || deadline_is_set(&l->rest))
		event_del(l->event);
	else
		event_add(l->event, NULL);
}

static void rested(struct deadline *deadline)
{
	arm(CONTAINER_OF(deadline, struct listener, rest));
}

/* 1: go on, 0: enough for this turn. */
static int accept_failed(struct listener *l, int err)
{
	switch (err) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENETDOWN: /* errors of the network that lay on the new connection: accept(2) */
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
		return 1;
	case EAGAIN:
		return 0;
	default: /* EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the queue */
		deadline_set(l->loop, &l->rest, LISTENER_REST_MS, rested);
		arm(l);
		if (l->failed != NULL)
			l->failed(l->arg, err);
		return 0;
	}
}

static void turn_cb(struct later *later)
{
	struct listener *l = CONTAINER_OF(later, struct listener, turn);

	for (int i = 0; i < LISTENER_BATCH && !l->dead && !l->paused; i++) {
		struct endpoint peer = { .len = sizeof peer.addr };
		int fd = accept4(
		    l->fd, (struct sockaddr *)&peer.addr, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			l->accepted(l->arg, l, fd, &peer);
		else if (!accept_failed(l, errno))
			break;
	}
}

/* In line with those that were accepted before. */
static void ready_cb(evutil_socket_t sock, short what, void *arg)
{
	struct listener *l = arg;

	(void)sock;
	(void)what;
	loop_ready(l->loop, &l->turn, turn_cb);
}

struct listener *listener_new(struct loop *loop, int fd,
    void (*accepted)(void *arg, struct listener *, int fd, const struct endpoint *peer),
    void (*failed)(void *arg, int err), void *arg)
{
	struct listener *l = calloc(1, sizeof *l);
	int one = 1;

	if (l == NULL)
		return NULL;
	l->loop = loop;
	l->fd = fd;
	l->accepted = accepted;
	l->failed = failed;
	l->arg = arg;
	l->local.len = sizeof l->local.addr;
	evutil_make_socket_nonblocking(fd);
	/* Streams gather their output, so Nagle's wait would only delay the last part. Set here, accepted sockets
	 * have it from the kernel. Fails on Unix sockets. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (getsockname(fd, (struct sockaddr *)&l->local.addr, &l->local.len) != 0)
		l->local.len = 0;
	l->event = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, ready_cb, l);
	if (l->event == NULL) {
		free(l);
		return NULL;
	}
	arm(l);
	return l;
}

void listener_pause(struct listener *l)
{
	l->paused = true;
	arm(l);
}

void listener_resume(struct listener *l)
{
	l->paused = false;
	arm(l);
}

int listener_fd(const struct listener *l)
{
	return l->fd;
}

const struct endpoint *listener_local(const struct listener *l)
{
	return &l->local;
}

static void gone_cb(struct later *later)
{
	struct listener *l = CONTAINER_OF(later, struct listener, turn);

	event_free(l->event);
	free(l);
}

void listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	deadline_clear(l->loop, &l->rest);
	event_del(l->event);
	close(l->fd);
	l->dead = true;
	loop_later_cancel(&l->turn);
	loop_later(l->loop, &l->turn, gone_cb);
}

int listener_bind(const struct endpoint *at, bool reuseport)
{
	int one = 1, zero = 0, err;
	int fd = socket(at->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (at->addr.ss_family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		if (reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0)
			goto fail;
	}
	if (at->addr.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
	if (bind(fd, (const struct sockaddr *)&at->addr, at->len) != 0)
		goto fail;
	return fd;
fail:
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

int listener_listen(int fd)
{
	return listen(fd, LISTENER_BACKLOG);
}

int listener_socket(const struct endpoint *at, bool reuseport)
{
	int fd = listener_bind(at, reuseport), err;

	if (fd < 0 || listener_listen(fd) == 0)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}
