/*
 * test_head.c: what the corpus cannot say of heads: that slices point into the input, how a scan
 * resumes and restarts, where a verdict points, and the container.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/guard.h"
#include "http/head.h"
#include "http/parse.h"
#include "http/target.h"

#include "base/poison.h"

static const struct head_limits limits = { HEAD_BYTES_MAX, HEAD_BYTES_MAX, HEAD_FIELDS_MAX };
static const char plain[] =
    "POST http://Host.example:8080/a/./b?c HTTP/1.1\r\nHost:\t host.example:8080 \r\n"
    "Content-Length: 12\r\nX-Empty:\r\nX-Two: a \tb  \r\nX-Two: second\r\n"
    "Connection: close, X-Two, foo\r\nContent_Length: 3\r\n\r\nbody";

struct fixture {
	struct head head;
	struct head_scan scan;
	struct verdict verdict;
	size_t used;
};

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return *state == NULL;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static enum parse request(struct fixture *f, struct bytes in)
{
	return head_request(in, &limits, &f->scan, &f->head, &f->used, &f->verdict);
}

static void test_fields_are_slices_of_the_input(void **state)
{
	struct fixture *f = *state;
	struct bytes in = bytes_str(plain);
	const struct head *h = &f->head;

	assert_int_equal(request(f, in), PARSE_OK);
	assert_int_equal(f->used, sizeof plain - 1 - 4);
	assert_true(bytes_equal_str(h->method, "POST"));
	assert_true(bytes_equal_str(h->target, "http://Host.example:8080/a/./b?c"));
	assert_true(bytes_equal_str(h->authority, "host.example:8080"));
	assert_true(bytes_equal_str(h->host, "host.example"));
	assert_int_equal(h->port, 8080);
	assert_true(bytes_equal_str(h->path, "/a/./b"));
	assert_true(bytes_equal_str(h->query, "c"));
	assert_int_equal(h->target_flags, TARGET_DOTS);
	assert_int_equal(h->body, BODY_LENGTH);
	assert_int_equal(h->length, 12);
	assert_int_equal(h->fields_n, 7);
	for (size_t i = 0; i < h->fields_n; i++) {
		assert_true(h->fields[i].name.at > in.at);
		assert_true(h->fields[i].value.at > h->fields[i].name.at);
		assert_true(h->fields[i].value.at + h->fields[i].value.len <= in.at + f->used);
	}
	assert_int_equal(h->fields[2].value.len, 0);
	assert_true(bytes_equal_str(h->fields[3].value, "a \tb"));
	assert_int_equal(h->ids[0], FIELD_HOST);
	assert_int_equal(h->ids[1], FIELD_CONTENT_LENGTH);
	assert_int_equal(h->ids[2], FIELD_OTHER);
	assert_int_equal(h->ids[5], FIELD_CONNECTION);
	assert_int_equal(h->ids[6], FIELD_ALIKE);
}

static void test_lookup_and_connection_list(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(request(f, bytes_str(plain)), PARSE_OK);
	assert_true(bytes_equal_str(head_field(&f->head, "x-two")->value, "a \tb"));
	assert_null(head_field(&f->head, "x-three"));
	assert_null(head_field(&f->head, "x_two"));
	assert_int_equal(f->head.connection_n, 2);
	assert_true(f->head.connection_close);
	assert_false(f->head.keep_alive);
	assert_true(head_lists(&f->head, bytes_str("x_TWO")));
	assert_true(head_lists(&f->head, bytes_str("Foo")));
	assert_false(head_lists(&f->head, bytes_str("close")));
	assert_false(head_lists(&f->head, bytes_str("x")));
}

/* The bytes move to another place between the pieces, as in a buffer that grows. */
static void test_scan_resumes_where_it_stopped_and_starts_anew(void **state)
{
	struct fixture *f = *state;
	size_t len = sizeof plain - 1 - 4;

	for (size_t come = 1; come <= len; come++) {
		char *copy = malloc(come);

		assert_non_null(copy);
		memcpy(copy, plain, come);
		if (come > 60 && come < len) /* what is scanned is not looked at again */
			copy[3] = '\n';
		assert_int_equal(
		    request(f, bytes_of(copy, come)), come < len ? PARSE_MORE : PARSE_OK);
		if (come < len)
			assert_int_equal(f->scan.at, come);
		free(copy);
	}
	assert_int_equal(f->scan.at, 0);
	assert_int_equal(f->scan.lines, 0);
	assert_int_equal(request(f, bytes_str("GET / HTTP/1.1\r\nHost: a\r\n\r\n")), PARSE_OK);
	assert_int_equal(f->head.fields_n, 1);
	assert_int_equal(f->head.connection_n, 0);
	assert_int_equal(f->head.body, BODY_NONE);
}

static void test_verdict_points_at_the_bad_byte(void **state)
{
	static const struct {
		const char *text;
		size_t offset;
	} cases[] = { { "GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", 26 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nAb: c\x01\r\n\r\n", 30 },
		{ "GET / HTTP/1.1\r\nHost: a\n\r\n", 23 },
		{ "GET /# HTTP/1.1\r\nHost: a\r\n\r\n", 5 },
		{ "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 6 },
		{ "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 22 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 33 } };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct fixture *f = *state;

		memset(&f->scan, 0, sizeof f->scan);
		assert_int_equal(request(f, bytes_str(cases[i].text)), PARSE_BAD);
		if (f->verdict.offset != cases[i].offset)
			fail_msg("case %zu: %zu, not %zu", i, f->verdict.offset, cases[i].offset);
	}
}

static void test_head_of_the_largest_size_passes(void **state)
{
	struct fixture *f = *state;
	static char text[HEAD_BYTES_MAX];
	static const char start[] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";

	memset(text, 'a', sizeof text);
	memcpy(text, start, sizeof start - 1);
	memcpy(text + sizeof text - 4, "\r\n\r\n", 4);
	assert_int_equal(request(f, bytes_of(text, sizeof text)), PARSE_OK);
	assert_int_equal(f->used, sizeof text);
	assert_int_equal(f->head.fields[1].value.len, sizeof text - sizeof start + 1 - 4);
}

static void test_as_many_fields_as_the_struct_holds(void **state)
{
	struct fixture *f = *state;
	static char text[8 * HEAD_FIELDS_MAX + 64];

	for (int more = 0; more < 2; more++) {
		size_t len = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");

		for (size_t i = 1; i < HEAD_FIELDS_MAX + (size_t)more; i++)
			len += (size_t)snprintf(text + len, sizeof text - len, "X: y\r\n");
		len += (size_t)snprintf(text + len, sizeof text - len, "\r\n");
		memset(&f->scan, 0, sizeof f->scan);
		assert_int_equal(request(f, bytes_of(text, len)), more ? PARSE_BAD : PARSE_OK);
		if (!more)
			assert_int_equal(f->head.fields_n, HEAD_FIELDS_MAX);
		else
			assert_int_equal(f->verdict.reason, REASON_FIELDS);
	}
}

static void test_container_is_bounded(void **state)
{
	struct fixture *f = *state;

	memset(&f->head, 0xff, sizeof f->head);
	head_init(&f->head);
	assert_int_equal(f->head.fields_n, 0);
	for (size_t i = 0; i < HEAD_FIELDS_MAX; i++)
		assert_true(head_add(&f->head, bytes_str("TE"), bytes_str("v")));
	assert_false(head_add(&f->head, bytes_str("n"), bytes_str("v")));
	assert_int_equal(f->head.fields_n, HEAD_FIELDS_MAX);
	assert_int_equal(f->head.ids[HEAD_FIELDS_MAX - 1], FIELD_TE);
}

static void test_announced_length_of_an_answer_without_body(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(head_response(bytes_str("HTTP/1.1 304 N\r\nContent-Length: 77\r\n\r\n"),
			     NULL, &limits, &f->scan, &f->head, &f->used, &f->verdict),
	    PARSE_OK);
	assert_int_equal(f->head.body, BODY_NONE);
	assert_true(f->head.has_length);
	assert_int_equal(f->head.length, 77);
	assert_int_equal(f->head.status, 304);
	assert_true(bytes_equal_str(f->head.phrase, "N"));
}

/* Two readings of the same bytes: where they differ, nothing passes. */
static void test_guard_and_parser_must_agree(void **state)
{
	struct fixture *f = *state;
	struct bytes in = bytes_str("GET /abc HTTP/1.1\r\nHost: a\r\n\r\n");
	struct head_scan scan = { 0 }, wrong[5];

	assert_int_equal(guard_head(MESSAGE_REQUEST, in, &limits, &scan, &f->verdict), PARSE_OK);
	head_init(&f->head);
	assert_int_equal(parse_head(MESSAGE_REQUEST, in, &scan, &f->head, &f->verdict), PARSE_OK);
	for (size_t i = 0; i < 5; i++)
		wrong[i] = scan;
	wrong[0].lines++;
	wrong[1].minor = 0;
	wrong[2].target_len--;
	wrong[3].method_len--;
	wrong[4].at -= 2; /* the head would not be complete */
	for (size_t i = 0; i < 5; i++) {
		head_init(&f->head);
		assert_int_equal(
		    parse_head(MESSAGE_REQUEST, in, &wrong[i], &f->head, &f->verdict), PARSE_BAD);
		assert_int_equal(f->verdict.reason, REASON_INTERNAL);
	}
}

static void test_guard_and_parser_must_agree_on_the_status(void **state)
{
	struct fixture *f = *state;
	struct bytes in = bytes_str("HTTP/1.1 204 N\r\n\r\n");
	struct head_scan scan = { 0 };

	assert_int_equal(guard_head(MESSAGE_RESPONSE, in, &limits, &scan, &f->verdict), PARSE_OK);
	head_init(&f->head);
	assert_int_equal(parse_head(MESSAGE_RESPONSE, in, &scan, &f->head, &f->verdict), PARSE_OK);
	scan.status = 200;
	head_init(&f->head);
	assert_int_equal(parse_head(MESSAGE_RESPONSE, in, &scan, &f->head, &f->verdict), PARSE_BAD);
	assert_int_equal(f->verdict.reason, REASON_INTERNAL);
	assert_int_equal(f->verdict.status, 502);
}

static void test_parser_reads_no_byte_behind_the_head(void **state)
{
	struct fixture *f = *state;
	struct bytes in = bytes_str("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n!!!");
	struct head_scan scan = { 0 };

	assert_int_equal(guard_head(MESSAGE_REQUEST, in, &limits, &scan, &f->verdict), PARSE_OK);
	scan.at += 3;
	head_init(&f->head);
	assert_int_equal(parse_head(MESSAGE_REQUEST, in, &scan, &f->head, &f->verdict), PARSE_BAD);
	assert_int_equal(f->verdict.offset, in.len - 3);
}

static void test_status_that_says_a_reason_best(void **state)
{
	static const struct {
		enum reason reason;
		uint16_t status;
	} cases[] = { { REASON_HOST, 400 }, { REASON_METHOD, 405 }, { REASON_BODY_SIZE, 413 },
		{ REASON_TARGET_SIZE, 414 }, { REASON_EXPECT, 417 }, { REASON_MISDIRECTED, 421 },
		{ REASON_HEAD_SIZE, 431 }, { REASON_FIELDS, 431 }, { REASON_METHOD_UNKNOWN, 501 },
		{ REASON_VERSION, 505 } };
	struct verdict verdict;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(verdict_status(cases[i].reason), cases[i].status);
	for (enum reason reason = REASON_REQUEST_LINE; reason <= REASON_EXPECT; reason++) {
		assert_int_equal(verdict_refuse(&verdict, MESSAGE_RESPONSE, reason, 7), PARSE_BAD);
		assert_int_equal(verdict.status, 502);
		assert_int_equal(reason_fault(verdict.reason), FAULT_BACKEND);
		assert_int_equal(verdict.offset, 7);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_fields_are_slices_of_the_input),
		TEST(test_lookup_and_connection_list),
		TEST(test_scan_resumes_where_it_stopped_and_starts_anew),
		TEST(test_verdict_points_at_the_bad_byte),
		TEST(test_head_of_the_largest_size_passes),
		TEST(test_as_many_fields_as_the_struct_holds),
		TEST(test_container_is_bounded),
		TEST(test_announced_length_of_an_answer_without_body),
		TEST(test_guard_and_parser_must_agree),
		TEST(test_guard_and_parser_must_agree_on_the_status),
		TEST(test_parser_reads_no_byte_behind_the_head),
		TEST(test_status_that_says_a_reason_best),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
