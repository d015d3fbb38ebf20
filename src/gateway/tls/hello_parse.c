/*
 * hello_parse.c: the parts of a ClientHello that this gateway reads itself. Pure.
 */
#include "config.h"

#include "gateway/tls/hello.h"

#include <string.h>

#include "base/poison.h"

enum { NAME_TYPE_HOST = 0, NAME_MAX_LEN = 255 };

enum parse hello_sni(struct bytes extension, char out[static 256], uint8_t *len)
{
	struct cursor c = cursor_of(extension);
	struct bytes name;
	uint8_t type;

	*len = 0;
	out[0] = '\0';
	if (extension.len == 0)
		return PARSE_OK;
	if (cursor_u16(&c) != cursor_left(&c))
		return PARSE_BAD;
	/* Exactly one name: RFC 6066 defines one type and forbids a second of it. */
	type = cursor_u8(&c);
	name = cursor_take(&c, cursor_u16(&c));
	if (!c.ok || cursor_left(&c) != 0 || type != NAME_TYPE_HOST || name.len == 0 ||
	    name.len > NAME_MAX_LEN)
		return PARSE_BAD;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t b = name.at[i];

		if (b <= ' ' || b >= 0x7f)
			return PARSE_BAD;
		out[i] = (char)(b >= 'A' && b <= 'Z' ? b | 0x20 : b);
	}
	out[name.len] = '\0';
	*len = (uint8_t)name.len;
	return PARSE_OK;
}

bool hello_has_version(struct bytes extension, uint16_t version)
{
	struct cursor c = cursor_of(extension);

	if (cursor_u8(&c) != cursor_left(&c))
		return false;
	while (cursor_left(&c) >= 2) {
		if (cursor_u16(&c) == version)
			return true;
	}
	return false;
}

enum parse hello_psks(struct bytes extension, struct bytes *identities)
{
	struct cursor c = cursor_of(extension);

	*identities = cursor_take(&c, cursor_u16(&c));
	return c.ok && identities->len > 0 ? PARSE_OK : PARSE_BAD;
}

bool hello_psk_next(struct bytes *identities, struct bytes *identity)
{
	struct cursor c = cursor_of(*identities);

	*identity = cursor_take(&c, cursor_u16(&c));
	(void)cursor_u32(&c); /* obfuscated age */
	if (!c.ok)
		return false;
	*identities = bytes_of(c.at, cursor_left(&c));
	return true;
}

bool hello_is_http(struct bytes first)
{
	static const char methods[][6] = { "GET /", "HEAD ", "POST ", "PUT /", "DELET", "OPTIO",
		"PATCH", "TRACE", "CONNE", "PRI *" };

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (first.len >= 5 && memcmp(first.at, methods[i], 5) == 0)
			return true;
	}
	return false;
}
