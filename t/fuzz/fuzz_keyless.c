/*
 * fuzz_keyless.c: bytes as a stream of Keyless messages. What parses and is built again parses to
 * the same; the frame's length never reaches past what there is.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "wire/keyless.h"

#include "base/poison.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(struct bytes a, struct bytes b)
{
	assert((a.at == NULL) == (b.at == NULL) && bytes_equal(a, b));
}

static void round_trip(const struct keyless *k)
{
	uint8_t *buf = malloc(KEYLESS_MAX);
	struct keyless back;
	enum keyless_error error;
	size_t n;

	assert(buf != NULL);
	n = keyless_build(k, false, buf, KEYLESS_MAX);
	assert(n > 0 && keyless_parse(bytes_of(buf, n), &back, &error) == PARSE_OK);
	assert(back.id == k->id && back.opcode == k->opcode);
	same(back.digest, k->digest);
	same(back.sni, k->sni);
	same(back.client_ip, k->client_ip);
	same(back.ski, k->ski);
	same(back.server_ip, k->server_ip);
	same(back.certificate_id, k->certificate_id);
	same(back.payload, k->payload);
	same(back.function, k->function);
	same(back.extra, k->extra);
	same(back.span, k->span);
	same(back.context, k->context);
	same(back.region, k->region);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	struct keyless k;
	enum keyless_error error;
	size_t len = 0;
	uint32_t id;

	while (keyless_next(in, &len, &id) == PARSE_OK) {
		assert(len >= KEYLESS_HEADER_LEN && len <= in.len);
		if (keyless_parse(bytes_sub(in, 0, len), &k, &error) == PARSE_OK)
			round_trip(&k);
		else
			assert(error != KEYLESS_ERR_NONE);
		assert(k.id == id);
		in = bytes_sub(in, len, in.len);
	}
	return 0;
}
