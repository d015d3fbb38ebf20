/*
 * remote.c: see remote.h. A name that has several addresses stands for as many servers.
 */
#include "gateway/remote.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/resolved.h"

#include "base/poison.h"

struct remote_names {
	struct remote remote;
	struct endpoint *found; /* of a name */
	size_t n;
};

struct remotes {
	struct remote_names *at;
	size_t n;
};

/* ---- one */

/* Cuts "user@" and "/0" off a URL's rest, which is copied to rest. */
static const char *parse_url(const char *text, struct remote *r, char *rest, size_t size)
{
	const char *at = strrchr(text, '@'), *slash;
	size_t len;

	if (at != NULL) {
		len = (size_t)(at - text);
		if (memchr(text, ':', len) != NULL)
			return "a password in a URL is shown by -T and in logs: put it into a file "
			       "and name that as password_file";
		if (len == 0 || len >= sizeof(r->user))
			return "the user before the @ is missing or too long";
		memcpy(r->user, text, len);
		r->user[len] = '\0';
		text = at + 1;
	}
	slash = strchr(text, '/');
	if (slash != NULL && strcmp(slash, "/") != 0 && strcmp(slash, "/0") != 0)
		return "only database 0 is used: end the URL with /0";
	len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	if (len >= size)
		return "it is too long";
	memcpy(rest, text, len);
	rest[len] = '\0';
	return NULL;
}

const char *remote_parse(const char *text, bool redis, struct remote *r)
{
	char rest[REMOTE_HOST_MAX + 8];
	const char *wrong;

	*r = (struct remote){ .kind = REMOTE_TLS };
	if (strncmp(text, "unix:", 5) == 0) {
		r->kind = REMOTE_UNIX;
		if ((text[5] != '/' && text[5] != '@') || endpoint_parse(&r->at, text) != 0)
			return "it is no path of a socket: write \"unix:/path\"";
		return NULL;
	}
	if (redis && strncmp(text, "redis://", 8) == 0)
		r->kind = REMOTE_REDIS;
	else if (redis && strncmp(text, "rediss://", 9) == 0)
		r->kind = REMOTE_REDISS;
	else if (strstr(text, "://") != NULL)
		return redis ? "write \"host:port\", \"redis://host:port/0\", "
			       "\"rediss://user@host:port/0\" or \"unix:/path\""
			     : "write host and port only: \"10.0.1.1:2407\", or \"unix:/path\"";
	if (r->kind != REMOTE_TLS) {
		wrong = parse_url(strstr(text, "://") + 3, r, rest, sizeof(rest));
		if (wrong != NULL)
			return wrong;
		text = rest;
	}
	if (endpoint_split(text, r->host, sizeof(r->host), &r->port) != 0 || r->port == 0 ||
	    strcmp(r->host, "*") == 0)
		return "it needs a host and a port: \"10.0.1.1:2407\"";
	if (endpoint_of_ip(&r->at, r->host, r->port) != 0)
		r->at.len = 0; /* a name */
	return NULL;
}

/* ---- all of a service */

struct remotes *remotes_new(const struct conf_strings *servers)
{
	struct remotes *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return NULL;
	all->at = calloc(servers->n + 1, sizeof(*all->at));
	if (all->at == NULL) {
		free(all);
		return NULL;
	}
	for (size_t i = 0; i < servers->n; i++) {
		if (remote_parse(servers->at[i], true, &all->at[all->n].remote) == NULL)
			all->n++;
	}
	return all;
}

void remotes_free(struct remotes *all)
{
	if (all == NULL)
		return;
	for (size_t i = 0; i < all->n; i++)
		free(all->at[i].found);
	free(all->at);
	free(all);
}

bool remotes_resolved(struct remotes *all, const char *host, const struct endpoint *found, size_t n)
{
	bool ours = false;

	for (size_t i = 0; i < all->n; i++) {
		struct remote_names *r = &all->at[i];
		struct endpoint *copy;
		char ip[ENDPOINT_TEXT_MAX];

		if (r->remote.at.len != 0 || strcasecmp(r->remote.host, host) != 0 ||
		    (copy = calloc(n + 1, sizeof(*copy))) == NULL)
			continue;
		free(r->found);
		r->found = copy;
		r->n = 0;
		for (size_t k = 0; k < n; k++) {
			endpoint_host_text(&found[k], ip, sizeof(ip));
			if (endpoint_of_ip(&copy[r->n], ip, r->remote.port) == 0)
				r->n++;
		}
		ours = true;
	}
	return ours;
}

static size_t add(struct endpoint *list, size_t n, size_t max, const struct endpoint *one)
{
	for (size_t i = 0; i < n; i++) {
		if (endpoint_equal(&list[i], one))
			return n;
	}
	if (n < max)
		list[n++] = *one;
	return n;
}

size_t remotes_list(const struct remotes *all, struct endpoint *list, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++) {
		const struct remote_names *r = &all->at[i];

		if (r->remote.at.len != 0)
			n = add(list, n, max, &r->remote.at);
		for (size_t k = 0; k < r->n; k++)
			n = add(list, n, max, &r->found[k]);
	}
	return n;
}
