/*
 * target.c: targets (RFC 9112 section 3.2), authorities (RFC 3986 section 3.2) and paths. Called by
 * head.c for each request, and by the routes.
 */
#include "http/target.h"

#include <arpa/inet.h>
#include <string.h>

#include "http/octet.h"

#include "base/poison.h"

#define PORT_MAX 65535
#define PORT_DIGITS 5

/* ---- the target's parts */

/* Path and query of what starts with '/' or '?' or is empty. */
static void path_split(struct bytes rest, struct target *t)
{
	const uint8_t *mark = rest.len > 0 ? memchr(rest.at, '?', rest.len) : NULL;
	size_t len = mark != NULL ? (size_t)(mark - rest.at) : rest.len;

	t->path = bytes_sub(rest, 0, len);
	t->query = mark != NULL ? bytes_sub(rest, len + 1, SIZE_MAX) : bytes_of(NULL, 0);
	if (len == 0)
		t->path = bytes_str("/");
}

static bool absolute_split(struct bytes target, struct target *t)
{
	size_t scheme = octet_run(target.at, target.len, OCTET_TOKEN), end;

	if (bytes_case_equal_str(bytes_sub(target, 0, scheme), "http"))
		t->default_port = 80;
	else if (bytes_case_equal_str(bytes_sub(target, 0, scheme), "https"))
		t->default_port = 443;
	else
		return false;
	if (!bytes_equal_str(bytes_sub(target, scheme, 3), "://"))
		return false;
	target = bytes_sub(target, scheme + 3, SIZE_MAX);
	for (end = 0; end < target.len && target.at[end] != '/' && target.at[end] != '?'; end++)
		continue;
	t->form = TARGET_ABSOLUTE;
	t->authority = bytes_sub(target, 0, end);
	path_split(bytes_sub(target, end, SIZE_MAX), t);
	return true;
}

bool target_split(struct bytes target, struct target *t)
{
	*t = (struct target){ .form = TARGET_ORIGIN };
	if (target.len == 0)
		return false;
	if (target.at[0] == '/') {
		path_split(target, t);
		return true;
	}
	if (target.len == 1 && target.at[0] == '*') {
		t->form = TARGET_ASTERISK;
		t->path = target;
		return true;
	}
	return absolute_split(target, t);
}

/* ---- authorities */

static bool port_read(struct bytes digits, uint16_t *port)
{
	uint32_t value = 0;

	if (digits.len == 0 || digits.len > PORT_DIGITS)
		return false;
	for (size_t i = 0; i < digits.len; i++) {
		if ((octet_class[digits.at[i]] & OCTET_DIGIT) == 0)
			return false;
		value = value * 10 + (uint32_t)(digits.at[i] - '0');
	}
	*port = (uint16_t)value;
	return value > 0 && value <= PORT_MAX;
}

/* [address]: no zones and no future versions (RFC 6874, IPvFuture): nothing sends them in a Host. */
static size_t literal_run(struct bytes b)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t address[16];
	const uint8_t *close = memchr(b.at, ']', b.len);
	size_t len;

	if (close == NULL)
		return 0;
	len = (size_t)(close - b.at) - 1;
	if (len >= sizeof text || memchr(b.at + 1, '\0', len) != NULL)
		return 0;
	memcpy(text, b.at + 1, len);
	text[len] = '\0';
	return inet_pton(AF_INET6, text, address) == 1 ? len + 2 : 0;
}

/* Labels are not empty; a final dot is the root's and does not count to the name. */
static bool name_check(struct bytes *name)
{
	if (name->len > 1 && name->at[name->len - 1] == '.')
		name->len--;
	if (name->len == 0 || name->len > TARGET_HOST_MAX || name->at[0] == '.' ||
	    name->at[name->len - 1] == '.')
		return false;
	for (size_t i = 1; i < name->len; i++)
		if (name->at[i] == '.' && name->at[i - 1] == '.')
			return false;
	return true;
}

bool target_authority(struct bytes b, struct authority *authority)
{
	bool literal = b.len > 0 && b.at[0] == '[';
	size_t host = literal ? literal_run(b) : octet_run(b.at, b.len, OCTET_HOST);

	authority->host = bytes_sub(b, 0, host);
	authority->port = 0;
	if (host == 0 || (!literal && !name_check(&authority->host)))
		return false;
	if (host == b.len)
		return true;
	return b.at[host] == ':' && port_read(bytes_sub(b, host + 1, SIZE_MAX), &authority->port);
}

bool target_authority_equal(struct bytes a, struct bytes b, uint16_t default_port)
{
	struct authority x, y;

	if (!target_authority(a, &x) || !target_authority(b, &y))
		return false;
	return bytes_case_equal(x.host, y.host) &&
	       (x.port != 0 ? x.port : default_port) == (y.port != 0 ? y.port : default_port);
}

size_t target_host_lower(struct bytes host, char *buf, size_t size)
{
	if (host.len >= size)
		return 0;
	for (size_t i = 0; i < host.len; i++) {
		uint8_t c = host.at[i];
		buf[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	buf[host.len] = '\0';
	return host.len;
}

/* ---- paths */

/* One octet of a path, with an escape taken for what it stands for; its length in *len. */
static uint8_t octet_at(struct bytes path, size_t i, size_t *len)
{
	int value = octet_escape(path.at + i, path.len - i);

	*len = value < 0 ? 1 : 3;
	return value < 0 ? path.at[i] : (uint8_t)value;
}

/* Bits of malformed escapes, %00 and encoded separators in a text. */
static unsigned escape_oddities(struct bytes text)
{
	unsigned odd = 0;
	const uint8_t *at = text.at, *end = text.at + text.len;

	while (at < end && (at = memchr(at, '%', (size_t)(end - at))) != NULL) {
		switch (octet_escape(at, (size_t)(end - at))) {
		case -1:
			odd |= TARGET_ESCAPE;
			break;
		case '\0':
			odd |= TARGET_NUL;
			break;
		case '/':
			odd |= TARGET_SLASH;
			break;
		case '\\':
			odd |= TARGET_BACKSLASH;
			break;
		default:
			break;
		}
		at++;
	}
	return odd;
}

/*
 * The depth that the segments reach, below the root at 0; -1 once it is above it. The escaped slash and
 * both backslashes separate segments too, as they do on some servers, where `separators` has their bit
 * (TARGET_SLASH, TARGET_BACKSLASH): each by itself, since a separator more may also be a segment more.
 * What follows a ';' in a segment are parameters, which some servers (Tomcat) drop before they look at
 * the dots; empty segments do not count: both only make the way up longer.
 */
static int depth_walk(struct bytes path, unsigned separators, unsigned *odd)
{
	int depth = 0;
	size_t i = 0;

	while (i < path.len) {
		size_t segment = 0, dots = 0,
		       len; /* octets of it, without parameters; of these, dots */
		bool parameters = false;

		for (i++; i < path.len && path.at[i] != '/'; i += len) {
			uint8_t c = octet_at(path, i, &len);

			if ((c == '/' && (separators & TARGET_SLASH) != 0) ||
			    (c == '\\' && (separators & TARGET_BACKSLASH) != 0))
				break;
			parameters |= c == ';';
			segment += !parameters;
			dots += !parameters && c == '.';
		}
		if (i < path.len && path.at[i] == '%')
			i += 2; /* at the escape's end, as at a plain separator */
		if (segment == 0 && !parameters)
			*odd |= i < path.len ? TARGET_EMPTY : 0;
		else if (segment == dots && dots <= 2) {
			*odd |= dots > 0 ? TARGET_DOTS : 0;
			depth -= dots == 2;
		} else
			depth++;
		if (depth < 0)
			return -1;
	}
	return depth;
}

unsigned target_oddities(struct bytes path, struct bytes query)
{
	unsigned odd = 0;
	bool plain = true;

	for (size_t i = 0; i < path.len && plain; i++)
		plain = (octet_class[path.at[i]] & OCTET_ODD) == 0 &&
			!(path.at[i] == '/' && i > 0 && path.at[i - 1] == '/');
	if (!plain) {
		odd = escape_oddities(path);
		if (memchr(path.at, '\\', path.len) != NULL)
			odd |= TARGET_BACKSLASH;
		for (unsigned all = odd & (TARGET_SLASH | TARGET_BACKSLASH), some = all;;
		     some = (some - 1) & all) {
			if (depth_walk(path, some, &odd) < 0)
				odd |= TARGET_CLIMBS;
			if (some == 0)
				break;
		}
	}
	if (query.len > 0 && (escape_oddities(query) & TARGET_ESCAPE) != 0)
		odd |= TARGET_QUERY_ESCAPE;
	return odd;
}

/* How many bytes of the path stand for these; 0: it begins otherwise. */
static size_t prefix_len(struct bytes path, const char *prefix, bool any_case)
{
	size_t i = 0, len;

	for (; *prefix != '\0'; prefix++, i += len) {
		uint8_t c;

		if (i >= path.len)
			return 0;
		c = octet_at(path, i, &len);
		if (octet_folded(c, any_case) != octet_folded((uint8_t)*prefix, any_case) ||
		    (c == '/' && len > 1))
			return 0;
	}
	return i;
}

size_t target_prefix(struct bytes path, const char *prefix, bool any_case)
{
	size_t len = prefix_len(path, prefix, any_case);

	if (len == 0 || prefix[strlen(prefix) - 1] == '/' || len == path.len || path.at[len] == '/')
		return len;
	return 0;
}

bool target_under(struct bytes path, const char *prefix, bool any_case)
{
	return target_prefix(path, prefix, any_case) > 0;
}

bool target_is(struct bytes path, const char *exact, bool any_case)
{
	return path.len > 0 && prefix_len(path, exact, any_case) == path.len;
}

int target_order(struct bytes path, const char *route, bool any_case)
{
	size_t i = 0, len;

	for (; *route != '\0' && i < path.len; route++, i += len) {
		uint8_t c = octet_at(path, i, &len),
			wanted = octet_folded((uint8_t)*route, any_case);

		/* %2F is no separator: it comes after all. */
		if (c == '/' && len > 1)
			return 1;
		c = octet_folded(c, any_case);
		if (c != wanted)
			return c < wanted ? -1 : 1;
	}
	return (i < path.len) - (*route != '\0');
}
