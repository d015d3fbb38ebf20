/*
 * origin.c: the cheapest honest back-end for the bench: one thread, epoll, keep-alive. GET /N answers N
 * bytes, and so does GET /any/thing/N; POST /N reads the body first. usage: origin PORT [SERVERS]
 * With SERVERS it is so many servers: 127.1.0.1, 127.1.0.2, ... 127.1.1.1, 250 to a row, beside 127.0.0.1.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { INPUT = 16384, HEAD = 256, EVENTS = 128, BODY_MAX = 64 << 20, SERVERS_MAX = 1000 };

struct conn {
	int fd;
	bool closes;
	bool
	    owed; /* an answer of `body` bytes, when `skip` bytes of the request's body have come */
	size_t in_n, skip;
	size_t head_n, head_sent, body_n, body_sent;
	char head[HEAD];
	char in[INPUT];
};

static char *content; /* BODY_MAX bytes */

enum outcome { WANT_INPUT, WANT_OUTPUT, OVER };

/* What is left of the answer. */
static enum outcome conn_flush(struct conn *c)
{
	while (c->head_sent < c->head_n || c->body_sent < c->body_n) {
		struct iovec v[2] = { { c->head + c->head_sent, c->head_n - c->head_sent },
			{ content + c->body_sent, c->body_n - c->body_sent } };
		struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
		ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
		size_t head_left = v[0].iov_len;

		if (n < 0)
			return errno == EAGAIN ? WANT_OUTPUT : OVER;
		if ((size_t)n < head_left)
			head_left = (size_t)n;
		c->head_sent += head_left;
		c->body_sent += (size_t)n - head_left;
	}
	c->head_n = c->head_sent = c->body_n = c->body_sent = 0;
	return c->closes ? OVER : WANT_INPUT;
}

static enum outcome conn_answer(struct conn *c, size_t size)
{
	c->head_n = (size_t)snprintf(c->head, sizeof(c->head),
	    "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
	    "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n",
	    size);
	c->head_sent = c->body_sent = 0;
	c->body_n = size;
	return conn_flush(c);
}

static void conn_take(struct conn *c, size_t n)
{
	c->in_n -= n;
	memmove(c->in, c->in + n, c->in_n);
}

static enum outcome conn_request(struct conn *c, size_t head_len, size_t *size)
{
	char *path, *last, *field;

	c->in[head_len - 1] = '\0';
	path = strchr(c->in, ' ');
	if (path == NULL || path[1] != '/')
		return OVER;
	for (last = path++; *path != ' ' && *path != '\0'; path++)
		if (*path == '/')
			last = path;
	*size = (size_t)strtoul(last + 1, NULL, 10);
	if (*size > BODY_MAX)
		*size = BODY_MAX;
	c->closes = strcasestr(path, "\r\nconnection: close") != NULL;
	field = c->in[0] == 'G' ? NULL : strcasestr(path, "\r\ncontent-length:");
	c->skip = field != NULL ? (size_t)strtoul(field + 17, NULL, 10) : 0;
	conn_take(c, head_len);
	return WANT_INPUT;
}

static enum outcome conn_process(struct conn *c)
{
	enum outcome o;
	char *end;
	size_t n;

	for (;;) {
		n = c->skip < c->in_n ? c->skip : c->in_n;
		conn_take(c, n);
		c->skip -= n;
		if (c->skip > 0)
			return WANT_INPUT;
		if (c->owed) {
			c->owed = false;
			if ((o = conn_answer(c, c->body_n)) != WANT_INPUT)
				return o;
		}
		end = memmem(c->in, c->in_n, "\r\n\r\n", 4);
		if (end == NULL)
			return c->in_n == INPUT ? OVER : WANT_INPUT;
		if (conn_request(c, (size_t)(end + 4 - c->in), &n) == OVER)
			return OVER;
		c->owed = true;
		c->body_n = n;
	}
}

static void conn_event(struct conn *c, uint32_t events)
{
	enum outcome o = WANT_INPUT;

	if (!c->owed && (c->head_n > 0 || c->body_n > 0) && (o = conn_flush(c)) == WANT_INPUT)
		o = conn_process(c);
	while (o == WANT_INPUT) {
		ssize_t n = recv(c->fd, c->in + c->in_n, INPUT - c->in_n, 0);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			o = OVER;
		if (n <= 0)
			break;
		c->in_n += (size_t)n;
		o = conn_process(c);
		/* All taken: the next edge tells of more. */
		if (c->in_n == 0 && c->skip == 0 && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
			break;
	}
	if (o == OVER) {
		close(c->fd);
		free(c);
	}
}

static void accept_all(int listener, int epoll)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	int fd, one = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		if (c == NULL)
			err(1, "connection");
		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		event.data.ptr = c;
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	}
}

static int listen_on(uint32_t address, int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	at.sin_port = htons((uint16_t)port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0)
		err(1, "port %d", port);
	return fd;
}

/* 0: the one that all fronts ask; from 1 on: one of many. */
static uint32_t address(int number)
{
	if (number == 0)
		return INADDR_LOOPBACK;
	number--;
	return 0x7f010000U + (uint32_t)(number / 250 * 256 + number % 250 + 1);
}

int main(int argc, char **argv)
{
	static int listeners[SERVERS_MAX + 1];
	struct epoll_event events[EVENTS], event = { .events = EPOLLIN };
	struct rlimit limit;
	int n = argc == 3 ? atoi(argv[2]) : 0, epoll;

	if (argc < 2 || argc > 3 || n < 0 || n > SERVERS_MAX)
		errx(2, "usage: origin PORT [SERVERS]");
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	content = malloc(BODY_MAX);
	if (content == NULL)
		err(1, "content");
	memset(content, 'b', BODY_MAX);
	epoll = epoll_create1(0);
	for (int i = 0; i <= n; i++) {
		listeners[i] = listen_on(address(i), atoi(argv[1]));
		event.data.ptr = &listeners[i];
		epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i], &event);
	}
	for (;;) {
		int ready = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < ready; i++) {
			int *at = events[i].data.ptr;

			if (at >= listeners && at <= &listeners[n])
				accept_all(*at, epoll);
			else
				conn_event(events[i].data.ptr, events[i].events);
		}
	}
}
