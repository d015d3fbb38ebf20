/*
 * forwarded.c: see forwarded.h.
 */
#include "config.h"

#include "gateway/exchange/forwarded.h"

#include <string.h>

#include "net/endpoint.h"

#include "base/poison.h"

/* The value of a field that stands once; empty. */
static struct bytes only(const struct head *head, const char *name)
{
	struct bytes value = { NULL, 0 };
	bool seen = false;

	for (size_t i = 0; i < head->fields_n; i++) {
		if (!bytes_case_equal_str(head->fields[i].name, name))
			continue;
		value = seen ? bytes_of(NULL, 0) : head->fields[i].value;
		seen = true;
	}
	return value;
}

static bool all_of(struct bytes text, size_t max, const char *others)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i], low = c | 0x20;

		if (!(c >= '0' && c <= '9') && !(low >= 'a' && low <= 'z') &&
		    (c == '\0' || strchr(others, c) == NULL))
			return false;
	}
	return text.len > 0 && text.len <= max;
}

static bool is_port(struct bytes text)
{
	unsigned value = 0;

	if (text.len == 0 || text.len > 5)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text.at[i] - '0');
	}
	return value > 0 && value <= UINT16_MAX;
}

static struct bytes trim(struct bytes text)
{
	while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
		text = bytes_sub(text, 1, text.len);
	while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* "192.0.2.7", "192.0.2.7:1234", "2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:1234". */
static bool address_of(struct endpoint *to, struct bytes text)
{
	char ip[CLIENT_PEER_TEXT_MAX];
	const uint8_t *end;

	if (text.len > 0 && text.at[0] == '[') {
		end = memchr(text.at, ']', text.len);
		if (end == NULL)
			return false;
		text = bytes_of(text.at + 1, (size_t)(end - text.at) - 1);
	} else if ((end = memchr(text.at, ':', text.len)) != NULL &&
		   memchr(end + 1, ':', text.len - (size_t)(end + 1 - text.at)) == NULL) {
		text.len = (size_t)(end - text.at);
	}
	if (text.len == 0 || text.len >= sizeof(ip) || memchr(text.at, '\0', text.len) != NULL)
		return false;
	memcpy(ip, text.at, text.len);
	ip[text.len] = '\0';
	return endpoint_of_ip(to, ip, 0) == 0;
}

/* From the right: each hop wrote whom it saw, so what stands left of a stranger may be his invention. */
static void read_real(struct forwarded *f, const struct trusted *trusted)
{
	for (size_t i = f->head->fields_n; i-- > 0;) {
		struct bytes rest = f->head->fields[i].value;

		if (!bytes_case_equal_str(f->head->fields[i].name, "X-Forwarded-For"))
			continue;
		while (rest.len > 0) {
			size_t from = rest.len;
			struct endpoint at;

			while (from > 0 && rest.at[from - 1] != ',')
				from--;
			if (!address_of(&at, trim(bytes_sub(rest, from, rest.len - from))))
				return;
			endpoint_host_text(&at, f->real, sizeof(f->real));
			if (!trusted_holds(trusted, &at))
				return;
			rest.len = from > 0 ? from - 1 : 0;
		}
	}
}

void forwarded_read(struct forwarded *f, const struct trusted *trusted, const struct client *client,
    const struct head *head)
{
	f->head = NULL;
	f->proto = f->port = f->id = bytes_of(NULL, 0);
	f->real[0] = '\0';
	if (!client->trusted)
		return;
	f->head = head;
	f->proto = only(head, "X-Forwarded-Proto");
	if (!bytes_equal_str(f->proto, "http") && !bytes_equal_str(f->proto, "https"))
		f->proto.len = 0;
	f->port = only(head, "X-Forwarded-Port");
	if (!is_port(f->port))
		f->port.len = 0;
	f->id = only(head, "X-Request-ID");
	if (!all_of(f->id, FORWARDED_ID_MAX, "._-:+/="))
		f->id.len = 0;
	read_real(f, trusted);
}

void forwarded_write_for(struct writer *w, const struct forwarded *f, struct bytes peer)
{
	writer_str(w, "X-Forwarded-For: ");
	for (size_t i = 0; f != NULL && f->head != NULL && i < f->head->fields_n; i++) {
		struct field field = f->head->fields[i];

		if (!bytes_case_equal_str(field.name, "X-Forwarded-For") || field.value.len == 0)
			continue;
		writer_bytes(w, field.value);
		writer_str(w, ", ");
	}
	writer_bytes(w, peer);
	writer_str(w, "\r\n");
}
