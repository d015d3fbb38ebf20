/*
 * facts.c: the table of facts, and templates over it. Called by fieldset.c and own.c.
 */
#include "config.h"

#include "gateway/exchange/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/octet.h"

#include "base/poison.h"

struct fact {
	const char *name;
	void (*write)(const struct facts *, struct writer *);
	unsigned where;
};

struct part {
	struct bytes text; /* with fact NULL */
	const struct fact *fact;
};

struct template
{
	size_t n;
	struct part parts[];
};

	/* ---- the facts */

#define TEXT_FACT(name, text)                                                                      \
	static void write_##name(const struct facts *f, struct writer *w)                          \
	{                                                                                          \
		writer_bytes(w, text);                                                             \
	}
#define CERT_FACT(name, field)                                                                     \
	TEXT_FACT(name, bytes_str(f->client->cert != NULL ? f->client->cert->field : NULL))

TEXT_FACT(tls_version, bytes_str(f->client->version))
TEXT_FACT(cipher, bytes_str(f->client->version != NULL ? f->client->cipher : NULL))
TEXT_FACT(sni, bytes_str(f->client->sni))
TEXT_FACT(scheme, bytes_str(f->client->version != NULL ? "https" : "http"))
TEXT_FACT(client_verify, bytes_str(f->client->verify != NULL ? f->client->verify : "NONE"))
CERT_FACT(client_subject, subject)
CERT_FACT(client_issuer, issuer)
CERT_FACT(client_serial, serial)
CERT_FACT(client_not_before, not_before)
CERT_FACT(client_not_after, not_after)
CERT_FACT(client_cert, pem_urlencoded)
TEXT_FACT(peer, f->peer)
TEXT_FACT(request_id, f->id)
TEXT_FACT(method, f->method)
TEXT_FACT(host, f->host)
TEXT_FACT(path, f->path)
TEXT_FACT(query, f->query)
TEXT_FACT(server, f->server)

#define HEARD_FACT(name, field)                                                                    \
	TEXT_FACT(name, bytes_str(f->client->hearsay != NULL ? f->client->hearsay->field : NULL))

HEARD_FACT(proxy_alpn, alpn)
HEARD_FACT(proxy_authority, authority)
HEARD_FACT(proxy_id, unique_id)
HEARD_FACT(proxy_tls_version, tls_version)
HEARD_FACT(proxy_cipher, cipher)
HEARD_FACT(proxy_client_cn, common_name)
HEARD_FACT(proxy_client_verify, verify)

static void write_number(struct writer *w, int n)
{
	char digits[12];
	int len = snprintf(digits, sizeof(digits), "%d", n);

	writer_put(w, digits, (size_t)len);
}

static void write_cipher_bits(const struct facts *f, struct writer *w)
{
	if (f->client->version != NULL)
		write_number(w, f->client->cipher_bits);
}

static void write_port(const struct facts *f, struct writer *w)
{
	write_number(w, endpoint_brief_port(&f->client->local));
}

static void write_resumed(const struct facts *f, struct writer *w)
{
	static const char *const texts[] = {
		[CLIENT_FULL] = "no", [CLIENT_BY_TICKET] = "ticket", [CLIENT_BY_CACHE] = "cache"
	};

	if (f->client->version != NULL)
		writer_str(w, texts[f->client->resumed]);
}

static void write_uri(const struct facts *f, struct writer *w)
{
	writer_bytes(w, f->path);
	if (f->query.at != NULL) {
		writer_u8(w, '?');
		writer_bytes(w, f->query);
	}
}

#define BOTH (FACTS_REQUEST | FACTS_ANSWER)
static const struct fact table[] = {
	{ "tls_version", write_tls_version, BOTH },
	{ "cipher", write_cipher, BOTH },
	{ "cipher_bits", write_cipher_bits, BOTH },
	{ "sni", write_sni, BOTH },
	{ "resumed", write_resumed, BOTH },
	{ "scheme", write_scheme, BOTH },
	{ "client_verify", write_client_verify, BOTH },
	{ "client_subject", write_client_subject, BOTH },
	{ "client_issuer", write_client_issuer, BOTH },
	{ "client_serial", write_client_serial, BOTH },
	{ "client_not_before", write_client_not_before, BOTH },
	{ "client_not_after", write_client_not_after, BOTH },
	{ "client_cert", write_client_cert, BOTH },
	{ "peer", write_peer, BOTH },
	{ "port", write_port, BOTH },
	{ "request_id", write_request_id, BOTH },
	{ "host", write_host, BOTH },
	{ "proxy_alpn", write_proxy_alpn, BOTH },
	{ "proxy_authority", write_proxy_authority, BOTH },
	{ "proxy_id", write_proxy_id, BOTH },
	{ "proxy_tls_version", write_proxy_tls_version, BOTH },
	{ "proxy_cipher", write_proxy_cipher, BOTH },
	{ "proxy_client_cn", write_proxy_client_cn, BOTH },
	{ "proxy_client_verify", write_proxy_client_verify, BOTH },
	{ "method", write_method, FACTS_REQUEST },
	{ "path", write_path, FACTS_REQUEST },
	{ "query", write_query, FACTS_REQUEST },
	{ "uri", write_uri, FACTS_REQUEST },
	{ "server", write_server, FACTS_ANSWER },
};

static const struct fact *find(struct bytes name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (bytes_equal_str(name, table[i].name))
			return &table[i];
	return NULL;
}

/* ---- templates */

/*
 * Takes the next part off *text. False: there is none. A "%{" without its end, or with a name that
 * there is not, is a part without fact whose text begins so.
 */
static bool part_next(const char **text, struct part *part)
{
	const char *s = *text, *mark = strstr(s, "%{"), *close;

	if (*s == '\0')
		return false;
	*part = (struct part){ .text = bytes_str(s) };
	if (mark == NULL) {
		*text = s + strlen(s);
	} else if (mark > s && mark[-1] == '%') {
		/* The first of the two signs goes. */
		part->text = mark == s + 1 ? bytes_of(mark, 2)
					   : bytes_of(s, (size_t)(mark - s) - 1);
		*text = mark == s + 1 ? mark + 2 : mark - 1;
	} else if (mark > s) {
		part->text = bytes_of(s, (size_t)(mark - s));
		*text = mark;
	} else if ((close = strchr(s, '}')) != NULL) {
		part->text = bytes_of(s, (size_t)(close - s) + 1);
		part->fact = find(bytes_of(s + 2, (size_t)(close - s) - 2));
		*text = close + 1;
	} else {
		*text = s + strlen(s);
	}
	return true;
}

static void names_list(enum facts_where where, char *buf, size_t size)
{
	size_t n = strlen(buf);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && n < size; i++)
		if ((table[i].where & where) != 0)
			n += (size_t)snprintf(buf + n, size - n, " %s", table[i].name);
}

const char *template_check(const char *text, enum facts_where where, char *buf, size_t size)
{
	struct bytes all = bytes_str(text);
	struct part part;

	if (octet_text_run(all.at, all.len) != all.len || octet_trim(all).len != all.len) {
		snprintf(buf, size,
		    "it holds a control character, or begins or ends with a blank: write it as one "
		    "line of text");
		return buf;
	}
	while (part_next(&text, &part)) {
		if (part.fact != NULL && (part.fact->where & where) != 0)
			continue;
		if (part.fact == NULL && (part.text.len <= 2 || memcmp(part.text.at, "%{", 2) != 0))
			continue;
		snprintf(buf, size, "%.*s is not known here: write one of", (int)part.text.len,
		    (const char *)part.text.at);
		names_list(where, buf, size);
		return buf;
	}
	return NULL;
}

struct template *template_new(const char *text)
{
	const char *s = text;
	struct template *t;
	struct part part;
	size_t n = 0;

	while (part_next(&s, &part))
		n++;
	t = calloc(1, sizeof(*t) + n * sizeof(t->parts[0]));
	while (t != NULL && t->n < n && part_next(&text, &t->parts[t->n]))
		t->n++;
	return t;
}

void template_free(struct template *t)
{
	free(t);
}

void template_write(const struct template *t, const struct facts *facts, struct writer *w)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->parts[i].fact != NULL)
			t->parts[i].fact->write(facts, w);
		else
			writer_bytes(w, t->parts[i].text);
	}
}

/* No fact occurs in another: none is longer than all that there is. */
size_t template_bound(const struct template *t, const struct facts *f)
{
	const struct clientcert *cert = f->client->cert;
	size_t one = f->host.len + f->path.len + f->query.len + f->peer.len + f->id.len + 300;
	size_t n = 0;

	if (f->client->hearsay != NULL)
		one += f->client->hearsay->len;
	if (cert != NULL)
		one += strlen(cert->subject) + strlen(cert->issuer) + strlen(cert->pem_urlencoded) +
		       strlen(cert->serial);
	for (size_t i = 0; i < t->n; i++)
		n += t->parts[i].fact != NULL ? one + f->method.len + f->server.len
					      : t->parts[i].text.len;
	return n;
}
