/*
 * reply.c: reads an HTTP answer, as far as a load generator must: its status, its length, whether the
 * connection goes on. Answers in chunks are not expected of the back-end and count as bad.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "load.h"

void reply_begin(struct reply *r)
{
	r->in_body = r->closes = false;
	r->status = 0;
	r->left = 0;
	r->head_n = 0;
}

/* line ends at end, which is its CR or LF. */
static bool field(struct reply *r, const char *line, const char *end)
{
	size_t len = (size_t)(end - line);

	if (len > 15 && strncasecmp(line, "content-length:", 15) == 0)
		r->left = strtoll(line + 15, NULL, 10);
	else if (len > 11 && strncasecmp(line, "connection:", 11) == 0)
		r->closes = memmem(line, len, "close", 5) != NULL;
	else if (len > 18 && strncasecmp(line, "transfer-encoding:", 18) == 0)
		return false;
	return true;
}

static bool head(struct reply *r, const char *at, size_t len)
{
	const char *end = at + len, *line = at, *stop;

	if (len < 12 || memcmp(at, "HTTP/1.", 7) != 0)
		return false;
	r->status = atoi(at + 9);
	r->left = -1;
	for (; line < end && (stop = memchr(line, '\n', (size_t)(end - line))) != NULL;
	     line = stop + 1)
		if (!field(r, line, stop))
			return false;
	if (r->status == 204 || r->status == 304)
		r->left = 0;
	if (r->left < 0)
		r->closes = true;
	r->in_body = true;
	return true;
}

static enum reply_step body(struct reply *r, size_t n)
{
	if (r->left < 0)
		return REPLY_MORE;
	if ((int64_t)n > r->left)
		return REPLY_BAD;
	r->left -= (int64_t)n;
	return r->left == 0 ? REPLY_WHOLE : REPLY_MORE;
}

enum reply_step reply_feed(struct reply *r, const char *at, size_t n)
{
	const char *whole = at, *end;
	size_t len = n;

	if (r->in_body)
		return body(r, n);
	if (r->head_n > 0) {
		if (r->head_n + n > REPLY_HEAD_MAX)
			return REPLY_BAD;
		memcpy(r->head + r->head_n, at, n);
		whole = r->head;
		len = r->head_n + n;
	}
	end = memmem(whole, len, "\r\n\r\n", 4);
	if (end == NULL) {
		if (len > REPLY_HEAD_MAX)
			return REPLY_BAD;
		if (r->head_n == 0)
			memcpy(r->head, at, n);
		r->head_n = len;
		return REPLY_MORE;
	}
	end += 4;
	if (!head(r, whole, (size_t)(end - whole)))
		return REPLY_BAD;
	return body(r, len - (size_t)(end - whole));
}
