/*
 * proxyproto.c: see proxyproto.h. Called by a connection before its first byte of TLS or HTTP.
 */
#include "wire/proxyproto.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/poison.h"

enum {
	V2_LOCAL = 0x20,
	V2_PROXY = 0x21,
	V2_TCP4 = 0x11,
	V2_TCP6 = 0x21,
	V2_ADDRESSES4 = 12,
	V2_ADDRESSES6 = 36,
	TLV_ALPN = 0x01,
	TLV_AUTHORITY = 0x02,
	TLV_CRC32C = 0x03,
	TLV_UNIQUE_ID = 0x05,
	TLV_SSL = 0x20,
	TLV_SSL_VERSION = 0x21,
	TLV_SSL_CN = 0x22,
	TLV_SSL_CIPHER = 0x23,
	SSL_CLIENT_SSL = 0x01,
	SSL_CLIENT_CERT = 0x02 | 0x04, /* in this connection; in this session */
	TLV_HEAD = 3,
	CRC_LEN = 4,
	UNIQUE_ID_MAX = 128,
};

static const uint8_t v2_signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55,
	0x49, 0x54, 0x0a };

/* Castagnoli, reflected; four bits at a time: a header a connection, no more. */
uint32_t proxyproto_crc32c(uint32_t crc, struct bytes in)
{
	static const uint32_t table[16] = { 0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6,
		0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75 };

	crc = ~crc;
	for (size_t i = 0; i < in.len; i++) {
		crc ^= in.at[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

/* ---- version 1 */

/* The next word of the line, up to one space; the last one ends the line. */
static bool word(struct bytes *line, bool last, char *out, size_t size)
{
	const uint8_t *space = memchr(line->at, ' ', line->len);
	size_t len = space != NULL ? (size_t)(space - line->at) : line->len;

	if (len == 0 || len >= size || (space == NULL) != last || memchr(line->at, 0, len) != NULL)
		return false;
	memcpy(out, line->at, len);
	out[len] = '\0';
	*line = bytes_sub(*line, len + 1, line->len);
	return true;
}

/* Digits without a leading zero, at most 65535. */
static bool port(const char *text, uint16_t *out)
{
	unsigned value = 0;

	if (text[0] == '0' && text[1] != '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (unsigned)(*text - '0');
		if (value > UINT16_MAX)
			return false;
	}
	*out = (uint16_t)value;
	return true;
}

static bool v1_addresses(struct proxyproto *p, struct bytes line)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], from_port[6], to_port[6];

	return word(&line, false, from, sizeof(from)) && word(&line, false, to, sizeof(to)) &&
	       word(&line, false, from_port, sizeof(from_port)) &&
	       word(&line, true, to_port, sizeof(to_port)) &&
	       inet_pton(p->family, from, &p->from) == 1 && inet_pton(p->family, to, &p->to) == 1 &&
	       port(from_port, &p->from_port) && port(to_port, &p->to_port);
}

static bool v1_line(struct proxyproto *p, struct bytes line)
{
	static const char tcp4[] = "PROXY TCP4 ", tcp6[] = "PROXY TCP6 ",
			  unknown[] = "PROXY UNKNOWN";
	size_t len = sizeof(tcp4) - 1;

	p->version = 1;
	if (line.len >= sizeof(unknown) - 1 && memcmp(line.at, unknown, sizeof(unknown) - 1) == 0) {
		p->local = true; /* what follows is to be ignored */
		return line.len == sizeof(unknown) - 1 || line.at[sizeof(unknown) - 1] == ' ';
	}
	if (line.len < len)
		return false;
	if (memcmp(line.at, tcp4, len) == 0)
		p->family = AF_INET;
	else if (memcmp(line.at, tcp6, len) == 0)
		p->family = AF_INET6;
	else
		return false;
	return v1_addresses(p, bytes_sub(line, len, line.len));
}

static enum parse v1_parse(struct bytes in, struct proxyproto *p, size_t *used)
{
	size_t len = in.len < PROXYPROTO_V1_MAX ? in.len : PROXYPROTO_V1_MAX;
	const uint8_t *end = memchr(in.at, '\n', len);

	if (end == NULL)
		return in.len < PROXYPROTO_V1_MAX ? PARSE_MORE : PARSE_BAD;
	*used = (size_t)(end + 1 - in.at);
	if (*used < 2 || end[-1] != '\r')
		return PARSE_BAD;
	return v1_line(p, bytes_sub(in, 0, *used - 2)) ? PARSE_OK : PARSE_BAD;
}

/* ---- version 2 */

/* The sum is over the whole header, its own bytes as zeros. */
static bool v2_sum_fits(struct bytes header, const uint8_t *sum)
{
	static const uint8_t zeros[CRC_LEN];
	size_t before = (size_t)(sum - header.at);
	uint32_t crc = proxyproto_crc32c(0, bytes_sub(header, 0, before));
	struct cursor c = cursor_of(bytes_of(sum, CRC_LEN));

	crc = proxyproto_crc32c(crc, bytes_of(zeros, CRC_LEN));
	crc = proxyproto_crc32c(crc, bytes_sub(header, before + CRC_LEN, header.len));
	return cursor_u32(&c) == crc;
}

/* u8 client | u32 verify | TLVs */
static bool v2_ssl(struct proxyproto *p, struct bytes value)
{
	struct cursor c = cursor_of(value);
	uint8_t client = cursor_u8(&c);
	uint32_t verify = cursor_u32(&c);

	if (!c.ok)
		return false;
	p->tls = (client & SSL_CLIENT_SSL) != 0;
	p->certificate = p->tls && (client & SSL_CLIENT_CERT) != 0;
	p->verified = p->certificate && verify == 0;
	while (cursor_left(&c) > 0) {
		uint8_t type = cursor_u8(&c);
		struct bytes text = cursor_take(&c, cursor_u16(&c));

		if (!c.ok)
			return false;
		if (type == TLV_SSL_VERSION)
			p->tls_version = text;
		else if (type == TLV_SSL_CIPHER)
			p->cipher = text;
		else if (type == TLV_SSL_CN)
			p->common_name = text;
	}
	return true;
}

static bool v2_tlv(struct proxyproto *p, struct bytes header, uint8_t type, struct bytes value)
{
	switch (type) {
	case TLV_ALPN:
		p->alpn = value;
		return true;
	case TLV_AUTHORITY:
		p->authority = value;
		return true;
	case TLV_UNIQUE_ID:
		p->unique_id = value;
		return value.len <= UNIQUE_ID_MAX;
	case TLV_CRC32C:
		return value.len == CRC_LEN && v2_sum_fits(header, value.at);
	case TLV_SSL:
		return v2_ssl(p, value);
	default:
		return true;
	}
}

static bool v2_body(struct proxyproto *p, struct bytes header)
{
	struct cursor c = cursor_of(bytes_sub(header, 12, 4));
	uint8_t command = cursor_u8(&c), protocol = cursor_u8(&c);
	size_t address = protocol == V2_TCP4 ? 4 : protocol == V2_TCP6 ? 16 : 0;

	if (command != V2_LOCAL && command != V2_PROXY)
		return false;
	p->local = command == V2_LOCAL || address == 0;
	/* Of LOCAL all is to be dropped, the family too; of other families we do not know where TLVs begin. */
	if (p->local)
		return true;
	c = cursor_of(bytes_sub(header, PROXYPROTO_V2_HEAD, header.len));
	p->family = address == 4 ? AF_INET : AF_INET6;
	for (int end = 0; end < 2; end++) {
		struct bytes at = cursor_take(&c, address);

		if (c.ok)
			memcpy(end == 0 ? &p->from : &p->to, at.at, address);
	}
	p->from_port = cursor_u16(&c);
	p->to_port = cursor_u16(&c);
	while (c.ok && cursor_left(&c) > 0) {
		uint8_t type = cursor_u8(&c);
		struct bytes value = cursor_take(&c, cursor_u16(&c));

		if (!c.ok || !v2_tlv(p, header, type, value))
			return false;
	}
	return c.ok;
}

static enum parse v2_parse(struct bytes in, struct proxyproto *p, size_t *used)
{
	struct cursor c = cursor_of(bytes_sub(in, 14, 2));

	p->version = 2;
	if (in.len < PROXYPROTO_V2_HEAD)
		return PARSE_MORE;
	*used = (size_t)PROXYPROTO_V2_HEAD + cursor_u16(&c);
	if (*used > PROXYPROTO_MAX)
		return PARSE_BAD;
	if (in.len < *used)
		return PARSE_MORE;
	return v2_body(p, bytes_sub(in, 0, *used)) ? PARSE_OK : PARSE_BAD;
}

enum parse proxyproto_parse(struct bytes in, struct proxyproto *p, size_t *used)
{
	static const char v1[] = "PROXY ";
	size_t v1_len = in.len < sizeof(v1) - 1 ? in.len : sizeof(v1) - 1;
	size_t v2_len = in.len < sizeof(v2_signature) ? in.len : sizeof(v2_signature);

	memset(p, 0, sizeof(*p));
	*used = 0;
	if (in.len == 0)
		return PARSE_MORE;
	if (memcmp(in.at, v1, v1_len) == 0)
		return v1_parse(in, p, used);
	if (memcmp(in.at, v2_signature, v2_len) == 0)
		return v2_parse(in, p, used);
	return PARSE_BAD;
}

/* ---- building */

static size_t v1_build(const struct proxyproto *p, uint8_t *out, size_t size)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], line[PROXYPROTO_V1_MAX + 1];
	int n;

	if (p->local)
		n = snprintf(line, sizeof(line), "PROXY UNKNOWN\r\n");
	else if (inet_ntop(p->family, &p->from, from, sizeof(from)) == NULL ||
		 inet_ntop(p->family, &p->to, to, sizeof(to)) == NULL)
		return 0;
	else
		n = snprintf(line, sizeof(line), "PROXY %s %s %s %u %u\r\n",
		    p->family == AF_INET ? "TCP4" : "TCP6", from, to, p->from_port, p->to_port);
	if (n < 0 || (size_t)n >= sizeof(line) || (size_t)n > size)
		return 0;
	memcpy(out, line, (size_t)n);
	return (size_t)n;
}

static void tlv(struct writer *w, uint8_t type, struct bytes value)
{
	if (value.len == 0)
		return;
	writer_u8(w, type);
	writer_u16(w, (uint16_t)value.len);
	writer_bytes(w, value);
}

static size_t v2_build(const struct proxyproto *p, uint8_t *out, size_t size)
{
	size_t address = p->family == AF_INET ? 4 : 16, len;
	struct writer w = writer_of(out, size < PROXYPROTO_MAX ? size : PROXYPROTO_MAX), length,
		      sum;

	writer_put(&w, v2_signature, sizeof(v2_signature));
	writer_u8(&w, p->local ? V2_LOCAL : V2_PROXY);
	writer_u8(&w, p->local ? 0 : p->family == AF_INET ? V2_TCP4 : V2_TCP6);
	writer_u16(&w, 0);
	if (!p->local) {
		writer_put(&w, &p->from, address);
		writer_put(&w, &p->to, address);
		writer_u16(&w, p->from_port);
		writer_u16(&w, p->to_port);
		tlv(&w, TLV_ALPN, p->alpn);
		tlv(&w, TLV_AUTHORITY, p->authority);
		tlv(&w, TLV_UNIQUE_ID, p->unique_id);
		writer_u8(&w, TLV_CRC32C);
		writer_u16(&w, CRC_LEN);
		writer_u32(&w, 0);
	}
	len = writer_len(&w);
	if (!w.ok || p->alpn.len > UINT8_MAX || p->authority.len > UINT8_MAX ||
	    p->unique_id.len > UNIQUE_ID_MAX)
		return 0;
	length = writer_of(out + 14, 2);
	writer_u16(&length, (uint16_t)(len - PROXYPROTO_V2_HEAD));
	if (!p->local) {
		sum = writer_of(out + len - CRC_LEN, CRC_LEN);
		writer_u32(&sum, proxyproto_crc32c(0, bytes_of(out, len)));
	}
	return len;
}

size_t proxyproto_build(const struct proxyproto *p, uint8_t *out, size_t size)
{
	return p->version == 1 ? v1_build(p, out, size) : v2_build(p, out, size);
}
