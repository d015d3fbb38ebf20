/*
 * trusted.c: see trusted.h.
 */
#include "gateway/trusted.h"

#include <stdlib.h>
#include <string.h>

#include "net/network.h"

#include "base/poison.h"

struct trusted {
	struct network *networks;
	size_t n;
	bool local; /* whoever may open our Unix sockets */
};

static bool is_local(const char *text)
{
	return strcmp(text, "unix:") == 0;
}

struct trusted *trusted_new(const struct conf_strings *texts)
{
	struct trusted *t = calloc(1, sizeof(*t));

	if (t == NULL || (t->networks = calloc(texts->n + 1, sizeof(*t->networks))) == NULL) {
		free(t);
		return NULL;
	}
	for (size_t i = 0; i < texts->n; i++) {
		if (is_local(texts->at[i]))
			t->local = true;
		else if (network_parse(&t->networks[t->n], texts->at[i]) == 0)
			t->n++;
	}
	return t;
}

void trusted_free(struct trusted *t)
{
	if (t == NULL)
		return;
	free(t->networks);
	free(t);
}

bool trusted_holds(const struct trusted *t, const struct endpoint *who)
{
	if (t == NULL)
		return false;
	if (who->addr.ss_family == AF_UNIX)
		return t->local;
	for (size_t i = 0; i < t->n; i++)
		if (network_holds(&t->networks[i], who))
			return true;
	return false;
}

bool trusted_valid(const char *text)
{
	struct network network;

	return is_local(text) || network_parse(&network, text) == 0;
}
