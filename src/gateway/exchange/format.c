/*
 * format.c: see format.h.
 */
#include "config.h"

#include "gateway/exchange/format.h"

#include <time.h>

#include "http/write.h"

#include "base/poison.h"

static void write_text(struct writer *, struct bytes);
static void write_quoted(struct writer *, struct bytes);

size_t format_combined(const struct format_facts *f, char *line, size_t size)
{
	struct writer w = writer_of(line, size);

	writer_bytes(&w, f->peer);
	writer_str(&w, " - - [");
	writer_bytes(&w, f->time);
	writer_str(&w, "] \"");
	if (f->method.len == 0) {
		writer_u8(&w, '-');
	} else {
		write_text(&w, f->method);
		writer_u8(&w, ' ');
		write_text(&w, f->target);
		writer_str(&w, f->minor == 0 ? " HTTP/1.0" : " HTTP/1.1");
	}
	writer_str(&w, "\" ");
	if (f->status == 0)
		writer_u8(&w, '-');
	else
		write_number(&w, f->status);
	writer_u8(&w, ' ');
	if (f->length == 0)
		writer_u8(&w, '-');
	else
		write_number(&w, f->length);
	write_quoted(&w, f->referer);
	write_quoted(&w, f->agent);
	writer_u8(&w, '\n');
	return w.ok ? writer_len(&w) : 0;
}

size_t format_time(int64_t wall, char buf[static FORMAT_TIME_SIZE])
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
		"Sep", "Oct", "Nov", "Dec" };
	time_t t = (time_t)wall;
	struct tm tm;
	size_t len;

	/* Local time as Apache has it; the month's name whatever the locale. */
	localtime_r(&t, &tm);
	len = strftime(buf, FORMAT_TIME_SIZE, "%d/xxx/%Y:%H:%M:%S %z", &tm);
	for (int i = 0; i < 3 && len > 6; i++)
		buf[3 + i] = months[tm.tm_mon][i];
	return len;
}

static void write_quoted(struct writer *w, struct bytes text)
{
	writer_str(w, " \"");
	if (text.len == 0)
		writer_u8(w, '-');
	else
		write_text(w, text);
	writer_u8(w, '"');
}

static bool harmless(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void write_text(struct writer *w, struct bytes text)
{
	static const char hex[] = "0123456789abcdef";

	if (text.len > FORMAT_TEXT_MAX)
		text.len = FORMAT_TEXT_MAX;
	while (text.len > 0) {
		size_t run = 0;

		while (run < text.len && harmless(text.at[run]))
			run++;
		writer_put(w, text.at, run);
		text = bytes_sub(text, run, text.len);
		if (text.len == 0)
			break;
		writer_u8(w, '\\');
		if (text.at[0] == '"' || text.at[0] == '\\') {
			writer_u8(w, text.at[0]);
		} else {
			writer_u8(w, 'x');
			writer_u8(w, (uint8_t)hex[text.at[0] >> 4]);
			writer_u8(w, (uint8_t)hex[text.at[0] & 15]);
		}
		text = bytes_sub(text, 1, text.len);
	}
}
