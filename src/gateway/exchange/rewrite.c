/*
 * rewrite.c: see rewrite.h. Called by relay.c for answers of routes that ask for it.
 */
#include "config.h"

#include "gateway/exchange/rewrite.h"

#include <string.h>

#include "http/octet.h"
#include "http/target.h"

#include "base/poison.h"

/* Without a slash at the end: a prefix is compared by segments. */
static struct bytes prefix_of(const char *text)
{
	struct bytes b = bytes_str(text);

	if (b.len > 0 && b.at[b.len - 1] == '/')
		b.len--;
	return b;
}

/* The path as the client must ask for it. False: it is not under what the route adds. */
static bool write_path(const struct rewrite_terms *t, struct bytes path, struct writer *w)
{
	struct bytes added = prefix_of(t->route->add_prefix);
	struct bytes stripped = prefix_of(t->route->strip_prefix);

	if (path.len == 0)
		path = bytes_str("/");
	if (!bytes_equal(bytes_sub(path, 0, added.len), added) ||
	    (path.len > added.len && path.at[added.len] != '/' && path.at[added.len] != '?' &&
		path.at[added.len] != '#'))
		return false;
	path = bytes_sub(path, added.len, path.len);
	writer_bytes(w, stripped);
	/* What is left of "/added" is its "/"; and nobody may make a "//host" of it. */
	if (path.len == 0 || path.at[0] != '/')
		writer_u8(w, '/');
	if (stripped.len == 0 && path.len > 1 && path.at[0] == '/' &&
	    (path.at[1] == '/' || path.at[1] == '\\'))
		return false;
	writer_bytes(w, path);
	return true;
}

/* http or https, and the server's own authority or the one that was asked for. */
static bool is_ours(const struct rewrite_terms *t, struct bytes url, struct bytes *path)
{
	bool tls = bytes_case_equal_str(bytes_sub(url, 0, 8), "https://");
	size_t from = tls ? 8 : 7, to;
	uint16_t port = tls ? 443 : 80;
	struct bytes authority;

	if (!tls && !bytes_case_equal_str(bytes_sub(url, 0, 7), "http://"))
		return false;
	for (to = from; to < url.len && strchr("/?#", url.at[to]) == NULL; to++)
		continue;
	authority = bytes_sub(url, from, to - from);
	*path = bytes_sub(url, to, url.len);
	return (!tls && target_authority_equal(authority, t->server, port)) ||
	       bytes_case_equal(authority, t->host) ||
	       target_authority_equal(authority, t->host, port);
}

static bool write_location(const struct rewrite_terms *t, struct bytes value, struct writer *w)
{
	struct bytes path;

	if (value.len > 0 && value.at[0] == '/' && (value.len == 1 || value.at[1] != '/'))
		return write_path(t, value, w);
	if (!is_ours(t, value, &path))
		return false;
	writer_str(w, t->tls ? "https://" : "http://");
	writer_bytes(w, t->host);
	return write_path(t, path, w);
}

static struct bytes host_of(struct bytes authority)
{
	struct authority a;

	return target_authority(authority, &a) ? a.host : bytes_of(NULL, 0);
}

/* One attribute, without blanks around it. False: it stays. */
static bool write_attribute(const struct rewrite_terms *t, struct bytes text, struct writer *w)
{
	const uint8_t *sign = memchr(text.at, '=', text.len);
	size_t at = sign != NULL ? (size_t)(sign - text.at) : text.len;
	struct bytes name = octet_trim(bytes_sub(text, 0, at));
	struct bytes value = octet_trim(bytes_sub(text, at + 1, text.len));

	if (bytes_case_equal_str(name, "path") && value.len > 0 && value.at[0] == '/') {
		writer_str(w, "Path=");
		return write_path(t, value, w);
	}
	if (bytes_case_equal_str(name, "domain")) {
		struct bytes bare = value.len > 0 && value.at[0] == '.'
					? bytes_sub(value, 1, value.len)
					: value;

		if (!bytes_case_equal(bare, host_of(t->server)))
			return false;
		writer_str(w, "Domain=");
		writer_bytes(w, host_of(t->host));
		return true;
	}
	return false;
}

/* name=value; attribute; attribute=value. The first part is not looked into. */
static void write_cookie(const struct rewrite_terms *t, struct bytes value, struct writer *w)
{
	bool first = true;

	while (value.len > 0) {
		const uint8_t *end = memchr(value.at, ';', value.len);
		size_t len = end != NULL ? (size_t)(end - value.at) : value.len;
		struct bytes part = octet_trim(bytes_sub(value, 0, len));
		uint8_t *at;

		value = bytes_sub(value, len + 1, value.len);
		if (!first)
			writer_str(w, "; ");
		at = w->at;
		if (first || part.len == 0 || !write_attribute(t, part, w)) {
			w->at = at;
			writer_bytes(w, part);
		}
		first = false;
	}
}

void rewrite_field(const struct rewrite_terms *t, struct field *field, struct writer *w)
{
	unsigned what = t->route->rewrite;
	struct writer before = *w;
	bool written = false;

	if ((what & REWRITE_LOCATION) != 0 &&
	    (bytes_case_equal_str(field->name, "location") ||
		bytes_case_equal_str(field->name, "content-location"))) {
		written = write_location(t, field->value, w);
	} else if ((what & REWRITE_COOKIES) != 0 &&
		   bytes_case_equal_str(field->name, "set-cookie")) {
		write_cookie(t, field->value, w);
		written = true;
	}
	if (written && w->ok)
		field->value = bytes_of(before.at, (size_t)(w->at - before.at));
	else
		*w = before;
}
