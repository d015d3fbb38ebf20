/*
 * epoch.c: sslgwctl epoch: the secrets behind session tickets, by the admin socket of a key server, or
 * of the key service that a gateway runs itself. One server is enough to be told: the others hear of it
 * from it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/commands.h"

#include "base/poison.h"

#define PROGRAM "sslgwctl epoch"
#define USUAL_SOCKET RUNDIR "-keysvc/admin.sock"
#define EMBEDDED_SOCKET RUNDIR "/key-admin.sock" /* gateway/master/embedded.c */

enum { EPOCH_UNREACHABLE = 3, WORDS_MAX = 5 };
enum { OPT_JSON = 256, OPT_NOW, OPT_REVOKE_OLD };

static int show(const struct command *, int argc, char **argv);
static int new (const struct command *, int argc, char **argv);
static int accept_clock(const struct command *, int argc, char **argv);

static const struct command commands[] = {
	{ "show", "[--json] [SOCKET]", "the generations, the clock, and what other key servers say",
	    "  --json         the same as JSON\n", show },
	{ "new", "[--now [--revoke-old]] [SOCKET]", "make a new generation of ticket keys",
	    "Without options it rules from the epoch after the next on, and no session ends.\n\n"
	    "  --now          it rules from now on; gateways use it from the next epoch on\n"
	    "  --revoke-old   after a theft: all older ones are void at once, and every session\n"
	    "                 begins anew. Deny the stolen identity first (sslgwctl pki deny)\n",
	    new },
	{ "accept-clock", "[SOCKET]",
	    "tell a key server whose clock has leapt that it is right now", NULL, accept_clock },
};

/* Passes words on and prints the answer. */
static int tell(int n, char *const words[], const char *target)
{
	char why[CLIENT_WHY_MAX] = "";
	struct client_answer answer;
	FILE *to;
	int rc;

	if (client_command(target, n, words, &answer, why, sizeof(why)) != 0) {
		fprintf(stderr, PROGRAM ": %s\n", why);
		return EPOCH_UNREACHABLE;
	}
	rc = answer.code == 200 ? COMMAND_OK : COMMAND_NO;
	to = rc == COMMAND_OK ? stdout : stderr;
	/* Bytes of another program: none of them may steer the terminal. */
	for (const char *at = answer.body; *at != '\0'; at++)
		putc(((unsigned char)*at < 0x20 && *at != '\n') || *at == 0x7f ? '?' : *at, to);
	client_answer_clear(&answer);
	return rc;
}

/* A key server's, or where there is none on this machine, that of its gateway. */
static const char *usual_socket(void)
{
	return access(USUAL_SOCKET, F_OK) != 0 && access(EMBEDDED_SOCKET, F_OK) == 0
		   ? EMBEDDED_SOCKET
		   : USUAL_SOCKET;
}

/* Reads the options that the daemon knows too, and tells it. */
static int pass_on(
    const struct command *command, int argc, char **argv, const struct option *options)
{
	static const char *const names[] = { "--json", "--now", "--revoke-old" };
	char *words[WORDS_MAX] = { (char *)(uintptr_t) "epoch", argv[0] };
	bool on[3] = { false };
	int n = 2, c;

	while ((c = command_option(command, PROGRAM, argc, argv, options)) != COMMAND_END) {
		if (c == COMMAND_HELP || c == COMMAND_WRONG)
			return c == COMMAND_HELP ? COMMAND_OK : COMMAND_USAGE;
		on[c - OPT_JSON] = true;
	}
	if (argc - optind > 1)
		return command_usage(command, PROGRAM, "one socket at a time");
	if (on[OPT_REVOKE_OLD - OPT_JSON] && !on[OPT_NOW - OPT_JSON])
		return command_usage(command, PROGRAM,
		    "--revoke-old needs --now: else nothing would rule until the new one begins");
	for (size_t i = 0; i < 3; i++) {
		if (on[i])
			words[n++] = (char *)(uintptr_t)names[i];
	}
	return tell(n, words, optind < argc ? argv[optind] : usual_socket());
}

static int show(const struct command *command, int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, OPT_JSON },
		{ NULL, 0, NULL, 0 } };

	return pass_on(command, argc, argv, options);
}

static int new (const struct command *command, int argc, char **argv)
{
	static const struct option options[] = { { "now", no_argument, NULL, OPT_NOW },
		{ "revoke-old", no_argument, NULL, OPT_REVOKE_OLD }, { NULL, 0, NULL, 0 } };

	return pass_on(command, argc, argv, options);
}

static int accept_clock(const struct command *command, int argc, char **argv)
{
	static const struct option options[] = { { NULL, 0, NULL, 0 } };

	return pass_on(command, argc, argv, options);
}

int epoch_command(const struct command *self, int argc, char **argv)
{
	(void)self;
	return command_run(PROGRAM, commands, sizeof(commands) / sizeof(commands[0]), argc, argv);
}
