/*
 * main.c: sslgwctl, the operator's tool: the table of its commands.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ctl/commands.h"
#include "net/libraries.h"

#include "base/poison.h"

#define PROGRAM "sslgwctl"

static const struct command commands[] = {
	{ "pki", "COMMAND ...", "make and keep the identities of a cluster's machines", NULL,
	    pki_command },
	{ "selftest", "--gateway HOST:PORT ... [--sni NAME] [--ca FILE] [--cert FILE [--key FILE]]",
	    "make a session at each gateway and resume it at each other",
	    "By TLS 1.2 tickets and ids and by TLS 1.3 tickets. Ends with 1 where one is not "
	    "resumed.\n\n"
	    "  --gateway HOST:PORT   a gateway itself, not the balancer before it; once for each\n"
	    "  --sni NAME            the site [the default one]\n"
	    "  --ca FILE             check the gateways' certificates against these CAs\n"
	    "  --cert FILE           the client's certificate, where the site asks for one\n"
	    "  --key FILE            and its key [in the same file]\n"
	    "  --timeout SECONDS     for a handshake [5]\n",
	    selftest_command },
};
enum { COMMANDS_N = sizeof(commands) / sizeof(commands[0]) };

int main(int argc, char **argv)
{
	log_init(PROGRAM);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0)) {
		printf("%s %s\n", PROGRAM, PACKAGE_VERSION);
		libraries_print(stdout);
		return COMMAND_OK;
	}
	return command_run(PROGRAM, commands, COMMANDS_N, argc, argv);
}
