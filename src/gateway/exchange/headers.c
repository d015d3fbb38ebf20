/*
 * headers.c: see headers.h. What the client sent passes only where http/head calls it FIELD_OTHER and
 * its Connection does not list it; framing is written anew from what http/head made of it.
 */
#include "config.h"

#include "base/hex.h"
#include "gateway/exchange/headers.h"

#include <string.h>

#include "gateway/exchange/fields.h"
#include "gateway/exchange/fieldset.h"
#include "gateway/exchange/profiles.h"
#include "gateway/exchange/route.h"

#include "base/poison.h"

enum {
	ADDED_MAX_BYTES = 2048, /* what forwarded and mod_ssl add, certificate's text apart */
	HOPS_DIGITS_MAX = 9,
};

#define MAX_FORWARDS "Max-Forwards"

static void write_line(struct writer *, const struct headers_facts *, struct headers_marks *);
static void write_host(struct writer *, const struct headers_facts *, struct headers_marks *);
static void write_client_fields(
    struct writer *, const struct headers_facts *, struct headers_marks *);
static void write_framing(struct writer *, const struct headers_facts *, struct headers_marks *);
static void write_forwarded(struct writer *, const struct headers_facts *);
static void write_mod_ssl(struct writer *, const struct client *);
static void write_certificate(struct writer *, const struct clientcert *);

int64_t headers_hops(const struct head *head)
{
	const struct field *field;
	int64_t hops = 0;

	if (!bytes_equal_str(head->method, "OPTIONS"))
		return -1;
	field = head_field(head, MAX_FORWARDS);
	if (field == NULL || field->value.len == 0 || field->value.len > HOPS_DIGITS_MAX)
		return -1;
	for (size_t i = 0; i < field->value.len; i++) {
		if (field->value.at[i] < '0' || field->value.at[i] > '9')
			return -1;
		hops = hops * 10 + (field->value.at[i] - '0');
	}
	return hops;
}

bool headers_write(struct writer *w, const struct headers_facts *f, struct headers_marks *marks)
{
	*marks = (struct headers_marks){ 0 };
	write_line(w, f, marks);
	write_host(w, f, marks);
	write_client_fields(w, f, marks);
	write_framing(w, f, marks);
	if ((f->site->conf->headers & HEADERS_FORWARDED) != 0)
		write_forwarded(w, f);
	if ((f->site->conf->headers & HEADERS_MOD_SSL) != 0 && f->client->version != NULL)
		write_mod_ssl(w, f->client);
	profiles_write(w, f);
	if (f->route != NULL && f->route->request != NULL) {
		struct facts texts = headers_texts(f);

		fieldset_write(f->route->request, &texts, w);
	}
	writer_put(w, "\r\n", 2);
	return w->ok;
}

size_t headers_bound(const struct headers_facts *f)
{
	const struct head *head = f->head;
	const struct clientcert *cert = f->client->cert;
	size_t n = head->method.len + head->path.len + head->query.len + head->authority.len * 2 +
		   strlen(f->site->conf->name) + ADDED_MAX_BYTES;

	for (size_t i = 0; i < head->fields_n; i++)
		n += head->fields[i].name.len + head->fields[i].value.len + 4;
	if (f->route != NULL) {
		struct facts texts = headers_texts(f);

		n += fieldset_bound(f->route->request, &texts);
		if (f->route->conf->add_prefix != NULL)
			n += strlen(f->route->conf->add_prefix);
	}
	n += profiles_bound(f) + forwarded_bound(f->said);
	if (cert != NULL)
		n += strlen(cert->subject) + strlen(cert->issuer) + strlen(cert->serial) +
		     strlen(cert->not_before) + strlen(cert->not_after) +
		     strlen(cert->pem_urlencoded);
	return n;
}

struct facts headers_texts(const struct headers_facts *f)
{
	return (struct facts){
		.client = f->client,
		.peer = f->real,
		.id = f->id,
		.method = f->head->method,
		.host = f->head->authority,
		.path = f->path.at != NULL ? f->path : f->head->path,
		.query = f->head->query,
	};
}

/* The guard has seen each byte of method and target; an absolute form becomes what follows its host. */
static void write_line(struct writer *w, const struct headers_facts *f, struct headers_marks *marks)
{
	const struct head *head = f->head;
	struct bytes path = f->path.at != NULL ? f->path : head->path;
	size_t at, stripped = 0;

	writer_bytes(w, head->method);
	writer_u8(w, ' ');
	at = writer_len(w);
	if (f->route != NULL)
		writer_bytes(w, route_prefix(f->route, path, &stripped));
	writer_bytes(w, bytes_sub(path, stripped, path.len));
	if (head->query.at != NULL) {
		writer_u8(w, '?');
		writer_bytes(w, head->query);
	}
	if (w->ok)
		marks->target = bytes_of(w->base + at, writer_len(w) - at);
	writer_str(w, " HTTP/1.1\r\n");
}

/* As sent; HTTP/1.0 may come without one, HTTP/1.1 may not go without. */
static void write_host(struct writer *w, const struct headers_facts *f, struct headers_marks *marks)
{
	struct bytes host = f->head->authority;

	if (host.at == NULL) {
		host = bytes_str(f->client->sni != NULL ? f->client->sni : f->site->conf->name);
		if (host.len > 2 && memcmp(host.at, "*.", 2) == 0)
			host = bytes_sub(host, 2, host.len);
	}
	FIELDS_WRITE_ONE(w, "Host", host);
	if (w->ok)
		marks->host = bytes_of(w->at - 2 - host.len, host.len);
}

static bool passes(const struct headers_facts *f, size_t i)
{
	const struct head *head = f->head;

	if (f->hops >= 0 && bytes_case_equal_str(head->fields[i].name, MAX_FORWARDS))
		return false; /* it is counted down */
	return head->ids[i] == FIELD_OTHER &&
	       (head->connection_n == 0 || !head_lists(head, head->fields[i].name)) &&
	       (f->route == NULL || !fieldset_takes_out(f->route->request, head->fields[i].name));
}

/* Where the log's two fields will stand, if this stretch of fields is written at w. */
static void mark(struct headers_marks *marks, const struct field *f, size_t n, struct bytes out)
{
	for (size_t i = 0; i < n; i++) {
		struct bytes *at = NULL;

		if (f[i].name.len == 7 && bytes_case_equal_str(f[i].name, "referer"))
			at = &marks->referer;
		else if (f[i].name.len == 10 && bytes_case_equal_str(f[i].name, "user-agent"))
			at = &marks->agent;
		/* Each field is written as name, two bytes, value, two bytes. */
		if (at != NULL && at->at == NULL)
			*at = bytes_sub(out, f[i].name.len + 2, f[i].value.len);
		out = bytes_sub(out, f[i].name.len + f[i].value.len + 4, out.len);
	}
}

static void write_client_fields(
    struct writer *w, const struct headers_facts *f, struct headers_marks *marks)
{
	const struct head *head = f->head;
	size_t from = 0;

	while (from < head->fields_n) {
		size_t to = from, at = writer_len(w);

		while (to < head->fields_n && passes(f, to))
			to++;
		fields_write(w, &head->fields[from], to - from);
		if (w->ok)
			mark(marks, &head->fields[from], to - from,
			    bytes_of(w->base + at, writer_len(w) - at));
		from = to + 1;
	}
}

static void write_framing(
    struct writer *w, const struct headers_facts *f, struct headers_marks *marks)
{
	const struct head *head = f->head;

	if (f->hops > 0)
		FIELDS_WRITE_NUMBER(w, MAX_FORWARDS, (uint64_t)f->hops - 1);
	if (f->expect)
		FIELDS_WRITE_ONE(w, "Expect", bytes_str("100-continue"));
	if (head->body == BODY_CHUNKED)
		FIELDS_WRITE_ONE(w, "Transfer-Encoding", bytes_str("chunked"));
	else if (head->has_length)
		FIELDS_WRITE_NUMBER(w, "Content-Length", head->length);
	if (head->upgrade) {
		FIELDS_WRITE_ONE(w, "Connection", bytes_str("upgrade"));
		FIELDS_WRITE_ONE(w, "Upgrade", head->upgrade_to);
		if (w->ok)
			marks->upgrade_to = bytes_of(
			    w->at - 2 - head->upgrade_to.len, head->upgrade_to.len);
	}
}

static void write_forwarded(struct writer *w, const struct headers_facts *f)
{
	const struct forwarded *said = f->said;
	const struct head *head = f->head;
	bool tls = f->client->version != NULL;

	forwarded_write_for(w, said, f->peer);
	FIELDS_WRITE_ONE(w, "X-Forwarded-Proto",
	    said != NULL && said->proto.len > 0 ? said->proto : bytes_str(tls ? "https" : "http"));
	if (said != NULL && said->host.len > 0)
		FIELDS_WRITE_ONE(w, "X-Forwarded-Host", said->host);
	else if (head->authority.at != NULL)
		FIELDS_WRITE_ONE(w, "X-Forwarded-Host", head->authority);
	FIELDS_WRITE_NUMBER(w, "X-Forwarded-Port",
	    forwarded_port(said, head->authority, tls, endpoint_brief_port(&f->client->local)));
	FIELDS_WRITE_ONE(w, "X-Real-IP", f->real);
	FIELDS_WRITE_ONE(w, "X-Request-ID", f->id);
}

/* Names and values as mod_ssl's variables. What there is no value for is left out. */
static void write_mod_ssl(struct writer *w, const struct client *client)
{
	char id[2 * sizeof(client->session_id) + 1];

	FIELDS_WRITE_ONE(w, "X-SSL-Protocol", bytes_str(client->version));
	FIELDS_WRITE_ONE(w, "X-SSL-Cipher", bytes_str(client->cipher));
	FIELDS_WRITE_NUMBER(w, "X-SSL-Cipher-Usekeysize", (uint64_t)client->cipher_bits);
	FIELDS_WRITE_NUMBER(w, "X-SSL-Cipher-Algkeysize", (uint64_t)client->alg_bits);
	if (client->session_id_len > 0)
		FIELDS_WRITE_ONE(w, "X-SSL-Session-Id",
		    bytes_str(hex_write(id, client->session_id, client->session_id_len)));
	FIELDS_WRITE_ONE(w, "X-SSL-Session-Resumed",
	    bytes_str(client->resumed == CLIENT_FULL ? "Initial" : "Resumed"));
	if (client->sni != NULL)
		FIELDS_WRITE_ONE(w, "X-SSL-TLS-SNI", bytes_str(client->sni));
	FIELDS_WRITE_ONE(
	    w, "X-SSL-Client-Verify", bytes_str(client->verify != NULL ? client->verify : "NONE"));
	if (client->cert != NULL)
		write_certificate(w, client->cert);
}

static void write_certificate(struct writer *w, const struct clientcert *cert)
{
	FIELDS_WRITE_ONE(w, "X-SSL-Client-S-DN", bytes_str(cert->subject));
	FIELDS_WRITE_ONE(w, "X-SSL-Client-I-DN", bytes_str(cert->issuer));
	FIELDS_WRITE_ONE(w, "X-SSL-Client-M-Serial", bytes_str(cert->serial));
	FIELDS_WRITE_ONE(w, "X-SSL-Client-V-Start", bytes_str(cert->not_before));
	FIELDS_WRITE_ONE(w, "X-SSL-Client-V-End", bytes_str(cert->not_after));
	FIELDS_WRITE_ONE(w, "X-SSL-Client-Cert", bytes_str(cert->pem_urlencoded));
}
