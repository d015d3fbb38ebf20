/*
 * sticky.c: see sticky.h. The cookie passes on to the server, as all others do.
 */
#include "config.h"

#include "gateway/exchange/sticky.h"

#include <stdio.h>
#include <string.h>

#include "gateway/exchange/exchange_private.h"

#include "base/poison.h"

static struct bytes trimmed(struct bytes b)
{
	while (b.len > 0 && b.at[0] == ' ')
		b = bytes_sub(b, 1, b.len - 1);
	while (b.len > 0 && b.at[b.len - 1] == ' ')
		b.len--;
	return b;
}

/* RFC 6265, section 5.4: "a=b; c=d". The first of that name that a server has. */
static unsigned read_field(const struct pool *pool, struct bytes value)
{
	const char *name = pool_conf(pool)->sticky_cookie;
	size_t name_len = strlen(name);

	while (value.len > 0) {
		const uint8_t *end = memchr(value.at, ';', value.len);
		size_t len = end != NULL ? (size_t)(end - value.at) : value.len;
		struct bytes pair = trimmed(bytes_sub(value, 0, len));
		unsigned found = 0;

		if (pair.len > name_len && pair.at[name_len] == '=' &&
		    memcmp(pair.at, name, name_len) == 0)
			found = pool_sticky_find(
			    pool, bytes_sub(pair, name_len + 1, pair.len - name_len - 1));
		if (found != 0 || end == NULL)
			return found;
		value = bytes_sub(value, len + 1, value.len - len - 1);
	}
	return 0;
}

unsigned sticky_read(const struct pool *pool, const struct head *head)
{
	unsigned found = 0;

	if (pool_conf(pool)->sticky_cookie == NULL)
		return 0;
	for (size_t i = 0; i < head->fields_n && found == 0; i++)
		if (bytes_case_equal_str(head->fields[i].name, "cookie"))
			found = read_field(pool, head->fields[i].value);
	return found;
}

/*
 * Not where the client has it already; nor where its server was only busy: it stays there with the next
 * request.
 */
size_t sticky_write(const struct exchange *x, struct field *field)
{
	char id[POOL_STICKY_LEN], *cookie = x->worker->exchanges->cookie;
	unsigned server;
	int len;

	if (x->pool == NULL || x->upstream == NULL || pool_conf(x->pool)->sticky_cookie == NULL)
		return 0;
	server = upstream_server_index(x->upstream);
	if (x->sticky != 0 && (x->sticky == server + 1 || pool_server_well(x->pool, x->sticky - 1)))
		return 0;
	pool_sticky_id(x->pool, server, id);
	len = snprintf(cookie, STICKY_COOKIE_MAX, "%s=%.*s; Path=/; HttpOnly; Secure",
	    pool_conf(x->pool)->sticky_cookie, POOL_STICKY_LEN, id);
	if (len < 0 || len >= STICKY_COOKIE_MAX)
		return 0;
	*field = (struct field){ bytes_str("Set-Cookie"), bytes_of(cookie, (size_t)len) };
	return 1;
}
