/*
 * conf_routes.c: the checks of what a site and its routes do with paths, fields and clients.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "gateway/conf_check.h"
#include "gateway/conf_files.h"
#include "gateway/exchange/facts.h"
#include "http/field.h"
#include "http/octet.h"
#include "net/network.h"

#include "base/poison.h"

static void check_name(const char *name, const void *field, const char *option, bool request,
    struct conf_errors *errors)
{
	struct bytes b = bytes_str(name);
	enum field_id id = field_id(b);

	if (octet_run(b.at, b.len, OCTET_TOKEN) != b.len)
		conf_reject(errors, field,
		    "%s: \"%s\" is no name of a field: write letters, digits and -, without the "
		    "colon",
		    option, name);
	else if (id == FIELD_OWNED && request)
		conf_reject(errors, field,
		    "%s: \"%s\" is the gateway's own: choose what is told by headers = [ ... ];",
		    option, name);
	else if (id != FIELD_OTHER && id != FIELD_OWNED)
		conf_reject(errors, field,
		    "%s: \"%s\" is written by the gateway itself, as each message needs it: leave "
		    "it out",
		    option, name);
}

static void check_add(
    const struct conf_strings *add, const char *option, bool request, struct conf_errors *errors)
{
	for (size_t i = 0; i + 1 < add->n; i += 2) {
		char why[600];

		check_name(add->at[i], add, option, request, errors);
		if (template_check(add->at[i + 1], request ? FACTS_REQUEST : FACTS_ANSWER, why,
			sizeof(why)) != NULL)
			conf_reject(errors, add, "%s: %s: %s", option, add->at[i], why);
	}
}

static void check_fields(const struct fields_conf *f, struct conf_errors *errors)
{
	check_add(&f->add, "add", true, errors);
	check_add(&f->answer_add, "answer_add", false, errors);
	for (size_t i = 0; i < f->remove.n; i++)
		check_name(f->remove.at[i], &f->remove.at[i], "remove", true, errors);
	for (size_t i = 0; i < f->answer_remove.n; i++)
		check_name(f->answer_remove.at[i], &f->answer_remove.at[i], "answer_remove", false,
		    errors);
}

static void check_require(
    const struct require_conf *r, const struct site_conf *site, struct conf_errors *errors)
{
	const struct conf_strings *certs = r->subject.n > 0
					       ? &r->subject
					       : (r->issuer.n > 0 ? &r->issuer : &r->san);

	for (size_t i = 0; i < r->networks.n; i++) {
		struct network network;

		if (network_parse(&network, r->networks.at[i]) == -1)
			conf_reject(errors, &r->networks.at[i],
			    "networks: \"%s\" is no network: write \"10.0.0.0/8\", with zeros "
			    "behind the prefix, or an address",
			    r->networks.at[i]);
	}
	for (size_t i = 0; i < r->san.n; i++) {
		const char *s = r->san.at[i];

		if (strncmp(s, "DNS:", 4) != 0 && strncmp(s, "URI:", 4) != 0 &&
		    strncmp(s, "email:", 6) != 0 && s[0] != '*')
			conf_reject(errors, &r->san.at[i],
			    "san: \"%s\" says no kind: write \"DNS:...\", \"URI:...\" or "
			    "\"email:...\"",
			    s);
	}
	if (certs->n > 0 && site->client_certificate.verify == CLIENTCERT_NONE)
		conf_reject(errors, certs,
		    "a rule for client certificates, of which the site takes none: add "
		    "client_certificate = { verify = \"optional\"; ca_file = \"clients.pem\"; }; "
		    "to "
		    "the site");
}

/* Of the things that can answer a route there must be one. */
static void check_answers(const struct route_conf *r, struct conf_errors *errors)
{
	bool own = r->respond.status != 0 || r->respond.body != NULL;
	int n = (r->pool != NULL) + (r->files != NULL) + (r->redirect != NULL) + own;

	if (n == 0)
		conf_reject(errors, r,
		    "a route that nothing answers: add pool = \"apache\";, or files, redirect "
		    "or respond");
	else if (n > 1)
		conf_reject(errors, r,
		    "a route has one of pool, files, redirect and respond: leave the others out");
	if (r->pool == NULL &&
	    (r->strip_prefix != NULL || r->add_prefix != NULL || r->rewrite != 0))
		conf_reject(errors, r,
		    "strip_prefix, add_prefix and rewrite are for routes with a pool: leave them "
		    "out");
	if (r->respond.status != 0 && r->respond.status < 200)
		conf_reject(errors, &r->respond.status,
		    "status %lld is none of a whole answer: write 200 to 599",
		    (long long)r->respond.status);
	if ((r->respond.status == 204 || r->respond.status == 304) && r->respond.body != NULL)
		conf_reject(errors, &r->respond.body, "an answer with status %lld has no body",
		    (long long)r->respond.status);
	if (r->respond.type != NULL && octet_text_run((const uint8_t *)r->respond.type,
					   strlen(r->respond.type)) != strlen(r->respond.type))
		conf_reject(errors, &r->respond.type, "type holds a control character");
}

/* Bytes of the client's, but for the host that it asked for, must not become part of the host. */
static bool host_is_ours(const char *to)
{
	const char *s = strstr(to, "://");

	for (s = s != NULL ? s + 3 : ""; *s != '\0' && *s != '/' && *s != '?'; s++) {
		if (strncmp(s, "%{uri}", 6) == 0 || strncmp(s, "%{path}", 7) == 0)
			return true;
		if (strncmp(s, "%{", 2) == 0 && strncmp(s, "%{host}", 7) != 0 &&
		    strncmp(s, "%{sni}", 6) != 0)
			return false;
	}
	return true;
}

static void check_redirect(const struct route_conf *r, struct conf_errors *errors)
{
	const char *to = r->redirect;
	char why[600];

	if (r->redirect_status != 0 && r->redirect_status != 301 && r->redirect_status != 302 &&
	    r->redirect_status != 303 && r->redirect_status != 307 && r->redirect_status != 308)
		conf_reject(errors, &r->redirect_status,
		    "redirect_status cannot be %lld: write 301, 302, 303, 307 or 308",
		    (long long)r->redirect_status);
	if (to == NULL)
		return;
	/* "/" and a fact, or "//": the client's bytes could become a host. */
	if (strncmp(to, "https://", 8) != 0 && strncmp(to, "http://", 7) != 0 &&
	    (to[0] != '/' || to[1] == '/' || to[1] == '%' || to[1] == '\\'))
		conf_reject(errors, &r->redirect,
		    "redirect cannot be \"%s\": write \"https://new.example%%{uri}\", or a path of "
		    "this site: \"/new/\"",
		    to);
	else if (!host_is_ours(to))
		conf_reject(errors, &r->redirect,
		    "redirect \"%s\" would let a client choose the host: put a / before the fact, "
		    "or "
		    "use %%{uri}",
		    to);
	else if (template_check(to, FACTS_REQUEST, why, sizeof(why)) != NULL)
		conf_reject(errors, &r->redirect, "redirect: %s", why);
	else if (strpbrk(to, " \t") != NULL)
		conf_reject(errors, &r->redirect, "redirect holds a blank: write %%20");
}

static void check_prefixes(const struct route_conf *r, struct conf_errors *errors)
{
	char *const *const prefixes[] = { &r->strip_prefix, &r->add_prefix };
	size_t len;

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		const char *s = *prefixes[i];

		if (s == NULL)
			continue;
		len = strlen(s);
		if (s[0] != '/' || s[1] == '/' || strpbrk(s, "?#\\") != NULL ||
		    octet_run((const uint8_t *)s, len, OCTET_TARGET) != len)
			conf_reject(errors, prefixes[i],
			    "prefix \"%s\" must begin with one / and hold no blank, \\, ? or #", s);
	}
	if (r->strip_prefix == NULL || r->path == NULL)
		return;
	len = strlen(r->strip_prefix);
	if (strncmp(r->path, r->strip_prefix, len) != 0)
		conf_reject(errors, &r->strip_prefix,
		    "strip_prefix \"%s\" does not begin the route's path \"%s\": write the path, "
		    "or what it begins with",
		    r->strip_prefix, r->path);
}

void conf_check_routes(const struct site_conf *site, struct conf_errors *errors)
{
	check_fields(&site->fields, errors);
	check_require(&site->require, site, errors);
	for (size_t i = 0; i < site->routes.n; i++) {
		const struct route_conf *r = &site->routes.at[i];

		check_answers(r, errors);
		conf_check_files(r, errors);
		check_redirect(r, errors);
		check_prefixes(r, errors);
		check_fields(&r->fields, errors);
		check_require(&r->require, site, errors);
	}
}
