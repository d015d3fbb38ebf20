/*
 * test_conf_wrong.c: files as operators get them wrong, and hostile ones: each has its line, and a
 * message that names what is wrong and how to mend it.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf_table.h"

#include "base/poison.h"

#define SITES "sites = ( { names = [ \"a.example\" ]; } );\n"

static const struct wrong {
	const char *text;
	unsigned line;
	const char *part;
} wrongs[] = {
	/* what a human surely meant */
	{ SITES "user = yes;\n", 2, "yes is no value: write true" },
	{ SITES "fast = off;\n", 2, "off is no value: write false" },
	{ SITES "\nmemory = 512M;\n", 3, "512M must stand in quotes: \"512M\"" },
	{ SITES "timeouts = { idle = 10s; };\n", 2, "10s must stand in quotes: \"10s\"" },
	{ SITES "user = sslgw;\n", 2, "write strings in quotes: \"sslgw\"" },
	{ "sites = ( { names = [ \"a.example\", ]; } );\n", 1,
	    "a comma before ]: leave the last comma out" },
	{ "sites = (\n { names = [ \"a.example\" ]; },\n);\n", 3, "a comma before )" },
	{ "sites = ( { names = [ \"a\" \"b\" ]; } );\n", 1, "a comma is missing before this" },
	{ "sites = ( { names = [ \"a\" ]; }\n{ names = [ \"b\" ]; } );\n", 2,
	    "a comma is missing" },
	{ "sites = ( { names = [ \"a\"; \"b\" ]; } );\n", 1, "parted by commas" },
	{ SITES "user = \"a\" \"b\";\n", 2, "several strings make a list" },
	{ SITES "user =\nworkers = 3;\n", 3, "a value is missing before workers" },
	{ SITES "user = ;\n", 2, "a value is missing before this ;" },
	{ SITES ";\n", 2, "one ; too many" },
	{ SITES "user = \"a\";;\n", 2, "one ; too many" },
	{ SITES "keys = [ { a = 1; } ];\n", 2, "write a list of groups as (" },
	{ SITES "user \"a\";\n", 2, "= is missing before this" },
	{ SITES "\"user\" = \"a\";\n", 2, "a setting must stand here" },
	{ SITES "log = /var/log/x;\n", 2, "write strings in quotes: \"/var/log/x\"" },
	{ SITES "log = 127.0.0.1:80;\n", 2, "127.0.0.1 must stand in quotes" },
	/* brackets, strings, comments without an end */
	{ "sites = (\n{ names = [ \"a\" ]; }\n", 1, "this ( has no end: close it with )" },
	{ "sites = (\n{ names = [ \"a\" ];\n);\n", 3, "the { of line 2 is still open" },
	{ "sites = (\n{ names = [ \"a\" }\n);\n", 2, "the [ of line 2 is still open" },
	{ SITES "}\n", 2, "} closes nothing" },
	{ SITES "user = \"a;\nworkers = 3;\n", 2, "a string begins here and has no end" },
	{ SITES "/* user\n", 2, "a comment begins here and has no end" },
	{ SITES "user = \"a\\x00b\";\n", 2, "cannot hold \\x00" },
	{ SITES "user =", 2, "the text ends where a value is missing" },
	{ SITES "@include \"x\"\n", 2, "@include works in files only" },
	{ SITES "include_dir = \"x\";\n", 2, "include_dir works in files only" },
	/* names */
	{ SITES "\n\nworker = 3;\n", 4, "unknown setting worker: did you mean workers?" },
	{ SITES "wrokers = 3;\n", 2, "did you mean workers?" },
	{ SITES "zzzzzz = 3;\n", 2, "unknown setting zzzzzz" },
	{ SITES "idle = \"3s\";\n", 2, "unknown setting idle: it belongs in timeouts" },
	{ "sites = ( {\n names = [ \"a\" ];\n nmae = \"b\"; } );\n", 3,
	    "unknown setting sites[].nmae: did you mean name?" },
	{ "sites = ( { names = [ \"a\" ]; routes = ( {\n wieght = 2; } ); } );\n", 2,
	    "did you mean weight?" },
	{ SITES "user = \"a\";\nuser = \"b\";\n", 3, "user is given twice, first in line 2" },
	{ SITES SITES, 2, "sites is given twice, first in line 1" },
	{ "sites = ( { names = [ \"a\" ];\n name = \"a\";\n name = \"b\"; } );\n", 3,
	    "the same name twice in one group" },
	/* what is missing */
	{ "", 1, "sites is missing: add sites" },
	{ "# nothing\n\n", 1, "sites is missing" },
	{ "sites = ( );\n", 1, "sites is empty: add sites" },
	{ "\nsites = (\n{\n name = \"x\"; } );\n", 3, "sites[].names is missing: add names" },
	/* types */
	{ SITES "workers = \"3\";\n", 2, "workers must be a whole number without quotes" },
	{ SITES "workers = 1.5;\n", 2, "workers must be a whole number" },
	{ SITES "user = 3;\n", 2, "user must be a string in quotes" },
	{ SITES "fast = \"true\";\n", 2, "fast must be true or false" },
	{ SITES "fast = 1;\n", 2, "fast must be true or false" },
	{ SITES "memory = 512;\n", 2, "memory must be a size with its unit, in quotes" },
	{ SITES "timeouts = 3;\n", 2, "timeouts must be a group" },
	{ SITES "timeouts = ( );\n", 2, "timeouts must be a group" },
	{ SITES "headers = \"forwarded\";\n", 2, "headers must be a list of words" },
	{ SITES "keys = \"x\";\n", 2, "keys must be a list of paths" },
	{ SITES "keys = [ 1 ];\n", 2, "keys must be a list of paths" },
	{ SITES "keys = [ \"a\",\n 1 ];\n", 3, "[ ] holds strings or numbers, not both" },
	{ "sites = { names = [ \"a\" ]; };\n", 1, "sites must be a list of groups" },
	{ "sites = (\n\"a\" );\n", 2, "sites must be a list of groups" },
	/* numbers, units, ranges */
	{ SITES "workers = 3000000000;\n", 2, "the number 3000000000 is too large" },
	{ SITES "workers = 4294967377;\n", 2, "is too large" },
	{ SITES "workers = 99999999999999999999999999999999999999999999L;\n", 2, "is too large" },
	{ SITES "workers = 0x1FFFFFFFF;\n", 2, "is too large" },
	{ SITES "workers = -3000000000;\n", 2, "is too large" },
	{ SITES "workers = 65;\n", 2, "workers is out of range: 0 to 64" },
	{ SITES "workers = -1;\n", 2, "workers is out of range: 0 to 64" },
	{ SITES "workers = 5000000000L;\n", 2, "workers is out of range" },
	{ "sites = ( { names = [ \"a\" ]; client = {\n depth = 0; }; } );\n", 2,
	    "depth is out of range: 1 to 9" },
	{ SITES "timeouts = { idle = \"1ms\"; };\n", 2, "idle is out of range: 1s to 1h" },
	{ SITES "timeouts = { idle = \"10\"; };\n", 2, "the unit of a time is ms, s, m, h or d" },
	{ SITES "timeouts = { idle = \"10 s\"; };\n", 2, "the unit of a time" },
	{ SITES "timeouts = { idle = \"soon\"; };\n", 2, "a time is a whole number and a unit" },
	{ SITES "timeouts = { idle = \"-1s\"; };\n", 2, "a time is a whole number and a unit" },
	{ SITES "timeouts = { head = \"99999999999999999999d\"; };\n", 2,
	    "the number is too large" },
	{ SITES "memory = \"512MB\";\n", 2, "the unit of a size is K, M, G or T" },
	{ SITES "memory = \"9999999999999999T\";\n", 2, "the number is too large" },
	{ SITES "rate = \"5000\";\n", 2, "a rate is for /s, /min or /h" },
	{ SITES "rate = \"3/min\";\n", 2, "less than one a second" },
	/* words, strings */
	{ SITES "mode = \"redirct\";\n", 2,
	    "cannot be \"redirct\" (tls, redirect, plain): did you mean \"redirect\"?" },
	{ SITES "mode = \"ftp\";\n", 2, "mode cannot be \"ftp\" (tls, redirect, plain)" },
	{ SITES "headers = [ \"forwarded\",\n\"mod-ssl\" ];\n", 3, "did you mean \"mod_ssl\"?" },
	{ SITES "user = \"\";\n", 2, "user is empty" },
	{ SITES "user = \"${SSLGW_TEST_UNSET}\";\n", 2,
	    "needs ${SSLGW_TEST_UNSET}, which is not in the environment" },
	{ SITES "user = \"${SSLGW\";\n", 2, "has ${ without a name and }" },
	{ SITES "user = \"${}\";\n", 2, "has ${ without a name and }" },
};

static size_t parse(const char *text, size_t len, struct conf_errors *errors)
{
	struct conf_text *t = conf_text_of("test.conf", text, len);
	struct toy toy;
	int status;

	assert_non_null(t);
	memset(&toy, 0, sizeof(toy));
	status = conf_parse(t, toy_table, TOY_TABLE_N, &toy, errors);
	assert_int_equal(status, conf_errors_n(errors) == 0 ? 0 : -1);
	conf_free(toy_table, TOY_TABLE_N, &toy);
	conf_text_free(t);
	return conf_errors_n(errors);
}

static void each_wrong_file_names_its_line_and_its_mend(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct conf_errors *errors = conf_errors_new();
		char place[32];

		snprintf(place, sizeof(place), "test.conf:%u: ", wrongs[i].line);
		if (parse(wrongs[i].text, strlen(wrongs[i].text), errors) != 1 ||
		    strncmp(conf_errors_at(errors, 0), place, strlen(place)) != 0 ||
		    strstr(conf_errors_at(errors, 0), wrongs[i].part) == NULL) {
			print_error(
			    "of\n%s\nwanted: %s%s\ngot:\n", wrongs[i].text, place, wrongs[i].part);
			conf_errors_print(errors, stderr);
			failed++;
		}
		conf_errors_free(errors);
	}
	assert_int_equal(failed, 0);
}

static void a_syntax_error_shows_the_line_and_a_caret(void **state)
{
	const char *text = SITES "\tmemory = 512M;\n";
	struct conf_errors *errors = conf_errors_new();

	(void)state;
	assert_int_equal(parse(text, strlen(text), errors), 1);
	assert_string_equal(conf_errors_at(errors, 0),
	    "test.conf:2: 512M must stand in quotes: \"512M\"\n"
	    "    \tmemory = 512M;\n"
	    "    \t         ^");
	conf_errors_free(errors);
}

static void all_errors_are_told_at_once(void **state)
{
	const char *syntax = "fast = yes;\nmemory = 512M;\nkeys = [ \"a\", ];\n";
	const char
	    *values = "worker = 3;\nmode = \"x\";\nsites = ( { nam = 1; } );\nworkers = 99;\n";
	struct conf_errors *errors = conf_errors_new();

	(void)state;
	assert_int_equal(parse(syntax, strlen(syntax), errors), 3);
	conf_errors_free(errors);
	errors = conf_errors_new();
	assert_int_equal(parse(values, strlen(values), errors), 5);
	conf_errors_free(errors);
}

/* Repeats a piece, which may hold NUL. */
static char *many(const char *piece, size_t piece_len, size_t times, size_t *len)
{
	char *text = malloc(piece_len * times + 1);

	assert_non_null(text);
	for (size_t i = 0; i < times; i++)
		memcpy(text + i * piece_len, piece, piece_len);
	*len = piece_len * times;
	text[*len] = '\0';
	return text;
}

static void hostile_texts_neither_crash_nor_hang(void **state)
{
	static const struct {
		const char *piece;
		size_t len, times;
		const char *part;
	} hostile[] = {
		{ "a=(", 3, 1000000, "a value is missing before a" },
		{ "a=({b=", 6, 1000000, "a value is missing before a" },
		{ "a={", 3, 1000000, "brackets inside each other" },
		{ "(", 1, 1000000, "a setting must stand here" },
		{ "\0", 1, 100000, "a NUL byte" },
		{ "\"", 1, 10000001, "a setting must stand here" },
		{ "a=1;\n", 5, 2000000, "is given twice" },
		{ "\n", 1, 10000000, "sites is missing" },
		{ "# comment\n", 10, 1000000, "sites is missing" },
		{ "\xff\xfe", 2, 5000000, "a setting must stand here" },
		{ "#@ \"x\" 1\n", 9, 100000, "sites is missing" },
		{ "#@ \"x", 5, 100000, "sites is missing" },
		{ "a", 1, 10000000, "= is missing" },
		{ "/*", 2, 5000000, "a setting must stand here" },
		{ "/* ", 3, 3000000, "a comment begins here" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		struct conf_errors *errors = conf_errors_new();
		size_t len;
		char *text = many(hostile[i].piece, hostile[i].len, hostile[i].times, &len);

		assert_true(parse(text, len, errors) > 0);
		if (strstr(conf_errors_at(errors, 0), hostile[i].part) == NULL) {
			print_error("%zu: %s\n", i, conf_errors_at(errors, 0));
			fail();
		}
		free(text);
		conf_errors_free(errors);
	}
}

static void deep_nesting_is_refused(void **state)
{
	struct conf_errors *errors = conf_errors_new();
	size_t len;
	char *text = many("(", 1, 10000000, &len);

	(void)state;
	memcpy(text, "a=", 2);
	assert_int_equal(parse(text, len, errors), 1);
	assert_non_null(strstr(conf_errors_at(errors, 0), "brackets inside each other"));
	free(text);
	conf_errors_free(errors);
}

static void too_many_settings_and_members_are_refused(void **state)
{
	struct conf_errors *errors = conf_errors_new();
	char *text = malloc(1 << 20);
	size_t len = 0;

	(void)state;
	for (unsigned i = 0; i < 2000; i++)
		len += (size_t)snprintf(text + len, 64, "n%u = 1;\n", i);
	assert_int_equal(parse(text, len, errors), 1);
	assert_non_null(
	    strstr(conf_errors_at(errors, 0), "test.conf:1025: more than 1024 settings"));
	conf_errors_free(errors);
	errors = conf_errors_new();
	len = (size_t)snprintf(text, 64, "keys = [ 1");
	for (unsigned i = 0; i < 70000; i++)
		len += (size_t)snprintf(text + len, 64, ",1");
	assert_int_equal(parse(text, len, errors), 1);
	assert_non_null(strstr(conf_errors_at(errors, 0), "more than 65536 members"));
	conf_errors_free(errors);
	free(text);
}

static void errors_are_bounded_and_never_none(void **state)
{
	struct conf_errors *errors = conf_errors_new();
	size_t len;
	char *text = many("a;=yes;\n", 8, 1000, &len);

	(void)state;
	free(text);
	text = many("{ b = yes; },\n", 14, 1000, &len);
	memcpy(text, "sites=(", 7);
	assert_true(parse(text, len, errors) > 0);
	assert_true(conf_errors_n(errors) <= 101);
	for (size_t i = 0; i < conf_errors_n(errors); i++)
		assert_true(strlen(conf_errors_at(errors, i)) > 0);
	free(text);
	conf_errors_free(errors);
	conf_errors_free(NULL);
}

/* One byte changed in a good file: it must parse or be refused, and never do worse. */
static void every_damaged_byte_is_survived(void **state)
{
	static const char good[] =
	    "user = \"a\"; workers = 0x3L;\nfast = true;\n"
	    "timeouts = { idle = \"10s\"; };\nheaders = [ \"forwarded\" ];\n"
	    "/* c */ sites = ( { names = [ \"a\", \"b\" ]; routes = ( { path = \"/\"; } ); } );\n";
	static const char bytes[] = "\0\"(){}[],;=:*#/\\\n @a1L.-$\xff";
	char text[sizeof(good)];

	(void)state;
	for (size_t i = 0; i < sizeof(good) - 1; i++) {
		for (size_t j = 0; j < sizeof(bytes) - 1; j++) {
			struct conf_errors *errors = conf_errors_new();

			memcpy(text, good, sizeof(text));
			text[i] = bytes[j];
			parse(text, sizeof(text) - 1, errors);
			conf_errors_free(errors);
		}
		struct conf_errors *errors = conf_errors_new();
		parse(good, i, errors); /* cut */
		conf_errors_free(errors);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_wrong_file_names_its_line_and_its_mend),
		cmocka_unit_test(a_syntax_error_shows_the_line_and_a_caret),
		cmocka_unit_test(all_errors_are_told_at_once),
		cmocka_unit_test(hostile_texts_neither_crash_nor_hang),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(too_many_settings_and_members_are_refused),
		cmocka_unit_test(errors_are_bounded_and_never_none),
		cmocka_unit_test(every_damaged_byte_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
