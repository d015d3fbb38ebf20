/*
 * sim.c: see sim.h.
 */
#include "sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/listener.h"

static enum parse lines_next(struct bytes in, size_t *len, uint32_t *id)
{
	const uint8_t *lf = in.len > 0 ? memchr(in.at, '\n', in.len) : NULL;

	*id = 0;
	if (in.len > 0 && in.at[0] == '!')
		return PARSE_BAD;
	if (lf == NULL)
		return PARSE_MORE;
	*len = (size_t)(lf - in.at) + 1;
	return PARSE_OK;
}

static enum parse numbered_next(struct bytes in, size_t *len, uint32_t *id)
{
	struct cursor c = cursor_of(in);
	uint8_t body = cursor_u8(&c);

	*id = cursor_u32(&c);
	cursor_take(&c, body);
	if (in.len > 0 && body == 255)
		return PARSE_BAD;
	if (!c.ok)
		return PARSE_MORE;
	*len = 5u + body;
	return PARSE_OK;
}

const struct frame_codec sim_lines = { "lines", lines_next, true, 32768 };
const struct frame_codec sim_numbered = { "numbered", numbered_next, false, 260 };

uint64_t sim_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t sim_now_ms(void)
{
	return sim_now_ns() / 1000000;
}

void sim_stand_still(uint64_t ms)
{
	uint64_t end = sim_now_ns() + ms * 1000000;

	while (sim_now_ns() < end)
		;
}

struct tick {
	struct deadline deadline;
	struct loop *loop;
};

static void tick_passed(struct deadline *deadline)
{
	loop_stop(CONTAINER_OF(deadline, struct tick, deadline)->loop);
}

void sim_turn(struct loop *loop)
{
	struct tick tick = { .loop = loop };

	deadline_set(loop, &tick.deadline, 1, tick_passed);
	assert_int_equal(loop_run(loop), 0);
	deadline_clear(loop, &tick.deadline);
}

void sim_server_init(struct sim_server *s)
{
	memset(s, 0, sizeof(*s));
	s->listen_fd = s->fd = -1;
	snprintf(s->dir, sizeof(s->dir), "/tmp/sim-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "unix:%s/s", s->dir);
	assert_int_equal(endpoint_parse(&s->endpoint, s->path), 0);
}

void sim_server_listen(struct sim_server *s)
{
	s->listen_fd = listener_socket(&s->endpoint, false);
	assert_true(s->listen_fd >= 0);
}

void sim_server_close(struct sim_server *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->in_len = 0;
	s->in[0] = '\0';
}

void sim_server_stop(struct sim_server *s)
{
	sim_server_close(s);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	s->listen_fd = -1;
	unlink(s->path + strlen("unix:"));
}

void sim_server_clear(struct sim_server *s)
{
	sim_server_stop(s);
	rmdir(s->dir);
}

bool sim_server_accepted(struct sim_server *s, int n)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		sim_server_close(s);
		s->fd = fd;
		s->accepted_n++;
	}
	return s->accepted_n >= n;
}

static void server_read(struct sim_server *s)
{
	ssize_t n;

	while (
	    s->fd >= 0 && s->in_len + 1 < sizeof(s->in) &&
	    (n = recv(s->fd, s->in + s->in_len, sizeof(s->in) - 1 - s->in_len, MSG_DONTWAIT)) > 0)
		s->in_len += (size_t)n;
	s->in[s->in_len] = '\0';
}

bool sim_server_got(struct sim_server *s, const char *text)
{
	server_read(s);
	return strcmp(s->in, text) == 0;
}

size_t sim_server_len(struct sim_server *s)
{
	server_read(s);
	return s->in_len;
}

void sim_server_take(struct sim_server *s)
{
	server_read(s);
	s->in_len = 0;
	s->in[0] = '\0';
}

void sim_server_send(struct sim_server *s, const void *data, size_t len)
{
	assert_int_equal(send(s->fd, data, len, MSG_NOSIGNAL), len);
}

void sim_server_say(struct sim_server *s, const char *text)
{
	sim_server_send(s, text, strlen(text));
}

bool sim_server_sees_end(struct sim_server *s)
{
	return sim_ended(s->fd);
}

int sim_connect(const struct endpoint *to)
{
	int fd = socket(to->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to->addr, to->len), 0);
	return fd;
}

bool sim_got(int fd, char *buf, size_t size, size_t *len, const char *text)
{
	ssize_t n;

	while (*len + 1 < size && (n = recv(fd, buf + *len, size - 1 - *len, MSG_DONTWAIT)) > 0)
		*len += (size_t)n;
	buf[*len] = '\0';
	return strcmp(buf, text) == 0;
}

bool sim_ended(int fd)
{
	char buf[1024];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		;
	return n == 0 || (n < 0 && errno != EAGAIN);
}
