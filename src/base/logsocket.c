/*
 * logsocket.c: see logsocket.h.
 */
#include "config.h"

#include "base/logsocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/poison.h"

enum { LOGSOCKET_AGAIN_MS = 1000 };

struct logsocket {
	struct sockaddr_un to;
	int fd; /* -1: not connected */
	uint64_t again_ms; /* not before that */
	uint64_t dropped;
};

struct logsocket *logsocket_new(const char *path)
{
	struct logsocket *s;

	if (strlen(path) >= sizeof(s->to.sun_path) || (s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->to.sun_family = AF_UNIX;
	strlcpy(s->to.sun_path, path, sizeof(s->to.sun_path));
	s->fd = -1;
	return s;
}

void logsocket_free(struct logsocket *s)
{
	if (s == NULL)
		return;
	logsocket_reopen(s);
	free(s);
}

void logsocket_reopen(struct logsocket *s)
{
	if (s->fd != -1)
		close(s->fd);
	s->fd = -1;
	s->again_ms = 0;
}

static bool connected(struct logsocket *s, uint64_t now_ms)
{
	if (s->fd != -1)
		return true;
	if (now_ms < s->again_ms)
		return false;
	s->again_ms = now_ms + LOGSOCKET_AGAIN_MS;
	s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd != -1 && connect(s->fd, (const struct sockaddr *)&s->to, sizeof(s->to)) != 0) {
		close(s->fd);
		s->fd = -1;
	}
	return s->fd != -1;
}

void logsocket_send(struct logsocket *s, struct bytes line, uint64_t now_ms)
{
	/* The second try is for a daemon that has made its socket anew. */
	for (int i = 0; i < 2 && connected(s, now_ms); i++) {
		if (send(s->fd, line.at, line.len, MSG_DONTWAIT | MSG_NOSIGNAL) != -1)
			return;
		if (errno == EAGAIN || errno == EMSGSIZE || errno == ENOBUFS)
			break;
		close(s->fd);
		s->fd = -1;
	}
	s->dropped++;
}

uint64_t logsocket_dropped(const struct logsocket *s)
{
	return s->dropped;
}
