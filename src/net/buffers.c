/*
 * buffers.c: the byte queue. It grows by doubling and gives its block back when it is empty, so a
 * connection pays for a buffer only while bytes wait.
 */
#include "net/buffers.h"

#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

enum { BUFFER_MIN = 1024 };

struct buffer_block {
	size_t from, to, cap; /* of at */
	uint8_t at[];
};

size_t buffer_len(const struct buffer *b)
{
	return b->block != NULL ? b->block->to - b->block->from : 0;
}

struct bytes buffer_bytes(const struct buffer *b)
{
	const struct buffer_block *block = b->block;

	if (block == NULL)
		return (struct bytes){ 0 };
	return bytes_of(block->at + block->from, block->to - block->from);
}

uint8_t *buffer_reserve(struct buffer *b, size_t len)
{
	struct buffer_block *block = b->block, *grown;
	size_t held = buffer_len(b), cap;

	if (block != NULL && block->cap - block->to >= len)
		return block->at + block->to;
	if (block != NULL && block->cap - held >= len && block->from >= held) {
		memcpy(block->at, block->at + block->from, held);
		block->from = 0;
		block->to = held;
		return block->at + block->to;
	}
	for (cap = BUFFER_MIN; cap < held + len; cap *= 2)
		;
	grown = malloc(sizeof *grown + cap);
	if (grown == NULL)
		return NULL;
	*grown = (struct buffer_block){ .to = held, .cap = cap };
	if (held > 0)
		memcpy(grown->at, block->at + block->from, held);
	free(block);
	b->block = grown;
	return grown->at + held;
}

void buffer_added(struct buffer *b, size_t len)
{
	b->block->to += len;
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
	buffer_added(b, len);
	return 0;
}

void buffer_consume(struct buffer *b, size_t len)
{
	if (b->block == NULL)
		return;
	b->block->from += len;
	if (b->block->from >= b->block->to)
		buffer_free(b);
}

void buffer_free(struct buffer *b)
{
	free(b->block);
	b->block = NULL;
}
