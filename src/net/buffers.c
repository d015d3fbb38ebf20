/*
 * buffers.c: the byte queue. It grows by doubling and gives its block back when it is empty, so a
 * connection pays for a buffer only while bytes wait.
 */
#include "net/buffers.h"

#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

enum { BUFFER_MIN = 1024 };

size_t buffer_len(const struct buffer *b)
{
	return b->to - b->from;
}

struct bytes buffer_bytes(const struct buffer *b)
{
	return bytes_of(b->at != NULL ? b->at + b->from : NULL, b->to - b->from);
}

uint8_t *buffer_reserve(struct buffer *b, size_t len)
{
	size_t held = b->to - b->from, cap;
	uint8_t *at;

	if (b->at != NULL && b->cap - b->to >= len)
		return b->at + b->to;
	if (b->at != NULL && b->cap - held >= len && b->from >= held) {
		memcpy(b->at, b->at + b->from, held);
		b->from = 0;
		b->to = held;
		return b->at + b->to;
	}
	for (cap = BUFFER_MIN; cap < held + len; cap *= 2)
		;
	at = malloc(cap);
	if (at == NULL)
		return NULL;
	if (held > 0)
		memcpy(at, b->at + b->from, held);
	free(b->at);
	*b = (struct buffer){ at, 0, held, cap };
	return at + held;
}

void buffer_added(struct buffer *b, size_t len)
{
	b->to += len;
}

int buffer_append(struct buffer *b, const void *data, size_t len)
{
	uint8_t *room;

	if (len == 0)
		return 0;
	room = buffer_reserve(b, len);
	if (room == NULL)
		return -1;
	memcpy(room, data, len);
	b->to += len;
	return 0;
}

void buffer_consume(struct buffer *b, size_t len)
{
	b->from += len;
	if (b->from >= b->to)
		buffer_free(b);
}

void buffer_free(struct buffer *b)
{
	free(b->at);
	*b = (struct buffer){ 0 };
}
