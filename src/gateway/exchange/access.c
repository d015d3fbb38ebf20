/*
 * access.c: see access.h. A certificate counts only if it verifies: under optional_no_ca others reach
 * a server, too, but never a rule.
 */
#include "config.h"

#include "gateway/exchange/access.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/network.h"

#include "base/poison.h"

struct access {
	const struct require_conf *conf;
	size_t n;
	struct network networks[];
};

struct access *access_new(const struct require_conf *conf, bool *none)
{
	struct access *a;

	*none = conf->subject.n == 0 && conf->issuer.n == 0 && conf->san.n == 0 &&
		conf->networks.n == 0;
	if (*none)
		return NULL;
	a = calloc(1, sizeof(*a) + conf->networks.n * sizeof(a->networks[0]));
	if (a == NULL)
		return NULL;
	a->conf = conf;
	for (size_t i = 0; i < conf->networks.n; i++)
		if (network_parse(&a->networks[a->n], conf->networks.at[i]) == 0)
			a->n++;
	return a;
}

void access_free(struct access *a)
{
	free(a);
}

/* "*" is any text. Time: at most the product of both lengths. */
static bool matches(const char *text, const char *pattern, bool any_case)
{
	const char *star = NULL, *from = text;

	while (*text != '\0') {
		bool same = any_case ? strncasecmp(text, pattern, 1) == 0 : *text == *pattern;

		if (*pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (same) {
			text++;
			pattern++;
		} else if (star != NULL) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static bool one_matches(const struct conf_strings *patterns, const char *text, bool any_case)
{
	if (patterns->n == 0)
		return true;
	for (size_t i = 0; text != NULL && i < patterns->n; i++)
		if (matches(text, patterns->at[i], any_case))
			return true;
	return false;
}

/* One after the other, each with its NUL; an empty one ends them. */
static bool san_matches(const struct conf_strings *patterns, const char *sans)
{
	if (patterns->n == 0)
		return true;
	for (; sans != NULL && *sans != '\0'; sans += strlen(sans) + 1)
		if (one_matches(patterns, sans, strncmp(sans, "DNS:", 4) == 0))
			return true;
	return false;
}

static bool network_matches(const struct access *a, const char *peer)
{
	struct endpoint at;

	if (a->conf->networks.n == 0)
		return true;
	if (endpoint_of_ip(&at, peer, 0) == -1)
		return false; /* by a Unix socket: of no network */
	for (size_t i = 0; i < a->n; i++)
		if (network_holds(&a->networks[i], &at))
			return true;
	return false;
}

bool access_allows(const struct access *a, const struct client *client, const char *peer)
{
	const struct require_conf *conf;
	const struct clientcert *cert = client->cert;

	if (a == NULL)
		return true;
	conf = a->conf;
	if (!network_matches(a, peer))
		return false;
	if (conf->subject.n == 0 && conf->issuer.n == 0 && conf->san.n == 0)
		return true;
	if (cert == NULL || client->verify == NULL || strcmp(client->verify, "SUCCESS") != 0)
		return false;
	return one_matches(&conf->subject, cert->subject, false) &&
	       one_matches(&conf->issuer, cert->issuer, false) &&
	       san_matches(&conf->san, cert->sans);
}
