/*
 * check.c: see check.h.
 */
#include "gateway/monitor/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/reason.h"
#include "gateway/gateway_conf.h"
#include "net/stream.h"

#include "base/poison.h"

enum { CHECK_WHY_MAX = 96, CHECK_LINE_MAX = 16 * 1024, CHECK_INTERIM_MAX = 16 };

struct check {
	struct loop *loop;
	struct check_params params;
	struct stream *stream;
	struct head_scan scan;
	unsigned interims;
	struct deadline late;
	char why[CHECK_WHY_MAX];
};

static void opened(void *);
static void input(void *);
static void drained(void *);
static void closed(void *, enum reason);
static void late(struct deadline *);

static const struct stream_events events = {
	.opened = opened,
	.input = input,
	.drained = drained,
	.closed = closed,
};

struct check *check_start(struct loop *loop, const struct check_params *params)
{
	struct check *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->loop = loop;
	c->params = *params;
	c->stream = stream_connect(loop, params->at, NULL, &events, c);
	if (c->stream == NULL) {
		free(c);
		return NULL;
	}
	deadline_set(loop, &c->late, params->timeout_ms, late);
	return c;
}

void check_cancel(struct check *c)
{
	if (c == NULL)
		return;
	deadline_clear(c->loop, &c->late);
	stream_close(c->stream);
	free(c);
}

static void end(struct check *c, const char *why)
{
	deadline_clear(c->loop, &c->late);
	stream_close(c->stream);
	c->params.done(c->params.arg, why);
	free(c);
}

static void opened(void *arg)
{
	struct check *c = arg;
	struct iovec iov = { (void *)(uintptr_t)c->params.request.at, c->params.request.len };

	if (iov.iov_len == 0)
		end(c, NULL);
	else
		(void)stream_write(c->stream, &iov, 1);
}

static void answered(struct check *c, unsigned status)
{
	if (pool_conf_status(c->params.statuses, status) == 1) {
		end(c, NULL);
		return;
	}
	snprintf(c->why, sizeof(c->why), "it answers with status %u", status);
	end(c, c->why);
}

static void input(void *arg)
{
	static const struct head_limits limits = { HEAD_BYTES_MAX, CHECK_LINE_MAX,
		HEAD_FIELDS_MAX };
	static const struct head asked = { .method = { (const uint8_t *)"GET", 3 } };
	struct check *c = arg;
	struct head *head = c->params.scratch;
	struct verdict verdict;
	size_t used;

	while (stream_input(c->stream).len > 0) {
		enum parse got = head_response(
		    stream_input(c->stream), &asked, &limits, &c->scan, head, &used, &verdict);

		if (got == PARSE_MORE)
			break;
		if (got == PARSE_BAD || (head->status < 200 && ++c->interims > CHECK_INTERIM_MAX)) {
			end(c, reason_text(
				   got == PARSE_BAD ? verdict.reason : REASON_BACKEND_INTERIM));
			return;
		}
		if (head->status >= 200) {
			answered(c, head->status);
			return;
		}
		stream_consume(c->stream, used);
		c->scan = (struct head_scan){ 0 };
	}
	stream_expect(c->stream);
	if (stream_at_end(c->stream))
		end(c, reason_text(stream_input(c->stream).len > 0 ? REASON_BACKEND_TRUNCATED
								   : REASON_BACKEND_CLOSE));
}

static void drained(void *arg)
{
	(void)arg;
}

static void closed(void *arg, enum reason reason)
{
	end(arg, reason_text(reason == REASON_RESET || reason == REASON_IO ? REASON_BACKEND_RESET
									   : reason));
}

static void late(struct deadline *deadline)
{
	end(CONTAINER_OF(deadline, struct check, late), "it did not answer in time");
}
