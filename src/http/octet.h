/*
 * octet.h: what each octet may be in HTTP/1 (RFC 9110 section 5.6, RFC 9112, RFC 3986), as one table
 * of bits, and two runs over it. Everything here that looks at a byte asks this table.
 */
#ifndef HTTP_OCTET_H
#define HTTP_OCTET_H

#include "base/bytes.h"

enum octet {
	OCTET_TOKEN = 0x01, /* tchar: methods, field names, codings */
	OCTET_TARGET =
	    0x02, /* printable ASCII but '#'. Wider than RFC 3986: browsers send |, ^, {} raw */
	OCTET_TEXT = 0x04, /* HTAB, SP, printable ASCII, obs-text (0x80 to 0xff) */
	OCTET_HOST = 0x08, /* letters, digits, - . _ ~: a reg-name without sub-delims and escapes */
	OCTET_DIGIT = 0x10,
	OCTET_HEX = 0x20,
	OCTET_ODD = 0x40, /* % . and backslash: where a path may mean more than it says */
};

extern const uint8_t octet_class[256];

/* The length of the leading run of octets of that class. */
size_t octet_run(const uint8_t *at, size_t len, enum octet);
/* The same for OCTET_TEXT, eight bytes at a time: field values are most of a head. */
size_t octet_text_run(const uint8_t *at, size_t len);
/* The value of a hexadecimal digit, or -1. */
int octet_hex(uint8_t);
/* The octet that an escape %XX at the start of this text stands for, or -1: none, cut or malformed. */
int octet_escape(const uint8_t *at, size_t len);
/* any_case: an ASCII letter in lower case; else as it is. */
static inline uint8_t octet_folded(uint8_t c, bool any_case)
{
	return any_case && c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}
/* Without optional white space (SP, HTAB) at both ends. */
struct bytes octet_trim(struct bytes);

#endif
