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
