/*
 * pki.c: sslgwctl pki: the cluster's CA and the identities that it signs.
 */
#include "ctl/commands.h"

#include "base/poison.h"

static const struct command commands[1];

int pki_command(const struct command *self, int argc, char **argv)
{
	(void)self;
	return command_run("sslgwctl pki", commands, 0, argc, argv);
}
