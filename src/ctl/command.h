/*
 * command.h: a table of commands, which drives usage, help and dispatch, and the reading of a
 * command's options. Wrong names are told with the nearest right one.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <getopt.h>
#include <stddef.h>

/* Exit statuses of sslgwctl. NO: it ran, and the answer is no, or it could not be done. */
enum { COMMAND_OK = 0, COMMAND_NO = 1, COMMAND_USAGE = 2 };

/* What command_option returns beside the values of the options (these are from 256 on). */
enum { COMMAND_END = -1, COMMAND_WRONG = -2, COMMAND_HELP = -3 };

struct command {
	const char *name;
	/* Arguments; a line for each way, "DIR [--name NAME]\nDIR NAME..."; a space begins a line that goes on
	 * with the one before. */
	const char *usage;
	const char *help; /* a line, for the list of commands */
	const char *details; /* lines about the options, for --help; NULL: none */
	int (*run)(const struct command *, int argc, char **argv); /* argv[0] is its name */
};

/* Runs the command that argv[1] names. program: "sslgwctl", "sslgwctl pki". Its exit status. */
int command_run(
    const char *program, const struct command *, size_t n, int argc, char *const argv[]);
/* Prints a list of all. */
void command_list(const char *program, const struct command *, size_t n);

/* The next option of argv, its argument in optarg; options is ended by zeroes and needs no "help".
 * COMMAND_WRONG and COMMAND_HELP have been told already: return COMMAND_USAGE, COMMAND_OK. */
int command_option(
    const struct command *, const char *program, int argc, char **argv, const struct option *);
/* Says what is wrong and how it is used. COMMAND_USAGE. */
int command_usage(const struct command *, const char *program, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
