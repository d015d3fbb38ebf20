/*
 * format_text.c: text of strangers in a line of the log: not a byte of it can end the line, a quote, or
 * speak to a terminal.
 */
#include "config.h"

#include "gateway/exchange/format.h"

#include "base/poison.h"

static const char hex[] = "0123456789abcdef";

static bool harmless(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* What may be written as it is. */
static size_t run_of(struct bytes text, size_t max)
{
	size_t n = 0;

	while (n < text.len && n < max && harmless(text.at[n]))
		n++;
	return n;
}

void format_write_text(struct writer *w, struct bytes text, size_t max)
{
	while (text.len > 0 && max >= 4) {
		size_t run = run_of(text, max);
		uint8_t c;

		writer_put(w, text.at, run);
		max -= run;
		text = bytes_sub(text, run, text.len);
		if (text.len == 0 || max < 4)
			break;
		c = text.at[0];
		writer_u8(w, '\\');
		if (c == '"' || c == '\\') {
			writer_u8(w, c);
			max -= 2;
		} else {
			writer_u8(w, 'x');
			writer_u8(w, (uint8_t)hex[c >> 4]);
			writer_u8(w, (uint8_t)hex[c & 15]);
			max -= 4;
		}
		text = bytes_sub(text, 1, text.len);
	}
}

static void unit(struct writer *w, unsigned code)
{
	writer_str(w, "\\u");
	for (int shift = 12; shift >= 0; shift -= 4)
		writer_u8(w, (uint8_t)hex[code >> shift & 15]);
}

/* The character at the front, by RFC 3629: no overlong forms, no surrogates. 0: there is none. */
static size_t utf8(struct bytes in, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint8_t c = in.at[0];
	size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (len == 0 || len > in.len)
		return 0;
	*code = len == 1 ? c : c & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((in.at[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (in.at[i] & 0x3f);
	}
	if (*code < least[len] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
		return 0;
	return len;
}

static void character(struct writer *w, uint32_t code)
{
	if (code == '"' || code == '\\') {
		writer_u8(w, '\\');
		writer_u8(w, (uint8_t)code);
	} else if (code >= 0x10000) {
		unit(w, 0xd7c0 + (code >> 10));
		unit(w, 0xdc00 + (code & 0x3ff));
	} else {
		unit(w, code);
	}
}

void format_write_json(struct writer *w, struct bytes text, size_t max)
{
	writer_u8(w, '"');
	while (text.len > 0 && max >= 12) {
		size_t run = run_of(text, max), len;
		uint32_t code = 0xfffd;

		writer_put(w, text.at, run);
		max -= run;
		text = bytes_sub(text, run, text.len);
		if (text.len == 0 || max < 12)
			break;
		len = utf8(text, &code);
		if (len == 0)
			code = 0xfffd;
		character(w, code);
		max -= code >= 0x10000 ? 12 : 6;
		text = bytes_sub(text, len > 0 ? len : 1, text.len);
	}
	writer_u8(w, '"');
}
