/*
 * accesslog.c: see accesslog.h. Lines gather in base/logfile's buffer and go out when it is full, or
 * ACCESSLOG_FLUSH_MS after the first of them.
 */
#include "config.h"

#include "gateway/exchange/accesslog.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/counters.h"
#include "base/log.h"
#include "base/logfile.h"
#include "gateway/exchange/exchange_private.h"
#include "gateway/exchange/format.h"

#include "base/poison.h"

enum { ACCESSLOG_FLUSH_MS = 500 };

struct accesslog {
	struct worker *worker;
	struct logfile *file;
	struct deadline flush;
	int64_t time_of; /* what time says */
	size_t time_len;
	char time[FORMAT_TIME_SIZE];
	char line[FORMAT_LINE_MAX];
};

static void flush_passed(struct deadline *);

struct accesslog *accesslog_new(struct worker *worker)
{
	const char *path = worker->conf->access_log.file;
	struct accesslog *log;

	if (path == NULL)
		return NULL;
	log = calloc(1, sizeof(*log));
	if (log == NULL)
		return NULL;
	log->worker = worker;
	log->file = logfile_open(path);
	if (log->file == NULL) {
		log_error("no access log: %s cannot be written (make its folder, or name "
			  "another file in access_log.file)",
		    path);
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
	free(log);
}

void accesslog_reopen(struct accesslog *log, int fd)
{
	if (log != NULL && logfile_reopen(log->file, fd) == -1)
		log_error("cannot open the access log %s again; the old file goes on",
		    log->worker->conf->access_log.file);
}

void accesslog_write(struct accesslog *log, const struct exchange *x)
{
	int64_t now = loop_wall(log->worker->loop);
	struct format_facts facts = {
		.peer = bytes_str(x->peer),
		.method = x->method,
		.target = x->marks.target,
		.minor = x->minor,
		.status = x->status,
		.length = x->answer_len,
		.referer = x->marks.referer,
		.agent = x->marks.agent,
	};
	size_t len;

	if (now != log->time_of) {
		log->time_len = format_time(now, log->time);
		log->time_of = now;
	}
	facts.time = bytes_of(log->time, log->time_len);
	len = format_combined(&facts, log->line, sizeof(log->line));
	logfile_write(log->file, bytes_of(log->line, len));
	if (!deadline_is_set(&log->flush))
		deadline_set(log->worker->loop, &log->flush, ACCESSLOG_FLUSH_MS, flush_passed);
}

static void flush_passed(struct deadline *d)
{
	struct accesslog *log = CONTAINER_OF(d, struct accesslog, flush);

	logfile_flush(log->file);
	counter_set(log->worker->counters.log_dropped, logfile_dropped(log->file));
}
