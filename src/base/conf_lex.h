/*
 * conf_lex.h: the words of a configuration text, as libconfig cuts them. For conf*.c only. It
 * exists because libconfig wraps over-long numbers in silence and says no more than "syntax error".
 */
#ifndef BASE_CONF_LEX_H
#define BASE_CONF_LEX_H

#include <stdbool.h>
#include <stddef.h>

enum conf_token {
	CONF_TOKEN_END,
	CONF_TOKEN_WORD, /* a name, a number, true, or something that should stand in quotes */
	CONF_TOKEN_STRING, /* with its quotes */
	CONF_TOKEN_SIGN, /* one of = : ; , { } ( ) [ ] */
	CONF_TOKEN_MARK, /* a line: #@ "file" line "folder" */
	CONF_TOKEN_INCLUDE, /* a line's beginning: @include "file" */
	CONF_TOKEN_BAD /* a string or comment without an end, a byte that cannot stand in a text */
};

struct conf_lex {
	const char *text, *at, *end; /* borrowed */
	unsigned line; /* of at; the first is 1 */
	enum conf_token token;
	const char *start; /* the token's bytes and line */
	size_t len;
	unsigned start_line;
	const char *why; /* BAD: what, and how to mend it */
};

void conf_lex_init(struct conf_lex *, const char *text, size_t len);
enum conf_token conf_lex_next(struct conf_lex *);
bool conf_lex_is(const struct conf_lex *, char sign); /* the token is that sign */
bool conf_lex_is_name(const struct conf_lex *); /* a WORD that can name a setting */

/* The next quoted string between at and end, unescaped, into the heap; NULL: none, or no memory. */
char *conf_lex_quoted(const char **at, const char *end);

#endif
