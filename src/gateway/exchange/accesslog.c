/*
 * accesslog.c: see accesslog.h. Lines for a file gather in base/logfile's buffer and go out when it is
 * full, or ACCESSLOG_FLUSH_MS after the first of them; syslog gets each by itself.
 */
#include "config.h"

#include "gateway/exchange/accesslog.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/log.h"
#include "base/logfile.h"
#include "base/logsocket.h"
#include "gateway/exchange/exchange_private.h"
#include "gateway/exchange/format.h"

#include "base/poison.h"

enum {
	ACCESSLOG_FLUSH_MS = 500,
	ACCESSLOG_SYSLOG_MAX = 8000, /* what a syslog takes of a line, by default, and some */
	ACCESSLOG_PRIORITY = 16 * 8 + 6, /* local0.info */
};

static const char syslog_prefix[] = "syslog:";

struct accesslog {
	struct worker *worker;
	struct logfile *file; /* or: */
	struct logsocket *syslog;
	struct format format;
	struct deadline flush;
	int64_t time_of; /* what time says */
	size_t time_len;
	char time[FORMAT_TIME_SIZE];
	size_t head_len; /* of what stands before a line: for syslog, else nothing */
	char line[64 + FORMAT_LINE_MAX];
};

static void flush_passed(struct deadline *);

static int open_target(struct accesslog *log, const char *path)
{
	if (strncmp(path, syslog_prefix, sizeof(syslog_prefix) - 1) == 0) {
		log->syslog = logsocket_new(path + sizeof(syslog_prefix) - 1);
		return log->syslog != NULL ? 0 : -1;
	}
	log->file = logfile_open(path);
	return log->file != NULL ? 0 : -1;
}

struct accesslog *accesslog_new(struct worker *worker)
{
	const char *path = worker->conf->access_log.file, *wrong;
	struct accesslog *log;
	char why[1024];

	if (path == NULL)
		return NULL;
	log = calloc(1, sizeof(*log));
	if (log == NULL)
		return NULL;
	log->worker = worker;
	log->time_of = -1;
	wrong = format_parse(&log->format, worker->conf->access_log.format, why, sizeof(why));
	if (wrong != NULL)
		log_errorx("no access log: access_log.format: %s", wrong);
	else if (open_target(log, path) != 0)
		log_error("no access log: %s cannot be written (make its folder, or name "
			  "another file in access_log.file)",
		    path);
	if (log->file == NULL && log->syslog == NULL) {
		free(log);
		return NULL;
	}
	return log;
}

void accesslog_free(struct accesslog *log)
{
	if (log == NULL)
		return;
	deadline_clear(log->worker->loop, &log->flush);
	logfile_close(log->file);
	logsocket_free(log->syslog);
	free(log);
}

void accesslog_reopen(struct accesslog *log, int fd)
{
	if (log != NULL && log->syslog != NULL) {
		logsocket_reopen(log->syslog);
		if (fd != -1)
			close(fd);
		return;
	}
	if (log != NULL && logfile_reopen(log->file, fd) == -1)
		log_error("cannot open the access log %s again; the old file goes on",
		    log->worker->conf->access_log.file);
}

/* Once a second: the time, and with it what stands before each line. */
static void set_time(struct accesslog *log, int64_t now)
{
	char stamp[FORMAT_TIME_SIZE];

	if (now == log->time_of)
		return;
	log->time_of = now;
	log->time_len = format_time(now, log->time);
	if (log->syslog == NULL)
		return;
	format_time_syslog(now, stamp);
	log->head_len = (size_t)snprintf(
	    log->line, 64, "<%d>%s sslgw[%d]: ", ACCESSLOG_PRIORITY, stamp, (int)getpid());
}

static void write_line(struct accesslog *log, struct format_facts *facts)
{
	char *line = log->line + log->head_len;
	struct loop *loop = log->worker->loop;
	size_t len;

	facts->time = bytes_of(log->time, log->time_len);
	len = format_write(&log->format, facts, line,
	    log->syslog != NULL ? ACCESSLOG_SYSLOG_MAX : FORMAT_LINE_MAX);
	if (log->syslog != NULL) {
		/* Without its newline. */
		logsocket_send(log->syslog,
		    bytes_of(log->line, log->head_len + (len > 0 ? len - 1 : 0)),
		    loop_now_ms(loop));
	} else {
		logfile_write(log->file, bytes_of(line, len));
	}
	if (!deadline_is_set(&log->flush))
		deadline_set(loop, &log->flush, ACCESSLOG_FLUSH_MS, flush_passed);
}

void accesslog_write(struct accesslog *log, const struct exchange *x)
{
	uint64_t now_ms = loop_now_ms(log->worker->loop);
	int64_t now = loop_wall(log->worker->loop);
	const char *site = x->site != NULL ? x->site->conf->name : NULL;
	enum reason why = x->reason != REASON_NONE ? x->reason : x->lost;
	struct format_facts facts = {
		.client = x->client,
		.wall = now,
		.peer = bytes_str(x->peer),
		.method = x->method,
		.target = x->marks.target,
		.host = x->marks.host,
		.referer = x->marks.referer,
		.agent = x->marks.agent,
		.id = bytes_of(x->id, x->id_len),
		.site = bytes_str(site != NULL ? site : ""),
		.server = bytes_str(x->server != NULL ? x->server : ""),
		.minor = x->minor,
		.status = x->status,
		.length = x->answer_len,
		.asked = x->body_len,
		.tries = x->tries,
		.ms = now_ms - x->start_ms,
		.ms_head = x->head_ms != 0 ? x->head_ms - x->start_ms : FORMAT_NONE,
		.ms_queued = x->queued_ms,
		.reason = why != REASON_NONE ? reason_name(why) : NULL,
	};

	set_time(log, now);
	write_line(log, &facts);
}

void accesslog_connection(struct accesslog *log, const struct client *client, enum reason why)
{
	struct format_facts facts = {
		.client = client,
		.peer = bytes_str(client->peer_text),
		.asked = FORMAT_NONE,
		.tries = FORMAT_NONE,
		.ms = FORMAT_NONE,
		.ms_head = FORMAT_NONE,
		.ms_queued = FORMAT_NONE,
		.length = 0,
		.reason = reason_name(why),
	};

	if (log == NULL || !log->worker->conf->access_log.connections)
		return;
	facts.wall = loop_wall(log->worker->loop);
	set_time(log, facts.wall);
	write_line(log, &facts);
}

static void flush_passed(struct deadline *d)
{
	struct accesslog *log = CONTAINER_OF(d, struct accesslog, flush);
	uint64_t dropped;

	if (log->syslog == NULL)
		logfile_flush(log->file);
	dropped = log->syslog != NULL ? logsocket_dropped(log->syslog) : logfile_dropped(log->file);
	counter_set(log->worker->counters.log_dropped, dropped);
}
