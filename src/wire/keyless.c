/*
 * keyless.c: one table of tags, and the loops over it. Called by the key service, by the gateway's
 * key client and by the fuzzer, all through the same functions.
 */
#include "wire/keyless.h"

#include <stddef.h>
#include <string.h>

#include "base/poison.h"

enum { TAG_OPCODE = 0x11, TAG_PAD = 0x20, ITEM_HEAD_LEN = 3 };

/* In the order in which keyless_build writes them. */
static const struct tag {
	uint8_t tag;
	uint8_t len[2]; /* the lengths it may have; both 0: any */
	size_t at; /* of its slice in struct keyless */
} tags[] = {
	{ 0x13, { 0, 0 }, offsetof(struct keyless, function) },
	{ 0x04, { KEYLESS_SKI_LEN, KEYLESS_SKI_LEN }, offsetof(struct keyless, ski) },
	{ 0x01, { 0, 0 }, offsetof(struct keyless, digest) },
	{ 0x02, { 0, 0 }, offsetof(struct keyless, sni) },
	{ 0x03, { 4, 16 }, offsetof(struct keyless, client_ip) },
	{ 0x05, { 4, 16 }, offsetof(struct keyless, server_ip) },
	{ 0x06, { 0, 0 }, offsetof(struct keyless, certificate_id) },
	{ 0x12, { 0, 0 }, offsetof(struct keyless, payload) },
	{ 0x14, { 0, 0 }, offsetof(struct keyless, extra) },
	{ 0x15, { 0, 0 }, offsetof(struct keyless, span) },
	{ 0x16, { 0, 0 }, offsetof(struct keyless, context) },
	{ 0x17, { 1, 1 }, offsetof(struct keyless, region) },
};
enum { TAGS_N = sizeof(tags) / sizeof(tags[0]) };

static struct bytes *slice_of(struct keyless *k, const struct tag *t)
{
	return (struct bytes *)(void *)((char *)k + t->at);
}

static const struct bytes *const_slice_of(const struct keyless *k, const struct tag *t)
{
	return (const struct bytes *)(const void *)((const char *)k + t->at);
}

static const struct tag *find_tag(uint8_t tag)
{
	for (size_t i = 0; i < TAGS_N; i++) {
		if (tags[i].tag == tag)
			return &tags[i];
	}
	return NULL;
}

enum parse keyless_next(struct bytes in, size_t *len, uint32_t *id)
{
	struct cursor c = cursor_of(in);
	uint8_t major = cursor_u8(&c);
	uint16_t body;

	*id = 0;
	if (c.ok && major != 1) {
		cursor_take(&c, 3);
		*id = cursor_u32(&c);
		return PARSE_BAD;
	}
	cursor_u8(&c);
	body = cursor_u16(&c);
	*id = cursor_u32(&c);
	if (!c.ok || cursor_left(&c) < body)
		return PARSE_MORE;
	*len = KEYLESS_HEADER_LEN + (size_t)body;
	return PARSE_OK;
}

static bool parse_item(struct cursor *c, struct keyless *out, bool *has_opcode)
{
	uint8_t tag = cursor_u8(c);
	struct bytes data = cursor_take(c, cursor_u16(c));
	const struct tag *t = find_tag(tag);
	struct bytes *slice;

	if (!c->ok)
		return false;
	if (tag == TAG_OPCODE) {
		if (*has_opcode || data.len != 1)
			return false;
		*has_opcode = true;
		out->opcode = data.at[0];
		return true;
	}
	if (tag == TAG_PAD)
		out->padded = true;
	if (t == NULL)
		return true;
	slice = slice_of(out, t);
	if (slice->at != NULL)
		return false;
	if (t->len[0] != 0 && data.len != t->len[0] && data.len != t->len[1])
		return false;
	*slice = data;
	return true;
}

enum parse keyless_parse(struct bytes message, struct keyless *out, enum keyless_error *error)
{
	struct cursor c = cursor_of(message);
	bool has_opcode = false;
	size_t len;

	memset(out, 0, sizeof(*out));
	*error = KEYLESS_ERR_FORMAT;
	switch (keyless_next(message, &len, &out->id)) {
	case PARSE_BAD:
		*error = KEYLESS_ERR_VERSION;
		return PARSE_BAD;
	case PARSE_MORE:
		return PARSE_BAD;
	case PARSE_OK:
		break;
	}
	if (len != message.len)
		return PARSE_BAD;
	cursor_take(&c, KEYLESS_HEADER_LEN);
	while (cursor_left(&c) > 0) {
		if (!parse_item(&c, out, &has_opcode))
			return PARSE_BAD;
	}
	if (!has_opcode)
		return PARSE_BAD;
	*error = KEYLESS_ERR_NONE;
	return PARSE_OK;
}

static void put_item(struct writer *w, uint8_t tag, struct bytes data)
{
	if (data.len > UINT16_MAX) {
		w->ok = false;
		return;
	}
	writer_u8(w, tag);
	writer_u16(w, (uint16_t)data.len);
	writer_bytes(w, data);
}

static void put_padding(struct writer *w)
{
	size_t len = writer_len(w);

	if (len + ITEM_HEAD_LEN > KEYLESS_PADDED_LEN)
		return;
	len = KEYLESS_PADDED_LEN - ITEM_HEAD_LEN - len;
	writer_u8(w, TAG_PAD);
	writer_u16(w, (uint16_t)len);
	while (len-- > 0)
		writer_u8(w, 0);
}

size_t keyless_build(const struct keyless *k, bool padded, uint8_t *buf, size_t size)
{
	struct writer w = writer_of(buf, size);
	size_t body;

	writer_u8(&w, 1);
	writer_u8(&w, 0);
	writer_u16(&w, 0); /* the body's length, below */
	writer_u32(&w, k->id);
	put_item(&w, TAG_OPCODE, bytes_of(&k->opcode, 1));
	for (size_t i = 0; i < TAGS_N; i++) {
		const struct bytes *slice = const_slice_of(k, &tags[i]);

		if (slice->at != NULL)
			put_item(&w, tags[i].tag, *slice);
	}
	if (padded)
		put_padding(&w);
	if (!w.ok || writer_len(&w) > KEYLESS_MAX)
		return 0;
	body = writer_len(&w) - KEYLESS_HEADER_LEN;
	buf[2] = (uint8_t)(body >> 8);
	buf[3] = (uint8_t)body;
	return writer_len(&w);
}

void keyless_number(uint8_t *message, uint32_t id)
{
	struct writer w = writer_of(message + 4, 4);

	writer_u32(&w, id);
}

size_t keyless_build_answer(uint32_t id, struct bytes payload, uint8_t *buf, size_t size)
{
	struct keyless k = { .id = id, .opcode = KEYLESS_ANSWER, .payload = payload };

	if (k.payload.at == NULL)
		k.payload = bytes_str(""); /* an answer has a payload, if an empty one */
	return keyless_build(&k, false, buf, size);
}

size_t keyless_build_error(uint32_t id, enum keyless_error error, uint8_t *buf, size_t size)
{
	uint8_t code = (uint8_t)error;
	struct keyless k = { .id = id, .opcode = KEYLESS_ERROR, .payload = bytes_of(&code, 1) };

	return keyless_build(&k, false, buf, size);
}

size_t keyless_build_custom(uint32_t id, const char *function, const uint8_t *ski,
    struct bytes payload, uint8_t *buf, size_t size)
{
	struct keyless k = { .id = id,
		.opcode = KEYLESS_CUSTOM,
		.function = bytes_str(function),
		.payload = payload };

	if (ski != NULL)
		k.ski = bytes_of(ski, KEYLESS_SKI_LEN);
	return keyless_build(&k, false, buf, size);
}

bool keyless_is_custom(struct bytes message, const char *function)
{
	static const uint8_t opcode[] = { TAG_OPCODE, 0, 1, KEYLESS_CUSTOM };
	struct cursor c = cursor_of(message);
	struct bytes first;

	cursor_take(&c, KEYLESS_HEADER_LEN);
	first = cursor_take(&c, sizeof(opcode));
	return cursor_u8(&c) == tags[0].tag && c.ok &&
	       memcmp(first.at, opcode, sizeof(opcode)) == 0 &&
	       bytes_equal_str(cursor_take(&c, cursor_u16(&c)), function);
}

const char *keyless_error_text(uint8_t code)
{
	static const char *const texts[] = {
		"no error",
		"the cryptographic operation failed",
		"the key is not there, or not for this caller",
		"read failed",
		"wrong protocol version",
		"the operation is unknown or not granted",
		"an answer came as a request",
		"format error",
		"internal error, or no capacity",
		"the certificate is not there",
		"the sealing key has expired",
		"remote configuration",
	};

	return code < sizeof(texts) / sizeof(texts[0]) ? texts[code] : "unknown error";
}

void keyless_key_put(struct writer *w, const struct keyless_key *k)
{
	writer_put(w, k->ski, sizeof(k->ski));
	writer_put(w, k->spki_sha256, sizeof(k->spki_sha256));
	writer_u8(w, k->type);
	writer_u8(w, k->tls12);
}

bool keyless_key_take(struct cursor *c, struct keyless_key *k)
{
	struct bytes ski, spki;

	if (cursor_left(c) == 0)
		return false;
	ski = cursor_take(c, sizeof(k->ski));
	spki = cursor_take(c, sizeof(k->spki_sha256));
	k->type = cursor_u8(c);
	k->tls12 = cursor_u8(c);
	if (!c->ok)
		return false;
	memcpy(k->ski, ski.at, sizeof(k->ski));
	memcpy(k->spki_sha256, spki.at, sizeof(k->spki_sha256));
	return true;
}
