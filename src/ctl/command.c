/*
 * command.c: tables of commands. Called by main.c, and by commands that have commands of their own.
 */
#include "ctl/command.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/poison.h"

enum { NAME_MAX_LEN = 32, NEAR_MAX = 2, OPTIONS_MAX = 48 };

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's distance, one row of the table kept; over-long names are far. */
static unsigned distance(const char *a, const char *b)
{
	size_t a_len = strlen(a), b_len = strlen(b);
	unsigned row[NAME_MAX_LEN + 1], above, left;

	if (a_len > NAME_MAX_LEN || b_len > NAME_MAX_LEN)
		return NAME_MAX_LEN;
	for (unsigned j = 0; j <= b_len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		above = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			left = row[j - 1];
			left = least(row[j] + 1, left + 1, above + (a[i - 1] != b[j - 1]));
			above = row[j];
			row[j] = left;
		}
	}
	return row[b_len];
}

/* The best of two names till now; a beginning of a name is as near as a slip of the hand. */
static void nearer(const char *wrong, const char *name, const char **best, unsigned *best_at)
{
	unsigned at = distance(wrong, name);

	if (strlen(wrong) >= 3 && strncmp(wrong, name, strlen(wrong)) == 0)
		at = 1;
	if (at <= NEAR_MAX && at < *best_at && at < strlen(name)) {
		*best_at = at;
		*best = name;
	}
}

void command_list(const char *program, const struct command *commands, size_t n)
{
	printf("usage: %s COMMAND ...\n\n", program);
	for (size_t i = 0; i < n; i++)
		printf("  %-9s %s\n", commands[i].name, commands[i].help);
	printf("\n%s COMMAND --help says more about one.\n", program);
}

static void print_usage(const struct command *command, const char *program, FILE *out)
{
	const char *line = command->usage, *end;

	for (bool first = true; first || *line != '\0'; first = false) {
		end = strchrnul(line, '\n');
		if (*line == ' ') /* the line before goes on */
			fprintf(out, "           %.*s\n", (int)(end - line), line);
		else
			fprintf(out, "%s %s %s%s%.*s\n", first ? "usage:" : "      ", program,
			    command->name, end > line ? " " : "", (int)(end - line), line);
		line = *end == '\n' ? end + 1 : end;
	}
}

static int unknown(const char *program, const struct command *commands, size_t n, const char *name)
{
	const char *best = NULL;
	unsigned best_at = NAME_MAX_LEN;

	for (size_t i = 0; i < n; i++)
		nearer(name, commands[i].name, &best, &best_at);
	fprintf(stderr, "%s: there is no command \"%s\"", program, name);
	if (best != NULL)
		fprintf(stderr, "; did you mean %s?\n", best);
	else
		fprintf(stderr, "; try %s --help\n", program);
	return COMMAND_USAGE;
}

int command_run(
    const char *program, const struct command *commands, size_t n, int argc, char *const argv[])
{
	const char *name = argc > 1 ? argv[1] : NULL;
	char *const *at = argv + 1;

	if (name == NULL) {
		fprintf(stderr, "%s: which command? try %s --help\n", program, program);
		return COMMAND_USAGE;
	}
	if (argc == 2 && (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0)) {
		command_list(program, commands, n);
		return COMMAND_OK;
	}
	for (size_t i = 0; i < n; i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		optind = 0; /* GNU: begin anew, whatever was read before */
		return commands[i].run(&commands[i], argc - 1, (char **)at);
	}
	return unknown(program, commands, n, name);
}

int command_usage(const struct command *command, const char *program, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s %s: ", program, command->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	print_usage(command, program, stderr);
	return COMMAND_USAGE;
}

static int wrong_option(const struct command *command, const char *program, const char *arg,
    const struct option *options, int what)
{
	size_t len = strcspn(arg, "=");
	const char *best = NULL;
	unsigned best_at = NAME_MAX_LEN;
	char name[NAME_MAX_LEN + 1];

	if (what == ':') {
		command_usage(command, program, "%.*s takes an argument", (int)len, arg);
		return COMMAND_WRONG;
	}
	if (strncmp(arg, "--", 2) == 0 && len - 2 <= NAME_MAX_LEN) {
		snprintf(name, sizeof(name), "%.*s", (int)(len - 2), arg + 2);
		for (const struct option *o = options; o->name != NULL; o++)
			nearer(name, o->name, &best, &best_at);
	}
	if (best != NULL && best_at == 0)
		command_usage(command, program, "--%s takes no argument", best);
	else if (best != NULL)
		command_usage(command, program, "there is no option %.*s; did you mean --%s?",
		    (int)len, arg, best);
	else
		command_usage(command, program, "there is no option %.*s", (int)len, arg);
	return COMMAND_WRONG;
}

static void print_help(const struct command *command, const char *program)
{
	print_usage(command, program, stdout);
	printf("\n%s\n", command->help);
	if (command->details != NULL)
		printf("\n%s", command->details);
}

int command_option(const struct command *command, const char *program, int argc, char **argv,
    const struct option *options)
{
	struct option all[OPTIONS_MAX + 2] = { { "help", no_argument, NULL, 'h' } };
	int got;

	for (size_t i = 0; i < OPTIONS_MAX && options[i].name != NULL; i++)
		all[i + 1] = options[i];
	opterr = 0;
	got = getopt_long(argc, argv, ":", all, NULL);
	if (got == 'h') {
		print_help(command, program);
		return COMMAND_HELP;
	}
	if (got == '?' || got == ':')
		return wrong_option(command, program, argv[optind - 1], options, got);
	return got == -1 ? COMMAND_END : got;
}
