/*
 * test_hostile.c: the corpus of t/hostile through the firewall: whole, cut in two at each byte, and
 * byte by byte. However it comes, the outcome must be what the case expects, to the offset.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hostile.h"
#include "http/chunk.h"
#include "http/head.h"

#include "base/poison.h"

#define CUTS_MAX                                                                                   \
	2048 /* a longer message is not cut at each byte, nor copied to blocks of its size */

static const struct head_limits limits = { 32768, 16384, 100 };

/* How a message fared; all plain values, so two can be compared. */
struct outcome {
	enum parse result;
	struct verdict verdict;
	enum body body;
	uint64_t length;
	bool keep, expect_100;
	char path[120], query[80], host[80], upgrade[32], phrase[32];
	unsigned port;
	size_t data, left;
};

struct run {
	const struct hostile_case *c;
	struct head head, request;
	struct head_scan scan;
	struct chunk chunk;
	bool in_body, read_body;
	uint8_t *copy; /* the bytes that have come, in a block of just that size */
	size_t consumed; /* of the message */
	struct outcome out;
};

static void text_of(char *to, size_t size, struct bytes b)
{
	snprintf(to, size, "%.*s", (int)(b.len < size ? b.len : size - 1), (const char *)b.at);
}

static void head_note(struct run *r)
{
	struct outcome *o = &r->out;
	const struct head *h = &r->head;

	o->body = h->body;
	o->length = h->length;
	o->keep = h->keep_alive;
	o->expect_100 = h->expect_100;
	o->port = h->port;
	text_of(o->path, sizeof o->path, h->path);
	text_of(o->query, sizeof o->query, h->query);
	text_of(o->host, sizeof o->host, h->host);
	text_of(o->upgrade, sizeof o->upgrade, h->upgrade_to);
	text_of(o->phrase, sizeof o->phrase, h->phrase);
	assert_int_equal(h->upgrade, h->upgrade_to.len > 0);
}

static enum parse head_step(struct run *r, struct bytes in)
{
	enum parse result;
	size_t used;

	if (r->c->request)
		result = head_request(in, &limits, &r->scan, &r->head, &used, &r->out.verdict);
	else
		result = head_response(
		    in, &r->request, &limits, &r->scan, &r->head, &used, &r->out.verdict);
	if (result != PARSE_OK)
		return result;
	head_note(r);
	r->consumed = used;
	r->in_body = true;
	chunk_init(&r->chunk, r->c->request ? MESSAGE_REQUEST : MESSAGE_RESPONSE);
	return PARSE_OK;
}

static enum parse body_step(struct run *r, struct bytes in)
{
	struct bytes data, rest = bytes_sub(in, r->consumed, SIZE_MAX);
	enum parse result = PARSE_OK;

	if (r->out.body == BODY_CHUNKED) {
		while (
		    (result = chunk_next(&r->chunk, &rest, &data, &r->out.verdict)) == PARSE_OK &&
		    !r->chunk.done) {
			assert_true(data.len > 0);
			r->out.data += data.len;
		}
		r->consumed = in.len - rest.len;
	} else if (r->out.body == BODY_LENGTH && r->read_body) {
		uint64_t wanted = r->out.length - r->out.data;
		size_t n = rest.len < wanted ? rest.len : (size_t)wanted;

		r->out.data += n;
		r->consumed += n;
		result = n < wanted ? PARSE_MORE : PARSE_OK;
	}
	return result;
}

/* The first `first` bytes, then `step` at a time. */
static void run(const struct hostile_case *c, size_t first, size_t step, struct outcome *out)
{
	struct run *r = calloc(1, sizeof *r);
	size_t come = first;

	assert_non_null(r);
	r->c = c;
	r->read_body = strstr(c->expect, "data=") != NULL || strcmp(c->expect, "more") == 0;
	head_init(&r->request);
	r->request.method = bytes_str(c->to_method[0] != '\0' ? c->to_method : "GET");
	r->request.upgrade_to = bytes_str(c->to_upgrade);
	r->request.upgrade = c->to_upgrade[0] != '\0';
	for (;; come += step) {
		struct bytes in;

		come = come < c->len ? come : c->len;
		in = bytes_of(c->text, come);
		if (c->len <= CUTS_MAX) {
			free(r->copy);
			r->copy = malloc(come > 0 ? come : 1);
			assert_non_null(r->copy);
			memcpy(r->copy, c->text, come);
			in.at = r->copy;
		}
		r->out.result = r->in_body ? PARSE_OK : head_step(r, in);
		if (r->in_body)
			r->out.result = body_step(r, in);
		if (r->out.result != PARSE_MORE || come == c->len)
			break;
	}
	if (r->out.result != PARSE_BAD)
		r->out.verdict = (struct verdict){ 0 };
	r->out.left = c->len - r->consumed;
	*out = r->out;
	free(r->copy);
	free(r);
}

/* One word of an "ok" line; false: it does not hold. */
static bool word_holds(const struct outcome *o, const char *word)
{
	static const char *const bodies[] = { "none", "length", "chunked", "to_close" };
	const char *value = strchr(word, '=');
	const struct {
		const char *name, *text;
	} texts[] = { { "body", bodies[o->body] }, { "path", o->path }, { "query", o->query },
		{ "host", o->host }, { "upgrade", o->upgrade }, { "phrase", o->phrase } };
	const struct {
		const char *name;
		size_t number;
	} numbers[] = { { "data", o->data }, { "left", o->left }, { "port", o->port } };

	if (value == NULL) {
		if (strcmp(word, "keep") == 0 || strcmp(word, "close") == 0)
			return o->keep == (word[0] == 'k');
		if (strcmp(word, "expect_100") == 0 || strcmp(word, "no_expect_100") == 0)
			return o->expect_100 == (word[0] == 'e');
		return false;
	}
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (strncmp(word, texts[i].name, (size_t)(value - word)) == 0)
			return strcmp(value + 1, texts[i].text) == 0;
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (strncmp(word, numbers[i].name, (size_t)(value - word)) == 0)
			return strtoul(value + 1, NULL, 10) == numbers[i].number;
	return false;
}

static void expect_holds(const struct hostile_case *c, const struct outcome *o)
{
	char words[sizeof c->expect], got[300], *next = words, *word;

	if (strncmp(c->expect, "ok", 2) != 0) {
		snprintf(got, sizeof got, "%s", o->result == PARSE_OK ? "ok" : "more");
		if (o->result == PARSE_BAD)
			snprintf(got, sizeof got, "%u %s", o->verdict.status,
			    reason_name(o->verdict.reason));
		if (strcmp(got, c->expect) != 0)
			fail_msg("%s:%d: %s: expected %s, got %s", c->file, c->line, c->name,
			    c->expect, got);
		return;
	}
	if (o->result != PARSE_OK)
		fail_msg("%s:%d: %s: expected ok, got %s %s", c->file, c->line, c->name,
		    o->result == PARSE_MORE ? "more" : "bad", reason_name(o->verdict.reason));
	snprintf(words, sizeof words, "%s", c->expect + 2);
	while ((word = strsep(&next, " ")) != NULL)
		if (*word != '\0' && !word_holds(o, word))
			fail_msg("%s:%d: %s: %s does not hold", c->file, c->line, c->name, word);
}

/* The outcome whole, and the outcome in these pieces. */
static void same(const struct hostile_case *c, const struct outcome *a, size_t first, size_t step)
{
	struct outcome b;

	run(c, first, step, &b);
	if (a->result != b.result || a->verdict.reason != b.verdict.reason ||
	    a->verdict.status != b.verdict.status || a->verdict.offset != b.verdict.offset)
		fail_msg("%s:%d: %s: in pieces %d %s at %zu, whole %d %s at %zu", c->file, c->line,
		    c->name, (int)b.result, reason_name(b.verdict.reason), b.verdict.offset,
		    (int)a->result, reason_name(a->verdict.reason), a->verdict.offset);
	assert_int_equal(a->body, b.body);
	assert_int_equal(a->length, b.length);
	assert_int_equal(a->data, b.data);
	assert_int_equal(a->keep, b.keep);
	assert_string_equal(a->path, b.path);
	assert_string_equal(a->host, b.host);
	if (a->result == PARSE_OK)
		assert_int_equal(a->left, b.left);
}

static void check_case(const struct hostile_case *c)
{
	struct outcome whole;

	run(c, c->len, 1, &whole);
	expect_holds(c, &whole);
	same(c, &whole, 0, 1);
	for (size_t cut = 1; c->len <= CUTS_MAX && cut < c->len; cut++)
		same(c, &whole, cut, c->len);
}

static void test_corpus_fares_as_it_says_in_any_pieces(void **state)
{
	size_t count = hostile_read(TOP_SRCDIR "/t/hostile", check_case);

	(void)state;
	print_message("%zu cases\n", count);
	assert_true(count >= 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus_fares_as_it_says_in_any_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
