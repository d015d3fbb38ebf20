/*
 * commands.c: the table of verbs, and what is asked before one runs: may this caller, is it in the
 * table, is the number of words right. The verbs are in commands_entries.c and commands_connection.c.
 */
#include "base/hex.h"
#include "cachesvc/commands.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cachesvc/commands_private.h"

#include "base/poison.h"

enum { ANY = RESP_ARGS_MAX };

static const struct verb verbs[] = {
	{ "get", 2, 2, false, run_get },
	{ "set", 3, ANY, false, run_set },
	{ "setex", 4, 4, false, run_setex },
	{ "getdel", 2, 2, false, run_getdel },
	{ "del", 2, ANY, false, run_del },
	{ "exists", 2, ANY, false, run_exists },
	{ "ttl", 2, 2, false, run_ttl },
	{ "pttl", 2, 2, false, run_pttl },
	{ "expire", 3, 3, false, run_expire },
	{ "pexpire", 3, 3, false, run_pexpire },
	{ "ping", 1, 2, false, run_ping },
	{ "echo", 2, 2, false, run_echo },
	{ "auth", 2, ANY, true, run_auth },
	{ "hello", 1, ANY, true, run_hello },
	{ "select", 2, 2, false, run_select },
	{ "client", 2, ANY, false, run_client },
	{ "command", 1, ANY, false, run_command },
	{ "info", 1, ANY, false, run_info },
	{ "dbsize", 1, 1, false, run_dbsize },
	{ "flushall", 1, 2, false, run_flushall },
	{ "quit", 1, ANY, true, run_quit },
};

enum { VERBS_N = sizeof(verbs) / sizeof(verbs[0]) };

/* ---- what verbs use */

struct bytes run_arg(const struct run *r, uint32_t i)
{
	return r->cmd->argv[i];
}

bool run_arg_is(const struct run *r, uint32_t i, const char *word)
{
	return bytes_case_equal_str(run_arg(r, i), word);
}

void run_error(struct run *r, const char *text)
{
	resp_write_error(&r->w, text);
}

void run_value(struct run *r, struct bytes value)
{
	resp_write_bulk_head(&r->w, value.len);
	r->value = value;
	r->has_value = true;
}

bool run_integer(struct bytes b, int64_t *out)
{
	bool minus = b.len > 0 && b.at[0] == '-';
	struct bytes digits = bytes_sub(b, minus, b.len);
	uint64_t v = 0, max = (uint64_t)INT64_MAX + minus;

	if (digits.len == 0 || digits.len > 19 ||
	    (digits.at[0] == '0' && (digits.len > 1 || minus)))
		return false;
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.at[i] < '0' || digits.at[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(digits.at[i] - '0'); /* 19 digits fit 64 bits */
	}
	if (v > max)
		return false;
	*out = minus ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

/* Redis sends back what it does not know; here only what prints. */
void run_write_quoted(struct writer *w, struct bytes b, size_t max)
{
	writer_str(w, "'");
	for (size_t i = 0; i < b.len && i < max; i++)
		writer_u8(w, b.at[i] >= ' ' && b.at[i] < 0x7f ? b.at[i] : (uint8_t)'?');
	writer_str(w, "'");
}

int64_t commands_count(void)
{
	return VERBS_N;
}

void commands_new_run_id(struct commands *commands)
{
	uint8_t random[20];

	arc4random_buf(random, sizeof(random));
	hex_write(commands->run_id, random, sizeof(random));
}

/* ---- one request */

static const struct verb *verb_of(struct bytes name)
{
	for (size_t i = 0; i < VERBS_N; i++)
		if (bytes_case_equal_str(name, verbs[i].name))
			return &verbs[i];
	return NULL;
}

/* The arguments' text ends soon after COMMANDS_QUOTE_MAX bytes. */
static void unknown_verb(struct run *r)
{
	const uint8_t *from;

	writer_str(&r->w, "-ERR unknown command ");
	run_write_quoted(&r->w, run_arg(r, 0), COMMANDS_QUOTE_MAX);
	writer_str(&r->w, ", with args beginning with: ");
	from = r->w.at;
	for (uint32_t i = 1; i < r->cmd->argc && r->w.at - from < COMMANDS_QUOTE_MAX; i++) {
		run_write_quoted(
		    &r->w, run_arg(r, i), COMMANDS_QUOTE_MAX - (size_t)(r->w.at - from));
		writer_str(&r->w, " ");
	}
	writer_str(&r->w, "\r\n");
}

static void wrong_number(struct run *r)
{
	char text[128];

	snprintf(
	    text, sizeof(text), "ERR wrong number of arguments for '%s' command", r->verb->name);
	run_error(r, text);
}

bool commands_is_stranger(const struct commands *commands, const struct commands_caller *caller)
{
	return commands->secret_len > 0 && !caller->authed;
}

static void run(struct run *r)
{
	r->verb = verb_of(run_arg(r, 0));
	if (commands_is_stranger(r->commands, r->caller) && (r->verb == NULL || !r->verb->open)) {
		r->commands->refused++;
		run_error(r, "NOAUTH Authentication required.");
	} else if (r->verb == NULL) {
		unknown_verb(r);
	} else if (r->cmd->argc < r->verb->min || r->cmd->argc > r->verb->max) {
		wrong_number(r);
	} else {
		r->commands->run++;
		r->verb->run(r);
	}
}

enum parse commands_next(struct commands *commands, struct bytes in, size_t *len)
{
	struct resp_limits limits = resp_limits_default();
	enum resp_fault fault;

	return resp_command(in, &limits, &commands->read, len, &fault);
}

void commands_run(struct commands *commands, struct commands_caller *caller, uint64_t now_ms,
    struct commands_reply *reply)
{
	static const uint8_t crlf[2] = { '\r', '\n' };
	struct run r = { commands, caller, NULL, &commands->read, now_ms,
		writer_of(reply->buf, sizeof(reply->buf)), { NULL, 0 }, false, false };

	reply->n = 0;
	reply->close = false;
	if (commands->read.argc == 0)
		return;
	run(&r);
	assert(r.w.ok);
	reply->close = r.close;
	reply->iov[reply->n++] = (struct iovec){ reply->buf, writer_len(&r.w) };
	if (r.has_value) {
		reply->iov[reply->n++] = (struct iovec){ (void *)(uintptr_t)r.value.at,
			r.value.len };
		reply->iov[reply->n++] = (struct iovec){ (void *)(uintptr_t)crlf, sizeof(crlf) };
	}
}

/* A message that is good so far was too long for its sender: a stranger, or what the frame allows. */
static enum resp_fault fault_of_length(struct bytes input)
{
	return input.len < RESP_COMMAND_MAX ? RESP_FAULT_STRANGER : RESP_FAULT_SIZE;
}

size_t commands_bad(struct bytes input, uint8_t *buf, size_t max)
{
	struct resp_limits limits = resp_limits_default();
	struct resp_command cmd = { 0 };
	struct writer w = writer_of(buf, max);
	enum resp_fault fault;
	size_t used;

	if (resp_command(input, &limits, &cmd, &used, &fault) != PARSE_BAD)
		fault = fault_of_length(input);
	resp_write_fault(&w, fault, cmd.got);
	return writer_len(&w);
}

void commands_init(
    struct commands *commands, struct store *store, struct bytes secret, uint64_t now_ms)
{
	memset(commands, 0, sizeof(*commands));
	commands->store = store;
	commands->started_ms = now_ms;
	commands_set_secret(commands, secret);
	commands_new_run_id(commands);
}

void commands_set_secret(struct commands *commands, struct bytes secret)
{
	assert(secret.len <= sizeof(commands->secret));
	commands_clear(commands);
	if (secret.len > 0)
		memcpy(commands->secret, secret.at, secret.len);
	commands->secret_len = secret.len;
}

void commands_clear(struct commands *commands)
{
	explicit_bzero(commands->secret, sizeof(commands->secret));
	commands->secret_len = 0;
}
