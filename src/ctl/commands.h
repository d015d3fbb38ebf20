/*
 * commands.h: sslgwctl's commands, one a file: NAME.c has NAME_command.
 */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include "ctl/command.h"

int epoch_command(const struct command *, int argc, char **argv);
int init_command(const struct command *, int argc, char **argv);
int pki_command(const struct command *, int argc, char **argv);
int selftest_command(const struct command *, int argc, char **argv);
int status_command(const struct command *, int argc, char **argv);
int daemon_command(
    const struct command *, int argc, char **argv); /* reload, drain, reopen; status.c */

#endif
