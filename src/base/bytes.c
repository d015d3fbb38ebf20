/*
 * bytes.c: borrowed memory, cursor and writer. Pure; no allocation but bytes_dup_str().
 */
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

struct bytes bytes_of(const void *at, size_t len)
{
	return (struct bytes){ at, len };
}

struct bytes bytes_str(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, s ? strlen(s) : 0 };
}

struct bytes bytes_sub(struct bytes b, size_t from, size_t len)
{
	if (from > b.len)
		from = b.len;
	if (len > b.len - from)
		len = b.len - from;
	return (struct bytes){ b.at ? b.at + from : NULL, len };
}

bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool bytes_equal_str(struct bytes a, const char *s)
{
	return bytes_equal(a, bytes_str(s));
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool bytes_case_equal(struct bytes a, struct bytes b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.at[i]) != lower(b.at[i]))
			return false;
	return true;
}

bool bytes_case_equal_str(struct bytes a, const char *s)
{
	return bytes_case_equal(a, bytes_str(s));
}

bool bytes_equal_consttime(struct bytes a, struct bytes b)
{
	volatile uint8_t diff = 0;

	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		diff = (uint8_t)(diff | (a.at[i] ^ b.at[i]));
	return diff == 0;
}

char *bytes_dup_str(struct bytes b)
{
	char *s = malloc(b.len + 1);

	if (s == NULL)
		return NULL;
	if (b.len > 0)
		memcpy(s, b.at, b.len);
	s[b.len] = '\0';
	return s;
}

struct cursor cursor_of(struct bytes b)
{
	return (struct cursor){ b.at, b.at ? b.at + b.len : NULL, true };
}

size_t cursor_left(const struct cursor *c)
{
	return c->ok ? (size_t)(c->end - c->at) : 0;
}

struct bytes cursor_take(struct cursor *c, size_t len)
{
	struct bytes out = { c->at, len };

	if (!c->ok || len > (size_t)(c->end - c->at)) {
		c->ok = false;
		return (struct bytes){ NULL, 0 };
	}
	c->at += len;
	return out;
}

static uint64_t cursor_int(struct cursor *c, size_t n)
{
	struct bytes b = cursor_take(c, n);
	uint64_t v = 0;

	for (size_t i = 0; i < b.len; i++)
		v = v << 8 | b.at[i];
	return v;
}

uint8_t cursor_u8(struct cursor *c)
{
	return (uint8_t)cursor_int(c, 1);
}

uint16_t cursor_u16(struct cursor *c)
{
	return (uint16_t)cursor_int(c, 2);
}

uint32_t cursor_u32(struct cursor *c)
{
	return (uint32_t)cursor_int(c, 4);
}

uint64_t cursor_u64(struct cursor *c)
{
	return cursor_int(c, 8);
}

struct writer writer_of(void *buf, size_t size)
{
	return (struct writer){ buf, buf, (uint8_t *)buf + size, true };
}

void writer_put(struct writer *w, const void *data, size_t len)
{
	if (!w->ok || len > (size_t)(w->end - w->at)) {
		w->ok = false;
		return;
	}
	if (len > 0)
		memcpy(w->at, data, len);
	w->at += len;
}

static void writer_int(struct writer *w, uint64_t v, size_t n)
{
	uint8_t b[8];

	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
	writer_put(w, b, n);
}

void writer_u8(struct writer *w, uint8_t v)
{
	writer_int(w, v, 1);
}

void writer_u16(struct writer *w, uint16_t v)
{
	writer_int(w, v, 2);
}

void writer_u32(struct writer *w, uint32_t v)
{
	writer_int(w, v, 4);
}

void writer_u64(struct writer *w, uint64_t v)
{
	writer_int(w, v, 8);
}

void writer_bytes(struct writer *w, struct bytes b)
{
	writer_put(w, b.at, b.len);
}

void writer_str(struct writer *w, const char *s)
{
	writer_bytes(w, bytes_str(s));
}

size_t writer_len(const struct writer *w)
{
	return (size_t)(w->at - w->base);
}
