/*
 * test_chunk.c: the chunked coding there and back, in pieces of every size; what the corpus cannot
 * say: offsets, states after the end and after a failure, the bounds' exact places.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/chunk.h"

#include "base/poison.h"

/* Decodes in pieces; appends the data to out. */
static enum parse decode(struct chunk *chunk, struct bytes in, size_t piece, char *out,
    size_t *out_len, struct verdict *verdict)
{
	enum parse result = PARSE_MORE;

	for (size_t at = 0; at < in.len && result == PARSE_MORE; at += piece) {
		struct bytes part = bytes_sub(in, at, piece), data;

		while ((result = chunk_next(chunk, &part, &data, verdict)) == PARSE_OK &&
		       !chunk->done) {
			memcpy(out + *out_len, data.at, data.len);
			*out_len += data.len;
		}
	}
	return result;
}

static void test_what_is_encoded_decodes_to_itself(void **state)
{
	static char text[4096], wire[7 * sizeof text], out[sizeof text];

	(void)state;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i * 31 % 251);
	for (size_t size = 1; size < 600; size += 37) {
		size_t len = 0;

		for (size_t at = 0; at < sizeof text; at += size) {
			size_t n = size < sizeof text - at ? size : sizeof text - at;

			len += chunk_head_write(wire + len, n);
			memcpy(wire + len, text + at, n);
			memcpy(wire + len + n, "\r\n", 2);
			len += n + 2;
		}
		memcpy(wire + len, CHUNK_LAST, 5);
		len += 5;
		for (size_t piece = 1; piece < 700; piece += 23) {
			struct chunk chunk;
			struct verdict verdict;
			size_t out_len = 0;

			chunk_init(&chunk, MESSAGE_REQUEST);
			assert_int_equal(
			    decode(&chunk, bytes_of(wire, len), piece, out, &out_len, &verdict),
			    PARSE_OK);
			assert_true(chunk.done);
			assert_int_equal(out_len, sizeof text);
			assert_memory_equal(out, text, sizeof text);
			assert_int_equal(chunk.taken, len);
			assert_int_equal(chunk.data, sizeof text);
		}
	}
}

static void test_sizes_are_written_in_the_fewest_digits(void **state)
{
	char buf[CHUNK_HEAD_MAX];

	(void)state;
	assert_int_equal(chunk_head_write(buf, 0), 3);
	assert_memory_equal(buf, "0\r\n", 3);
	assert_int_equal(chunk_head_write(buf, 0xf), 3);
	assert_int_equal(chunk_head_write(buf, 0x10), 4);
	assert_memory_equal(buf, "10\r\n", 4);
	assert_int_equal(chunk_head_write(buf, 0xabcdef), 8);
	assert_memory_equal(buf, "abcdef\r\n", 8);
	assert_int_equal(chunk_head_write(buf, UINT64_MAX), CHUNK_HEAD_MAX);
}

static void test_data_is_a_slice_of_the_input(void **state)
{
	struct bytes in = bytes_str("5\r\nhello\r\n"), data, whole = in;
	struct chunk chunk;
	struct verdict verdict;

	(void)state;
	chunk_init(&chunk, MESSAGE_REQUEST);
	assert_int_equal(chunk_next(&chunk, &in, &data, &verdict), PARSE_OK);
	assert_ptr_equal(data.at, whole.at + 3);
	assert_int_equal(data.len, 5);
	assert_int_equal(chunk_next(&chunk, &in, &data, &verdict), PARSE_MORE);
	assert_int_equal(in.len, 0);
	assert_int_equal(data.len, 0);
}

static void test_nothing_is_taken_behind_the_end(void **state)
{
	struct bytes in = bytes_str("0\r\n\r\nGET"), data;
	struct chunk chunk;
	struct verdict verdict;

	(void)state;
	chunk_init(&chunk, MESSAGE_REQUEST);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(chunk_next(&chunk, &in, &data, &verdict), PARSE_OK);
		assert_true(chunk.done);
		assert_int_equal(data.len, 0);
		assert_true(bytes_equal_str(in, "GET"));
	}
}

static void test_failure_is_final_and_says_where(void **state)
{
	struct bytes in = bytes_str("3\r\nabcX\r\n0\r\n\r\n"), data;
	struct chunk chunk;
	struct verdict verdict;

	(void)state;
	chunk_init(&chunk, MESSAGE_RESPONSE);
	assert_int_equal(chunk_next(&chunk, &in, &data, &verdict), PARSE_OK);
	assert_int_equal(chunk_next(&chunk, &in, &data, &verdict), PARSE_BAD);
	assert_int_equal(verdict.offset, 6);
	assert_int_equal(verdict.status, 502);
	assert_int_equal(verdict.reason, REASON_BACKEND_CHUNK);
	in = bytes_str("0\r\n\r\n");
	assert_int_equal(chunk_next(&chunk, &in, &data, &verdict), PARSE_BAD);
	assert_false(chunk.done);
	in = bytes_str("0\r\n\rX");
	chunk_init(&chunk, MESSAGE_REQUEST);
	assert_int_equal(chunk_next(&chunk, &in, &data, &verdict), PARSE_BAD);
	assert_false(chunk.done);
}

/* Chunks of one byte behind an extension of that length, until refused; how many passed. */
static size_t chunks_until_refused(size_t extension, size_t most)
{
	static char line[CHUNK_EXTENSION_MAX + 16], out[200000];
	struct chunk chunk;
	struct verdict verdict = { 0 };
	size_t len = (size_t)snprintf(line, sizeof line, "1;%0*d\r\nx\r\n", (int)extension, 0),
	       out_len = 0;

	chunk_init(&chunk, MESSAGE_REQUEST);
	for (size_t n = 0; n < most; n++)
		if (decode(&chunk, bytes_of(line, len), len, out, &out_len, &verdict) ==
		    PARSE_BAD) {
			assert_int_equal(verdict.reason, REASON_CHUNK_OVERHEAD);
			return n;
		}
	return most;
}

static void test_overhead_is_bounded_by_the_data(void **state)
{
	size_t n;

	(void)state;
	/* "1;0 CRLF x CRLF" is 7 bytes around one: below the ratio, for ever. */
	assert_int_equal(chunks_until_refused(1, 100000), 100000);
	n = chunks_until_refused(200, 100000);
	assert_true(n >= CHUNK_OVERHEAD_BYTES / (206 - CHUNK_OVERHEAD_RATIO) - 1);
	assert_true(n <= CHUNK_OVERHEAD_BYTES / (206 - CHUNK_OVERHEAD_RATIO) + 1);
}

/* After that much data and overhead, one more byte around it. */
static enum parse one_more(uint64_t data_bytes, uint64_t overhead)
{
	struct bytes in = bytes_str("1"), data;
	struct chunk chunk;
	struct verdict verdict;

	chunk_init(&chunk, MESSAGE_REQUEST);
	chunk.data = data_bytes;
	chunk.overhead = overhead;
	return chunk_next(&chunk, &in, &data, &verdict);
}

static void test_overhead_is_bounded_to_the_byte(void **state)
{
	uint64_t most = CHUNK_OVERHEAD_BYTES + 10 * CHUNK_OVERHEAD_RATIO;

	(void)state;
	assert_int_equal(one_more(0, CHUNK_OVERHEAD_BYTES - 1), PARSE_MORE);
	assert_int_equal(one_more(0, CHUNK_OVERHEAD_BYTES), PARSE_BAD);
	assert_int_equal(one_more(10, most - 1), PARSE_MORE);
	assert_int_equal(one_more(10, most), PARSE_BAD);
	assert_int_equal(one_more(UINT64_MAX / 2, most), PARSE_MORE);
}

/* A last chunk with a trailer line of that many bytes, CRLF included. */
static enum parse trailer_of(size_t len)
{
	static char wire[CHUNK_TRAILERS_MAX + 64];
	struct chunk chunk;
	struct verdict verdict;
	size_t out_len = 0;
	int n = snprintf(wire, sizeof wire, "0\r\nA:%*s\r\n\r\n", (int)len - 4, "");

	chunk_init(&chunk, MESSAGE_REQUEST);
	return decode(&chunk, bytes_of(wire, (size_t)n), 1, NULL, &out_len, &verdict);
}

static void test_trailers_are_bounded_to_the_byte(void **state)
{
	(void)state;
	/* The CR of the empty line is the last byte that counts. */
	assert_int_equal(trailer_of(CHUNK_TRAILERS_MAX - 1), PARSE_OK);
	assert_int_equal(trailer_of(CHUNK_TRAILERS_MAX), PARSE_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_encoded_decodes_to_itself),
		cmocka_unit_test(test_sizes_are_written_in_the_fewest_digits),
		cmocka_unit_test(test_data_is_a_slice_of_the_input),
		cmocka_unit_test(test_nothing_is_taken_behind_the_end),
		cmocka_unit_test(test_failure_is_final_and_says_where),
		cmocka_unit_test(test_overhead_is_bounded_by_the_data),
		cmocka_unit_test(test_overhead_is_bounded_to_the_byte),
		cmocka_unit_test(test_trailers_are_bounded_to_the_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
