/*
 * fuzz_chunk.c: any bytes as a chunked body, of a client and of a back-end. Invariants: pieces make no
 * difference; every byte taken is data or overhead; what a client may send, a back-end may send; what
 * has been decoded, encoded anew, decodes to the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http/chunk.h"

#include "base/poison.h"

#define INPUT_MAX (64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct decoded {
	enum parse result;
	struct verdict verdict;
	struct chunk chunk;
	uint8_t data[INPUT_MAX];
	size_t len;
};

static void decode(struct bytes in, enum message message, size_t piece, struct decoded *d)
{
	d->result = PARSE_MORE;
	d->len = 0;
	chunk_init(&d->chunk, message);
	for (size_t at = 0; at < in.len && d->result == PARSE_MORE; at += piece) {
		struct bytes part = bytes_sub(in, at, piece), data;
		uint8_t *copy = malloc(part.len); /* a block of just its size */

		assert(copy != NULL);
		memcpy(copy, part.at, part.len);
		part.at = copy;
		while ((d->result = chunk_next(&d->chunk, &part, &data, &d->verdict)) == PARSE_OK &&
		       !d->chunk.done) {
			assert(data.len > 0 && data.at >= copy);
			memcpy(d->data + d->len, data.at, data.len);
			d->len += data.len;
		}
		free(copy);
	}
	assert(d->len == d->chunk.data);
	if (d->result != PARSE_BAD)
		assert(d->chunk.data + d->chunk.overhead == d->chunk.taken);
	else
		assert(d->verdict.offset < in.len && !d->chunk.done);
	assert((d->result == PARSE_OK) == d->chunk.done);
}

static void encoded_anew(const struct decoded *d)
{
	static uint8_t wire[INPUT_MAX + 64];
	static struct decoded again;
	size_t len = 0;

	if (d->len > 0) {
		len = chunk_head_write((char *)wire, d->len);
		memcpy(wire + len, d->data, d->len);
		memcpy(wire + len + d->len, "\r\n", 2);
		len += d->len + 2;
	}
	memcpy(wire + len, CHUNK_LAST, sizeof CHUNK_LAST - 1);
	len += sizeof CHUNK_LAST - 1;
	decode(bytes_of(wire, len), MESSAGE_REQUEST, len, &again);
	assert(again.result == PARSE_OK && again.chunk.taken == len);
	assert(again.len == d->len && memcmp(again.data, d->data, d->len) == 0);
}

static void check_body(struct bytes in, enum message message, struct decoded *whole)
{
	static struct decoded part;
	const size_t pieces[] = { 1, 1 + in.len % 13, 1 + in.len / 2 };

	decode(in, message, in.len, whole);
	for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
		decode(in, message, pieces[i], &part);
		assert(part.result == whole->result && part.chunk.taken == whole->chunk.taken);
		assert(part.len == whole->len && memcmp(part.data, whole->data, part.len) == 0);
		if (part.result == PARSE_BAD)
			assert(part.verdict.reason == whole->verdict.reason &&
			       part.verdict.offset == whole->verdict.offset);
	}
	if (whole->result == PARSE_OK)
		encoded_anew(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct decoded client, backend;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	check_body(bytes_of(data, size), MESSAGE_REQUEST, &client);
	check_body(bytes_of(data, size), MESSAGE_RESPONSE, &backend);
	if (client.result == PARSE_OK)
		assert(backend.result == PARSE_OK && backend.chunk.taken == client.chunk.taken);
	return 0;
}
