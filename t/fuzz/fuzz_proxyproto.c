/*
 * fuzz_proxyproto.c: any bytes as a PROXY header. Invariants: what is OK lies within its length, is MORE at
 * every shorter prefix, and what it says can be built and read again.
 */
#include <assert.h>
#include <string.h>

#include "wire/proxyproto.h"

#include "base/poison.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void lies_in(struct bytes header, struct bytes part)
{
	assert(part.len == 0 ||
	       (part.at >= header.at && part.at + part.len <= header.at + header.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	struct proxyproto p, q;
	static uint8_t out[PROXYPROTO_MAX];
	size_t used, len;
	enum parse r = proxyproto_parse(in, &p, &used);

	if (r == PARSE_MORE)
		assert(size < PROXYPROTO_MAX);
	if (r != PARSE_OK)
		return 0;
	assert(used > 0 && used <= size);
	lies_in(bytes_of(data, used), p.alpn);
	lies_in(bytes_of(data, used), p.authority);
	lies_in(bytes_of(data, used), p.unique_id);
	lies_in(bytes_of(data, used), p.tls_version);
	lies_in(bytes_of(data, used), p.cipher);
	lies_in(bytes_of(data, used), p.common_name);
	for (size_t n = 0; n < used; n += 1 + used / 16)
		assert(proxyproto_parse(bytes_sub(in, 0, n), &q, &len) == PARSE_MORE);
	len = proxyproto_build(&p, out, sizeof(out));
	if (len == 0)
		return 0;
	assert(proxyproto_parse(bytes_of(out, len), &q, &used) == PARSE_OK && used == len);
	assert(q.local == p.local &&
	       (q.local || (q.from_port == p.from_port && q.family == p.family)));
	return 0;
}
