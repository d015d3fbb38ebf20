/*
 * forwarded.c: see forwarded.h.
 */
#include "config.h"

#include "gateway/exchange/forwarded.h"

#include <string.h>

#include "http/field.h"
#include "http/hops.h"
#include "http/target.h"
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

/* ---- hops: the elements of all fields that have them, in order */

struct hops {
	const struct forwarded *of;
	size_t field; /* the next */
	struct bytes rest; /* of the one before */
};

static enum parse next_of_field(enum trusted_header by, struct bytes *rest, struct hop *hop)
{
	if (by == TRUSTED_FORWARDED)
		return hops_next(rest, hop);
	*hop = (struct hop){ 0 };
	return field_list_next(rest, &hop->node) ? PARSE_OK : PARSE_MORE;
}

static const char *name_of(enum trusted_header by)
{
	return by == TRUSTED_FORWARDED ? "Forwarded" : "X-Forwarded-For";
}

static enum parse next_hop(struct hops *hops, struct hop *hop)
{
	const struct head *head = hops->of->head;

	for (;;) {
		enum parse got = next_of_field(hops->of->by, &hops->rest, hop);

		if (got != PARSE_MORE)
			return got;
		while (hops->field < head->fields_n &&
		       !bytes_case_equal_str(head->fields[hops->field].name, name_of(hops->of->by)))
			hops->field++;
		if (hops->field == head->fields_n)
			return PARSE_MORE;
		hops->rest = head->fields[hops->field++].value;
	}
}

static bool has_hops(const struct forwarded *f)
{
	return f != NULL && f->head != NULL && !f->broken;
}

static void take_host(struct forwarded *f, struct bytes host)
{
	struct authority parts;

	f->host = target_authority(host, &parts) ? host : bytes_of(NULL, 0);
}

static void take_proto(struct forwarded *f, struct bytes proto)
{
	bool known = bytes_equal_str(proto, "http") || bytes_equal_str(proto, "https");

	f->proto = known ? proto : bytes_of(NULL, 0);
}

/* Each hop wrote whom it saw, so what stands left of a stranger, or of what is no address, may be somebody's
 * invention: the nearest stranger counts, or the farthest of those that are trusted without a break. */
static void read_hops(struct forwarded *f, const struct trusted *trusted)
{
	struct hops hops = { .of = f };
	struct hop hop, real = { 0 };
	enum parse got;

	for (size_t i = 0; (got = next_hop(&hops, &hop)) == PARSE_OK; i++) {
		struct endpoint at;

		if (!address_of(&at, hop.node)) {
			f->real[0] = '\0';
			real = (struct hop){ 0 };
		} else if (f->real[0] == '\0' || !trusted_holds(trusted, &at)) {
			endpoint_host_text(&at, f->real, sizeof(f->real));
			f->real_hop = i;
			real = hop;
		}
	}
	if (got == PARSE_BAD) {
		f->broken = true;
		f->real[0] = '\0';
	} else if (f->by == TRUSTED_FORWARDED) {
		take_proto(f, real.proto);
		take_host(f, real.host);
	}
}

void forwarded_read(struct forwarded *f, const struct trusted *trusted, enum trusted_header by,
    const struct client *client, const struct head *head)
{
	*f = (struct forwarded){ .by = by };
	if (!client->trusted)
		return;
	f->head = head;
	f->id = only(head, "X-Request-ID");
	if (!all_of(f->id, FORWARDED_ID_MAX, "._-:+/="))
		f->id.len = 0;
	read_hops(f, trusted);
	if (by == TRUSTED_FORWARDED)
		return;
	take_proto(f, only(head, "X-Forwarded-Proto"));
	take_host(f, only(head, "X-Forwarded-Host"));
	f->port = only(head, "X-Forwarded-Port");
	if (!is_port(f->port))
		f->port.len = 0;
}

unsigned forwarded_port(const struct forwarded *f, struct bytes authority, bool tls, unsigned own)
{
	struct authority parts;
	unsigned port = 0;

	if (f == NULL || (f->port.len == 0 && f->proto.len == 0 && f->host.len == 0))
		return own;
	for (size_t i = 0; i < f->port.len; i++)
		port = port * 10 + (unsigned)(f->port.at[i] - '0');
	if (port != 0)
		return port;
	if (target_authority(f->host.len > 0 ? f->host : authority, &parts) && parts.port != 0)
		return parts.port;
	if (f->proto.len > 0)
		tls = bytes_equal_str(f->proto, "https");
	return tls ? 443 : 80;
}

/* ---- writing */

/* Fields as they came, in one list. */
static void write_verbatim(struct writer *w, const struct forwarded *f)
{
	for (size_t i = 0; i < f->head->fields_n; i++) {
		struct field field = f->head->fields[i];

		if (!bytes_case_equal_str(field.name, name_of(f->by)) || field.value.len == 0)
			continue;
		writer_bytes(w, field.value);
		writer_str(w, ", ");
	}
}

/* The host of an address; false, and unknown. */
static bool hop_text(const struct hop *hop, char text[static CLIENT_PEER_TEXT_MAX])
{
	struct endpoint at;

	if (address_of(&at, hop->node)) {
		endpoint_host_text(&at, text, CLIENT_PEER_TEXT_MAX);
		return true;
	}
	strlcpy(text, "unknown", CLIENT_PEER_TEXT_MAX);
	return false;
}

void forwarded_write_for(struct writer *w, const struct forwarded *f, struct bytes peer)
{
	char text[CLIENT_PEER_TEXT_MAX];
	struct hops hops = { .of = f };
	struct hop hop;

	writer_str(w, "X-Forwarded-For: ");
	if (has_hops(f) && f->by == TRUSTED_X_FORWARDED)
		write_verbatim(w, f);
	while (has_hops(f) && f->by == TRUSTED_FORWARDED && next_hop(&hops, &hop) == PARSE_OK) {
		(void)hop_text(&hop, text);
		writer_str(w, text);
		writer_str(w, ", ");
	}
	writer_bytes(w, peer);
	writer_str(w, "\r\n");
}

/* X-Forwarded-Proto and -Host are about the hop whose address is the client's. */
static void write_element(
    struct writer *w, const struct forwarded *f, const struct hop *hop, bool real)
{
	char text[CLIENT_PEER_TEXT_MAX];
	bool ip6 = hop_text(hop, text) && strchr(text, ':') != NULL;

	writer_str(w, ip6 ? "for=\"[" : "for=");
	writer_str(w, text);
	if (ip6)
		writer_str(w, "]\"");
	if (real && f->host.len > 0) {
		writer_str(w, ";host=\"");
		writer_bytes(w, f->host); /* an authority has nothing to be quoted */
		writer_u8(w, '"');
	}
	if (real && f->proto.len > 0) {
		writer_str(w, ";proto=");
		writer_bytes(w, f->proto);
	}
	writer_str(w, ", ");
}

void forwarded_write_hops(struct writer *w, const struct forwarded *f)
{
	struct hops hops = { .of = f };
	struct hop hop;

	if (has_hops(f) && f->by == TRUSTED_FORWARDED)
		write_verbatim(w, f);
	for (size_t i = 0;
	     has_hops(f) && f->by == TRUSTED_X_FORWARDED && next_hop(&hops, &hop) == PARSE_OK; i++)
		write_element(w, f, &hop, f->real[0] != '\0' && i == f->real_hop);
}

/* Two octets, "a,", may become thirteen in Forwarded, "for=unknown, ", and stay two in X-Forwarded-For. */
size_t forwarded_bound(const struct forwarded *f)
{
	size_t n = 64;

	if (!has_hops(f))
		return 0;
	for (size_t i = 0; i < f->head->fields_n; i++)
		if (bytes_case_equal_str(f->head->fields[i].name, name_of(f->by)))
			n += 8 * (f->head->fields[i].value.len + 1);
	return n + 2 * f->host.len;
}
