/*
 * head.c: the rules over the fields of a head (RFC 9112 sections 3, 6 and 9; RFC 9110 sections 7.2,
 * 7.8, 10.1.1). Where the RFCs let a recipient mend or guess, this refuses instead: what passes here
 * is read alike by every server behind.
 */
#include "http/head.h"

#include <stddef.h>
#include <string.h>

#include "http/guard.h"
#include "http/octet.h"
#include "http/parse.h"
#include "http/target.h"

#include "base/poison.h"

#define LENGTH_MAX ((uint64_t)INT64_MAX)

/* What one pass over the fields has gathered. A slice's at is NULL until its field is seen. */
struct facts {
	enum message message;
	struct bytes in;
	struct head *head;
	struct verdict *verdict;
	struct bytes host, length, coding, expect, upgrade;
	bool keep_alive, asks_upgrade; /* tokens of Connection */
};

static enum parse refuse(struct facts *f, enum reason reason, struct bytes where)
{
	size_t offset = where.at != NULL ? (size_t)(where.at - f->in.at) : 0;

	return verdict_refuse(f->verdict, f->message, reason, offset);
}

/* ---- the pass over the fields */

/* A field that may stand once. */
static enum parse once(struct facts *f, struct bytes *slot, struct bytes value, enum reason reason)
{
	if (slot->at != NULL)
		return refuse(f, reason, value);
	*slot = value;
	return PARSE_OK;
}

static enum parse connection_take(struct facts *f, struct bytes list)
{
	struct head *head = f->head;
	struct bytes token;

	while (field_list_next(&list, &token)) {
		if (bytes_case_equal_str(token, "close"))
			head->connection_close = 1;
		else if (bytes_case_equal_str(token, "keep-alive"))
			f->keep_alive = true;
		else if (bytes_case_equal_str(token, "upgrade"))
			f->asks_upgrade = true;
		else if (head->connection_n < HEAD_CONNECTION_MAX)
			head->connection[head->connection_n++] = token;
		else
			return refuse(f, REASON_FIELDS, token);
	}
	return PARSE_OK;
}

static enum parse field_take(struct facts *f, enum field_id id, struct bytes value)
{
	switch (id) {
	case FIELD_HOST:
		/* It means nothing in a response. */
		return f->message == MESSAGE_REQUEST ? once(f, &f->host, value, REASON_HOST)
						     : PARSE_OK;
	case FIELD_CONTENT_LENGTH:
		return once(f, &f->length, value, REASON_CONTENT_LENGTH);
	case FIELD_TRANSFER_ENCODING:
		return once(f, &f->coding, value, REASON_TRANSFER_ENCODING);
	case FIELD_EXPECT:
		return f->message == MESSAGE_REQUEST ? once(f, &f->expect, value, REASON_EXPECT)
						     : PARSE_OK;
	case FIELD_CONNECTION:
		return connection_take(f, value);
	case FIELD_UPGRADE:
		if (f->upgrade.at == NULL)
			f->upgrade = value;
		return PARSE_OK;
	default:
		return PARSE_OK;
	}
}

static enum parse fields_take(struct facts *f)
{
	struct head *head = f->head;

	for (size_t i = 0; i < head->fields_n; i++) {
		if (field_take(f, (enum field_id)head->ids[i], head->fields[i].value) != PARSE_OK)
			return PARSE_BAD;
	}
	head->keep_alive = !head->connection_close && (head->minor == 1 || f->keep_alive);
	return PARSE_OK;
}

/* ---- where the message ends */

static enum parse length_read(struct facts *f)
{
	struct bytes digits = f->length;
	uint64_t length = 0;

	if (digits.len == 0 || octet_run(digits.at, digits.len, OCTET_DIGIT) != digits.len)
		return refuse(f, REASON_CONTENT_LENGTH, digits);
	for (size_t i = 0; i < digits.len; i++) {
		uint64_t digit = (uint64_t)(digits.at[i] - '0');

		if (length > (LENGTH_MAX - digit) / 10)
			return refuse(f, REASON_CONTENT_LENGTH, digits);
		length = length * 10 + digit;
	}
	f->head->has_length = 1;
	f->head->length = length;
	return PARSE_OK;
}

/*
 * Another coding is one that we do not have (501) if chunked frames it or it is the only one; chunked
 * anywhere but at the end, or twice, makes the body's end unknown (400).
 */
static enum parse coding_refuse(struct facts *f)
{
	struct bytes list = f->coding, token = { NULL, 0 };
	unsigned chunked = 0, n = 0;
	bool last = false, tokens = true;

	while (field_list_next(&list, &token)) {
		n++;
		last = bytes_case_equal_str(token, "chunked");
		chunked += last;
		tokens &= octet_run(token.at, token.len, OCTET_TOKEN) == token.len;
	}
	refuse(f, REASON_TRANSFER_ENCODING, f->coding);
	if (f->message == MESSAGE_REQUEST && tokens && n > 0 &&
	    (chunked == 0 || (chunked == 1 && last && n > 1)))
		f->verdict->status = 501;
	return PARSE_BAD;
}

/* Content-Length and Transfer-Encoding themselves; what they mean for this message is the caller's. */
static enum parse framing_read(struct facts *f)
{
	if (f->coding.at != NULL) {
		if (f->head->minor == 0)
			return refuse(f, REASON_TRANSFER_ENCODING, f->coding);
		if (f->length.at != NULL)
			return refuse(f, REASON_FRAMING, f->coding);
		if (!bytes_case_equal_str(f->coding, "chunked"))
			return coding_refuse(f);
	}
	return f->length.at != NULL ? length_read(f) : PARSE_OK;
}

/* ---- rules of a request */

static enum parse request_host(struct facts *f)
{
	struct head *head = f->head;
	struct authority authority;

	if (f->host.at == NULL) {
		if (head->minor == 1)
			return refuse(f, REASON_HOST, head->target);
		return PARSE_OK;
	}
	if (!target_authority(f->host, &authority))
		return refuse(f, REASON_HOST, f->host);
	head->authority = f->host;
	head->host = authority.host;
	head->port = authority.port;
	return PARSE_OK;
}

static enum parse request_authority(struct facts *f, const struct target *t)
{
	struct head *head = f->head;
	struct authority authority;

	if (!target_authority(t->authority, &authority))
		return refuse(f, REASON_TARGET, head->target);
	if (head->authority.at == NULL) {
		head->authority = t->authority;
		head->host = authority.host;
		head->port = authority.port;
		return PARSE_OK;
	}
	if (!target_authority_equal(t->authority, head->authority, t->default_port))
		return refuse(f, REASON_HOST_MISMATCH, f->host);
	return PARSE_OK;
}

static enum parse request_target(struct facts *f)
{
	struct head *head = f->head;
	bool options = bytes_equal_str(head->method, "OPTIONS");
	struct target t;

	if (!target_split(head->target, &t))
		return refuse(f, REASON_TARGET, head->target);
	if (t.form == TARGET_ASTERISK && !options)
		return refuse(f, REASON_TARGET, head->target);
	if (t.form == TARGET_ABSOLUTE && request_authority(f, &t) != PARSE_OK)
		return PARSE_BAD;
	head->path = t.path;
	head->query = t.query;
	/* OPTIONS http://host and nothing behind it asks about the server (RFC 9112 section 3.2.4). */
	if (options && t.form == TARGET_ABSOLUTE &&
	    t.authority.at + t.authority.len == head->target.at + head->target.len)
		head->path = bytes_str("*");
	head->target_flags = target_oddities(head->path, head->query) & 0xff;
	if ((head->target_flags & TARGET_REFUSED) != 0)
		return refuse(f, REASON_TARGET, head->target);
	return PARSE_OK;
}

static enum parse request_expect(struct facts *f)
{
	if (f->expect.at == NULL)
		return PARSE_OK;
	if (!bytes_case_equal_str(f->expect, "100-continue"))
		return refuse(f, REASON_EXPECT, f->expect);
	/* A 1.0 client cannot read a 100; without a body there is nothing to wait for. */
	f->head->expect_100 = f->head->minor == 1 && f->head->body != BODY_NONE;
	return PARSE_OK;
}

/* The first protocol of the list that is not HTTP/2: h2c is never switched to, HTTP/1.1 goes on. */
static struct bytes upgrade_choose(struct bytes list)
{
	struct bytes token;

	while (field_list_next(&list, &token)) {
		size_t run = octet_run(token.at, token.len, OCTET_TOKEN);

		if (bytes_case_equal_str(token, "h2c") || bytes_case_equal_str(token, "h2"))
			continue;
		if (run == token.len)
			return token;
		if (token.at[run] == '/' && run > 0 && run + 1 < token.len &&
		    octet_run(token.at + run + 1, token.len - run - 1, OCTET_TOKEN) ==
			token.len - run - 1)
			return token;
	}
	return bytes_of(NULL, 0);
}

/* With a body before the switch nobody agrees where the new protocol starts: then it is ignored. */
static void request_upgrade(struct facts *f)
{
	struct head *head = f->head;

	if (head->minor == 0 || !f->asks_upgrade || head->body != BODY_NONE)
		return;
	head->upgrade_to = upgrade_choose(f->upgrade);
	head->upgrade = head->upgrade_to.len > 0;
}

static enum parse request_rules(struct facts *f)
{
	struct head *head = f->head;

	if (fields_take(f) != PARSE_OK || request_host(f) != PARSE_OK ||
	    framing_read(f) != PARSE_OK)
		return PARSE_BAD;
	if (f->coding.at != NULL)
		head->body = BODY_CHUNKED;
	else if (head->length > 0)
		head->body = BODY_LENGTH;
	if (request_target(f) != PARSE_OK || request_expect(f) != PARSE_OK)
		return PARSE_BAD;
	request_upgrade(f);
	return PARSE_OK;
}

/* Refused whatever else they say, and before a parser reads CONNECT's other kind of target. */
static bool method_refused(struct bytes line, size_t len)
{
	struct bytes method = bytes_sub(line, 0, len);

	return bytes_equal_str(method, "CONNECT") || bytes_equal_str(method, "TRACE");
}

enum parse head_request(struct bytes in, const struct head_limits *limits, struct head_scan *scan,
    struct head *head, size_t *used, struct verdict *verdict)
{
	struct facts f = { .message = MESSAGE_REQUEST, .in = in, .head = head, .verdict = verdict };
	enum parse result = guard_head(MESSAGE_REQUEST, in, limits, scan, verdict);

	if (result != PARSE_OK)
		return result;
	head_init(head);
	if (method_refused(bytes_sub(in, scan->first, scan->first_len), scan->method_len))
		return verdict_refuse(verdict, MESSAGE_REQUEST, REASON_METHOD, scan->first);
	if (parse_head(MESSAGE_REQUEST, in, scan, head, verdict) != PARSE_OK ||
	    request_rules(&f) != PARSE_OK)
		return PARSE_BAD;
	*used = scan->at;
	*scan = (struct head_scan){ 0 };
	return PARSE_OK;
}

/* ---- rules of a response */

/* A switch must be the one that was asked for, said in full; any other would open a tunnel. */
static enum parse response_switch(struct facts *f, const struct head *request)
{
	struct head *head = f->head;
	bool fits = request != NULL && request->upgrade && head->minor == 1 && f->asks_upgrade;

	if (!fits || !bytes_case_equal(f->upgrade, request->upgrade_to))
		return refuse(f, REASON_BACKEND_UPGRADE, f->upgrade);
	head->upgrade = 1;
	head->upgrade_to = f->upgrade;
	return PARSE_OK;
}

static enum parse response_rules(struct facts *f, const struct head *request)
{
	struct head *head = f->head;
	bool bare = head->status < 200 || head->status == 204; /* must not announce a body at all */
	bool to_head = request != NULL && bytes_equal_str(request->method, "HEAD");

	if (fields_take(f) != PARSE_OK || framing_read(f) != PARSE_OK)
		return PARSE_BAD;
	if (bare && (f->coding.at != NULL || head->length > 0))
		return refuse(f, REASON_FRAMING, f->coding.at != NULL ? f->coding : f->length);
	if (head->status == 101)
		return response_switch(f, request);
	if (bare || to_head || head->status == 304)
		head->body = BODY_NONE;
	else if (f->coding.at != NULL)
		head->body = BODY_CHUNKED;
	else if (!head->has_length)
		head->body = BODY_TO_CLOSE;
	else if (head->length > 0)
		head->body = BODY_LENGTH;
	if (head->body == BODY_TO_CLOSE)
		head->keep_alive = 0;
	return PARSE_OK;
}

enum parse head_response(struct bytes in, const struct head *request,
    const struct head_limits *limits, struct head_scan *scan, struct head *head, size_t *used,
    struct verdict *verdict)
{
	struct facts f = {
		.message = MESSAGE_RESPONSE, .in = in, .head = head, .verdict = verdict
	};
	enum parse result = guard_head(MESSAGE_RESPONSE, in, limits, scan, verdict);

	if (result != PARSE_OK)
		return result;
	head_init(head);
	if (parse_head(MESSAGE_RESPONSE, in, scan, head, verdict) != PARSE_OK ||
	    response_rules(&f, request) != PARSE_OK)
		return PARSE_BAD;
	*used = scan->at;
	*scan = (struct head_scan){ 0 };
	return PARSE_OK;
}

/* ---- a head as a container */

void head_init(struct head *head)
{
	memset(head, 0, offsetof(struct head, connection));
	head->fields_n = 0;
}

bool head_add(struct head *head, struct bytes name, struct bytes value)
{
	struct field *field;

	if (head->fields_n >= HEAD_FIELDS_MAX)
		return false;
	head->ids[head->fields_n] = (uint8_t)field_id(name);
	field = &head->fields[head->fields_n++];
	field->name = name;
	field->value = value;
	return true;
}

const struct field *head_field(const struct head *head, const char *name)
{
	struct bytes wanted = bytes_str(name);

	for (size_t i = 0; i < head->fields_n; i++)
		if (bytes_case_equal(head->fields[i].name, wanted))
			return &head->fields[i];
	return NULL;
}

bool head_lists(const struct head *head, struct bytes name)
{
	for (size_t i = 0; i < head->connection_n; i++)
		if (field_name_like(head->connection[i], name))
			return true;
	return false;
}
