/*
 * channel.c: messages with descriptors over a SOCK_SEQPACKET pair. What the socket does not take is
 * kept in order, with duplicates of its descriptors, in a bounded queue.
 */
#include "proc/channel.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/poison.h"

enum {
	CHANNEL_QUEUE_BYTES = 8 * 1024 *
			      1024, /* ten thousand names that are told at once, and more */
	CHANNEL_QUEUE_FDS = 256,
	CHANNEL_BATCH = 64,
};

struct message {
	STAILQ_ENTRY(message) link;
	int fds[CHANNEL_FDS_MAX], fds_n; /* duplicates, ours */
	size_t len;
	char text[];
};

struct channel {
	struct loop *loop;
	int fd;
	struct event *read, *write;
	const struct channel_events *events;
	void *arg;
	STAILQ_HEAD(, message) queue;
	size_t queued; /* bytes, with the structs */
	int queued_fds;
	bool dead;
	char *text; /* CHANNEL_TEXT_MAX + 1: what is being received */
	struct later gone;
};

int channel_pair(int fds[static 2])
{
	int size = 4 * CHANNEL_TEXT_MAX;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
		return -1;
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	return 0;
}

/* Takes the descriptors out of a received message. */
static int fds_of(struct msghdr *msg, int *fds)
{
	int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (n < CHANNEL_FDS_MAX)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

static ssize_t receive(int fd, char *text, size_t max, int *fds, int *fds_n)
{
	char control[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
	struct iovec iov = { text, max };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control };
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);

	*fds_n = n >= 0 ? fds_of(&msg, fds) : 0;
	if (n > 0 && (msg.msg_flags & MSG_TRUNC)) {
		errno = EMSGSIZE;
		n = -1;
	}
	if (n >= 0)
		text[n] = '\0';
	return n;
}

static ssize_t transmit(int fd, const char *text, size_t len, const int *fds, int fds_n)
{
	char control[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)text, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fds_n > 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE((size_t)fds_n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)fds_n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)fds_n * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static size_t size_of(const struct message *m)
{
	return sizeof *m + m->len;
}

static void free_message(struct message *m)
{
	for (int i = 0; i < m->fds_n; i++)
		close(m->fds[i]);
	free(m);
}

static void read_cb(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;

	(void)what;
	for (int i = 0; i < CHANNEL_BATCH && !ch->dead; i++) {
		int fds[CHANNEL_FDS_MAX], fds_n;
		ssize_t n = receive(fd, ch->text, CHANNEL_TEXT_MAX, fds, &fds_n);

		if (n > 0) {
			ch->events->message(ch->arg, ch->text, fds, fds_n);
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		for (int k = 0; k < fds_n; k++)
			close(fds[k]);
		if (n < 0 && errno == EMSGSIZE)
			continue;
		event_del(ch->read);
		event_del(ch->write);
		ch->events->closed(ch->arg);
		return;
	}
}

static void write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;
	struct message *m;

	(void)what;
	while ((m = STAILQ_FIRST(&ch->queue)) != NULL) {
		if (transmit(fd, m->text, m->len, m->fds, m->fds_n) < 0 &&
		    (errno == EAGAIN || errno == EINTR))
			return;
		/* Sent, or the other end is gone: then read_cb tells. */
		STAILQ_REMOVE_HEAD(&ch->queue, link);
		ch->queued -= size_of(m);
		ch->queued_fds -= m->fds_n;
		free_message(m);
	}
	event_del(ch->write);
}

struct channel *channel_new(
    struct loop *loop, int fd, const struct channel_events *events, void *arg)
{
	struct channel *ch = calloc(1, sizeof *ch);

	if (ch == NULL)
		goto fail;
	ch->loop = loop;
	ch->fd = fd;
	ch->events = events;
	ch->arg = arg;
	STAILQ_INIT(&ch->queue);
	ch->text = malloc(CHANNEL_TEXT_MAX + 1);
	evutil_make_socket_nonblocking(fd);
	ch->read = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, read_cb, ch);
	ch->write = event_new(loop_base(loop), fd, EV_WRITE | EV_PERSIST, write_cb, ch);
	if (ch->text == NULL || ch->read == NULL || ch->write == NULL ||
	    event_add(ch->read, NULL) != 0)
		goto fail;
	return ch;
fail:
	if (ch != NULL) {
		if (ch->read != NULL)
			event_free(ch->read);
		if (ch->write != NULL)
			event_free(ch->write);
		free(ch->text);
	}
	free(ch);
	close(fd);
	return NULL;
}

static int keep(struct channel *ch, const int *fds, int fds_n, const char *text, size_t len)
{
	struct message *m;

	if (ch->queued + sizeof *m + len > CHANNEL_QUEUE_BYTES ||
	    ch->queued_fds + fds_n > CHANNEL_QUEUE_FDS ||
	    (m = calloc(1, sizeof *m + len + 1)) == NULL)
		return -1;
	for (int i = 0; i < fds_n; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			free_message(m);
			return -1;
		}
		m->fds[m->fds_n++] = fd;
	}
	memcpy(m->text, text, len);
	m->len = len;
	STAILQ_INSERT_TAIL(&ch->queue, m, link);
	ch->queued += size_of(m);
	ch->queued_fds += m->fds_n;
	event_add(ch->write, NULL);
	return 0;
}

int channel_send(struct channel *ch, const int *fds, int fds_n, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int len, rc = -1;

	if (ch->dead || fds_n > CHANNEL_FDS_MAX)
		return -1;
	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len <= 0 || len > CHANNEL_TEXT_MAX)
		goto out;
	if (ch->queued > 0)
		rc = keep(ch, fds, fds_n, text, (size_t)len);
	else if (transmit(ch->fd, text, (size_t)len, fds, fds_n) >= 0)
		rc = 0;
	else if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
		rc = keep(ch, fds, fds_n, text, (size_t)len);
out:
	if (len >= 0)
		free(text);
	return rc;
}

static void gone_cb(struct later *later)
{
	struct channel *ch = CONTAINER_OF(later, struct channel, gone);

	event_free(ch->read);
	event_free(ch->write);
	free(ch->text);
	free(ch);
}

void channel_free(struct channel *ch)
{
	struct message *m;

	if (ch == NULL || ch->dead)
		return;
	ch->dead = true;
	event_del(ch->read);
	event_del(ch->write);
	close(ch->fd);
	while ((m = STAILQ_FIRST(&ch->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&ch->queue, link);
		free_message(m);
	}
	loop_later(ch->loop, &ch->gone, gone_cb);
}
