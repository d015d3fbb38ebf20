/*
 * conf_pools.c: the checks of how a pool's servers are watched and clients kept to them, and what those
 * options come to.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/conf_check.h"

#include "base/poison.h"

enum { STATUS_DIGITS = 3, STATUS_FIRST = 200, STATUS_LAST = 599 };
enum { CHECK_TEXT_MAX = 1024, CHECKED_NAME_MAX = 256, COOKIE_NAME_MAX = 64 };

uint64_t pool_conf_interval(const struct pool_conf *pool)
{
	if (pool->health_check.interval > 0)
		return pool->health_check.interval;
	return pool->health_check.path != NULL ? POOL_CONF_INTERVAL_MS : 0;
}

/* Three digits at s that are a final status; 0: they are not. */
static unsigned status_at(const char *s)
{
	unsigned n = 0;

	for (int i = 0; i < STATUS_DIGITS; i++) {
		if (s[i] < '0' || s[i] > '9')
			return 0;
		n = n * 10 + (unsigned)(s[i] - '0');
	}
	return n >= STATUS_FIRST && n <= STATUS_LAST ? n : 0;
}

int pool_conf_status(const char *ranges, unsigned status)
{
	int found = 0;

	for (const char *s = ranges;; s++) {
		unsigned first = status_at(s), last = first;

		if (first == 0)
			return -1;
		s += STATUS_DIGITS;
		if (*s == '-') {
			last = status_at(++s);
			if (last < first)
				return -1;
			s += STATUS_DIGITS;
		}
		if (status >= first && status <= last)
			found = 1;
		if (*s == '\0')
			return found;
		if (*s != ',')
			return -1;
	}
}

/* What may stand in a request line or field that we write. */
static bool printable(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

static void check_check(const struct pool_conf *pool, struct conf_errors *errors)
{
	const char *path = pool->health_check.path, *host = pool->health_check.host;

	if (path != NULL && (path[0] != '/' || !printable(path) || strchr(path, '#') != NULL ||
				strlen(path) > CHECK_TEXT_MAX))
		conf_reject(errors, &pool->health_check.path,
		    "path \"%s\" cannot be asked for: write it as in a request line: \"/healthz\"",
		    path);
	if (host != NULL &&
	    (!printable(host) || strpbrk(host, "/@?#,") != NULL || strlen(host) > CHECK_TEXT_MAX))
		conf_reject(errors, &pool->health_check.host,
		    "host \"%s\" is no host name: write host = \"app.example.com\";", host);
	if (pool->health_check.status != NULL &&
	    pool_conf_status(pool->health_check.status, 0) == -1)
		conf_reject(errors, &pool->health_check.status,
		    "status \"%s\" is no list of statuses from 200 to 599: write \"200-399\" or "
		    "\"200,204\"",
		    pool->health_check.status);
	if (pool_conf_interval(pool) > 0 && pool->name != NULL &&
	    strlen(pool->name) > CHECKED_NAME_MAX)
		conf_reject(errors, &pool->name,
		    "a pool with a health_check needs a name of at most %d bytes",
		    CHECKED_NAME_MAX);
}

/* A token, so that no quoting of cookies is met. */
static bool is_cookie_name(const char *s)
{
	static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789!#$%&'*+-.^_`|~";
	size_t len = strlen(s);

	return len <= COOKIE_NAME_MAX && strspn(s, token) == len;
}

void conf_check_watch(const struct gateway_conf *conf, struct conf_errors *errors)
{
	for (size_t i = 0; i < conf->pools.n; i++) {
		const struct pool_conf *pool = &conf->pools.at[i];

		check_check(pool, errors);
		if (pool->sticky_cookie != NULL && !is_cookie_name(pool->sticky_cookie))
			conf_reject(errors, &pool->sticky_cookie,
			    "\"%s\" is no name of a cookie: write letters and digits, at most %d: "
			    "sticky_cookie = \"SRV\";",
			    pool->sticky_cookie, COOKIE_NAME_MAX);
		if (pool->sticky_secret != NULL && pool->sticky_cookie == NULL)
			conf_reject(errors, &pool->sticky_secret,
			    "sticky_secret needs a cookie: add sticky_cookie = \"SRV\";");
	}
}
