/*
 * conf_lex.c: cuts a configuration text into words. It must see strings, comments and lines as
 * libconfig's scanner does, for what it finds decides what libconfig gets to read.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/conf_lex.h"

#include "base/poison.h"

static bool skip_space(struct conf_lex *);
static bool skip_comment(struct conf_lex *);
static void string(struct conf_lex *);
static void word(struct conf_lex *);
static enum conf_token bad(struct conf_lex *, const char *why);
static bool at_word(const struct conf_lex *, const char *what);
static bool is_sign(char c);

void conf_lex_init(struct conf_lex *lex, const char *text, size_t len)
{
	memset(lex, 0, sizeof(*lex));
	lex->text = lex->at = lex->start = text;
	lex->end = text + len;
	lex->line = lex->start_line = 1;
}

enum conf_token conf_lex_next(struct conf_lex *lex)
{
	if (!skip_space(lex))
		return lex->token; /* a mark, or a comment without an end */
	lex->start = lex->at;
	lex->start_line = lex->line;
	if (lex->at == lex->end)
		lex->token = CONF_TOKEN_END;
	else if (*lex->at == '"')
		string(lex);
	else if (is_sign(*lex->at))
		lex->token = CONF_TOKEN_SIGN, lex->at++;
	else if (at_word(lex, "@include"))
		lex->token = CONF_TOKEN_INCLUDE, lex->at += strlen("@include");
	else
		word(lex);
	lex->len = (size_t)(lex->at - lex->start);
	return lex->token;
}

bool conf_lex_is(const struct conf_lex *lex, char sign)
{
	return lex->token == CONF_TOKEN_SIGN && *lex->start == sign;
}

bool conf_lex_is_name(const struct conf_lex *lex)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	if (lex->token != CONF_TOKEN_WORD ||
	    memchr(letters, *lex->start, sizeof(letters) - 1) == NULL)
		return false;
	for (size_t i = 1; i < lex->len; i++) {
		char c = lex->start[i];

		if (memchr(letters, c, sizeof(letters) - 1) == NULL && (c < '0' || c > '9') &&
		    c != '-' && c != '_' && c != '*')
			return false;
	}
	return true;
}

char *conf_lex_quoted(const char **at, const char *end)
{
	const char *from = memchr(*at, '"', (size_t)(end - *at));
	char *s, *to;

	if (from == NULL)
		return NULL;
	from++;
	to = s = malloc((size_t)(end - from) + 1);
	if (s == NULL)
		return NULL;
	while (from < end && *from != '"') {
		if (*from == '\\' && from + 1 < end)
			from++;
		*to++ = *from++;
	}
	*to = '\0';
	if (from == end) {
		free(s);
		return NULL;
	}
	*at = from + 1;
	return s;
}

/* To the next word; false: a mark or something bad came first. */
static bool skip_space(struct conf_lex *lex)
{
	while (lex->at < lex->end) {
		const char *at = lex->at;

		if (*at == '\n') {
			lex->line++;
			lex->at++;
		} else if (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\f') {
			lex->at++;
		} else if (*at == '#' || at_word(lex, "//") || at_word(lex, "/*")) {
			if (!skip_comment(lex))
				return false;
		} else {
			return true;
		}
	}
	return true;
}

static bool skip_comment(struct conf_lex *lex)
{
	bool mark = at_word(lex, "#@ \"") && (lex->at == lex->text || lex->at[-1] == '\n');
	size_t left = (size_t)(lex->end - lex->at);

	lex->start = lex->at;
	lex->start_line = lex->line;
	if (at_word(lex, "/*")) {
		for (lex->at += 2; lex->at < lex->end && !at_word(lex, "*/"); lex->at++)
			lex->line += *lex->at == '\n';
		if (lex->at < lex->end) {
			lex->at += 2;
			return true;
		}
		bad(lex, "a comment begins here and has no end: close it with */");
		return false;
	}
	lex->at = memchr(lex->at, '\n', left);
	if (lex->at == NULL)
		lex->at = lex->end;
	lex->len = (size_t)(lex->at - lex->start);
	if (mark)
		lex->token = CONF_TOKEN_MARK;
	return !mark;
}

static void string(struct conf_lex *lex)
{
	for (lex->at++; lex->at < lex->end && *lex->at != '"'; lex->at++) {
		const char *at = lex->at;

		if (*at == '\n')
			lex->line++;
		if (*at != '\\' || at + 1 == lex->end)
			continue;
		if (at_word(lex, "\\x00")) {
			bad(lex, "a string cannot hold \\x00: leave it out");
			return;
		}
		lex->at++;
		lex->line += *lex->at == '\n';
	}
	if (lex->at == lex->end) {
		bad(lex, "a string begins here and has no end: close it with \"");
		return;
	}
	lex->at++;
	lex->token = CONF_TOKEN_STRING;
}

static void word(struct conf_lex *lex)
{
	while (lex->at < lex->end && !is_sign(*lex->at) &&
	       strchr(" \t\r\f\n\"#", *lex->at) == NULL && !at_word(lex, "//") &&
	       !at_word(lex, "/*"))
		lex->at++;
	/* strchr() above finds NUL as well: what cannot stand in a text ends the word. */
	if (lex->at == lex->start) {
		bad(lex, "a NUL byte: this is no text file, or a damaged one");
		return;
	}
	lex->token = CONF_TOKEN_WORD;
}

/* Nothing can be cut after it. */
static enum conf_token bad(struct conf_lex *lex, const char *why)
{
	lex->why = why;
	lex->at = lex->end;
	lex->len = (size_t)(lex->end - lex->start);
	return lex->token = CONF_TOKEN_BAD;
}

static bool at_word(const struct conf_lex *lex, const char *what)
{
	size_t len = strlen(what);

	return (size_t)(lex->end - lex->at) >= len && memcmp(lex->at, what, len) == 0;
}

static bool is_sign(char c)
{
	return c != '\0' && strchr("=:;,{}()[]", c) != NULL;
}
