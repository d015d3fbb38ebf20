/*
 * commands.c: the table of verbs and what each does. Arguments are checked by the table (number)
 * and by the verb (kind); nothing is copied but what the store keeps.
 */
#include "cachesvc/commands.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cachesvc/info.h"
#include "wire/resp.h"

#include "base/poison.h"

/* One request in work. */
struct run {
	struct commands *commands;
	const struct verb *verb;
	const struct resp_command *cmd;
	bool *authed;
	uint64_t now_ms;
	struct writer w; /* into the reply's buf */
	struct bytes value; /* follows what w holds, with CRLF behind it */
	bool has_value, close;
};

struct verb {
	const char *name;
	uint8_t min, max; /* words, the verb included */
	bool open; /* also before AUTH */
	void (*run)(struct run *);
};

enum { ANY = RESP_ARGS_MAX, COMMANDS_QUOTE_MAX = 128 };

static struct bytes arg(const struct run *r, uint32_t i)
{
	return r->cmd->argv[i];
}

static void wrong_number(struct run *r)
{
	char text[128];

	snprintf(
	    text, sizeof(text), "ERR wrong number of arguments for '%s' command", r->verb->name);
	resp_write_error(&r->w, text);
}

static void reply_value(struct run *r, struct bytes value)
{
	resp_write_bulk_head(&r->w, value.len);
	r->value = value;
	r->has_value = true;
}

/* Digits, with a minus allowed; what Redis takes for an integer, up to 18 digits. */
static bool integer_of(struct bytes b, int64_t *out)
{
	bool minus = b.len > 0 && b.at[0] == '-';
	struct bytes digits = bytes_sub(b, minus, b.len);
	int64_t v = 0;

	if (digits.len == 0 || digits.len > 18 || (digits.len > 1 && digits.at[0] == '0'))
		return false;
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.at[i] < '0' || digits.at[i] > '9')
			return false;
		v = v * 10 + (digits.at[i] - '0');
	}
	*out = minus ? -v : v;
	return true;
}

/* A time to live in ms, out of a word that counts units of so many ms. False: the error is written. */
static bool ttl_of(struct run *r, struct bytes word, uint64_t unit_ms, uint64_t *ttl_ms)
{
	char text[128];
	int64_t v;

	if (!integer_of(word, &v)) {
		resp_write_error(&r->w, "ERR value is not an integer or out of range");
		return false;
	}
	if (v <= 0 || (uint64_t)v > STORE_TTL_MAX_MS / unit_ms) {
		snprintf(
		    text, sizeof(text), "ERR invalid expire time in '%s' command", r->verb->name);
		resp_write_error(&r->w, text);
		return false;
	}
	*ttl_ms = (uint64_t)v * unit_ms;
	return true;
}

/* ---- entries */

static void run_get(struct run *r)
{
	struct bytes value;

	if (store_get(r->commands->store, arg(r, 1), r->now_ms, &value))
		reply_value(r, value);
	else
		resp_write_nil(&r->w);
}

/* The value is read out before its chunk is free; nothing writes there until the answer has left. */
static void run_getdel(struct run *r)
{
	run_get(r);
	if (r->has_value)
		store_del(r->commands->store, arg(r, 1), r->now_ms);
}

static void put(struct run *r, struct bytes value, uint64_t ttl_ms, bool only_new)
{
	switch (store_set(r->commands->store, arg(r, 1), value, ttl_ms, only_new, r->now_ms)) {
	case STORE_OK:
		resp_write_simple(&r->w, "OK");
		break;
	case STORE_EXISTS:
		resp_write_nil(&r->w);
		break;
	case STORE_TOO_LARGE:
		resp_write_error(&r->w, "ERR key or value too large");
		break;
	}
}

static void run_set(struct run *r)
{
	uint64_t ttl_ms = 0;
	bool only_new = false;

	for (uint32_t i = 3; i < r->cmd->argc; i++) {
		bool ex = bytes_case_equal_str(arg(r, i), "EX");
		bool px = bytes_case_equal_str(arg(r, i), "PX");

		if (bytes_case_equal_str(arg(r, i), "NX")) {
			only_new = true;
		} else if ((ex || px) && ttl_ms == 0 && i + 1 < r->cmd->argc) {
			if (!ttl_of(r, arg(r, ++i), ex ? 1000 : 1, &ttl_ms))
				return;
		} else {
			resp_write_error(&r->w, "ERR syntax error");
			return;
		}
	}
	put(r, arg(r, 2), ttl_ms, only_new);
}

static void run_setex(struct run *r)
{
	uint64_t ttl_ms;

	if (ttl_of(r, arg(r, 2), 1000, &ttl_ms))
		put(r, arg(r, 3), ttl_ms, false);
}

static void run_del(struct run *r)
{
	int64_t n = 0;

	for (uint32_t i = 1; i < r->cmd->argc; i++)
		n += store_del(r->commands->store, arg(r, i), r->now_ms);
	resp_write_integer(&r->w, n);
}

static void run_exists(struct run *r)
{
	int64_t n = 0;

	for (uint32_t i = 1; i < r->cmd->argc; i++)
		n += store_has(r->commands->store, arg(r, i), r->now_ms);
	resp_write_integer(&r->w, n);
}

static void run_pttl(struct run *r)
{
	resp_write_integer(&r->w, store_ttl(r->commands->store, arg(r, 1), r->now_ms));
}

/* Rounded, as Redis does. */
static void run_ttl(struct run *r)
{
	int64_t ms = store_ttl(r->commands->store, arg(r, 1), r->now_ms);

	resp_write_integer(&r->w, ms < 0 ? ms : (ms + 500) / 1000);
}

static void expire(struct run *r, uint64_t unit_ms)
{
	uint64_t ttl_ms;
	int64_t v;

	if (integer_of(arg(r, 2), &v) && v <= 0)
		ttl_ms = 0; /* in the past: gone at once */
	else if (!ttl_of(r, arg(r, 2), unit_ms, &ttl_ms))
		return;
	resp_write_integer(&r->w, store_expire(r->commands->store, arg(r, 1), ttl_ms, r->now_ms));
}

static void run_expire(struct run *r)
{
	expire(r, 1000);
}

static void run_pexpire(struct run *r)
{
	expire(r, 1);
}

static void run_dbsize(struct run *r)
{
	struct store_stats stats;

	store_stats(r->commands->store, &stats);
	resp_write_integer(&r->w, (int64_t)stats.entries);
}

/* ---- the connection */

static void run_auth(struct run *r)
{
	const struct commands *c = r->commands;
	struct bytes given = arg(r, r->cmd->argc - 1);

	if (c->secret_len == 0) {
		resp_write_error(&r->w,
		    "ERR AUTH <password> called without any password configured "
		    "for the default user. Are you sure your configuration is correct?");
		return;
	}
	if ((r->cmd->argc == 2 || bytes_equal_str(arg(r, 1), "default")) &&
	    bytes_equal_consttime(given, bytes_of(c->secret, c->secret_len))) {
		*r->authed = true;
		resp_write_simple(&r->w, "OK");
		return;
	}
	resp_write_error(&r->w, "WRONGPASS invalid username-password pair or user is disabled.");
}

static void run_ping(struct run *r)
{
	if (r->cmd->argc == 2)
		reply_value(r, arg(r, 1));
	else
		resp_write_simple(&r->w, "PONG");
}

static void run_echo(struct run *r)
{
	reply_value(r, arg(r, 1));
}

static void run_quit(struct run *r)
{
	resp_write_simple(&r->w, "OK");
	r->close = true;
}

static void run_select(struct run *r)
{
	int64_t db;

	if (!integer_of(arg(r, 1), &db))
		resp_write_error(&r->w, "ERR value is not an integer or out of range");
	else if (db != 0)
		resp_write_error(&r->w, "ERR DB index is out of range");
	else
		resp_write_simple(&r->w, "OK");
}

/* RESP2 only: what asks for more is told so, and goes on with what it has. */
static void run_hello(struct run *r)
{
	if (r->cmd->argc > 1 && !bytes_equal_str(arg(r, 1), "2")) {
		resp_write_error(&r->w, "NOPROTO unsupported protocol version");
		return;
	}
	if (!*r->authed && r->commands->secret_len > 0) {
		resp_write_error(&r->w, "NOAUTH HELLO must be called with the client already "
					"authenticated: use AUTH first");
		return;
	}
	resp_write_array(&r->w, 8);
	resp_write_bulk_str(&r->w, "server");
	resp_write_bulk_str(&r->w, "sslgw-cachesvc");
	resp_write_bulk_str(&r->w, "version");
	resp_write_bulk_str(&r->w, INFO_REDIS_VERSION);
	resp_write_bulk_str(&r->w, "proto");
	resp_write_integer(&r->w, 2);
	resp_write_bulk_str(&r->w, "role");
	resp_write_bulk_str(&r->w, "master");
}

/* Names are taken and forgotten: client libraries insist on giving one. */
static void run_client(struct run *r)
{
	struct bytes sub = arg(r, 1);

	if (bytes_case_equal_str(sub, "SETNAME") && r->cmd->argc == 3)
		resp_write_simple(&r->w, "OK");
	else if (bytes_case_equal_str(sub, "SETINFO") && r->cmd->argc == 4)
		resp_write_simple(&r->w, "OK");
	else if (bytes_case_equal_str(sub, "GETNAME") && r->cmd->argc == 2)
		resp_write_nil(&r->w);
	else if (bytes_case_equal_str(sub, "ID") && r->cmd->argc == 2)
		resp_write_integer(&r->w, 0);
	else
		resp_write_error(&r->w, "ERR unknown subcommand or wrong number of arguments for "
					"'client'. Try CLIENT HELP.");
}

static void run_info(struct run *r)
{
	struct info info = {
		.commands = r->commands,
		.now_ms = r->now_ms,
		.section = r->cmd->argc > 1 ? arg(r, 1) : bytes_of(NULL, 0),
	};
	uint8_t *text = r->w.at + RESP_NUMBER_MAX;
	size_t len = info_write(&info, text, COMMANDS_REPLY_MAX - RESP_NUMBER_MAX);

	/* Its head is written in front of it: the text lies in the same buffer, behind the head. */
	reply_value(r, bytes_of(text, len));
}

static void run_command(struct run *);

static const struct verb verbs[] = {
	{ "get", 2, 2, false, run_get },
	{ "set", 3, 7, false, run_set },
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
	{ "auth", 2, 3, true, run_auth },
	{ "hello", 1, 2, true, run_hello },
	{ "select", 2, 2, false, run_select },
	{ "client", 2, 4, false, run_client },
	{ "command", 1, ANY, false, run_command },
	{ "info", 1, 2, false, run_info },
	{ "dbsize", 1, 1, false, run_dbsize },
	{ "quit", 1, ANY, true, run_quit },
};

enum { VERBS_N = sizeof(verbs) / sizeof(verbs[0]) };

static void run_command(struct run *r)
{
	if (r->cmd->argc == 2 && bytes_case_equal_str(arg(r, 1), "COUNT"))
		resp_write_integer(&r->w, VERBS_N);
	else
		resp_write_array(&r->w, 0);
}

static const struct verb *verb_of(struct bytes name)
{
	for (size_t i = 0; i < VERBS_N; i++)
		if (bytes_case_equal_str(name, verbs[i].name))
			return &verbs[i];
	return NULL;
}

/* Redis quotes what it does not know; here only what prints. */
static void write_quoted(struct writer *w, struct bytes b)
{
	writer_str(w, "'");
	for (size_t i = 0; i < b.len && i < COMMANDS_QUOTE_MAX; i++)
		writer_u8(w, b.at[i] >= ' ' && b.at[i] < 0x7f ? b.at[i] : (uint8_t)'?');
	writer_str(w, "'");
}

static void unknown_verb(struct run *r)
{
	writer_str(&r->w, "-ERR unknown command ");
	write_quoted(&r->w, arg(r, 0));
	writer_str(&r->w, ", with args beginning with: ");
	for (uint32_t i = 1; i < r->cmd->argc && i < 8; i++) {
		write_quoted(&r->w, arg(r, i));
		writer_str(&r->w, " ");
	}
	writer_str(&r->w, "\r\n");
}

static void run(struct run *r)
{
	r->verb = verb_of(arg(r, 0));
	if (!*r->authed && r->commands->secret_len > 0 && (r->verb == NULL || !r->verb->open)) {
		r->commands->refused++;
		resp_write_error(&r->w, "NOAUTH Authentication required.");
	} else if (r->verb == NULL) {
		unknown_verb(r);
	} else if (r->cmd->argc < r->verb->min || r->cmd->argc > r->verb->max) {
		wrong_number(r);
	} else {
		r->commands->run++;
		r->verb->run(r);
	}
}

void commands_run(struct commands *commands, bool *authed, struct bytes request, uint64_t now_ms,
    struct commands_reply *reply)
{
	static const uint8_t crlf[2] = { '\r', '\n' };
	struct resp_limits limits = resp_limits_default();
	struct resp_command cmd;
	enum resp_fault fault;
	size_t used;
	struct run r = { commands, NULL, &cmd, authed, now_ms,
		writer_of(reply->buf, sizeof(reply->buf)), { NULL, 0 }, false, false };

	reply->n = 0;
	reply->close = false;
	if (resp_command(request, &limits, &cmd, &used, &fault) != PARSE_OK) {
		reply->close = true; /* the codec has let it through: not to be reached */
		return;
	}
	if (cmd.argc == 0)
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

size_t commands_bad(struct bytes input, uint8_t *buf, size_t max)
{
	struct resp_limits limits = resp_limits_default();
	struct resp_command cmd = { 0 };
	struct writer w = writer_of(buf, max);
	enum resp_fault fault;
	size_t used;

	if (resp_command(input, &limits, &cmd, &used, &fault) == PARSE_MORE)
		fault = RESP_FAULT_SIZE; /* what the frame's own bound has ended */
	resp_write_fault(&w, fault, cmd.got);
	return writer_len(&w);
}

void commands_init(
    struct commands *commands, struct store *store, struct bytes secret, uint64_t now_ms)
{
	uint8_t random[20];

	assert(secret.len <= sizeof(commands->secret));
	memset(commands, 0, sizeof(*commands));
	commands->store = store;
	commands->started_ms = now_ms;
	if (secret.len > 0)
		memcpy(commands->secret, secret.at, secret.len);
	commands->secret_len = secret.len;
	arc4random_buf(random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(commands->run_id + 2 * i, 3, "%02x", random[i]);
}

void commands_clear(struct commands *commands)
{
	explicit_bzero(commands->secret, sizeof(commands->secret));
	commands->secret_len = 0;
}
