/*
 * generation_file.c: the state file's bytes. Called by the key service's epochfile. Nothing but what
 * was written whole is taken.
 */
#include "config.h"

#include <openssl/sha.h>

#include <string.h>

#include "crypto/generation.h"

#include "base/poison.h"

enum { DIGEST_LEN = 32 };

static const char magic[8] = { 'S', 'S', 'L', 'G', 'W', 'E', 'P', 2 };

int generations_encode(const struct generations *g, uint8_t *out, size_t size, size_t *len)
{
	struct writer w = writer_of(out, size);
	uint8_t digest[DIGEST_LEN];

	writer_put(&w, magic, sizeof(magic));
	writer_u32(&w, g->period);
	writer_u64(&w, g->written);
	writer_u16(&w, (uint16_t)g->n);
	for (size_t i = 0; i < g->n; i++)
		generation_put(&w, &g->at[i]);
	revocations_put(&w, g->revoked, g->revoked_n);
	revocations_put(&w, g->dropped, g->dropped_n);
	if (!w.ok)
		return -1;
	SHA256(out, writer_len(&w), digest);
	writer_put(&w, digest, sizeof(digest));
	*len = writer_len(&w);
	return w.ok ? 0 : -1;
}

static bool decode_body(struct cursor *c, struct generations *g)
{
	size_t n;

	g->period = cursor_u32(c);
	g->written = cursor_u64(c);
	if (!c->ok || !generation_period_valid(g->period) || (n = cursor_u16(c)) > GENERATIONS_MAX)
		return false;
	while (g->n < n) {
		if (!generation_take(c, &g->at[g->n]))
			return false;
		g->n++;
	}
	return revocations_take(c, g->revoked, EPOCH_REVOKED_MAX, &g->revoked_n) &&
	       revocations_take(c, g->dropped, GENERATIONS_DROPPED_MAX, &g->dropped_n) &&
	       cursor_left(c) == 0;
}

enum parse generations_decode(struct bytes in, struct generations *out)
{
	uint8_t digest[DIGEST_LEN];
	struct cursor c;

	memset(out, 0, sizeof(*out));
	if (in.len < sizeof(magic) + DIGEST_LEN || memcmp(in.at, magic, sizeof(magic)) != 0)
		return PARSE_BAD;
	SHA256(in.at, in.len - DIGEST_LEN, digest);
	c = cursor_of(bytes_of(in.at + sizeof(magic), in.len - sizeof(magic) - DIGEST_LEN));
	if (memcmp(digest, in.at + in.len - DIGEST_LEN, DIGEST_LEN) == 0 && decode_body(&c, out))
		return PARSE_OK;
	generations_clear(out);
	return PARSE_BAD;
}
