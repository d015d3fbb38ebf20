/*
 * logfile.c: see logfile.h. Bytes that are in the buffer go out whole and in order, so what a slow
 * reader misses is always a whole line; only a failing write (disk full, reader gone) drops what
 * was gathered.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/logfile.h"

#include "base/poison.h"

struct logfile {
	char *path; /* NULL: stderr */
	int fd;
	bool regular;
	uint64_t dropped; /* lines */
	size_t len; /* bytes that wait */
	char buffer[LOGFILE_BUFFER_BYTES];
};

static int file_open(const char *path, bool *regular);
static bool is_regular(int fd);
static ssize_t write_some(const struct logfile *, const char *at, size_t len);
static void drop_all(struct logfile *, const char *at, size_t len);

struct logfile *logfile_open(const char *path)
{
	struct logfile *lf = malloc(sizeof(*lf));

	if (lf == NULL)
		return NULL;
	lf->path = strcmp(path, "stderr") == 0 ? NULL : strdup(path);
	lf->len = 0;
	lf->dropped = 0;
	lf->fd = file_open(lf->path, &lf->regular);
	if (lf->fd == -1) {
		free(lf->path);
		free(lf);
		return NULL;
	}
	return lf;
}

void logfile_write(struct logfile *lf, struct bytes line)
{
	if (line.len > sizeof(lf->buffer) - lf->len)
		logfile_flush(lf);
	if (line.len > sizeof(lf->buffer) - lf->len) {
		lf->dropped++;
		return;
	}
	memcpy(lf->buffer + lf->len, line.at, line.len);
	lf->len += line.len;
	if (lf->len > LOGFILE_FLUSH_BYTES)
		logfile_flush(lf);
}

void logfile_flush(struct logfile *lf)
{
	size_t done = 0;

	while (done < lf->len) {
		ssize_t n = write_some(lf, lf->buffer + done, lf->len - done);

		if (n == -1 && errno == EAGAIN)
			break;
		if (n == -1) {
			drop_all(lf, lf->buffer + done, lf->len - done);
			done = lf->len;
			break;
		}
		done += (size_t)n;
	}
	memmove(lf->buffer, lf->buffer + done, lf->len - done);
	lf->len -= done;
}

int logfile_reopen(struct logfile *lf, int fd)
{
	bool regular;

	if (fd == -1)
		fd = file_open(lf->path, &regular);
	else
		regular = is_regular(fd);
	if (fd == -1)
		return -1;
	logfile_flush(lf);
	/* A full pipe's rest would go to the new file: it may begin in the middle of a line. */
	drop_all(lf, lf->buffer, lf->len);
	lf->len = 0;
	close(lf->fd);
	lf->fd = fd;
	lf->regular = regular;
	return 0;
}

uint64_t logfile_dropped(const struct logfile *lf)
{
	return lf->dropped;
}

void logfile_close(struct logfile *lf)
{
	if (lf == NULL)
		return;
	logfile_flush(lf);
	close(lf->fd);
	free(lf->path);
	free(lf);
}

/*
 * A FIFO without a reader would refuse to open for writing only (ENXIO) or wait for one; O_RDWR
 * does neither on Linux (fifo(7)).
 */
static int file_open(const char *path, bool *regular)
{
	const int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct stat st;
	int fd;

	if (path == NULL)
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	else if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
		fd = open(path, O_RDWR | flags, 0640);
	else
		fd = open(path, O_WRONLY | flags, 0640);
	if (fd == -1)
		return -1;
	*regular = is_regular(fd);
	return fd;
}

static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/*
 * What goes without waiting; -1 with EAGAIN: nothing now. Like log.c's: stderr may be shared, so
 * its O_NONBLOCK is not ours to set, and a pipe that polls writable takes PIPE_BUF bytes.
 */
static ssize_t write_some(const struct logfile *lf, const char *at, size_t len)
{
	struct pollfd p = { .fd = lf->fd, .events = POLLOUT };
	ssize_t n;

	if (!lf->regular) {
		n = send(lf->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n != -1 || errno != ENOTSOCK)
			return n;
		if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0) {
			errno = (p.revents & (POLLERR | POLLHUP)) != 0 ? EPIPE : EAGAIN;
			return -1;
		}
		if (len > PIPE_BUF)
			len = PIPE_BUF;
	}
	do
		n = write(lf->fd, at, len);
	while (n == -1 && errno == EINTR);
	return n;
}

static void drop_all(struct logfile *lf, const char *at, size_t len)
{
	const char *end = at + len;

	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		lf->dropped++;
		at++;
	}
}
