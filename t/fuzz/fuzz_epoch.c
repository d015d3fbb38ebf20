/*
 * fuzz_epoch.c: bytes as an answer to sslgw/epoch-keys or epoch-ids, as a state file of the key service,
 * as what another key service offers, and as a sealed session. What is taken of an offer keeps the Rule. An answer that parses has records that keep what the format promises; a file that
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
		assert(epoch_set_merge(other, set, now) == 0);
		epoch_set_expire(set, now);
		epoch_set_clear(set);
	} else {
		assert(set->n == 0 && set->revoked_n == 0);
	}
	free(set);
	free(other);
}

static void ids(struct bytes in)
{
	struct epoch_ids *out = calloc(1, sizeof(*out));
	struct epoch_set *set = calloc(1, sizeof(*set));

	assert(out != NULL && set != NULL);
	if (epoch_ids_parse(in, out) == PARSE_OK)
		epoch_set_revoke(set, (const uint8_t(*)[EPOCH_ID_LEN])out->revoked, out->revoked_n);
	else
		assert(out->n == 0 && out->revoked_n == 0);
	free(out);
	free(set);
}

static void check_taken(const struct generations *g, uint64_t now)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct generation *x = &g->at[i];

		assert(x->base >= generations_oldest(g, now) && x->base >= x->start);
		assert(!generations_is_revoked(g, x->id) && !generations_is_dropped(g, x->id));
		for (size_t j = 0; j < i; j++)
			assert(memcmp(g->at[j].id, x->id, sizeof(x->id)) != 0);
	}
}

/* Taken by a server that has some of its own; what it holds is offered, and taken by a third. */
static void offer(struct bytes in)
{
	struct generations_offer *o = calloc(1, sizeof(*o));
	struct generations *g = calloc(1, sizeof(*g)), *third = calloc(1, sizeof(*third));
	uint8_t *out = malloc(GENERATIONS_EXCHANGE_MAX);
	struct generations_taken taken;
	struct kit *kit = kit_new();
	struct writer w;

	assert(o != NULL && g != NULL && third != NULL && out != NULL && kit != NULL);
	w = writer_of(out, GENERATIONS_EXCHANGE_MAX);
	if (generations_offer_parse(in, o) == PARSE_OK) {
		uint64_t now = o->unix_now, period = o->period;

		generations_init(g, o->period);
		generations_init(third, o->period);
		g->at[g->n++] = (struct generation){ .id = { 1, 2, 3 },
			.kind = EPOCH_MADE,
			.start = now / period,
			.base = now / period };
		generations_take(g, kit, o, now, false, &taken);
		check_taken(g, now);
		assert(generations_offer(g, o->sender, now, o->held, &w) == 0);
		assert(generations_offer_parse(bytes_of(out, writer_len(&w)), o) == PARSE_OK);
		assert(!generations_take(g, kit, o, now, false, &taken));
		assert(taken.conflicts == 0);
		generations_take(third, kit, o, now, false, &taken);
		check_taken(third, now);
		assert(third->n == g->n);
	} else {
		assert(o->n == 0 && o->revoked_n == 0);
	}
	kit_free(kit);
	free(o), free(g), free(third), free(out);
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
	ids(in);
	if (size <= GENERATIONS_EXCHANGE_MAX)
		offer(in);
	file(in);
	if (size < 4096)
		sealed(in);
	return 0;
}
