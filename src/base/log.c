/*
 * log.c: lines for the operator, one write(2) or one datagram each, that never block: what does not
 * fit is dropped and counted. Every process calls log_init() once at its start.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#include "base/poison.h"

/* A line fits a pipe's atomic write (PIPE_BUF is 4096), so lines of several processes never mix. */
enum { TEXT_MAX_BYTES = 640, HEAD_MAX_BYTES = 160, LINE_MAX_BYTES = 1200, TAG_MAX_BYTES = 64 };

/*
 * The one thing that a whole process shares and that nobody passes: a line must be possible from
 * everywhere, also where there is no context at all.
 */
static struct {
	char tag[TAG_MAX_BYTES];
	enum log_target target;
	enum log_level max;
	bool journal; /* stderr goes to systemd's journal: <N> opens each line */
	int syslog_fd; /* 0: not open (0 is never ours: it is stdin or /dev/null) */
	uint64_t dropped;
} the_log = { .max = LOG_LEVEL_INFO };

static void put(enum log_level, bool with_errno, const char *fmt, va_list);
static size_t head_write(enum log_level, char *buf, size_t size);
static size_t escaped(char *to, size_t size, const char *from);
static bool send_all(int fd, const char *line, size_t len);
static void syslog_open(void);

void log_init(const char *tag)
{
	const char *where = getenv("SSLGW_LOG");

	/* What goes there otherwise, the ready line, leaves in one write too. */
	setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
	snprintf(the_log.tag, sizeof(the_log.tag), "%s", tag);
	the_log.journal = getenv("JOURNAL_STREAM") != NULL;
	if (where != NULL && strcmp(where, "syslog") == 0)
		log_set(LOG_TARGET_SYSLOG, the_log.max);
}

void log_set(enum log_target target, enum log_level max)
{
	the_log.target = target;
	the_log.max = max;
	if (target == LOG_TARGET_SYSLOG && the_log.syslog_fd == 0)
		syslog_open();
}

uint64_t log_dropped(void)
{
	return the_log.dropped;
}

#define LOG_FUNCTION(name, level, with_errno)                                                      \
	void name(const char *fmt, ...)                                                            \
	{                                                                                          \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, fmt);                                                                 \
		put(level, with_errno, fmt, ap);                                                   \
		va_end(ap);                                                                        \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR, true)
LOG_FUNCTION(log_errorx, LOG_LEVEL_ERROR, false)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN, true)
LOG_FUNCTION(log_warnx, LOG_LEVEL_WARN, false)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO, false)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG, false)

void fatal(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(LOG_LEVEL_ERROR, true, fmt, ap);
	va_end(ap);
	exit(status);
}

void fatalx(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(LOG_LEVEL_ERROR, false, fmt, ap);
	va_end(ap);
	exit(status);
}

/* Formats, escapes and sends one line; errno is the same afterwards. */
static void put(enum log_level level, bool with_errno, const char *fmt, va_list ap)
{
	int error = errno, n;
	char text[TEXT_MAX_BYTES], line[LINE_MAX_BYTES];
	size_t len;

	if (level > the_log.max)
		return;
	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n < 0)
		n = 0;
	if (with_errno && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, ": %s", strerror(error));
	len = head_write(level, line, HEAD_MAX_BYTES);
	len += escaped(line + len, sizeof(line) - len - 1, text);
	if (the_log.target == LOG_TARGET_STDERR)
		line[len++] = '\n';
	if (!send_all(
		the_log.target == LOG_TARGET_SYSLOG ? the_log.syslog_fd : STDERR_FILENO, line, len))
		the_log.dropped++;
	errno = error;
}

static size_t head_write(enum log_level level, char *buf, size_t size)
{
	static const int priority[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
	const char *colon = the_log.tag[0] != '\0' ? ": " : "";
	int n;

	if (the_log.target == LOG_TARGET_SYSLOG) {
		char stamp[32];
		time_t now = time(NULL);
		struct tm tm;

		/* RFC 3164, as syslog(3) writes it to /dev/log. */
		localtime_r(&now, &tm);
		strftime(stamp, sizeof(stamp), "%h %e %T", &tm);
		n = snprintf(buf, size, "<%d>%s %s%s", LOG_DAEMON | priority[level], stamp,
		    the_log.tag, colon);
	} else if (the_log.journal) {
		n = snprintf(buf, size, "<%d>%s%s", priority[level], the_log.tag, colon);
	} else {
		n = snprintf(buf, size, "%s%s", the_log.tag, colon);
	}
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

/*
 * Control characters become \xNN: C0, DEL, and C1 in UTF-8 (C2 80 to C2 9F), which terminals obey
 * as well. What does not fit is cut.
 */
static size_t escaped(char *to, size_t size, const char *from)
{
	size_t len = 0;

	for (; *from != '\0'; from++) {
		unsigned char c = (unsigned char)*from, next = (unsigned char)from[1];
		bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0);

		if (len + (control ? 4 : 1) >= size)
			break;
		if (control)
			len += (size_t)snprintf(to + len, size - len, "\\x%02x", c);
		else
			to[len++] = (char)c;
		/* C2 written as \xc2 leaves a lone 80 to 9F behind, which is a control elsewhere. */
		if (control && c == 0xc2 && len + 4 < size)
			len += (size_t)snprintf(
			    to + len, size - len, "\\x%02x", (unsigned char)*++from);
	}
	return len;
}

/*
 * Without waiting: a socket takes MSG_DONTWAIT; anything else is asked first, for stderr's
 * O_NONBLOCK belongs to all who share it. A pipe that polls writable takes PIPE_BUF bytes.
 */
static bool send_all(int fd, const char *line, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	ssize_t n = send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n == -1 && errno == ENOTSOCK) {
		if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)
			return false;
		do
			n = write(fd, line, len);
		while (n == -1 && errno == EINTR);
	}
	return n == (ssize_t)len;
}

static void syslog_open(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		close(fd);
		return;
	}
	the_log.syslog_fd = fd;
}
