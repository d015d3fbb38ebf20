/*
 * test_conf.c: what a right file fills in, files in folders, where each field was given, and texts
 * that go to another process.
 */
#include "config.h"

#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf_table.h"

#include "base/poison.h"

#define SITES "sites = ( { names = [ \"a.example\" ]; } );\n"

struct parsed {
	struct conf_errors *errors;
	struct conf_text *text;
	struct toy toy;
	int status;
};

static void parse_text(struct parsed *p, struct conf_text *text)
{
	memset(&p->toy, 0, sizeof(p->toy));
	p->text = text;
	p->status = -1;
	if (text != NULL)
		p->status = conf_parse(text, toy_table, TOY_TABLE_N, &p->toy, p->errors);
}

static void parse(struct parsed *p, const char *text)
{
	p->errors = conf_errors_new();
	parse_text(p, conf_text_of("test.conf", text, strlen(text)));
}

static void parse_file(struct parsed *p, const char *file)
{
	p->errors = conf_errors_new();
	parse_text(p, conf_text_read(file, p->errors));
}

static void done(struct parsed *p)
{
	conf_free(toy_table, TOY_TABLE_N, &p->toy);
	conf_text_free(p->text);
	conf_errors_free(p->errors);
}

static void good(const struct parsed *p)
{
	if (p->status != 0)
		conf_errors_print(p->errors, stderr);
	assert_int_equal(p->status, 0);
	assert_int_equal(conf_errors_n(p->errors), 0);
}

/* ---- values */

static void what_is_left_out_has_its_default(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, SITES);
	good(&p);
	assert_null(p.toy.user);
	assert_int_equal(p.toy.workers, 2);
	assert_true(p.toy.fast);
	assert_int_equal(p.toy.timeouts.idle, 75000);
	assert_int_equal(p.toy.memory, 64 << 20);
	assert_int_equal(p.toy.rate, 100);
	assert_int_equal(p.toy.mode, 0);
	assert_int_equal(p.toy.headers, 3);
	assert_int_equal(p.toy.keys.n, 0);
	assert_int_equal(p.toy.sites.n, 1);
	assert_int_equal(p.toy.sites.at[0].client.depth, 3);
	assert_int_equal(p.toy.sites.at[0].routes.n, 0);
	done(&p);
}

static void pairs_are_read_in_both_forms(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, "pairs = { X-A = \"one\"; b_2 = \"two\"; };\n" SITES);
	good(&p);
	assert_int_equal(p.toy.pairs.n, 4);
	assert_string_equal(p.toy.pairs.at[0], "X-A");
	assert_string_equal(p.toy.pairs.at[3], "two");
	done(&p);
	parse(&p, "pairs = ( { name = \"X~A\"; value = \"one\"; } );\n" SITES);
	good(&p);
	assert_int_equal(p.toy.pairs.n, 2);
	assert_string_equal(p.toy.pairs.at[0], "X~A");
	done(&p);
}

static void nothing_needs_no_unit(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, "rate = \"0\"; timeouts = { head = \"0\"; };\n" SITES);
	good(&p);
	assert_int_equal(p.toy.rate, 0);
	assert_int_equal(p.toy.timeouts.head, 0);
	done(&p);
}

static void every_type_is_read(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p,
	    "user = \"me\\\"x\"; workers = 7\nfast = FALSE;\n"
	    "timeouts : { idle = \"2m\"; head = \"1500ms\" };\n"
	    "memory = \"2G\"; rate = \"600/min\"; mode = \"plain\"; headers = [ \"extra\" ];\n"
	    "log = \"stderr\"; keys = [ \"/a\", \"pkcs11:token=x\" ];\n"
	    "sites = ( { name = \"one\"; names = [ \"a\", \"b\" ]; client = { verify = "
	    "\"require\"; };\n"
	    "  routes = ( { path = \"/x\"; weight = 0x10; }, { path = \"/\"; } ); },\n"
	    "  { names = ( \"c\" ); } );\n");
	good(&p);
	assert_string_equal(p.toy.user, "me\"x");
	assert_int_equal(p.toy.workers, 7);
	assert_false(p.toy.fast);
	assert_int_equal(p.toy.timeouts.idle, 120000);
	assert_int_equal(p.toy.timeouts.head, 1500);
	assert_int_equal(p.toy.memory, INT64_C(2) << 30);
	assert_int_equal(p.toy.rate, 10);
	assert_int_equal(p.toy.mode, 2);
	assert_int_equal(p.toy.headers, 4);
	assert_string_equal(p.toy.log, "stderr");
	assert_int_equal(p.toy.keys.n, 2);
	assert_string_equal(p.toy.keys.at[1], "pkcs11:token=x");
	assert_int_equal(p.toy.sites.n, 2);
	assert_string_equal(p.toy.sites.at[0].name, "one");
	assert_string_equal(p.toy.sites.at[0].names.at[1], "b");
	assert_int_equal(p.toy.sites.at[0].client.verify, 2);
	assert_int_equal(p.toy.sites.at[0].routes.n, 2);
	assert_int_equal(p.toy.sites.at[0].routes.at[0].weight, 16);
	assert_string_equal(p.toy.sites.at[0].routes.at[1].path, "/");
	assert_string_equal(p.toy.sites.at[1].names.at[0], "c");
	done(&p);
}

static void an_empty_list_of_words_is_no_word(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, SITES "headers = [ ];\n");
	good(&p);
	assert_int_equal(p.toy.headers, 0);
	done(&p);
}

static void every_unit_is_known(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} times[] = { { "1ms", 1 }, { "1s", 1000 }, { "1m", 60000 }, { "1h", 3600000 },
		{ "7d", 604800000 }, { "0", 0 } };
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = { { "0", 0 }, { "17", 17 }, { "1K", 1024 }, { "1M", 1 << 20 },
		{ "1G", 1 << 30 }, { "2T", UINT64_C(1) << 41 } };
	char text[128];
	struct parsed p;

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		snprintf(text, sizeof(text), SITES "timeouts = { head = \"%s\"; };", times[i].text);
		parse(&p, text);
		good(&p);
		assert_int_equal(p.toy.timeouts.head, times[i].ms);
		done(&p);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(text, sizeof(text), SITES "memory = \"%s\";", sizes[i].text);
		parse(&p, text);
		good(&p);
		assert_int_equal(p.toy.memory, sizes[i].bytes);
		done(&p);
	}
}

static void names_come_from_the_environment(void **state)
{
	struct parsed p;

	(void)state;
	setenv("SSLGW_TEST_NAME", "blue", 1);
	parse(&p,
	    SITES "user = \"a ${SSLGW_TEST_NAME} b$ $${SSLGW_TEST_NAME} c${SSLGW_TEST_NAME}\";\n");
	good(&p);
	assert_string_equal(p.toy.user, "a blue b$ ${SSLGW_TEST_NAME} cblue");
	done(&p);
	setenv("SSLGW_TEST_NAME", "", 1);
	parse(&p, SITES "user = \"${SSLGW_TEST_NAME}\";\n");
	assert_int_equal(p.status, -1);
	assert_string_equal(
	    conf_errors_at(p.errors, 0), "test.conf:2: user is empty: its ${NAME} has no value");
	unsetenv("SSLGW_TEST_NAME");
	done(&p);
}

/* ---- where */

static void every_field_knows_its_line(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, "user = \"x\";\n\nsites = (\n{\n  names = [ \"a\",\n    \"b\" ];\n  client = {\n "
		  "   depth = 2; };\n"
		  "  routes = (\n    { path = \"/\"; } );\n} );\n");
	good(&p);
	assert_string_equal(conf_where(&p.toy.user), "test.conf:1");
	assert_null(conf_where(&p.toy.workers));
	assert_string_equal(conf_where(&p.toy.sites), "test.conf:3");
	assert_string_equal(conf_where(&p.toy.sites.at[0].names), "test.conf:5");
	assert_string_equal(conf_where(&p.toy.sites.at[0].names.at[1]), "test.conf:6");
	assert_string_equal(conf_where(&p.toy.sites.at[0].client.depth), "test.conf:8");
	assert_string_equal(conf_where(&p.toy.sites.at[0].routes.at[0].path), "test.conf:10");
	done(&p);
	assert_null(conf_where(&p.toy.user));
}

static void a_rejection_names_the_field_or_its_group(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p,
	    "user = \"x\";\n\nsites = (\n{\n  names = [ \"a\" ];\n  client = {\n    depth = 2; };\n"
	    "  routes = (\n    { path = \"/\"; } );\n} );\n");
	good(&p);
	conf_reject(p.errors, &p.toy.sites.at[0].client.depth, "one %d", 1);
	conf_reject(p.errors, &p.toy.sites.at[0].client.verify, "two");
	conf_reject(p.errors, &p.toy.sites.at[0].name, "three");
	conf_reject(p.errors, &p.toy.sites.at[0].routes.at[0].weight, "four");
	conf_reject(p.errors, &p.toy.mode, "five");
	assert_string_equal(conf_errors_at(p.errors, 0), "test.conf:7: one 1");
	assert_string_equal(conf_errors_at(p.errors, 1), "test.conf:6: two");
	assert_string_equal(conf_errors_at(p.errors, 2), "test.conf:4: three");
	assert_string_equal(conf_errors_at(p.errors, 3), "test.conf:9: four");
	assert_string_equal(conf_errors_at(p.errors, 4), "test.conf:1: five");
	done(&p);
}

static void two_configurations_live_side_by_side(void **state)
{
	struct parsed a, b;

	(void)state;
	parse(&a, SITES "user = \"a\";\n");
	parse(&b, "user = \"b\";\n" SITES);
	assert_string_equal(conf_where(&a.toy.user), "test.conf:2");
	assert_string_equal(conf_where(&b.toy.user), "test.conf:1");
	done(&a);
	assert_null(conf_where(&a.toy.user));
	assert_string_equal(conf_where(&b.toy.user), "test.conf:1");
	done(&b);
}

/* ---- files */

struct room {
	char dir[64], main[96];
};

static void file_write(const struct room *r, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int room_make(void **state)
{
	struct room *r = calloc(1, sizeof(*r));
	char path[96];

	snprintf(r->dir, sizeof(r->dir), "/tmp/test_conf.XXXXXX");
	if (mkdtemp(r->dir) == NULL)
		return -1;
	snprintf(r->main, sizeof(r->main), "%s/main.conf", r->dir);
	snprintf(path, sizeof(path), "%s/sites.d", r->dir);
	*state = r;
	return mkdir(path, 0700);
}

static int room_remove(void **state)
{
	struct room *r = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", r->dir);
	free(r);
	return system(command);
}

/* "FILE:LINE..." with FILE below the room's folder. */
static void begins(const struct room *r, const char *message, const char *rest)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%s/%s", r->dir, rest);
	if (message == NULL || strncmp(message, whole, strlen(whole)) != 0) {
		print_error("got %s\nnot %s\n", message != NULL ? message : "nothing", whole);
		fail();
	}
}

static void a_folder_of_sites_is_read_in_order(void **state)
{
	struct room *r = *state;
	struct parsed p;

	file_write(r, "main.conf",
	    "user = \"x\"; include_dir = \"sites.d\"; workers = 3;\nfast = false;\n");
	file_write(r, "sites.d/10-b.conf",
	    "sites = (\n { names = [ \"b\" ]; },\n { names = [ \"c\" ]; } )");
	file_write(r, "sites.d/02-a.conf", "# first\nsites = ( { names = [ \"a\" ]; } );");
	file_write(r, "sites.d/20-d.conf",
	    "\n\nsites = ( { name = \"d\";\nnames = [ \"d\" ]; } ); memory = \"1M\";");
	file_write(r, "sites.d/.hidden.conf", "bad");
	file_write(r, "sites.d/readme.txt", "bad");
	parse_file(&p, r->main);
	good(&p);
	assert_int_equal(p.toy.sites.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(p.toy.sites.at[i].names.at[0][0], 'a' + (int)i);
	assert_int_equal(p.toy.workers, 3);
	assert_int_equal(p.toy.memory, 1 << 20);
	begins(r, conf_where(&p.toy.sites.at[0].names), "sites.d/02-a.conf:2");
	begins(r, conf_where(&p.toy.sites.at[2].names), "sites.d/10-b.conf:3");
	begins(r, conf_where(&p.toy.sites.at[3].names), "sites.d/20-d.conf:4");
	begins(r, conf_where(&p.toy.workers), "main.conf:1");
	begins(r, conf_where(&p.toy.fast), "main.conf:2");
	done(&p);
}

static void an_included_file_stands_in_its_place(void **state)
{
	struct room *r = *state;
	struct parsed p;

	file_write(r, "main.conf",
	    "user = \"x\";\nsites = (\n@include \"sites.d/one\"\n,\n { names = [ \"z\" ]; } "
	    ");\nworkers = 3;\n");
	file_write(r, "sites.d/one", "\n{ names = [ \"y\" ]; }\n");
	parse_file(&p, r->main);
	good(&p);
	assert_int_equal(p.toy.sites.n, 2);
	begins(r, conf_where(&p.toy.sites.at[0].names), "sites.d/one:2");
	begins(r, conf_where(&p.toy.sites.at[1].names), "main.conf:5");
	begins(r, conf_where(&p.toy.workers), "main.conf:6");
	done(&p);
}

static void relative_paths_begin_where_their_file_lies(void **state)
{
	struct room *r = *state;
	struct parsed p;
	char *real;

	file_write(r, "main.conf",
	    SITES "keys = [ \"k.pem\", \"/abs.pem\" ]; include_dir = \"sites.d\";\n");
	file_write(r, "sites.d/log.conf", "log = \"log/x\";");
	parse_file(&p, r->main);
	good(&p);
	real = realpath(r->dir, NULL);
	assert_non_null(real);
	assert_int_equal(strncmp(p.toy.keys.at[0], real, strlen(real)), 0);
	assert_string_equal(p.toy.keys.at[0] + strlen(real), "/k.pem");
	assert_string_equal(p.toy.keys.at[1], "/abs.pem");
	assert_string_equal(p.toy.log + strlen(real), "/sites.d/log/x");
	free(real);
	done(&p);
}

static void mistakes_in_included_files_have_their_own_place(void **state)
{
	struct room *r = *state;
	struct parsed p;

	file_write(r, "main.conf", SITES "include_dir = \"sites.d\";\nworker = 3;\n");
	file_write(r, "sites.d/a.conf", "\nmodes = \"tls\";\n");
	file_write(r, "sites.d/b.conf", "user = \"a\";\n");
	file_write(r, "sites.d/c.conf", "fast = true;\n");
	parse_file(&p, r->main);
	assert_int_equal(conf_errors_n(p.errors), 2);
	begins(r, conf_errors_at(p.errors, 0),
	    "sites.d/a.conf:2: unknown setting modes: did you mean mode?");
	begins(r, conf_errors_at(p.errors, 1), "main.conf:3: unknown setting worker");
	done(&p);
	file_write(r, "sites.d/a.conf", "\nsites = ( {\n");
	parse_file(&p, r->main);
	begins(r, conf_errors_at(p.errors, 0), "sites.d/a.conf:2: this { has no end");
	done(&p);
	file_write(r, "sites.d/a.conf", "user = \"b\";");
	parse_file(&p, r->main);
	assert_int_equal(conf_errors_n(p.errors), 1);
	begins(r, conf_errors_at(p.errors, 0), "sites.d/b.conf:1: this is given in two files");
	done(&p);
}

static void files_that_cannot_be_read_say_why(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "\ninclude_dir = \"none.d\";\n", "main.conf:2: include_dir \"" },
		{ "\n@include \"none\"\n", "main.conf:2: " },
		{ "\n@include \"sites.d\"\n", "main.conf:2: " },
		{ "\n@include \"/dev/zero\"\n",
		    "main.conf:2: /dev/zero cannot be read: it is no regular file" },
		{ "\n@include \"main.conf\"\n", "main.conf:2: too many files include each other" },
		{ "\ninclude_dir = ;\n", "main.conf:2: a name in quotes is missing" },
		{ "\n@include\n", "main.conf:2: a name in quotes is missing" },
	};
	struct room *r = *state;
	struct parsed p;
	char path[96];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		file_write(r, "main.conf", cases[i].text);
		parse_file(&p, r->main);
		assert_null(p.text);
		assert_true(conf_errors_n(p.errors) > 0);
		if (i != 3)
			begins(r, conf_errors_at(p.errors, 0), cases[i].message);
		else
			assert_non_null(strstr(conf_errors_at(p.errors, 0), cases[i].message));
		done(&p);
	}
	parse_file(&p, r->dir);
	assert_non_null(strstr(conf_errors_at(p.errors, 0), ": cannot be read: it is a folder"));
	done(&p);
	snprintf(path, sizeof(path), "%s/none.conf", r->dir);
	parse_file(&p, path);
	begins(
	    r, conf_errors_at(p.errors, 0), "none.conf: cannot be read: No such file or directory");
	done(&p);
	snprintf(path, sizeof(path), "%s/fifo", r->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	parse_file(&p, path);
	begins(r, conf_errors_at(p.errors, 0), "fifo: cannot be read: it is no regular file");
	done(&p);
}

static void a_file_beyond_16_mib_is_refused(void **state)
{
	struct room *r = *state;
	struct parsed p;

	file_write(r, "main.conf", "");
	assert_int_equal(truncate(r->main, 17 << 20), 0);
	parse_file(&p, r->main);
	begins(r, conf_errors_at(p.errors, 0),
	    "main.conf: cannot be read: this and the files before it");
	done(&p);
}

static void a_byte_order_mark_is_skipped(void **state)
{
	struct room *r = *state;
	struct parsed p;

	file_write(r, "main.conf", "\xef\xbb\xbf" SITES);
	parse_file(&p, r->main);
	good(&p);
	done(&p);
}

/* What the master read goes to its children as one text. */
static void a_second_process_reports_the_original_places(void **state)
{
	struct room *r = *state;
	struct parsed p, q;
	const char *text;
	size_t len;

	file_write(r, "main.conf",
	    "user = \"x\"; include_dir = \"sites.d\"; workers = 3;\nkeys = [ \"k\" ];\n");
	file_write(r, "sites.d/a \"b\".conf", "sites = (\n { names = [ \"b\" ]; } );");
	file_write(r, "sites.d/c.conf", "sites = (\n { names = [ \"c\" ]; } );");
	parse_file(&p, r->main);
	good(&p);
	text = conf_text_at(p.text, &len);
	q.errors = conf_errors_new();
	parse_text(&q, conf_text_of("memfd", text, len));
	good(&q);
	assert_string_equal(conf_where(&q.toy.user), conf_where(&p.toy.user));
	assert_string_equal(conf_where(&q.toy.workers), conf_where(&p.toy.workers));
	assert_int_equal(q.toy.sites.n, 2);
	begins(r, conf_where(&q.toy.sites.at[0].names), "sites.d/a \"b\".conf:2");
	begins(r, conf_where(&q.toy.sites.at[1].names), "sites.d/c.conf:2");
	assert_string_equal(q.toy.keys.at[0], p.toy.keys.at[0]);
	done(&q);
	/* And by a file, as a service that is started with -c /proc/self/fd/N reads it. */
	{
		char path[128];
		FILE *f;

		snprintf(path, sizeof(path), "%s/copy", r->dir);
		f = fopen(path, "w");
		assert_int_equal(fwrite(text, 1, len, f), len);
		fclose(f);
		parse_file(&q, path);
		good(&q);
		assert_string_equal(conf_where(&q.toy.workers), conf_where(&p.toy.workers));
		assert_string_equal(
		    conf_where(&q.toy.sites.at[1].names), conf_where(&p.toy.sites.at[1].names));
		assert_string_equal(q.toy.keys.at[0], p.toy.keys.at[0]);
		done(&q);
	}
	done(&p);
}

static void a_mark_of_line_0_has_no_line(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, "#@ \"the command line\" 0\n" SITES "user = \"x\";\nworker = 3;\n");
	assert_string_equal(conf_where(&p.toy.user), "the command line");
	assert_string_equal(conf_errors_at(p.errors, 0),
	    "the command line: unknown setting worker: did you mean workers?");
	done(&p);
}

static void ten_thousand_sites_are_read(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct parsed p;

	(void)state;
	fputs("sites = ( { names = [ \"x\" ]; }", f);
	for (int i = 0; i < 10000; i++)
		fprintf(f, ",\n{ names = [ \"n%d\", \"m%d\" ]; routes = ( { path = \"/\"; } ); }",
		    i, i);
	fputs(" );", f);
	fclose(f);
	parse(&p, text);
	good(&p);
	assert_int_equal(p.toy.sites.n, 10001);
	assert_string_equal(conf_where(&p.toy.sites.at[10000].names), "test.conf:10001");
	done(&p);
	free(text);
}

/* ---- printing */

static char *printed(const struct toy *toy, enum conf_form form)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (toy != NULL)
		conf_dump(f, toy_table, TOY_TABLE_N, toy);
	else
		conf_print(f, toy_table, TOY_TABLE_N, form);
	fclose(f);
	return text;
}

static void effective_values_read_back_the_same(void **state)
{
	struct parsed p, q;
	char *text, *again;

	(void)state;
	parse(&p, "user = \"a\\\"b\\\\c$${X} \\x01\"; workers = 7; memory = \"1536K\"; timeouts = "
		  "{ idle = \"90s\"; };\n"
		  "headers = [ \"extra\", \"forwarded\" ]; keys = [ \"/k\" ]; rate = \"60/min\"; "
		  "mode = \"redirect\";\n"
		  "sites = ( { names = [ \"a\", \"b\" ]; routes = ( { path = \"/\"; }, { path = "
		  "\"/x\"; } ); }, { names = [ \"c\" ]; } );\n");
	good(&p);
	text = printed(&p.toy, CONF_HELP);
	parse(&q, text);
	good(&q);
	again = printed(&q.toy, CONF_HELP);
	assert_string_equal(text, again);
	assert_string_equal(p.toy.user, q.toy.user);
	assert_int_equal(q.toy.headers, 5);
	assert_int_equal(q.toy.mode, 1);
	assert_int_equal(q.toy.rate, 1);
	assert_int_equal(q.toy.memory, 1536 << 10);
	assert_non_null(strstr(text, "memory = \"1536K\";\n"));
	assert_non_null(strstr(text, "idle = \"90s\";\n"));
	free(text);
	free(again);
	done(&p);
	done(&q);
}

static void the_sample_parses_once_its_signs_are_gone(void **state)
{
	char *text = printed(NULL, CONF_SAMPLE), *to = text;
	struct parsed p;

	(void)state;
	for (const char *from = text; *from != '\0'; from++) {
		if (*from == '#' && (from == text || from[-1] == '\n'))
			continue;
		*to++ = *from;
	}
	*to = '\0';
	parse(&p, text);
	/* Strings that have no default stand empty in it. */
	for (size_t i = 0; i < conf_errors_n(p.errors); i++)
		assert_non_null(strstr(conf_errors_at(p.errors, i), "is empty"));
	free(text);
	done(&p);
}

static void help_and_man_page_name_every_option(void **state)
{
	char *help = printed(NULL, CONF_HELP), *mdoc = printed(NULL, CONF_MDOC);

	(void)state;
	for (size_t i = 0; i < TOY_TABLE_N; i++) {
		assert_non_null(strstr(help, toy_table[i].path));
		assert_non_null(strstr(mdoc, toy_table[i].path));
		assert_non_null(strstr(mdoc, toy_table[i].help));
	}
	assert_non_null(strstr(help, "one of tls, redirect, plain; default \"tls\""));
	free(help);
	free(mdoc);
}

int main(void)
{
#define IN_ROOM(test) cmocka_unit_test_setup_teardown(test, room_make, room_remove)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(nothing_needs_no_unit),
		cmocka_unit_test(every_type_is_read),
		cmocka_unit_test(pairs_are_read_in_both_forms),
		cmocka_unit_test(an_empty_list_of_words_is_no_word),
		cmocka_unit_test(every_unit_is_known),
		cmocka_unit_test(names_come_from_the_environment),
		cmocka_unit_test(every_field_knows_its_line),
		cmocka_unit_test(a_rejection_names_the_field_or_its_group),
		cmocka_unit_test(two_configurations_live_side_by_side),
		IN_ROOM(a_folder_of_sites_is_read_in_order),
		IN_ROOM(an_included_file_stands_in_its_place),
		IN_ROOM(relative_paths_begin_where_their_file_lies),
		IN_ROOM(mistakes_in_included_files_have_their_own_place),
		IN_ROOM(files_that_cannot_be_read_say_why),
		IN_ROOM(a_file_beyond_16_mib_is_refused),
		IN_ROOM(a_byte_order_mark_is_skipped),
		IN_ROOM(a_second_process_reports_the_original_places),
		cmocka_unit_test(a_mark_of_line_0_has_no_line),
		cmocka_unit_test(ten_thousand_sites_are_read),
		cmocka_unit_test(effective_values_read_back_the_same),
		cmocka_unit_test(the_sample_parses_once_its_signs_are_gone),
		cmocka_unit_test(help_and_man_page_name_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
