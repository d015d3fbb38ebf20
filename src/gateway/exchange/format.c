/*
 * format.c: see format.h. Combined has a function of its own, since it is the usual one.
 */
#include "config.h"

#include "gateway/exchange/format.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/write.h"

#include "base/poison.h"

/* A variable's worth: a text (empty: not known) or a number. */
struct value {
	bool is_number;
	struct bytes text;
	uint64_t number;
};

static const char *const names[FORMAT_VARIABLES_N] = {
#define X(id, name, what) [id] = name,
	FORMAT_VARIABLES(X)
#undef X
};

/* ---- parsing */

static int variable_of(struct bytes name)
{
	for (int i = 0; i < FORMAT_VARIABLES_N; i++)
		if (bytes_equal_str(name, names[i]))
			return i;
	return -1;
}

static const char *unknown(struct bytes name, char *why, size_t size)
{
	size_t at;

	snprintf(why, size, "there is no %%{%.*s}: write one of",
	    (int)(name.len > 40 ? 40 : name.len), (const char *)name.at);
	for (int i = 0; i < FORMAT_VARIABLES_N; i++) {
		at = strlen(why);
		snprintf(why + at, size - at, "%s %s", i > 0 ? "," : "", names[i]);
	}
	return why;
}

static bool add(struct format *f, int variable, struct bytes text)
{
	if (variable == -1 && text.len == 0)
		return true;
	if (f->n == FORMAT_PARTS_MAX)
		return false;
	f->parts[f->n++] = (struct format_part){ variable, text };
	return true;
}

static const char *parse_text(struct format *f, const char *text, char *why, size_t size)
{
	static const char many[] = "too many parts: leave some out";
	const char *from = text, *mark;

	while ((mark = strstr(text, "%{")) != NULL) {
		const char *end = strchr(mark, '}');
		bool literal = mark > from && mark[-1] == '%';
		struct bytes name;
		int variable;

		if (!add(f, -1, bytes_of(from, (size_t)(mark - from) - literal)))
			return many;
		from = mark;
		text = mark + 2;
		if (literal)
			continue;
		if (end == NULL)
			return "a %{ without its }: write %{status}";
		name = bytes_of(mark + 2, (size_t)(end - mark) - 2);
		variable = variable_of(name);
		if (variable == -1)
			return unknown(name, why, size);
		if (!add(f, variable, bytes_of(NULL, 0)))
			return many;
		from = text = end + 1;
	}
	return add(f, -1, bytes_str(from)) ? NULL : many;
}

const char *format_parse(struct format *f, const char *text, char *why, size_t size)
{
	f->n = 0;
	f->kind = strcmp(text, "combined") == 0 ? FORMAT_COMBINED
		  : strcmp(text, "json") == 0   ? FORMAT_JSON
						: FORMAT_TEXT;
	if (f->kind != FORMAT_TEXT)
		return NULL;
	if (strlen(text) > FORMAT_TEXT_MAX)
		return "it is too long";
	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' && *c != '\t')
			return "a line has no control characters";
	if (strstr(text, "%{") == NULL)
		return "write combined, json, or a text with variables: \"%{client} %{status}\"";
	return parse_text(f, text, why, size);
}

/* ---- values */

static struct value of_text(struct bytes text)
{
	return (struct value){ .text = text };
}

static struct value of_str(const char *text)
{
	return of_text(bytes_str(text != NULL ? text : ""));
}

static struct value of_number(uint64_t number)
{
	return (struct value){ .is_number = number != FORMAT_NONE, .number = number };
}

static const char *resumed(const struct client *client)
{
	if (client->version == NULL)
		return NULL;
	switch (client->resumed) {
	case CLIENT_BY_TICKET:
		return "ticket";
	case CLIENT_BY_CACHE:
		return "cache";
	default:
		return "no";
	}
}

static struct value value_of_hearsay(enum format_variable variable, const struct hearsay *h)
{
	if (h == NULL)
		return of_str(NULL);
	switch (variable) {
	case FORMAT_PROXY_ALPN:
		return of_str(h->alpn);
	case FORMAT_PROXY_AUTHORITY:
		return of_str(h->authority);
	case FORMAT_PROXY_ID:
		return of_str(h->unique_id);
	case FORMAT_PROXY_TLS_VERSION:
		return of_str(h->tls_version);
	case FORMAT_PROXY_CIPHER:
		return of_str(h->cipher);
	case FORMAT_PROXY_CLIENT_CN:
		return of_str(h->common_name);
	case FORMAT_PROXY_CLIENT_VERIFY:
		return of_str(h->verify);
	default:
		return of_str(NULL);
	}
}

static struct value value_of_client(enum format_variable variable, const struct client *client)
{
	switch (variable) {
	case FORMAT_PEER:
		return of_str(client->peer_text);
	case FORMAT_PEER_PORT:
		return of_number(endpoint_brief_port(&client->peer));
	case FORMAT_PORT:
		return of_number(endpoint_brief_port(&client->local));
	case FORMAT_TLS_VERSION:
		return of_str(client->version);
	case FORMAT_CIPHER:
		return of_str(client->version != NULL ? client->cipher : NULL);
	case FORMAT_RESUMED:
		return of_str(resumed(client));
	case FORMAT_SNI:
		return of_str(client->sni);
	case FORMAT_CLIENT_VERIFY:
		return of_str(client->version != NULL ? client->verify : NULL);
	case FORMAT_CLIENT_SUBJECT:
		return of_str(client->cert != NULL ? client->cert->subject : NULL);
	default:
		return value_of_hearsay(variable, client->hearsay);
	}
}

static struct value value_of(enum format_variable variable, const struct format_facts *f)
{
	switch (variable) {
	case FORMAT_TIME:
		return of_text(f->time);
	case FORMAT_CLIENT:
		return of_text(f->peer);
	case FORMAT_METHOD:
		return of_text(f->method);
	case FORMAT_TARGET:
		return of_text(f->target);
	case FORMAT_PROTOCOL:
		return of_str(f->method.len == 0 ? NULL : f->minor == 0 ? "HTTP/1.0" : "HTTP/1.1");
	case FORMAT_HOST:
		return of_text(f->host);
	case FORMAT_STATUS:
		return of_number(f->status != 0 ? f->status : FORMAT_NONE);
	case FORMAT_BYTES_IN:
		return of_number(f->asked);
	case FORMAT_BYTES_OUT:
		return of_number(f->length);
	case FORMAT_REFERER:
		return of_text(f->referer);
	case FORMAT_USER_AGENT:
		return of_text(f->agent);
	case FORMAT_REQUEST_ID:
		return of_text(f->id);
	case FORMAT_SITE:
		return of_text(f->site);
	case FORMAT_SERVER:
		return of_text(f->server);
	case FORMAT_TRIES:
		return of_number(f->tries);
	case FORMAT_MS:
		return of_number(f->ms);
	case FORMAT_MS_HEAD:
		return of_number(f->ms_head);
	case FORMAT_MS_QUEUED:
		return of_number(f->ms_queued);
	case FORMAT_REASON:
		return of_str(f->reason);
	default:
		return value_of_client(variable, f->client);
	}
}

/* ---- writing */

static void write_line_of_request(struct writer *w, const struct format_facts *f)
{
	if (f->method.len == 0) {
		writer_u8(w, '-');
		return;
	}
	format_write_text(w, f->method, FORMAT_TEXT_MAX);
	writer_u8(w, ' ');
	format_write_text(w, f->target, FORMAT_TEXT_MAX);
	writer_str(w, f->minor == 0 ? " HTTP/1.0" : " HTTP/1.1");
}

static void write_quoted(struct writer *w, struct bytes text)
{
	writer_str(w, " \"");
	if (text.len == 0)
		writer_u8(w, '-');
	else
		format_write_text(w, text, FORMAT_TEXT_MAX);
	writer_u8(w, '"');
}

size_t format_combined(const struct format_facts *f, char *line, size_t size)
{
	struct writer w = writer_of(line, size);

	writer_bytes(&w, f->peer);
	writer_str(&w, " - - [");
	writer_bytes(&w, f->time);
	writer_str(&w, "] \"");
	write_line_of_request(&w, f);
	writer_str(&w, "\" ");
	if (f->status == 0)
		writer_u8(&w, '-');
	else
		write_number(&w, f->status);
	writer_u8(&w, ' ');
	if (f->length == 0)
		writer_u8(&w, '-');
	else
		write_number(&w, f->length);
	write_quoted(&w, f->referer);
	write_quoted(&w, f->agent);
	writer_u8(&w, '\n');
	return w.ok ? writer_len(&w) : 0;
}

static void write_text(
    struct writer *w, const struct format *format, const struct format_facts *f, size_t max)
{
	for (size_t i = 0; i < format->n; i++) {
		const struct format_part *part = &format->parts[i];
		struct value v;

		if (part->variable == -1) {
			writer_bytes(w, part->text);
			continue;
		}
		v = value_of((enum format_variable)part->variable, f);
		if (v.is_number)
			write_number(w, v.number);
		else if (v.text.len > 0)
			format_write_text(w, v.text, max);
		else
			writer_u8(w, '-');
	}
}

/* What is not known is left out. */
static void write_json(struct writer *w, const struct format_facts *f, size_t max)
{
	char iso[FORMAT_TIME_SIZE];
	time_t t = (time_t)f->wall;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(iso, sizeof(iso), "%Y-%m-%dT%H:%M:%SZ", &tm);
	writer_str(w, "{\"time\":");
	format_write_json(w, bytes_str(iso), sizeof(iso));
	for (int i = FORMAT_TIME + 1; i < FORMAT_VARIABLES_N; i++) {
		struct value v = value_of((enum format_variable)i, f);

		if (!v.is_number && v.text.len == 0)
			continue;
		writer_str(w, ",\"");
		writer_str(w, names[i]);
		writer_str(w, "\":");
		if (v.is_number)
			write_number(w, v.number);
		else
			format_write_json(w, v.text, max);
	}
	writer_u8(w, '}');
}

size_t format_write(
    const struct format *format, const struct format_facts *f, char *line, size_t size)
{
	static const size_t limits[] = { FORMAT_TEXT_MAX, FORMAT_TEXT_SHORT };

	if (format->kind == FORMAT_COMBINED)
		return format_combined(f, line, size);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct writer w = writer_of(line, size);

		if (format->kind == FORMAT_JSON)
			write_json(&w, f, limits[i]);
		else
			write_text(&w, format, f, limits[i]);
		writer_u8(&w, '\n');
		if (w.ok)
			return writer_len(&w);
	}
	return 0;
}

/* ---- times: the months' names whatever the locale */

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
	"Oct", "Nov", "Dec" };

size_t format_time(int64_t wall, char buf[static FORMAT_TIME_SIZE])
{
	time_t t = (time_t)wall;
	struct tm tm;
	size_t len;

	/* Local time as Apache has it. */
	localtime_r(&t, &tm);
	len = strftime(buf, FORMAT_TIME_SIZE, "%d/xxx/%Y:%H:%M:%S %z", &tm);
	for (int i = 0; i < 3 && len > 6; i++)
		buf[3 + i] = months[tm.tm_mon][i];
	return len;
}

size_t format_time_syslog(int64_t wall, char buf[static FORMAT_TIME_SIZE])
{
	time_t t = (time_t)wall;
	struct tm tm;
	size_t len;

	localtime_r(&t, &tm);
	len = strftime(buf, FORMAT_TIME_SIZE, "xxx %e %H:%M:%S", &tm);
	for (int i = 0; i < 3 && len > 3; i++)
		buf[i] = months[tm.tm_mon][i];
	return len;
}
