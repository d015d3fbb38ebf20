/*
 * commands_connection.c: the verbs of a connection: who it is, what it wants to know of the server.
 */
#include <stdio.h>

#include "cachesvc/commands_private.h"
#include "cachesvc/info.h"

#include "base/poison.h"

/* ---- who it is */

/* The one user is "default". Without a secret it is let in with any, as Redis does it. */
static bool authenticate(struct run *r, struct bytes user, struct bytes given)
{
	const struct commands *c = r->commands;
	/* Compared in any case, so that a wrong user takes as long as a wrong secret. */
	bool good = c->secret_len == 0 ||
		    bytes_equal_consttime(given, bytes_of(c->secret, c->secret_len));

	if (good && bytes_equal_str(user, "default")) {
		r->caller->authed = true;
		return true;
	}
	r->commands->auth_failures++;
	r->caller->failures++;
	r->close = r->caller->failures >= COMMANDS_AUTH_FAILURES;
	run_error(r, "WRONGPASS invalid username-password pair or user is disabled.");
	return false;
}

void run_auth(struct run *r)
{
	struct bytes given = run_arg(r, r->cmd->argc - 1);

	if (r->cmd->argc > 3)
		run_error(r, "ERR syntax error");
	else if (r->cmd->argc == 2 && r->commands->secret_len == 0)
		run_error(r, "ERR AUTH <password> called without any password configured "
			     "for the default user. Are you sure your configuration is correct?");
	else if (authenticate(r, r->cmd->argc == 3 ? run_arg(r, 1) : bytes_str("default"), given))
		resp_write_simple(&r->w, "OK");
}

/* Names are taken and forgotten: client libraries insist on giving one. */
static bool name_is_good(struct run *r, struct bytes name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] < '!' || name.at[i] > '~') {
			run_error(r, "ERR Client names cannot contain spaces, newlines or special "
				     "characters.");
			return false;
		}
	return true;
}

static void hello_answer(struct run *r)
{
	resp_write_array(&r->w, 14);
	resp_write_bulk_str(&r->w, "server");
	resp_write_bulk_str(&r->w, "sslgw-cachesvc");
	resp_write_bulk_str(&r->w, "version");
	resp_write_bulk_str(&r->w, INFO_REDIS_VERSION);
	resp_write_bulk_str(&r->w, "proto");
	resp_write_integer(&r->w, 2);
	resp_write_bulk_str(&r->w, "id");
	resp_write_integer(&r->w, (int64_t)r->caller->id);
	resp_write_bulk_str(&r->w, "mode");
	resp_write_bulk_str(&r->w, "standalone");
	resp_write_bulk_str(&r->w, "role");
	resp_write_bulk_str(&r->w, "master");
	resp_write_bulk_str(&r->w, "modules");
	resp_write_array(&r->w, 0);
}

static void hello_wrong_option(struct run *r, struct bytes option)
{
	writer_str(&r->w, "-ERR Syntax error in HELLO option ");
	run_write_quoted(&r->w, option, COMMANDS_QUOTE_MAX);
	writer_str(&r->w, "\r\n");
}

/* RESP2 only: what asks for more is told so, and goes on with what it has. */
void run_hello(struct run *r)
{
	struct bytes user = { NULL, 0 }, secret = user;
	uint32_t argc = r->cmd->argc;
	int64_t version = 2;

	if (argc > 1 && !run_integer(run_arg(r, 1), &version)) {
		run_error(r, "ERR Protocol version is not an integer or out of range");
		return;
	}
	if (version != 2) {
		run_error(r, "NOPROTO unsupported protocol version");
		return;
	}
	for (uint32_t i = 2; i < argc; i++) {
		if (run_arg_is(r, i, "AUTH") && argc - i > 2) {
			user = run_arg(r, i + 1);
			secret = run_arg(r, i + 2);
			i += 2;
		} else if (run_arg_is(r, i, "SETNAME") && argc - i > 1) {
			if (!name_is_good(r, run_arg(r, ++i)))
				return;
		} else {
			hello_wrong_option(r, run_arg(r, i));
			return;
		}
	}
	if (user.at != NULL && !authenticate(r, user, secret))
		return;
	if (commands_is_stranger(r->commands, r->caller))
		run_error(r,
		    "NOAUTH HELLO must be called with the client already authenticated, otherwise "
		    "the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the "
		    "client and select the RESP protocol version at the same time");
	else
		hello_answer(r);
}

static void client_setname(struct run *r)
{
	if (name_is_good(r, run_arg(r, 2)))
		resp_write_simple(&r->w, "OK");
}

static void client_setinfo(struct run *r)
{
	resp_write_simple(&r->w, "OK");
}

static void client_getname(struct run *r)
{
	resp_write_nil(&r->w);
}

static void client_id(struct run *r)
{
	resp_write_integer(&r->w, (int64_t)r->caller->id);
}

static void wrong_subcommand(struct run *r, const char *help)
{
	writer_str(&r->w, "-ERR unknown subcommand ");
	run_write_quoted(&r->w, run_arg(r, 1), COMMANDS_QUOTE_MAX);
	writer_str(&r->w, help);
}

void run_client(struct run *r)
{
	static const struct {
		const char *name, *full;
		uint32_t words;
		void (*run)(struct run *);
	} subcommands[] = {
		{ "SETNAME", "client|setname", 3, client_setname },
		{ "SETINFO", "client|setinfo", 4, client_setinfo },
		{ "GETNAME", "client|getname", 2, client_getname },
		{ "ID", "client|id", 2, client_id },
	};
	char text[128];

	for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
		if (!run_arg_is(r, 1, subcommands[i].name))
			continue;
		if (r->cmd->argc == subcommands[i].words) {
			subcommands[i].run(r);
			return;
		}
		snprintf(text, sizeof(text), "ERR wrong number of arguments for '%s' command",
		    subcommands[i].full);
		run_error(r, text);
		return;
	}
	wrong_subcommand(r, ". Try CLIENT HELP.\r\n");
}

/* ---- the server */

/* Describes no command: clients that ask take the common ones for known. */
void run_command(struct run *r)
{
	if (r->cmd->argc == 1 || run_arg_is(r, 1, "DOCS") || run_arg_is(r, 1, "LIST")) {
		resp_write_array(&r->w, 0);
	} else if (run_arg_is(r, 1, "COUNT") && r->cmd->argc == 2) {
		resp_write_integer(&r->w, commands_count());
	} else if (run_arg_is(r, 1, "INFO")) {
		resp_write_array(&r->w, r->cmd->argc - 2);
		for (uint32_t i = 2; i < r->cmd->argc; i++)
			writer_str(&r->w, "*-1\r\n");
	} else {
		wrong_subcommand(r, ". Try COMMAND HELP.\r\n");
	}
}

void run_ping(struct run *r)
{
	if (r->cmd->argc == 2)
		run_value(r, run_arg(r, 1));
	else
		resp_write_simple(&r->w, "PONG");
}

void run_echo(struct run *r)
{
	run_value(r, run_arg(r, 1));
}

void run_quit(struct run *r)
{
	resp_write_simple(&r->w, "OK");
	r->close = true;
}

void run_select(struct run *r)
{
	int64_t db;

	if (!run_integer(run_arg(r, 1), &db) || db < INT32_MIN || db > INT32_MAX)
		run_error(r, "ERR value is not an integer or out of range");
	else if (db != 0)
		run_error(r, "ERR DB index is out of range");
	else
		resp_write_simple(&r->w, "OK");
}

void run_info(struct run *r)
{
	struct info info = {
		.commands = r->commands,
		.now_ms = r->now_ms,
		.sections = r->cmd->argv + 1,
		.sections_n = r->cmd->argc - 1,
	};
	uint8_t *text = r->w.at + RESP_NUMBER_MAX;
	size_t len = info_write(&info, text, COMMANDS_REPLY_MAX - RESP_NUMBER_MAX);

	r->caller->knows_run = true;
	/* Its head is written in front of it: the text lies in the same buffer, behind the head. */
	run_value(r, bytes_of(text, len));
}
