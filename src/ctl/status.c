/*
 * status.c: sslgwctl status, and the commands that are passed on to a daemon (reload, drain, reopen).
 * What is not well is the daemon's own judgement: the list "problems" of its status.json.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/commands.h"

#include "base/poison.h"

#define PROGRAM "sslgwctl"

enum { STATUS_UNREACHABLE = 3, OPT_JSON = 256, OPT_SERVERS, STATUS_COLUMN = 24 };

/* What is known of all that were asked. */
struct verdict {
	unsigned well, troubled, unreachable;
};

/* Bytes of another machine: none of them may steer the terminal. */
static void put(FILE *f, const char *text)
{
	for (; *text != '\0'; text++)
		fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, f);
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "?";
}

static double number_of(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

/* "3d 4h", "5m 12s" */
static const char *span(double seconds, char *buf, size_t size)
{
	unsigned long s = seconds > 0 && seconds < 1e15 ? (unsigned long)seconds : 0;

	if (s >= 86400)
		snprintf(buf, size, "%lud %luh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(buf, size, "%luh %lum", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(buf, size, "%lum %lus", s / 60, s % 60);
	else
		snprintf(buf, size, "%lus", s);
	return buf;
}

/* "headline": what the daemon itself puts on its line of the table. */
static void print_row(const char *target, const json_t *status)
{
	char since[64];
	bool ready = json_is_true(json_object_get(status, "ready"));
	size_t problems = json_array_size(json_object_get(status, "problems"));

	printf("%-*s ", STATUS_COLUMN, target);
	printf("%-15.15s %-10.10s %-9s ", text_of(status, "program"), text_of(status, "version"),
	    span(number_of(status, "uptime_s"), since, sizeof since));
	printf("%-9s ", problems > 0 ? "TROUBLED" : ready ? "well" : "not ready");
	put(stdout, text_of(status, "headline"));
	putchar('\n');
}

static void print_problems(const json_t *status)
{
	const json_t *list = json_object_get(status, "problems");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		fputs("  ! ", stdout);
		put(stdout, text != NULL ? text : "?");
		putchar('\n');
	}
}

static void put_column(const char *text)
{
	size_t len = strlen(text);

	put(stdout, text);
	printf("%*s ", len < STATUS_COLUMN ? (int)(STATUS_COLUMN - len) : 0, "");
}

/* Of a gateway's pools; others have none. */
static void print_servers(const json_t *status)
{
	const json_t *list = json_object_get(status, "servers");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *server = json_array_get(list, i);

		fputs("  ", stdout);
		put_column(text_of(server, "pool"));
		put_column(text_of(server, "server"));
		printf("%-15.15s ", text_of(server, "state"));
		put(stdout, text_of(server, "why"));
		putchar('\n');
	}
}

/* The status of one daemon; NULL: it was said why not. */
static json_t *fetch(const char *target, char *why, size_t size)
{
	struct client_answer answer;
	json_error_t error;
	json_t *status;

	if (client_get(target, "/status.json", &answer, why, size) != 0)
		return NULL;
	status = answer.code == 200 ? json_loadb(answer.body, answer.len, 0, &error) : NULL;
	if (status == NULL && answer.code != 200)
		snprintf(why, size, "%s answered with status %ld: %.200s", target, answer.code,
		    answer.body);
	else if (!json_is_object(status)) {
		json_decref(status);
		status = NULL;
		snprintf(why, size, "%s is not an admin address of sslgw", target);
	}
	client_answer_clear(&answer);
	return status;
}

static void look_at(const char *target, struct verdict *v, json_t *all, bool servers)
{
	char why[CLIENT_WHY_MAX] = "";
	json_t *status = fetch(target, why, sizeof why);
	bool well;

	if (status == NULL) {
		v->unreachable++;
		if (all == NULL) {
			printf("%-*s unreachable\n  ! ", STATUS_COLUMN, target);
			put(stdout, why);
			putchar('\n');
		} else {
			json_array_append_new(
			    all, json_pack("{s:s, s:s}", "target", target, "unreachable", why));
		}
		return;
	}
	well = json_is_true(json_object_get(status, "ready")) &&
	       json_array_size(json_object_get(status, "problems")) == 0;
	if (well)
		v->well++;
	else
		v->troubled++;
	if (all == NULL) {
		print_row(target, status);
		print_problems(status);
		if (servers)
			print_servers(status);
	} else {
		json_object_set_new(status, "target", json_string(target));
		json_array_append(all, status);
	}
	json_decref(status);
}

/* 1 where somebody is not well, even if others cannot be reached: nothing is hidden behind a 3. */
static int exit_status(const struct verdict *v)
{
	if (v->troubled > 0)
		return COMMAND_NO;
	return v->unreachable > 0 ? STATUS_UNREACHABLE : COMMAND_OK;
}

/* Those of the command line, or the usual ones. How many; 0: it was said that there are none. */
static size_t targets(int argc, char **argv, const char **usual, const char *const **list)
{
	size_t n;

	if (optind < argc) {
		*list = (const char *const *)(argv + optind);
		return (size_t)(argc - optind);
	}
	*list = usual;
	if ((n = client_sockets(usual)) == 0)
		fputs(PROGRAM
		    ": no daemon of sslgw runs here with an admin socket at the usual place; "
		    "name an address (127.0.0.1:9901) or a socket\n",
		    stderr);
	return n;
}

int status_command(const struct command *command, int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, OPT_JSON },
		{ "servers", no_argument, NULL, OPT_SERVERS }, { NULL, 0, NULL, 0 } };
	const char *usual[CLIENT_SOCKETS_MAX];
	const char *const *list;
	struct verdict v = { 0 };
	json_t *all = NULL;
	bool servers = false;
	size_t n;
	int c;

	while ((c = command_option(command, PROGRAM, argc, argv, options)) != COMMAND_END) {
		if (c == OPT_SERVERS) {
			servers = true;
			continue;
		}
		if (c != OPT_JSON) {
			json_decref(all);
			return c == COMMAND_HELP ? COMMAND_OK : COMMAND_USAGE;
		}
		if (all == NULL)
			all = json_array();
	}
	n = targets(argc, argv, usual, &list);
	if (all == NULL && n > 0)
		printf("%-*s %-15s %-10s %-9s %-9s %s\n", STATUS_COLUMN, "ADDRESS", "PROGRAM",
		    "VERSION", "UPTIME", "STATE", "");
	for (size_t i = 0; i < n; i++)
		look_at(list[i], &v, all, servers);
	if (all != NULL) {
		json_dumpf(all, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
		putchar('\n');
		json_decref(all);
	}
	return n == 0 ? STATUS_UNREACHABLE : exit_status(&v);
}

/* reload, drain, reopen: the command's name is the word for the daemon. */
int daemon_command(const struct command *command, int argc, char **argv)
{
	static const struct option options[] = { { NULL, 0, NULL, 0 } };
	const char *usual[CLIENT_SOCKETS_MAX];
	const char *const *list;
	int c = command_option(command, PROGRAM, argc, argv, options), rc = COMMAND_OK;
	size_t n;

	if (c != COMMAND_END)
		return c == COMMAND_HELP ? COMMAND_OK : COMMAND_USAGE;
	n = targets(argc, argv, usual, &list);
	for (size_t i = 0; i < n; i++) {
		struct client_answer answer;
		char why[CLIENT_WHY_MAX] = "";

		if (client_command(list[i], 1, argv, &answer, why, sizeof why) != 0) {
			fprintf(stderr, PROGRAM ": %s\n", why);
			rc = rc == COMMAND_OK ? STATUS_UNREACHABLE : rc;
			continue;
		}
		printf("%s: ", list[i]);
		for (const char *at = answer.body; *at != '\0'; at++)
			putchar((unsigned char)*at < 0x20 && *at != '\n' ? '?' : *at);
		if (answer.code != 200)
			rc = COMMAND_NO;
		client_answer_clear(&answer);
	}
	return n == 0 ? STATUS_UNREACHABLE : rc;
}
