/*
 * fuzz_epoch.c: bytes as an answer to sslgw/epoch-keys, as a state file of the key service, and as a
 * sealed session. An answer that parses has records that keep what the format promises; a file that
 * decodes encodes to the same bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/generation.h"
#include "crypto/seal.h"

#include "base/poison.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(struct bytes in)
{
	struct epoch_set *set = calloc(1, sizeof(*set)), *other = calloc(1, sizeof(*set));
	uint64_t unix_now, now = 1000000;

	assert(set != NULL && other != NULL);
	if (epoch_answer_parse(in, now, set, &unix_now) == PARSE_OK) {
		const struct epoch_record *current = epoch_set_current(set, now);

		assert(current == NULL ||
		       epoch_set_find(set, now, epoch_tag(current), epoch_e24(current)) != NULL);
		for (size_t i = 0; i < set->n; i++)
			assert(epoch_tag(&set->at[i]) != 0 && set->at[i].start <= set->at[i].e);
		assert(epoch_set_merge(other, set) == 0);
		epoch_set_expire(set, now);
		epoch_set_clear(set);
	} else {
		assert(set->n == 0 && set->revoked_n == 0);
	}
	free(set);
	free(other);
}

static void file(struct bytes in)
{
	struct generations *g = calloc(1, sizeof(*g));
	uint8_t *out = malloc(GENERATIONS_FILE_MAX);
	size_t len;

	assert(g != NULL && out != NULL);
	if (generations_decode(in, g) == PARSE_OK) {
		assert(generations_encode(g, out, GENERATIONS_FILE_MAX, &len) == 0);
		assert(bytes_equal(in, bytes_of(out, len)));
	}
	free(g);
	free(out);
}

static void sealed(struct bytes in)
{
	static const uint8_t zero[64];
	uint8_t *buf = malloc(in.len + 1);
	struct sealed_session s;
	struct kit *kit = kit_new();

	assert(kit != NULL && buf != NULL);
	assert(seal_decrypt(kit, zero, zero, zero, in, buf, in.len, &s) == -1);
	kit_free(kit);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);

	answer(in);
	file(in);
	if (size < 4096)
		sealed(in);
	return 0;
}
