/*
 * conf_impl.h: what the files conf*.c share; nobody else includes it.
 *
 * The way of a file: conf_text (read, includes put in place, marks) -> conf_scan (the grammar and
 * its known mistakes) -> libconfig -> conf (table and values; conf_units) -> conf_places (where).
 */
#ifndef BASE_CONF_IMPL_H
#define BASE_CONF_IMPL_H

#include <stdbool.h>

#include "base/conf.h"
#include "base/conf_lex.h"

struct conf_place {
	const char *file; /* borrowed of the text */
	const char *folder; /* relative paths begin here; "": as they are */
	unsigned line; /* 0: the text has no lines worth naming (a command line) */
};

/* ---- conf_errors.c */
void conf_errors_add(struct conf_errors *, const struct conf_place *, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* With the token's line and a caret below it. */
void conf_errors_add_at(struct conf_errors *, const struct conf_text *, const struct conf_lex *,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* ---- conf_text.c */
const char *conf_text_bytes(const struct conf_text *, size_t *len); /* NUL follows */
struct conf_place conf_text_place(const struct conf_text *, unsigned line);

/* Both are bounds of the tables, which are ours, not of files. */
enum { CONF_SCOPE_BYTES = 96, CONF_OPTIONS_MAX = 512 };

/*
 * ---- conf_scan.c: a copy for libconfig, in the heap, with the same lines; NULL: errors say why. A
 * list that several files give is there once for each, as "sites", "sites*2", ...
 */
char *conf_scan(const struct conf_text *, struct conf_errors *);

/* ---- conf_units.c: NULL, or what is wrong and how to mend it. */
const char *conf_duration(const char *s, uint64_t *ms);
const char *conf_size(const char *s, uint64_t *bytes);
const char *conf_rate(const char *s, uint64_t *per_second);
enum { CONF_UNITS_TEXT_BYTES = 32 };
void conf_units_text(enum conf_type, uint64_t, char text[static CONF_UNITS_TEXT_BYTES]);

/* ---- conf_table.c: the table as a tree. A scope is a path with its last sign: "sites[]." */
const char *conf_leaf(const struct conf_option *, const char *scope); /* NULL: not directly in it */
const struct conf_option *conf_find(
    const struct conf_option *, size_t n, const char *scope, const char *name);
size_t conf_field_size(const struct conf_option *);
int conf_value_index(const char *values, const char *word, size_t len); /* -1: not among them */
/* "; did you mean X?" or "" */
const char *conf_suggest(const struct conf_option *, size_t n, const char *scope, const char *name,
    char *buf, size_t size);
const char *conf_suggest_value(const char *values, const char *word, char *buf, size_t size);

/*
 * ---- conf_value.c: one value, as text, into its field. NULL, or the heap's text of what is wrong
 * ("" on the way to it: no memory). folder: where relative paths begin; "": they stay as they are.
 */
char *conf_value_set(const struct conf_option *, const char *text, const char *folder, void *field);
/* A word of FLAGS, a member of STRINGS or PATHS: added. */
char *conf_value_add(const struct conf_option *, const char *text, const char *folder, void *field);
void conf_value_default(const struct conf_option *, void *field);
void conf_value_clear(const struct conf_option *, void *field);
char *conf_value_number(const struct conf_option *, double, uint64_t as_is, void *field);
const char *conf_type_text(const struct conf_option *); /* what must stand there, with an example */

/* ---- conf_places.c: where each field was given, until conf_free(). */
struct conf_places;

struct conf_places *conf_places_new(const void *out, size_t size, const struct conf_place *);
void conf_places_field(struct conf_places *, const void *field, const struct conf_place *);
void conf_places_range(
    struct conf_places *, const void *from, size_t size, const struct conf_place *);
void conf_places_done(struct conf_places *); /* all is told; conf_where() works from here on */
void conf_places_forget(const void *out);

#endif
