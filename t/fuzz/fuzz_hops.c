/*
 * fuzz_hops.c: any bytes as the value of a Forwarded field. Invariants: what is taken lies in the input
 * and holds no quote; each element moves on; a list that is whole, with another element behind it, has
 * just that one more.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http/hops.h"

#include "base/poison.h"

enum { INPUT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void lies_in(struct bytes all, struct bytes part)
{
	if (part.len == 0)
		return;
	assert(part.at >= all.at && part.at + part.len <= all.at + all.len);
	assert(memchr(part.at, '"', part.len) == NULL);
	assert(memchr(part.at, '\\', part.len) == NULL);
}

/* How many elements; -1: broken. */
static int count(struct bytes all, struct hop *last)
{
	struct bytes rest = all;
	struct hop hop;
	int n = 0;

	for (;;) {
		size_t before = rest.len;
		enum parse got = hops_next(&rest, &hop);

		if (got == PARSE_BAD)
			return -1;
		if (got == PARSE_MORE)
			return n;
		assert(rest.len < before);
		lies_in(all, hop.node);
		lies_in(all, hop.host);
		lies_in(all, hop.proto);
		*last = hop;
		n++;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char more[] = ", for=192.0.2.7;proto=https";
	struct hop last = { 0 };
	uint8_t *copy;
	int n;

	if (size > INPUT_MAX || (copy = malloc(size + sizeof(more))) == NULL)
		return 0;
	if (size > 0)
		memcpy(copy, data, size);
	n = count(bytes_of(copy, size), &last);
	memcpy(copy + size, more, sizeof(more) - 1);
	if (n >= 0) {
		assert(count(bytes_of(copy, size + sizeof(more) - 1), &last) == n + 1);
		assert(bytes_equal_str(last.node, "192.0.2.7"));
		assert(bytes_equal_str(last.proto, "https"));
	}
	free(copy);
	return 0;
}
