/*
 * chunk.c: one state, one octet, but for data, which is passed through in slices as large as they come.
 */
#include "http/chunk.h"

#include "http/octet.h"

#include "base/poison.h"

void chunk_init(struct chunk *chunk, enum message message)
{
	*chunk = (struct chunk){ .message = message, .state = CHUNK_SIZE };
}

/* The size must stay below 2^63, as a Content-Length. */
static enum reason size_octet(struct chunk *chunk, uint8_t c)
{
	int digit = octet_hex(c);

	if (digit >= 0) {
		if (chunk->digits == CHUNK_SIZE_DIGITS || chunk->left > (uint64_t)INT64_MAX >> 4)
			return REASON_CHUNK;
		chunk->digits++;
		chunk->left = chunk->left << 4 | (uint64_t)digit;
		return REASON_NONE;
	}
	if (chunk->digits == 0)
		return REASON_CHUNK;
	if (c == '\r')
		chunk->state = CHUNK_SIZE_LF;
	else if (c == ';')
		chunk->state = CHUNK_EXTENSION;
	else if (c == ' ' || c == '\t')
		chunk->state = CHUNK_PAD;
	else
		return REASON_CHUNK;
	return REASON_NONE;
}

/* White space is allowed before a ';' from anyone (BWS); before the CR from a back-end only. */
static enum reason pad_octet(struct chunk *chunk, uint8_t c)
{
	if (++chunk->extension > CHUNK_EXTENSION_MAX)
		return REASON_CHUNK;
	if (c == ';')
		chunk->state = CHUNK_EXTENSION;
	else if (c == '\r' && chunk->message == MESSAGE_RESPONSE)
		chunk->state = CHUNK_SIZE_LF;
	else if (c != ' ' && c != '\t')
		return REASON_CHUNK;
	return REASON_NONE;
}

static enum reason extension_octet(struct chunk *chunk, uint8_t c)
{
	if (c == '\r') {
		chunk->state = CHUNK_SIZE_LF;
		return REASON_NONE;
	}
	if (++chunk->extension > CHUNK_EXTENSION_MAX || (octet_class[c] & OCTET_TEXT) == 0)
		return REASON_CHUNK;
	return REASON_NONE;
}

/* The same grammar as a head's lines in guard.c; the CRLF that ends the last one is not counted. */
static enum reason trailer_octet(struct chunk *chunk, uint8_t c)
{
	if (++chunk->trailers > CHUNK_TRAILERS_MAX)
		return REASON_TRAILER;
	switch (chunk->state) {
	case CHUNK_LINE:
		if (c == '\r') {
			chunk->state = CHUNK_END_LF;
			return REASON_NONE;
		}
		if (++chunk->trailer_lines > CHUNK_TRAILER_LINES)
			return REASON_TRAILER;
		chunk->state = CHUNK_NAME;
		return (octet_class[c] & OCTET_TOKEN) != 0 ? REASON_NONE : REASON_TRAILER;
	case CHUNK_NAME:
		if (c == ':')
			chunk->state = CHUNK_VALUE;
		else if ((octet_class[c] & OCTET_TOKEN) == 0)
			return REASON_TRAILER;
		return REASON_NONE;
	case CHUNK_VALUE:
		if (c == '\r')
			chunk->state = CHUNK_VALUE_LF;
		else if ((octet_class[c] & OCTET_TEXT) == 0)
			return REASON_TRAILER;
		return REASON_NONE;
	default:
		chunk->state = CHUNK_LINE;
		return c == '\n' ? REASON_NONE : REASON_TRAILER;
	}
}

/* The exact octet that the state waits for. */
static enum reason expect_octet(
    struct chunk *chunk, uint8_t c, uint8_t wanted, enum chunk_state next)
{
	if (c != wanted)
		return REASON_CHUNK;
	chunk->state = next;
	return REASON_NONE;
}

static enum reason octet_take(struct chunk *chunk, uint8_t c)
{
	switch (chunk->state) {
	case CHUNK_SIZE:
		return size_octet(chunk, c);
	case CHUNK_PAD:
		return pad_octet(chunk, c);
	case CHUNK_EXTENSION:
		return extension_octet(chunk, c);
	case CHUNK_SIZE_LF:
		return expect_octet(chunk, c, '\n', chunk->left > 0 ? CHUNK_DATA : CHUNK_LINE);
	case CHUNK_DATA_CR:
		return expect_octet(chunk, c, '\r', CHUNK_DATA_LF);
	case CHUNK_DATA_LF:
		chunk->digits = 0;
		chunk->extension = 0;
		return expect_octet(chunk, c, '\n', CHUNK_SIZE);
	case CHUNK_END_LF:
		chunk->done = c == '\n';
		return expect_octet(chunk, c, '\n', CHUNK_DONE);
	case CHUNK_LINE:
	case CHUNK_NAME:
	case CHUNK_VALUE:
	case CHUNK_VALUE_LF:
		return trailer_octet(chunk, c);
	default:
		return REASON_CHUNK; /* fed on after a failure */
	}
}

static void take(struct chunk *chunk, struct bytes *in, size_t len)
{
	in->at += len;
	in->len -= len;
	chunk->taken += len;
}

static struct bytes data_take(struct chunk *chunk, struct bytes *in)
{
	struct bytes data = bytes_of(in->at, in->len < chunk->left ? in->len : (size_t)chunk->left);

	take(chunk, in, data.len);
	chunk->data += data.len;
	chunk->left -= data.len;
	if (chunk->left == 0)
		chunk->state = CHUNK_DATA_CR;
	return data;
}

/* Divided, since the product may overflow. */
static bool overhead_too_large(const struct chunk *chunk)
{
	return chunk->overhead > CHUNK_OVERHEAD_BYTES &&
	       (chunk->overhead - CHUNK_OVERHEAD_BYTES - 1) / CHUNK_OVERHEAD_RATIO >= chunk->data;
}

enum parse chunk_next(
    struct chunk *chunk, struct bytes *in, struct bytes *data, struct verdict *verdict)
{
	*data = bytes_of(NULL, 0);
	if (chunk->done)
		return PARSE_OK;
	while (in->len > 0) {
		enum reason reason;

		if (chunk->state == CHUNK_DATA) {
			*data = data_take(chunk, in);
			return PARSE_OK;
		}
		reason = octet_take(chunk, in->at[0]);
		chunk->overhead++;
		if (reason == REASON_NONE && overhead_too_large(chunk))
			reason = REASON_CHUNK_OVERHEAD;
		if (reason != REASON_NONE) {
			chunk->state = CHUNK_FAILED;
			return verdict_refuse(
			    verdict, chunk->message, reason, (size_t)chunk->taken);
		}
		take(chunk, in, 1);
		if (chunk->done)
			return PARSE_OK;
	}
	return PARSE_MORE;
}

size_t chunk_head_write(char buf[static CHUNK_HEAD_MAX], uint64_t size)
{
	size_t len = 1;

	for (uint64_t rest = size >> 4; rest > 0; rest >>= 4)
		len++;
	for (size_t i = len; i > 0; i--, size >>= 4)
		buf[i - 1] = "0123456789abcdef"[size & 0xf];
	buf[len] = '\r';
	buf[len + 1] = '\n';
	return len + 2;
}
