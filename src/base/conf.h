/*
 * conf.h: the front over libconfig. One table of options is parser, --help-config, man page and
 * sample. Only conf.c includes libconfig.
 *
 * At the top of a file, include_dir = "sites.d"; puts all *.conf of that folder in its place, in
 * order of name; a list of groups that several files give is one list. @include "file" works at the
 * beginning of a line.
 *
 * Paths: "user", "timeouts.idle", "sites[].names", "sites[].routes[].path". A path that ends in
 * [] is a list of groups (CONF_LIST): at is the offset of { T *at; size_t n; } in the parent, size
 * is sizeof(T), and the list's members have offsets within T. Members of a group that is no list
 * ("timeouts.idle") have offsets within the same struct as the group itself.
 *
 * Fields by type:  STRING, PATH char * (heap; NULL: not given)   BOOL bool   INTEGER int64_t
 *   DURATION uint64_t ms ("20ms", "10s", "5m", "24h", "7d")   SIZE uint64_t bytes ("64K", "512M", "2G")
 *   RATE uint64_t per second ("5000/s", "600/min" is 10)       ENUM int (index in values, "a|b|c")
 *   STRINGS, PATHS struct conf_strings                           FLAGS unsigned, bit = index in values
 *   PAIRS struct conf_strings: name, value, name, value. Written { Name = "value"; } or, for names that
 *   a file cannot hold so, ( { name = "Name"; value = "value"; } )
 * Relative PATHs are taken from the folder of the file that names them, but for the words in values
 * ("stderr|pkcs11:"; one that ends in a colon is a prefix). "${NAME}" in a string comes from the
 * environment; unset is an error; "$${" is "${". A string is never empty.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum conf_type {
	CONF_STRING,
	CONF_PATH,
	CONF_BOOL,
	CONF_INTEGER,
	CONF_DURATION,
	CONF_SIZE,
	CONF_RATE,
	CONF_ENUM,
	CONF_FLAGS,
	CONF_STRINGS,
	CONF_PATHS,
	CONF_PAIRS,
	CONF_GROUP,
	CONF_LIST
};
enum conf_form { CONF_HELP, CONF_MDOC, CONF_SAMPLE };

struct conf_strings {
	char **at;
	size_t n;
};

struct conf_option {
	const char *path;
	enum conf_type type;
	const char *values; /* ENUM, FLAGS: "none|optional|require" */
	const char
	    *def; /* as written in a file, without quotes; FLAGS, STRINGS: "a|b"; NULL: none */
	const char *help; /* one line */
	double min, max; /* numbers, members of a LIST; both 0: any; max 0: no bound above */
	size_t at; /* offset of the field in its struct */
	size_t size; /* CONF_LIST: sizeof one member */
	int required;
};

/* What is wrong, all of it: "FILE:LINE: what: how to mend" a line each. */
struct conf_errors;

struct conf_errors *conf_errors_new(void);
void conf_errors_free(struct conf_errors *);
size_t conf_errors_n(const struct conf_errors *);
const char *conf_errors_at(
    const struct conf_errors *, size_t); /* one or more lines, no trailing newline */
void conf_errors_print(const struct conf_errors *, FILE *);

/* The file's whole text with include_dir and @include in place, for another process to parse. */
struct conf_text;

struct conf_text *conf_text_read(const char *file, struct conf_errors *); /* NULL: errors say why */
struct conf_text *conf_text_of(const char *name, const char *text,
    size_t len); /* copied; name stands in messages; NULL: no memory */
void conf_text_free(struct conf_text *);
/* Whole, includes in place. Bears its own file:line marks, so that conf_text_of() of it reports the
 * original places. Borrowed. */
const char *conf_text_at(const struct conf_text *, size_t *len);

/* Fills out (zeroed by the caller) with defaults, then the text's values. 0, or -1 with errors: then
 * out holds what could be read. conf_free() is due either way; a second conf_parse() needs it first. */
int conf_parse(const struct conf_text *, const struct conf_option *, size_t n, void *out,
    struct conf_errors *) __attribute__((warn_unused_result));
void conf_free(const struct conf_option *, size_t n,
    void *out); /* what conf_parse allocated; out itself stays */

/* Cross-checks made by the owner of the table: names the line where that field (its address within
 * out) was given, or its group's line where it was not. Works between conf_parse and conf_free. */
void conf_reject(struct conf_errors *, const void *field, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Where that field was given, "FILE:LINE" (borrowed; lives as long as out); NULL: by default. */
const char *conf_where(const void *field);

void conf_print(FILE *, const struct conf_option *, size_t n, enum conf_form);
void conf_dump(FILE *, const struct conf_option *, size_t n,
    const void *out); /* -T: effective values as a file */

#endif
