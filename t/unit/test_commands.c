/*
 * test_commands.c: the table of verbs, each with its answer to the byte, from requests in both forms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cachesvc/commands.h"
#include "wire/resp.h"

#define NOW UINT64_C(5000000)

struct bed {
	struct store *store;
	struct commands commands;
	struct commands_reply reply;
	struct commands_caller caller;
	uint64_t now;
	char out[8192];
	uint8_t request[1024];
	char line[256];
};

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	bed->now = NOW;
	bed->store = store_new(8u << 20, NOW);
	assert_non_null(bed->store);
	commands_init(&bed->commands, bed->store, bytes_of(NULL, 0), NOW);
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	store_free(bed->store);
	free(bed);
	return 0;
}

/* The answer's bytes as text; "" for none, "close" behind it where it closes. */
static const char *answer(struct bed *bed, struct bytes request)
{
	size_t len = 0, used;

	assert_int_equal(commands_next(&bed->commands, request, &used), PARSE_OK);
	assert_int_equal(used, request.len);
	commands_run(&bed->commands, &bed->caller, bed->now, &bed->reply);
	for (int i = 0; i < bed->reply.n; i++) {
		assert_true(len + bed->reply.iov[i].iov_len < sizeof(bed->out) - 8);
		memcpy(bed->out + len, bed->reply.iov[i].iov_base, bed->reply.iov[i].iov_len);
		len += bed->reply.iov[i].iov_len;
	}
	strcpy(bed->out + len, bed->reply.close ? "close" : "");
	return bed->out;
}

/* Words by blanks, sent in the inline form and in the array form: both get the same answer. */
static void expect(struct bed *bed, const char *words, const char *want)
{
	struct resp_limits limits = resp_limits_default();
	struct writer w = writer_of(bed->request, sizeof(bed->request));
	struct resp_command cmd;
	enum resp_fault fault;
	size_t used;

	snprintf(bed->line, sizeof(bed->line), "%s\r\n", words);
	assert_int_equal(
	    resp_command(bytes_str(bed->line), &limits, &cmd, &used, &fault), PARSE_OK);
	resp_write_array(&w, cmd.argc);
	for (uint32_t i = 0; i < cmd.argc; i++)
		resp_write_bulk(&w, cmd.argv[i]);
	assert_true(w.ok);
	assert_string_equal(answer(bed, bytes_of(bed->request, writer_len(&w))), want);
}

static void entries_come_and_go(void **state)
{
	struct bed *bed = *state;

	expect(bed, "GET k", "$-1\r\n");
	expect(bed, "SET k value", "+OK\r\n");
	expect(bed, "get k", "$5\r\nvalue\r\n");
	expect(bed, "EXISTS k k none", ":2\r\n");
	expect(bed, "DBSIZE", ":1\r\n");
	expect(bed, "SET k other NX", "$-1\r\n");
	expect(bed, "GET k", "$5\r\nvalue\r\n");
	expect(bed, "SET k other", "+OK\r\n");
	expect(bed, "GETDEL k", "$5\r\nother\r\n");
	expect(bed, "GETDEL k", "$-1\r\n");
	expect(bed, "SET new 1 NX", "+OK\r\n");
	expect(bed, "SET k ''", "+OK\r\n");
	expect(bed, "GET k", "$0\r\n\r\n");
	expect(bed, "DEL k new none k", ":2\r\n");
	expect(bed, "DBSIZE", ":0\r\n");
	assert_string_equal(
	    answer(bed, bytes_of("*3\r\n$3\r\nSET\r\n$2\r\n\0\n\r\n$3\r\na\0b\r\n", 30)),
	    "+OK\r\n");
	assert_int_equal(bed->reply.n, 1);
	answer(bed, bytes_of("*2\r\n$3\r\nGET\r\n$2\r\n\0\n\r\n", 21));
	assert_memory_equal(bed->out, "$3\r\na\0b\r\n", 9);
}

static void times_to_live_are_kept(void **state)
{
	struct bed *bed = *state;

	expect(bed, "SET k v EX 10", "+OK\r\n");
	expect(bed, "TTL k", ":10\r\n");
	bed->now += 4400;
	expect(bed, "TTL k", ":6\r\n");
	expect(bed, "PTTL k", ":5600\r\n");
	bed->now += 5599;
	expect(bed, "GET k", "$1\r\nv\r\n");
	bed->now += 1;
	expect(bed, "GET k", "$-1\r\n");
	expect(bed, "TTL k", ":-2\r\n");
	expect(bed, "PTTL k", ":-2\r\n");
	expect(bed, "SET k v px 1500 nx", "+OK\r\n");
	expect(bed, "PTTL k", ":1500\r\n");
	expect(bed, "SETEX k 20 w", "+OK\r\n");
	expect(bed, "TTL k", ":20\r\n");
	expect(bed, "SET k v", "+OK\r\n");
	expect(bed, "TTL k", ":-1\r\n");
	expect(bed, "PEXPIRE k 300", ":1\r\n");
	expect(bed, "PTTL k", ":300\r\n");
	expect(bed, "EXPIRE k 3", ":1\r\n");
	expect(bed, "PTTL k", ":3000\r\n");
	expect(bed, "EXPIRE none 3", ":0\r\n");
	expect(bed, "PEXPIRE k -1", ":1\r\n");
	expect(bed, "EXISTS k", ":0\r\n");
}

static void wrong_words_get_redis_errors(void **state)
{
	struct bed *bed = *state;

	expect(bed, "SET k", "-ERR wrong number of arguments for 'set' command\r\n");
	expect(bed, "GET", "-ERR wrong number of arguments for 'get' command\r\n");
	expect(bed, "GET a b", "-ERR wrong number of arguments for 'get' command\r\n");
	expect(bed, "SET k v EX", "-ERR syntax error\r\n");
	expect(bed, "SET k v EX 1 PX 1", "-ERR syntax error\r\n");
	expect(bed, "SET k v XX", "-ERR syntax error\r\n");
	expect(bed, "SET k v EX 0", "-ERR invalid expire time in 'set' command\r\n");
	expect(bed, "SET k v EX -5", "-ERR invalid expire time in 'set' command\r\n");
	expect(bed, "SET k v EX ten", "-ERR value is not an integer or out of range\r\n");
	expect(bed, "SET k v EX 1.5", "-ERR value is not an integer or out of range\r\n");
	expect(bed, "SET k v EX 9223372036854775808",
	    "-ERR value is not an integer or out of range\r\n");
	expect(
	    bed, "SET k v EX 999999999999999999", "-ERR invalid expire time in 'set' command\r\n");
	expect(bed, "SETEX k 0 v", "-ERR invalid expire time in 'setex' command\r\n");
	expect(bed, "PEXPIRE k x", "-ERR value is not an integer or out of range\r\n");
	expect(bed, "DBSIZE", ":0\r\n");
	expect(bed, "FOO bar baz",
	    "-ERR unknown command 'FOO', with args beginning with: 'bar' 'baz' \r\n");
	expect(bed, "EVAL x", "-ERR unknown command 'EVAL', with args beginning with: 'x' \r\n");
	expect(bed, "SET k v EX ten XX", "-ERR syntax error\r\n");
	expect(bed, "SET k v EX -9223372036854775808",
	    "-ERR invalid expire time in 'set' command\r\n");
	expect(bed, "SET k v EX -9223372036854775809",
	    "-ERR value is not an integer or out of range\r\n");
	expect(
	    bed, "SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n");
	expect(bed, "SET k v EX +5", "-ERR value is not an integer or out of range\r\n");
	expect(bed, "SET k v EX 05", "-ERR value is not an integer or out of range\r\n");
	expect(bed, "SET k v EX -0", "-ERR value is not an integer or out of range\r\n");
	expect(bed, "SET k v EX ''", "-ERR value is not an integer or out of range\r\n");
	expect(bed, "PEXPIRE k 9223372036854775807",
	    "-ERR invalid expire time in 'pexpire' command\r\n");
	expect(bed, "CONFIG GET save",
	    "-ERR unknown command 'CONFIG', with args beginning with: 'GET' 'save' \r\n");
	/* What does not print is not sent back. */
	assert_string_equal(answer(bed, bytes_str("*1\r\n$5\r\na\r\n\x1b'\r\n")),
	    "-ERR unknown command 'a\?\?\?'', with args beginning with: \r\n");
}

static void the_rest_of_the_table(void **state)
{
	struct bed *bed = *state;

	expect(bed, "PING", "+PONG\r\n");
	expect(bed, "PING hello", "$5\r\nhello\r\n");
	expect(bed, "ECHO hello", "$5\r\nhello\r\n");
	expect(bed, "SELECT 0", "+OK\r\n");
	expect(bed, "SELECT 1", "-ERR DB index is out of range\r\n");
	expect(bed, "SELECT x", "-ERR value is not an integer or out of range\r\n");
	expect(bed, "CLIENT SETNAME me", "+OK\r\n");
	expect(bed, "CLIENT SETINFO LIB-NAME redis-py", "+OK\r\n");
	expect(bed, "CLIENT GETNAME", "$-1\r\n");
	bed->caller.id = 7;
	expect(bed, "CLIENT ID", ":7\r\n");
	expect(bed, "CLIENT KILL x", "-ERR unknown subcommand 'KILL'. Try CLIENT HELP.\r\n");
	expect(bed, "CLIENT SETNAME",
	    "-ERR wrong number of arguments for 'client|setname' command\r\n");
	expect(bed, "CLIENT SETNAME 'a b'",
	    "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
	expect(bed, "COMMAND", "*0\r\n");
	expect(bed, "COMMAND DOCS", "*0\r\n");
	expect(bed, "COMMAND COUNT", ":21\r\n");
	expect(bed, "COMMAND INFO get nonsense", "*2\r\n*-1\r\n*-1\r\n");
	expect(bed, "COMMAND GETKEYS", "-ERR unknown subcommand 'GETKEYS'. Try COMMAND HELP.\r\n");
	expect(bed, "HELLO x", "-ERR Protocol version is not an integer or out of range\r\n");
	expect(bed, "HELLO 2 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n");
	expect(bed, "HELLO 2 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'\r\n");
	expect(bed, "HELLO 1", "-NOPROTO unsupported protocol version\r\n");
	expect(bed, "HELLO 3", "-NOPROTO unsupported protocol version\r\n");
	assert_non_null(strstr(answer(bed, bytes_str("HELLO 2\r\n")), "$5\r\nproto\r\n:2\r\n"));
	expect(bed, "AUTH x",
	    "-ERR AUTH <password> called without any password configured for the "
	    "default user. Are you sure your configuration is correct?\r\n");
	expect(bed, "AUTH default x", "+OK\r\n");
	expect(bed, "AUTH other x",
	    "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect(bed, "AUTH a b c", "-ERR syntax error\r\n");
	expect(bed, "QUIT", "+OK\r\nclose");
	assert_string_equal(answer(bed, bytes_str("*0\r\n")), "");
	assert_string_equal(answer(bed, bytes_str("\r\n")), "");
}

static void nothing_runs_before_auth(void **state)
{
	static const char *const verbs[] = { "GET k", "SET k v", "PING", "INFO", "DBSIZE", "FOO",
		"CLIENT SETNAME x", "COMMAND", "DEL k", "SELECT 0", "ECHO x", "GET" };
	struct bed *bed = *state;

	commands_init(&bed->commands, bed->store, bytes_str("0123456789abcdef"), NOW);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		expect(bed, verbs[i], "-NOAUTH Authentication required.\r\n");
	assert_int_equal(bed->commands.refused, 12);
	expect(bed, "AUTH 0123456789abcdeF",
	    "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect(bed, "AUTH 0123456789abcde",
	    "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	/* The third wrong one is the last of this connection. */
	expect(bed, "AUTH ''",
	    "-WRONGPASS invalid username-password pair or user is disabled.\r\nclose");
	bed->caller.failures = 0;
	expect(bed, "AUTH root 0123456789abcdef",
	    "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect(bed, "HELLO 2 AUTH default 0123456789abcdee",
	    "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	assert_int_equal(bed->commands.auth_failures, 5);
	assert_non_null(strstr(answer(bed, bytes_str("HELLO 2\r\n")), "-NOAUTH HELLO must be"));
	assert_false(bed->caller.authed);
	expect(bed, "PING", "-NOAUTH Authentication required.\r\n");
	expect(bed, "AUTH default 0123456789abcdef", "+OK\r\n");
	expect(bed, "PING", "+PONG\r\n");
	bed->caller = (struct commands_caller){ 0 };
	expect(bed, "QUIT", "+OK\r\nclose");
	assert_non_null(
	    strstr(answer(bed, bytes_str("HELLO 2 AUTH default 0123456789abcdef SETNAME me\r\n")),
		"$5\r\nproto\r\n:2\r\n"));
	assert_true(bed->caller.authed);
	commands_clear(&bed->commands);
	assert_int_equal(bed->commands.secret[0], 0);
}

static void info_tells_what_an_operator_asks(void **state)
{
	struct bed *bed = *state;
	const char *text;
	size_t len;

	expect(bed, "SET a 1", "+OK\r\n");
	expect(bed, "GET a", "$1\r\n1\r\n");
	expect(bed, "GET b", "$-1\r\n");
	bed->now += 61000;
	text = answer(bed, bytes_str("INFO\r\n"));
	len = strlen(text);
	assert_int_equal(text[0], '$');
	assert_int_equal(
	    strtoul(text + 1, NULL, 10), len - (size_t)(strchr(text, '\n') + 1 - text) - 2);
	assert_non_null(strstr(text, "\r\nkeyspace_hits:1\r\nkeyspace_misses:1\r\n"));
	assert_non_null(strstr(text, "\r\nuptime_in_seconds:61\r\n"));
	assert_non_null(strstr(text, "\r\nmaxmemory:8388608\r\n"));
	assert_non_null(strstr(text, "\r\ndb0:keys=1,in_use=1\r\n"));
	text = answer(bed, bytes_str("INFO memory\r\n"));
	assert_non_null(strstr(text, "# Memory\r\n"));
	assert_null(strstr(text, "# Stats"));
	text = answer(bed, bytes_str("INFO stats server\r\n"));
	assert_non_null(strstr(text, "# Stats\r\n"));
	assert_non_null(strstr(text, "redis_version:"));
	assert_null(strstr(text, "# Memory"));
	expect(bed, "INFO nonsense", "$0\r\n\r\n");
}

static void bad_bytes_get_redis_errors(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "*-1\r\n", "-ERR Protocol error: invalid multibulk length\r\n" },
		{ "*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n" },
		{ "*1\r\nPING\r\n", "-ERR Protocol error: expected '$', got 'P'\r\n" },
		{ "POST / HTTP/1.1\r\n", "" },
		{ "Host: x\r\n", "" },
		{ "*1\r\n$10\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n" },
		{ "*-9223372036854775808\r\n",
		    "-ERR Protocol error: invalid multibulk length\r\n" },
		{ "*99999999999999999999\r\n",
		    "-ERR Protocol error: invalid multibulk length\r\n" },
		{ "*9999999999999999999999\r\n",
		    "-ERR Protocol error: too big mbulk count string\r\n" },
		{ "*1\r\n$65537\r\n", "-ERR Protocol error: invalid bulk length\r\n" },
		{ "*1\r\n*1\r\n$4\r\nPING\r\n", "-ERR Protocol error: expected '$', got '*'\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t buf[256];
		size_t len = commands_bad(bytes_str(cases[i].in), buf, sizeof(buf));

		assert_true(bytes_equal_str(bytes_of(buf, len), cases[i].out));
	}
}

static void claims_are_made_once_and_stay(void **state)
{
#define STAYS "-ERR a claim is set once, with NX and PX or EX, and stays until its end\r\n"
	struct bed *bed = *state;

	expect(bed, "SET claim:a 1 NX", STAYS);
	expect(bed, "SET claim:a 1 PX 1000", STAYS);
	expect(bed, "SET claim:a 1", STAYS);
	expect(bed, "SETEX claim:a 10 1", STAYS);
	expect(bed, "SET claim:a 1 NX PX 1000", "+OK\r\n");
	expect(bed, "SET claim:a 1 NX PX 1000", "$-1\r\n");
	expect(bed, "SET claim:a 1 PX 1", STAYS);
	expect(bed, "DEL claim:a", STAYS);
	expect(bed, "DEL other claim:a", STAYS);
	expect(bed, "GETDEL claim:a", STAYS);
	expect(bed, "PEXPIRE claim:a 1", STAYS);
	expect(bed, "PEXPIRE claim:a 0", STAYS);
	expect(bed, "EXPIRE claim:a -1", STAYS);
	expect(bed, "GET claim:a", "$1\r\n1\r\n");
	expect(bed, "EXISTS claim:a", ":1\r\n");
	bed->now += 999;
	expect(bed, "PTTL claim:a", ":1\r\n");
	expect(bed, "SET claim:a 1 NX PX 1000", "$-1\r\n");
	bed->now += 1;
	expect(bed, "SET claim:a 1 NX PX 1000", "+OK\r\n");
	/* The names of others only look like it. */
	expect(bed, "SET claim 1", "+OK\r\n");
	expect(bed, "SET CLAIM:a 1", "+OK\r\n");
	expect(bed, "DEL CLAIM:a", ":1\r\n");
#undef STAYS
}

static void full_claims_are_refused(void **state)
{
	struct bed *bed = *state;
	char words[64];
	uint64_t n = 0;

	do {
		snprintf(
		    words, sizeof(words), "SET claim:%llu 1 NX EX 9\r\n", (unsigned long long)n++);
	} while (strcmp(answer(bed, bytes_str(words)), "+OK\r\n") == 0);
	assert_string_equal(
	    bed->out, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
	expect(bed, "SET claim:0 1 NX EX 9", "$-1\r\n");
	expect(bed, "SET k v", "+OK\r\n");
	assert_non_null(strstr(answer(bed, bytes_str("INFO claims\r\n")), "claims_refused:1\r\n"));
}

static void only_an_operator_flushes_and_it_shows(void **state)
{
	struct bed *bed = *state;
	char before[41];

	expect(bed, "SET k v", "+OK\r\n");
	expect(bed, "SET claim:k 1 NX EX 9", "+OK\r\n");
	memcpy(before, bed->commands.run_id, sizeof(before));
	expect(bed, "FLUSHALL",
	    "-NOPERM this user has no permissions to run the 'flushall' command\r\n");
	expect(bed, "DBSIZE", ":2\r\n");
	assert_string_equal(bed->commands.run_id, before);
	bed->caller.may_flush = true;
	expect(bed, "FLUSHALL nonsense", "-ERR syntax error\r\n");
	expect(bed, "FLUSHALL async", "+OK\r\n");
	expect(bed, "DBSIZE", ":0\r\n");
	assert_string_not_equal(bed->commands.run_id, before);
	assert_int_equal(strlen(bed->commands.run_id), 40);
	assert_non_null(strstr(answer(bed, bytes_str("INFO server\r\n")), bed->commands.run_id));
}

static void values_have_a_bound(void **state)
{
	struct bed *bed = *state;
	size_t len = STORE_VALUE_MAX;
	uint8_t *buf = malloc(len + 1024);
	struct writer w = writer_of(buf, len + 1024);
	char key[STORE_KEY_MAX + 2];

	assert_non_null(buf);
	memset(key, 'k', sizeof(key));
	resp_write_array(&w, 3);
	resp_write_bulk_str(&w, "SET");
	resp_write_bulk(&w, bytes_of(key, STORE_KEY_MAX));
	resp_write_bulk_head(&w, len);
	memset(w.at, 'v', len);
	w.at += len;
	writer_str(&w, "\r\n");
	assert_string_equal(answer(bed, bytes_of(buf, writer_len(&w))), "+OK\r\n");
	w = writer_of(buf, len);
	resp_write_array(&w, 3);
	resp_write_bulk_str(&w, "SET");
	resp_write_bulk(&w, bytes_of(key, STORE_KEY_MAX + 1));
	resp_write_bulk_str(&w, "v");
	assert_string_equal(
	    answer(bed, bytes_of(buf, writer_len(&w))), "-ERR key or value too large\r\n");
	free(buf);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(entries_come_and_go),
		T(times_to_live_are_kept),
		T(wrong_words_get_redis_errors),
		T(the_rest_of_the_table),
		T(nothing_runs_before_auth),
		T(info_tells_what_an_operator_asks),
		T(bad_bytes_get_redis_errors),
		T(values_have_a_bound),
		T(claims_are_made_once_and_stay),
		T(full_claims_are_refused),
		T(only_an_operator_flushes_and_it_shows),
	};
#undef T

	return cmocka_run_group_tests_name("commands", tests, NULL, NULL);
}
