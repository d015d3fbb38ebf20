/*
 * resolved.c: see resolved.h.
 */
#include "gateway/resolved.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

static int is_host(const char *text)
{
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	size_t len = strlen(text);

	return len > 0 && len < RESOLVED_HOST_MAX && strspn(text, allowed) == len;
}

int resolved_parse(char *text, struct resolved *r)
{
	const char *host = strsep(&text, " "), *ttl = strsep(&text, " "), *address, *why;

	if (host == NULL || ttl == NULL || !is_host(host))
		return -1;
	/* strtonum(3) takes signs and spaces too. */
	if (ttl[strspn(ttl, "0123456789")] != '\0')
		return -1;
	strlcpy(r->host, host, sizeof r->host);
	r->ttl = (unsigned)strtonum(ttl, 0, RESOLVED_TTL_MAX, &why);
	if (why != NULL)
		return -1;
	for (r->n = 0; (address = strsep(&text, " ")) != NULL; r->n++)
		if (r->n == RESOLVED_ADDRESSES_MAX ||
		    endpoint_of_ip(&r->endpoints[r->n], address, 0) != 0)
			return -1;
	return r->n > 0 ? 0 : -1;
}

int resolved_print(const struct resolved *r, char *buf, size_t size)
{
	char address[ENDPOINT_TEXT_MAX];
	size_t len = (size_t)snprintf(buf, size, "%s %u", r->host, r->ttl);

	for (size_t i = 0; i < r->n && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, " %s",
		    endpoint_host_text(&r->endpoints[i], address, sizeof address));
	return len < size ? 0 : -1;
}
