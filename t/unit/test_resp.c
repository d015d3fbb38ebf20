/*
 * test_resp.c: the RESP codec, each message whole and byte by byte: every prefix must be MORE (or
 * BAD already, for a message that is BAD), never OK and never read past its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/resp.h"

/* Copies the prefix to a block of just its size, so a sanitizer sees any read past it. */
static enum parse parse_prefix(
    const char *text, size_t len, struct resp_command *cmd, size_t *used, enum resp_fault *fault)
{
	struct resp_limits limits = resp_limits_default();
	uint8_t *copy = malloc(len > 0 ? len : 1);
	enum parse r;

	assert_non_null(copy);
	memcpy(copy, text, len);
	r = resp_command(bytes_of(copy, len), &limits, cmd, used, fault);
	for (uint32_t i = 0; r == PARSE_OK && i < cmd->argc; i++) {
		assert_true(cmd->argv[i].at >= copy);
		assert_true(cmd->argv[i].at + cmd->argv[i].len <= copy + len);
		cmd->argv[i].at = (const uint8_t *)text + (cmd->argv[i].at - copy);
	}
	free(copy);
	return r;
}

static enum parse parse_all(
    const char *text, size_t len, struct resp_command *cmd, size_t *used, enum resp_fault *fault)
{
	enum parse r = parse_prefix(text, len, cmd, used, fault);
	struct resp_command part;
	enum resp_fault part_fault;
	size_t part_used;
	bool was_bad = false;

	for (size_t n = 0; n < len; n++) {
		enum parse p = parse_prefix(text, n, &part, &part_used, &part_fault);

		if (r == PARSE_OK)
			assert_int_equal(p, n < *used ? PARSE_MORE : PARSE_OK);
		else if (r == PARSE_MORE)
			assert_int_equal(p, PARSE_MORE);
		else
			assert_int_not_equal(p, PARSE_OK);
		assert_true(!was_bad || p == PARSE_BAD); /* what was BAD stays BAD */
		was_bad = p == PARSE_BAD;
	}
	return r;
}

static void a_command_is_read_whole_and_byte_by_byte(void **state)
{
	static const struct {
		const char *text;
		uint32_t argc;
		const char *argv[5];
	} good[] = {
		{ "*1\r\n$4\r\nPING\r\n", 1, { "PING" } },
		{ "*2\r\n$3\r\nGET\r\n$0\r\n\r\n", 2, { "GET", "" } },
		{ "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n\r\n\r\n", 3,
		    { "SET", "k", "\r\n\r\n" } },
		{ "*0\r\n", 0, { NULL } },
		{ "\r\n", 0, { NULL } },
		{ "\n", 0, { NULL } },
		{ "PING\r\n", 1, { "PING" } },
		{ "PING\n", 1, { "PING" } },
		{ "  set\tk   v  \r\n", 3, { "set", "k", "v" } },
		{ "set k \"a b\"\r\n", 3, { "set", "k", "a b" } },
		{ "set k 'a \"b' ''\r\n", 4, { "set", "k", "a \"b", "" } },
		{ "GET /\r\n", 2, { "GET", "/" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char twice[256];
		struct resp_command cmd;
		enum resp_fault fault;
		size_t len = strlen(good[i].text), used = 0;

		assert_int_equal(parse_all(good[i].text, len, &cmd, &used, &fault), PARSE_OK);
		assert_int_equal(used, len);
		assert_int_equal(cmd.argc, good[i].argc);
		for (uint32_t a = 0; a < cmd.argc; a++)
			assert_true(bytes_equal_str(cmd.argv[a], good[i].argv[a]));
		/* Pipelined: the first ends where it ends. */
		memcpy(twice, good[i].text, len);
		memcpy(twice + len, good[i].text, len);
		assert_int_equal(parse_all(twice, 2 * len, &cmd, &used, &fault), PARSE_OK);
		assert_int_equal(used, len);
	}
}

static void a_bad_command_is_named_as_redis_names_it(void **state)
{
	static const struct {
		const char *text;
		enum resp_fault fault;
	} wrong[] = {
		{ "*-1\r\n", RESP_FAULT_COUNT },
		{ "*65\r\n", RESP_FAULT_COUNT },
		{ "*99999999999999999999\r\n", RESP_FAULT_COUNT },
		{ "*9223372036854775807\r\n", RESP_FAULT_COUNT },
		{ "*9223372036854775808\r\n", RESP_FAULT_COUNT },
		{ "*18446744073709551617\r\n", RESP_FAULT_COUNT },
		{ "*01\r\n", RESP_FAULT_COUNT },
		{ "*+1\r\n", RESP_FAULT_COUNT },
		{ "* 1\r\n", RESP_FAULT_COUNT },
		{ "*\r\n", RESP_FAULT_COUNT },
		{ "*1\rx", RESP_FAULT_CRLF },
		{ "*1\r\n+PING\r\n", RESP_FAULT_DOLLAR },
		{ "*2\r\n$3\r\nGET\r\n*1\r\n$1\r\nk\r\n", RESP_FAULT_DOLLAR }, /* no nesting */
		{ "*1\r\n$-1\r\n", RESP_FAULT_LENGTH },
		{ "*1\r\n$65537\r\n", RESP_FAULT_LENGTH },
		{ "*1\r\n$4294967297\r\n", RESP_FAULT_LENGTH },
		{ "*1\r\n$18446744073709551615\r\n", RESP_FAULT_LENGTH },
		{ "*1\r\n$0x4\r\nPING\r\n", RESP_FAULT_LENGTH },
		{ "*1\r\n$4\r\nPINGx\r\n", RESP_FAULT_CRLF },
		{ "*1\r\n$4\r\nPING\rx", RESP_FAULT_CRLF },
		{ "*1\r\n$4\r\nPIN\r\n\r\n", RESP_FAULT_CRLF },
		{ "*1111111111111111111111", RESP_FAULT_COUNT_LINE },
		{ "*1\r\n$1111111111111111111111", RESP_FAULT_LENGTH_LINE },
		{ "set k \"a b\r\n", RESP_FAULT_QUOTES },
		{ "set k \"a\"b\r\n", RESP_FAULT_QUOTES },
		{ "set k a\"b\"\r\n", RESP_FAULT_QUOTES },
		{ "set k \"a\\n\"\r\n", RESP_FAULT_QUOTES },
		{ "\x16\x03\x01", RESP_FAULT_CONTROL }, /* a TLS hello */
		{ "get k\x01\r\n", RESP_FAULT_CONTROL },
		{ "get k\rx\n", RESP_FAULT_CONTROL },
		{ "POST / HTTP/1.1\r\n", RESP_FAULT_HTTP },
		{ "post /x\r\n", RESP_FAULT_HTTP },
		{ "GET / HTTP/1.1\r\n", RESP_FAULT_HTTP },
		{ "Host: localhost:6379\r\n", RESP_FAULT_HTTP },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct resp_command cmd;
		enum resp_fault fault;
		size_t used;

		assert_int_equal(
		    parse_all(wrong[i].text, strlen(wrong[i].text), &cmd, &used, &fault),
		    PARSE_BAD);
		if (fault != wrong[i].fault)
			fail_msg("case %zu: %s", i, resp_fault_text(fault));
	}
}

static void limits_hold_to_the_byte(void **state)
{
	struct resp_limits limits = resp_limits_default();
	struct resp_command cmd;
	enum resp_fault fault;
	size_t used, n;
	uint8_t *big = calloc(1, 256 * 1024);

	(void)state;
	assert_non_null(big);
	/* The longest bulk string. */
	n = (size_t)snprintf((char *)big, 64, "*1\r\n$%d\r\n", RESP_BULK_MAX);
	memset(big + n, 'x', RESP_BULK_MAX);
	memcpy(big + n + RESP_BULK_MAX, "\r\n", 2);
	assert_int_equal(
	    resp_command(bytes_of(big, n + RESP_BULK_MAX + 2), &limits, &cmd, &used, &fault),
	    PARSE_OK);
	assert_int_equal(cmd.argv[0].len, RESP_BULK_MAX);
	assert_int_equal(
	    resp_command(bytes_of(big, n + RESP_BULK_MAX + 1), &limits, &cmd, &used, &fault),
	    PARSE_MORE);
	/* Two of them are too much together, and that is known as soon as so many bytes lie there. */
	n = (size_t)snprintf((char *)big, 64, "*2\r\n$%d\r\n", RESP_BULK_MAX);
	memset(big + n, 'x', RESP_BULK_MAX);
	n += RESP_BULK_MAX;
	n += (size_t)snprintf((char *)big + n, 64, "\r\n$%d\r\n", RESP_BULK_MAX);
	memset(big + n, 'x', RESP_BULK_MAX);
	assert_int_equal(
	    resp_command(bytes_of(big, RESP_COMMAND_MAX - 1), &limits, &cmd, &used, &fault),
	    PARSE_MORE);
	assert_int_equal(
	    resp_command(bytes_of(big, RESP_COMMAND_MAX), &limits, &cmd, &used, &fault), PARSE_BAD);
	assert_int_equal(fault, RESP_FAULT_SIZE);
	/* Inline: the line end within the limit, or BAD. */
	memset(big, 'x', RESP_INLINE_MAX);
	assert_int_equal(
	    resp_command(bytes_of(big, RESP_INLINE_MAX - 1), &limits, &cmd, &used, &fault),
	    PARSE_MORE);
	assert_int_equal(
	    resp_command(bytes_of(big, RESP_INLINE_MAX), &limits, &cmd, &used, &fault), PARSE_BAD);
	assert_int_equal(fault, RESP_FAULT_INLINE_SIZE);
	big[RESP_INLINE_MAX - 1] = '\n';
	assert_int_equal(
	    resp_command(bytes_of(big, RESP_INLINE_MAX), &limits, &cmd, &used, &fault), PARSE_OK);
	/* Words: 64, not 65. */
	for (int i = 0; i < 65; i++)
		memcpy(big + 2 * i, "a ", 2);
	big[127] = '\n';
	assert_int_equal(resp_command(bytes_of(big, 128), &limits, &cmd, &used, &fault), PARSE_OK);
	assert_int_equal(cmd.argc, 64);
	big[127] = ' ';
	big[129] = '\n';
	assert_int_equal(resp_command(bytes_of(big, 130), &limits, &cmd, &used, &fault), PARSE_BAD);
	assert_int_equal(fault, RESP_FAULT_COUNT);
	free(big);
}

static void an_error_names_the_byte_in_place_of_the_dollar(void **state)
{
	uint8_t buf[128];
	struct writer w = writer_of(buf, sizeof(buf));
	struct resp_limits limits = resp_limits_default();
	struct resp_command cmd;
	enum resp_fault fault;
	size_t used;

	(void)state;
	assert_int_equal(
	    resp_command(bytes_str("*1\r\n+"), &limits, &cmd, &used, &fault), PARSE_BAD);
	resp_write_fault(&w, fault, cmd.got);
	assert_true(bytes_equal_str(
	    bytes_of(buf, writer_len(&w)), "-ERR Protocol error: expected '$', got '+'\r\n"));
	w = writer_of(buf, sizeof(buf));
	resp_write_fault(&w, RESP_FAULT_HTTP, 0);
	assert_int_equal(writer_len(&w), 0);
	resp_write_fault(&w, RESP_FAULT_COUNT, 0);
	assert_true(bytes_equal_str(
	    bytes_of(buf, writer_len(&w)), "-ERR Protocol error: invalid multibulk length\r\n"));
}

static void a_reply_is_read_whole_and_byte_by_byte(void **state)
{
	static const struct {
		const char *text;
		enum parse r;
		enum resp_type type;
		int64_t integer;
		const char *body;
	} cases[] = {
		{ "+OK\r\n", PARSE_OK, RESP_SIMPLE, 0, "OK" },
		{ "+\r\n", PARSE_OK, RESP_SIMPLE, 0, "" },
		{ "-ERR no\r\n", PARSE_OK, RESP_ERROR, 0, "ERR no" },
		{ ":0\r\n", PARSE_OK, RESP_INTEGER, 0, "" },
		{ ":-2\r\n", PARSE_OK, RESP_INTEGER, -2, "" },
		{ ":9223372036854775807\r\n", PARSE_OK, RESP_INTEGER, INT64_MAX, "" },
		{ ":9223372036854775808\r\n", PARSE_BAD, 0, 0, "" },
		{ ":-\r\n", PARSE_BAD, 0, 0, "" },
		{ ":--1\r\n", PARSE_BAD, 0, 0, "" },
		{ ":\r\n", PARSE_BAD, 0, 0, "" },
		{ "$5\r\nhello\r\n", PARSE_OK, RESP_BULK, 0, "hello" },
		{ "$0\r\n\r\n", PARSE_OK, RESP_BULK, 0, "" },
		{ "$-1\r\n", PARSE_OK, RESP_NIL, 0, "" },
		{ "$-2\r\n", PARSE_BAD, 0, 0, "" },
		{ "$-11\r\n", PARSE_BAD, 0, 0, "" },
		{ "$65537\r\n", PARSE_BAD, 0, 0, "" },
		{ "$5\r\nhelloo\r\n", PARSE_BAD, 0, 0, "" },
		{ "+a\rb\r\n", PARSE_BAD, 0, 0, "" },
		{ "*1\r\n+a\r\n", PARSE_BAD, 0, 0, "" },
		{ "HTTP/1.1 400 Bad Request\r\n", PARSE_BAD, 0, 0, "" },
		{ "\x15\x03", PARSE_BAD, 0, 0, "" },
		{ "$5\r\nhell", PARSE_MORE, 0, 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].text), used = 0, part_used;
		struct resp_reply reply = { 0 }, part;
		enum resp_fault fault;
		enum parse r;

		r = resp_reply(bytes_str(cases[i].text), RESP_BULK_MAX, &reply, &used, &fault);
		if (r != cases[i].r)
			fail_msg("%s", cases[i].text);
		for (size_t n = 0; n < len; n++) {
			uint8_t *copy = malloc(n + 1);
			enum parse p;

			assert_non_null(copy);
			memcpy(copy, cases[i].text, n);
			p = resp_reply(bytes_of(copy, n), RESP_BULK_MAX, &part, &part_used, &fault);
			if (r == PARSE_BAD)
				assert_int_not_equal(p, PARSE_OK);
			else
				assert_int_equal(p, PARSE_MORE);
			free(copy);
		}
		if (r != PARSE_OK)
			continue;
		assert_int_equal(used, len);
		assert_int_equal(reply.type, cases[i].type);
		assert_int_equal(reply.integer, cases[i].integer);
		assert_true(bytes_equal_str(reply.text, cases[i].body));
	}
}

static void what_is_written_is_read_back(void **state)
{
	static const int64_t integers[] = { 0, 1, -1, 10, INT64_MAX, -INT64_MAX };
	uint8_t buf[256];
	struct writer w = writer_of(buf, sizeof(buf));
	struct resp_limits limits = resp_limits_default();
	struct resp_command cmd;
	struct resp_reply reply;
	enum resp_fault fault;
	size_t used;

	(void)state;
	resp_write_array(&w, 3);
	resp_write_bulk_str(&w, "SET");
	resp_write_bulk(&w, bytes_of("\0\r\n", 3));
	resp_write_bulk_int(&w, 18446744073709551615u);
	assert_true(w.ok);
	assert_int_equal(
	    resp_command(bytes_of(buf, writer_len(&w)), &limits, &cmd, &used, &fault), PARSE_OK);
	assert_int_equal(used, writer_len(&w));
	assert_int_equal(cmd.argc, 3);
	assert_true(bytes_equal(cmd.argv[1], bytes_of("\0\r\n", 3)));
	assert_true(bytes_equal_str(cmd.argv[2], "18446744073709551615"));
	for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
		w = writer_of(buf, sizeof(buf));
		resp_write_integer(&w, integers[i]);
		assert_int_equal(
		    resp_reply(bytes_of(buf, writer_len(&w)), 0, &reply, &used, &fault), PARSE_OK);
		assert_int_equal(reply.integer, integers[i]);
	}
	w = writer_of(buf, sizeof(buf));
	resp_write_error(&w, "ERR a\r\n+OK");
	assert_true(bytes_equal_str(bytes_of(buf, writer_len(&w)), "-ERR a  +OK\r\n"));
	w = writer_of(buf, 4);
	resp_write_bulk_str(&w, "long");
	assert_false(w.ok);
	assert_true(writer_len(&w) <= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_is_read_whole_and_byte_by_byte),
		cmocka_unit_test(a_bad_command_is_named_as_redis_names_it),
		cmocka_unit_test(limits_hold_to_the_byte),
		cmocka_unit_test(an_error_names_the_byte_in_place_of_the_dollar),
		cmocka_unit_test(a_reply_is_read_whole_and_byte_by_byte),
		cmocka_unit_test(what_is_written_is_read_back),
	};

	return cmocka_run_group_tests_name("resp", tests, NULL, NULL);
}
