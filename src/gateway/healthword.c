/*
 * healthword.c: see healthword.h. Names may hold spaces, so a line is not cut up but compared whole.
 */
#include "gateway/healthword.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

static bool is_server(const char *text, const struct pool_conf *pool, const char *address)
{
	size_t len = strlen(pool->name);

	return strncmp(text, pool->name, len) == 0 && text[len] == ' ' &&
	       strcmp(text + len + 1, address) == 0;
}

int healthword_parse(const char *text, const struct gateway_conf *conf, struct healthword *word)
{
	if (strncmp(text, "up ", 3) == 0)
		word->up = true;
	else if (strncmp(text, "down ", 5) == 0)
		word->up = false;
	else
		return -1;
	text += word->up ? 3 : 5;
	for (word->pool = 0; word->pool < conf->pools.n; word->pool++) {
		const struct pool_conf *pool = &conf->pools.at[word->pool];

		if (pool_conf_interval(pool) == 0)
			continue;
		for (word->server = 0; word->server < pool->servers.n; word->server++)
			if (is_server(text, pool, pool->servers.at[word->server].address))
				return 0;
	}
	return -1;
}

int healthword_print(
    const struct gateway_conf *conf, const struct healthword *word, char *buf, size_t size)
{
	const struct pool_conf *pool = &conf->pools.at[word->pool];

	return (size_t)snprintf(buf, size, "%s %s %s", word->up ? "up" : "down", pool->name,
		   pool->servers.at[word->server].address) < size
		   ? 0
		   : -1;
}
