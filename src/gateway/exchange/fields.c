/*
 * fields.c: see fields.h. Only bytes between the ends of slices of one head are copied besides the
 * slices, and only where they are ": " and CRLF: nothing that the parser did not see passes.
 */
#include "config.h"

#include "gateway/exchange/fields.h"

#include <string.h>

#include "base/poison.h"

/* "Name: value", with nothing else between. */
static bool plain(const struct field *f)
{
	return f->value.at == f->name.at + f->name.len + 2 && f->name.at[f->name.len] == ':' &&
	       f->name.at[f->name.len + 1] == ' ';
}

/* The next begins right after this one's CRLF. */
static bool adjacent(const struct field *f, const struct field *next)
{
	const uint8_t *end = f->value.at + f->value.len;

	return next->name.at == end + 2 && end[0] == '\r' && end[1] == '\n';
}

void fields_write(struct writer *w, const struct field *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t *from = f[i].name.at;

		if (!plain(&f[i])) {
			writer_bytes(w, f[i].name);
			writer_put(w, ": ", 2);
			writer_bytes(w, f[i].value);
			writer_put(w, "\r\n", 2);
			continue;
		}
		while (i + 1 < n && adjacent(&f[i], &f[i + 1]) && plain(&f[i + 1]))
			i++;
		writer_put(w, from, (size_t)(f[i].value.at + f[i].value.len - from));
		writer_put(w, "\r\n", 2);
	}
}

/* A request gets up to twenty of these: one check of the room, three copies. */
void fields_write_one(struct writer *w, struct bytes prefix, struct bytes value)
{
	uint8_t *at = w->at;

	if (!w->ok || prefix.len + value.len + 2 > (size_t)(w->end - at)) {
		w->ok = false;
		return;
	}
	memcpy(at, prefix.at, prefix.len);
	at += prefix.len;
	if (value.len > 0)
		memcpy(at, value.at, value.len);
	at += value.len;
	at[0] = '\r';
	at[1] = '\n';
	w->at = at + 2;
}

void fields_write_number(struct writer *w, struct bytes prefix, uint64_t value)
{
	uint8_t digits[20], *at = digits + sizeof(digits);

	do
		*--at = (uint8_t)('0' + value % 10);
	while ((value /= 10) > 0);
	fields_write_one(w, prefix, bytes_of(at, (size_t)(digits + sizeof(digits) - at)));
}
