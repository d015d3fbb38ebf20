/*
 * write.c: what leaves is built here, octet by octet of known classes.
 */
#include "http/write.h"

#include <assert.h>
#include <string.h>

#include "http/octet.h"

#include "base/poison.h"

static const struct {
	uint16_t status;
	const char *phrase;
} phrases[] = {
	{ 100, "Continue" },
	{ 101, "Switching Protocols" },
	{ 102, "Processing" },
	{ 103, "Early Hints" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 203, "Non-Authoritative Information" },
	{ 204, "No Content" },
	{ 205, "Reset Content" },
	{ 206, "Partial Content" },
	{ 207, "Multi-Status" },
	{ 208, "Already Reported" },
	{ 226, "IM Used" },
	{ 300, "Multiple Choices" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 305, "Use Proxy" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 423, "Locked" },
	{ 424, "Failed Dependency" },
	{ 425, "Too Early" },
	{ 426, "Upgrade Required" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 451, "Unavailable For Legal Reasons" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 506, "Variant Also Negotiates" },
	{ 507, "Insufficient Storage" },
	{ 508, "Loop Detected" },
	{ 511, "Network Authentication Required" },
};

const char *write_phrase(unsigned status)
{
	static const char *const classes[] = { "Informational", "Success", "Redirection",
		"Client Error", "Server Error" };

	for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return status >= 100 && status < 600 ? classes[status / 100 - 1] : "Unknown";
}

static bool all(struct bytes b, enum octet class)
{
	return octet_run(b.at, b.len, class) == b.len;
}

void write_number(struct writer *w, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	writer_put(w, digits + at, sizeof digits - at);
}

bool write_request_line(
    struct writer *w, struct bytes method, struct bytes path, struct bytes query)
{
	if (method.len == 0 || !all(method, OCTET_TOKEN))
		return false;
	if (path.len == 0 || !all(path, OCTET_TARGET) || !all(query, OCTET_TARGET))
		return false;
	writer_bytes(w, method);
	writer_u8(w, ' ');
	writer_bytes(w, path);
	if (query.at != NULL) {
		writer_u8(w, '?');
		writer_bytes(w, query);
	}
	writer_str(w, " HTTP/1.1\r\n");
	return true;
}

bool write_status_phrase(struct writer *w, unsigned status, struct bytes phrase)
{
	assert(status >= 100 && status <= 599);
	if (octet_text_run(phrase.at, phrase.len) != phrase.len)
		return false;
	writer_str(w, "HTTP/1.1 ");
	write_number(w, status);
	writer_u8(w, ' ');
	if (phrase.len > 0)
		writer_bytes(w, phrase);
	else
		writer_str(w, write_phrase(status));
	writer_str(w, "\r\n");
	return true;
}

void write_status_line(struct writer *w, unsigned status)
{
	bool written = write_status_phrase(w, status, bytes_of(NULL, 0));

	assert(written);
}

bool write_field(struct writer *w, struct bytes name, struct bytes value)
{
	if (name.len == 0 || !all(name, OCTET_TOKEN))
		return false;
	if (octet_text_run(value.at, value.len) != value.len)
		return false;
	writer_bytes(w, name);
	writer_put(w, ": ", 2);
	writer_bytes(w, value);
	writer_put(w, "\r\n", 2);
	return true;
}

void write_field_str(struct writer *w, const char *name, const char *value)
{
	bool written = write_field(w, bytes_str(name), bytes_str(value));

	assert(written);
}

void write_field_number(struct writer *w, const char *name, uint64_t value)
{
	assert(all(bytes_str(name), OCTET_TOKEN));
	writer_str(w, name);
	writer_str(w, ": ");
	write_number(w, value);
	write_end(w);
}

void write_end(struct writer *w)
{
	writer_put(w, "\r\n", 2);
}

static void two_digits(char *at, int value)
{
	at[0] = (char)('0' + value / 10 % 10);
	at[1] = (char)('0' + value % 10);
}

/* strftime() would write the days and months of the locale. */
void write_date(time_t when, char buf[static WRITE_DATE_SIZE])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = { .tm_mday = 1, .tm_year = 70, .tm_wday = 4 };

	(void)gmtime_r(&when, &tm);
	memcpy(buf, "Day, dd Mon yyyy hh:mm:ss GMT", WRITE_DATE_SIZE);
	memcpy(buf, days + 3 * tm.tm_wday, 3);
	two_digits(buf + 5, tm.tm_mday);
	memcpy(buf + 8, months + 3 * tm.tm_mon, 3);
	two_digits(buf + 12, (tm.tm_year + 1900) / 100);
	two_digits(buf + 14, (tm.tm_year + 1900) % 100);
	two_digits(buf + 17, tm.tm_hour);
	two_digits(buf + 20, tm.tm_min);
	two_digits(buf + 23, tm.tm_sec);
}

void write_html(struct writer *w, struct bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		switch (text.at[i]) {
		case '&':
			writer_str(w, "&amp;");
			break;
		case '<':
			writer_str(w, "&lt;");
			break;
		case '>':
			writer_str(w, "&gt;");
			break;
		case '"':
			writer_str(w, "&quot;");
			break;
		case '\'':
			writer_str(w, "&#39;");
			break;
		default:
			writer_u8(w, text.at[i]);
		}
	}
}

void write_error_page(struct writer *w, unsigned status, struct bytes request_id)
{
	const char *phrase = write_phrase(status);

	writer_str(w, "<!DOCTYPE html>\n<html lang=\"en\"><head><title>");
	write_number(w, status);
	writer_u8(w, ' ');
	writer_str(w, phrase);
	writer_str(w, "</title></head>\n<body><h1>");
	write_number(w, status);
	writer_u8(w, ' ');
	writer_str(w, phrase);
	writer_str(w, "</h1>\n");
	if (request_id.len > 0) {
		writer_str(w, "<p>Request <code>");
		write_html(w, request_id);
		writer_str(w, "</code></p>\n");
	}
	writer_str(w, "</body></html>\n");
}
