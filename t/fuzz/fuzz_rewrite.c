/*
 * fuzz_rewrite.c: any value of a field of an answer, put into the client's terms for routes of every
 * kind. Invariants: what is written is of the octets that came and of the route's, so one line stays
 * one; it fits, or the field stays as it was; a place that is not the server's stays as it is; what
 * became a path of ours is under the route's prefix and no "//host"; a cookie keeps its name and value.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/exchange/rewrite.h"
#include "http/octet.h"
#include "http/target.h"

#include "base/poison.h"

#define S(text) ((char *)(uintptr_t)(text))

enum { VALUE_MAX = 4096, ROOM = 4 * VALUE_MAX };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct route_conf routes[] = {
	{ .path = S("/"), .rewrite = REWRITE_LOCATION | REWRITE_COOKIES },
	{ .path = S("/app/"),
	    .strip_prefix = S("/app/"),
	    .add_prefix = S("/v2"),
	    .rewrite = REWRITE_LOCATION | REWRITE_COOKIES },
	{ .path = S("/x"), .add_prefix = S("/v2/"), .rewrite = REWRITE_LOCATION | REWRITE_COOKIES },
	{ .path = S("/y"), .strip_prefix = S("/y"), .rewrite = REWRITE_LOCATION | REWRITE_COOKIES },
};

static bool is_text(struct bytes b)
{
	return octet_text_run(b.at, b.len) == b.len;
}

/* The path of a value that was written: it must be one that leads to us. */
static void is_ours(const struct rewrite_terms *t, struct bytes value)
{
	const char *scheme = t->tls ? "https://" : "http://";
	size_t n = strlen(scheme);

	if (value.at[0] != '/') {
		assert(bytes_equal_str(bytes_sub(value, 0, n), scheme));
		assert(bytes_equal(bytes_sub(value, n, t->host.len), t->host));
		value = bytes_sub(value, n + t->host.len, value.len);
	} else {
		assert(value.len == 1 || (value.at[1] != '/' && value.at[1] != '\\'));
	}
	assert(value.len > 0 && value.at[0] == '/');
	if (t->route->strip_prefix != NULL)
		assert(
		    memcmp(value.at, t->route->strip_prefix, strlen(t->route->strip_prefix)) == 0);
}

static void location(const struct rewrite_terms *t, struct bytes value, uint8_t *room, size_t size)
{
	struct field field = { bytes_str("Location"), value };
	struct writer w = writer_of(room, size);

	rewrite_field(t, &field, &w);
	assert(w.ok && is_text(field.value));
	if (field.value.at == value.at) {
		assert(field.value.len == value.len && writer_len(&w) == 0);
		return;
	}
	assert(field.value.at == room && field.value.len == writer_len(&w));
	is_ours(t, field.value);
}

static void cookie(const struct rewrite_terms *t, struct bytes value, uint8_t *room, size_t size)
{
	struct field field = { bytes_str("Set-Cookie"), value };
	struct writer w = writer_of(room, size);
	const uint8_t *end = value.len > 0 ? memchr(value.at, ';', value.len) : NULL;
	struct bytes name = octet_trim(
	    bytes_sub(value, 0, end != NULL ? (size_t)(end - value.at) : value.len));

	rewrite_field(t, &field, &w);
	assert(w.ok && is_text(field.value));
	assert(bytes_equal(bytes_sub(field.value, 0, name.len), name));
	assert(name.len == field.value.len || field.value.at[name.len] == ';' ||
	       octet_trim(bytes_sub(field.value, name.len, 1)).len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[ROOM];
	struct bytes value = octet_trim(bytes_of(data, size));

	if (size > VALUE_MAX || !is_text(value))
		return 0; /* no such value gets past http/guard */
	for (size_t i = 0; i < 2 * sizeof routes / sizeof routes[0]; i++) {
		const struct rewrite_terms t = { .route = &routes[i / 2],
			.server = bytes_str("10.0.0.1:8080"),
			.host = bytes_str("a.example"),
			.tls = i % 2 == 0 };

		location(&t, value, room, sizeof room);
		cookie(&t, value, room, sizeof room);
		/* As much room as there happens to be: all of it or nothing. */
		location(&t, value, room, size % 64);
		cookie(&t, value, room, size % 64);
	}
	return 0;
}
