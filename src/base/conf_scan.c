/*
 * conf_scan.c: reads the whole text by libconfig's grammar before libconfig does, to say what is
 * wrong with file, line, caret and the fix, to refuse what libconfig would take and change in
 * silence (numbers above 32 bits wrap, strings side by side grow together), and to bound what it
 * gets: depth, members, settings.
 *
 *	settings: { NAME ( = | : ) value [ ; | , ] }
 *	value:    STRING | number | true | false | [ scalars ] | ( values ) | { settings }
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/conf_impl.h"

#include "base/poison.h"

enum { DEPTH_MAX = 16, SETTINGS_MAX = 1024, MEMBERS_MAX = 65536, SHOWN_MAX = 40 };

enum want { WANT_NAME, WANT_EQUALS, WANT_VALUE, WANT_COMMA, WANT_TERMINATOR, WANT_NOTHING };

struct frame {
	char close; /* what ends it: } ) ] or 0 at the top */
	unsigned n; /* settings or members so far */
	struct conf_lex open; /* where it began */
};

struct name { /* of a setting at the top */
	const char *at;
	size_t len;
	unsigned times;
	struct conf_place first;
};

struct scan {
	const struct conf_text *text;
	struct conf_errors *errors;
	struct conf_lex lex;
	enum want want;
	unsigned depth;
	bool after_comma; /* in a list: a member must follow */
	bool again; /* a list that another file gave as well: its value must be a list */
	struct frame frames[DEPTH_MAX + 1];
	struct name *names;
	size_t names_n;
	FILE *out;
	const char *copied; /* of the text, into out */
};

static void step(struct scan *);
static void want_name(struct scan *);
static void want_equals(struct scan *);
static void want_value(struct scan *);
static void want_comma(struct scan *);
static void want_terminator(struct scan *);
static void name_at_top(struct scan *);
static void open_frame(struct scan *, char close);
static void close_frame(struct scan *);
static void value_done(struct scan *);
static bool scalar_check(struct scan *);
static void number_check(struct scan *);
static bool is_number(const struct conf_lex *, bool *whole, bool *is_long);
static bool word_is(const struct conf_lex *, const char *);

#define WRONG(s, ...) conf_errors_add_at((s)->errors, (s)->text, &(s)->lex, __VA_ARGS__)
#define SHOWN(s) ((s)->lex.len < SHOWN_MAX ? (int)(s)->lex.len : SHOWN_MAX), (s)->lex.start

char *conf_scan(const struct conf_text *text, struct conf_errors *errors)
{
	struct scan *s = calloc(1, sizeof(*s));
	struct conf_place top = conf_text_place(text, 1);
	size_t before = conf_errors_n(errors), len, size;
	const char *bytes = conf_text_bytes(text, &len);
	char *copy = NULL;

	if (s != NULL)
		s->names = calloc(SETTINGS_MAX, sizeof(*s->names));
	if (s != NULL && s->names != NULL)
		s->out = open_memstream(&copy, &size);
	if (s == NULL || s->out == NULL) {
		conf_errors_add(errors, &top, "out of memory");
		goto out;
	}
	s->text = text;
	s->errors = errors;
	s->copied = bytes;
	conf_lex_init(&s->lex, bytes, len);
	while (s->want != WANT_NOTHING) {
		if (conf_lex_next(&s->lex) != CONF_TOKEN_MARK)
			step(s);
	}
	fwrite(s->copied, 1, (size_t)(bytes + len - s->copied), s->out);
	/* libconfig's scanner knows a comment only by the end of its line. */
	fputc('\n', s->out);
	if (fclose(s->out) != 0)
		conf_errors_add(errors, &top, "out of memory");
out:
	if (s != NULL)
		free(s->names);
	free(s);
	if (conf_errors_n(errors) == before)
		return copy;
	free(copy);
	return NULL;
}

/*
 * One word. What a human surely meant is told and stepped over, so that one run tells all; after
 * anything else no further word makes sense (WANT_NOTHING).
 */
static void step(struct scan *s)
{
	if (s->lex.token == CONF_TOKEN_BAD) {
		WRONG(s, "%s", s->lex.why);
		s->want = WANT_NOTHING;
		return;
	}
	if (s->lex.token == CONF_TOKEN_INCLUDE) {
		WRONG(s, "@include works in files only, where it begins a line");
		s->want = WANT_NOTHING;
		return;
	}
	if (s->lex.token == CONF_TOKEN_END && s->depth != 0) {
		struct frame *f = &s->frames[s->depth];

		conf_errors_add_at(s->errors, s->text, &f->open,
		    "this %c has no end: close it with %c", *f->open.start, f->close);
		s->want = WANT_NOTHING;
		return;
	}
	switch (s->want) {
	case WANT_NAME:
		want_name(s);
		break;
	case WANT_EQUALS:
		want_equals(s);
		break;
	case WANT_VALUE:
		want_value(s);
		break;
	case WANT_COMMA:
		want_comma(s);
		break;
	case WANT_TERMINATOR:
		want_terminator(s);
		break;
	case WANT_NOTHING:
		break;
	}
}

static void want_name(struct scan *s)
{
	struct frame *f = &s->frames[s->depth];

	if (s->lex.token == CONF_TOKEN_END) {
		s->want = WANT_NOTHING;
	} else if (f->close != 0 && conf_lex_is(&s->lex, f->close)) {
		close_frame(s);
	} else if (conf_lex_is(&s->lex, ';') || conf_lex_is(&s->lex, ',')) {
		WRONG(s, "one %c too many: leave it out", *s->lex.start);
	} else if (conf_lex_is_name(&s->lex) && !word_is(&s->lex, "true") &&
		   !word_is(&s->lex, "false")) {
		if (f->n++ == SETTINGS_MAX) {
			WRONG(s, "more than %d settings in one group", SETTINGS_MAX);
			s->want = WANT_NOTHING;
			return;
		}
		if (s->depth == 0)
			name_at_top(s);
		s->want = WANT_EQUALS;
	} else {
		if (s->depth != 0 && s->lex.token == CONF_TOKEN_SIGN &&
		    strchr(")]", *s->lex.start) != NULL)
			WRONG(s,
			    "%c cannot stand here: the { of line %u is still open: close it with }",
			    *s->lex.start, conf_text_place(s->text, f->open.start_line).line);
		else if (s->lex.token == CONF_TOKEN_SIGN && strchr(")]}", *s->lex.start) != NULL)
			WRONG(s, "%c closes nothing: leave it out", *s->lex.start);
		else if (s->lex.token == CONF_TOKEN_STRING)
			WRONG(s, "a setting must stand here, not a string: several strings make a "
				 "list: [ \"a\", \"b\" ]");
		else
			WRONG(s, "a setting must stand here (name = value;), not %.*s", SHOWN(s));
		s->want = WANT_NOTHING;
	}
}

/* A name that was there before: another file's list goes on, everything else is a mistake. */
static void name_at_top(struct scan *s)
{
	struct conf_place here = conf_text_place(s->text, s->lex.start_line);
	struct name *n = s->names, *end = s->names + s->names_n;

	while (n < end && (n->len != s->lex.len || memcmp(n->at, s->lex.start, n->len) != 0))
		n++;
	s->again = n < end;
	if (n == end) {
		*n = (struct name){ s->lex.start, s->lex.len, 1, here };
		s->names_n++;
		return;
	}
	if (strcmp(here.file, n->first.file) == 0) {
		s->again = false;
		WRONG(s, "%.*s is given twice, first in line %u: leave one out", SHOWN(s),
		    n->first.line);
		return;
	}
	fwrite(s->copied, 1, (size_t)(s->lex.at - s->copied), s->out);
	fprintf(s->out, "*%u", ++n->times);
	s->copied = s->lex.at;
}

static void want_equals(struct scan *s)
{
	if (conf_lex_is(&s->lex, '=') || conf_lex_is(&s->lex, ':')) {
		s->want = WANT_VALUE;
		s->after_comma = false;
		return;
	}
	WRONG(s, "= is missing before this: name = value;");
	s->want = WANT_NOTHING;
}

static void want_value(struct scan *s)
{
	struct frame *f = &s->frames[s->depth];
	bool in_list = f->close == ')' || f->close == ']';

	if (s->again && s->depth == 0 && !conf_lex_is(&s->lex, '('))
		WRONG(s, "this is given in two files: only a list ( ... ) may be");
	s->again = false;
	if (in_list && conf_lex_is(&s->lex, f->close)) {
		if (s->after_comma)
			WRONG(s, "a comma before %c: leave the last comma out", f->close);
		close_frame(s);
		return;
	}
	if (in_list && f->n++ == MEMBERS_MAX) {
		WRONG(s, "more than %d members in one list", MEMBERS_MAX);
		s->want = WANT_NOTHING;
		return;
	}
	if (s->lex.token == CONF_TOKEN_STRING) {
		value_done(s);
	} else if (s->lex.token == CONF_TOKEN_WORD) {
		if (scalar_check(s))
			value_done(s);
	} else if (conf_lex_is(&s->lex, '(') || conf_lex_is(&s->lex, '{') ||
		   conf_lex_is(&s->lex, '[')) {
		if (f->close == ']')
			WRONG(s, "[ ] holds strings and numbers only: write a list of groups as ( "
				 "{ ... }, { ... } )");
		open_frame(s, *s->lex.start == '(' ? ')' : *s->lex.start == '{' ? '}' : ']');
	} else if (conf_lex_is(&s->lex, ';') && !in_list) {
		WRONG(s, "a value is missing before this ;");
		s->want = WANT_NAME;
	} else {
		if (s->lex.token == CONF_TOKEN_END)
			WRONG(s, "the text ends where a value is missing");
		else if (conf_lex_is(&s->lex, ','))
			WRONG(s, "one comma too many: leave it out");
		else
			WRONG(s, "a value must stand here, not %.*s", SHOWN(s));
		s->want = WANT_NOTHING;
	}
}

/* After a member of a list. */
static void want_comma(struct scan *s)
{
	struct frame *f = &s->frames[s->depth];
	bool value = s->lex.token == CONF_TOKEN_STRING || s->lex.token == CONF_TOKEN_WORD ||
		     (s->lex.token == CONF_TOKEN_SIGN && strchr("({[", *s->lex.start) != NULL);

	if (conf_lex_is(&s->lex, f->close)) {
		close_frame(s);
	} else if (conf_lex_is(&s->lex, ',')) {
		s->after_comma = true;
		s->want = WANT_VALUE;
	} else if (value) {
		WRONG(s, "a comma is missing before this");
		want_value(s);
	} else if (conf_lex_is(&s->lex, ';')) {
		WRONG(s,
		    "a ; inside %s: the members of a list are parted by commas, and the last has "
		    "none",
		    f->close == ')' ? "( )" : "[ ]");
		s->after_comma = false;
		s->want = WANT_VALUE;
	} else {
		WRONG(s,
		    "%.*s cannot stand here: the %c of line %u is still open: close it with %c",
		    SHOWN(s), *f->open.start, conf_text_place(s->text, f->open.start_line).line,
		    f->close);
		s->want = WANT_NOTHING;
	}
}

/* After a setting; libconfig does not insist on the semicolon. */
static void want_terminator(struct scan *s)
{
	s->want = WANT_NAME;
	if (!conf_lex_is(&s->lex, ';') && !conf_lex_is(&s->lex, ','))
		want_name(s);
}

static void open_frame(struct scan *s, char close)
{
	struct frame *f;

	if (s->depth == DEPTH_MAX) {
		WRONG(s, "more than %d brackets inside each other", DEPTH_MAX);
		s->want = WANT_NOTHING;
		return;
	}
	f = &s->frames[++s->depth];
	f->close = close;
	f->n = 0;
	f->open = s->lex;
	s->after_comma = false;
	s->want = close == '}' ? WANT_NAME : WANT_VALUE;
}

static void close_frame(struct scan *s)
{
	s->depth--;
	value_done(s);
}

static void value_done(struct scan *s)
{
	char close = s->frames[s->depth].close;

	s->want = close == ')' || close == ']' ? WANT_COMMA : WANT_TERMINATOR;
}

/* A word as a value; false: it is none, and the next word is not to be read as what follows one. */
static bool scalar_check(struct scan *s)
{
	struct conf_lex next = s->lex;
	bool whole, is_long;

	if (word_is(&s->lex, "true") || word_is(&s->lex, "false"))
		return true;
	if (is_number(&s->lex, &whole, &is_long)) {
		if (whole)
			number_check(s);
		return true;
	}
	conf_lex_next(&next);
	if (conf_lex_is_name(&s->lex) && conf_lex_is(&next, '=')) {
		WRONG(s, "a value is missing before %.*s", SHOWN(s));
		s->want = WANT_NOTHING;
		return false;
	}
	if (word_is(&s->lex, "yes") || word_is(&s->lex, "on"))
		WRONG(s, "%.*s is no value: write true", SHOWN(s));
	else if (word_is(&s->lex, "no") || word_is(&s->lex, "off"))
		WRONG(s, "%.*s is no value: write false", SHOWN(s));
	else if (*s->lex.start >= '0' && *s->lex.start <= '9')
		WRONG(s, "%.*s must stand in quotes: \"%.*s\"", SHOWN(s), SHOWN(s));
	else
		WRONG(s,
		    "%.*s is neither a number, true nor false: write strings in quotes: \"%.*s\"",
		    SHOWN(s), SHOWN(s));
	/* An unquoted address (10.0.0.1:80): the part after the colon belongs to it. */
	if (conf_lex_is(&next, ':'))
		s->want = WANT_NOTHING;
	return !conf_lex_is(&next, ':');
}

static void number_check(struct scan *s)
{
	char digits[SHOWN_MAX + 1];
	bool whole, is_long, fits;
	long long n = 0;

	is_number(&s->lex, &whole, &is_long);
	errno = 0;
	fits = s->lex.len < sizeof(digits);
	if (fits) {
		memcpy(digits, s->lex.start, s->lex.len);
		digits[s->lex.len] = '\0';
		/* "0123" is decimal to libconfig. */
		n = strtoll(digits, NULL, strpbrk(digits, "xX") != NULL ? 16 : 10);
	}
	if (!fits || errno == ERANGE || (!is_long && (n > INT_MAX || n < INT_MIN)))
		WRONG(s,
		    "the number %.*s is too large: at most %d; sizes, times and rates have a unit "
		    "and quotes: \"2G\", \"10s\", \"500/s\"",
		    SHOWN(s), INT_MAX);
}

/* As libconfig's scanner has it: [-+]?digits, 0x hex, each with L or LL, or a float. */
static bool is_number(const struct conf_lex *lex, bool *whole, bool *is_long)
{
	const char *at = lex->start, *end = lex->start + lex->len, *from;
	bool dot = false, digit = false;

	*is_long = end - at > 1 && end[-1] == 'L';
	while (*is_long && end - at > 1 && end[-1] == 'L' && lex->start + lex->len - end < 2)
		end--;
	*whole = true;
	if (end - at > 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X')) {
		for (at += 2; at < end; at++) {
			if (strchr("0123456789abcdefABCDEF", *at) == NULL)
				return false;
		}
		return true;
	}
	if (at < end && (*at == '-' || *at == '+'))
		at++;
	for (; at < end && ((*at >= '0' && *at <= '9') || (*at == '.' && !dot)); at++) {
		digit |= *at != '.';
		dot |= *at == '.';
	}
	*whole = !dot && at == end;
	if (!digit || *whole)
		return digit;
	if (*is_long)
		return false;
	if (at < end && (*at == 'e' || *at == 'E')) {
		at++;
		if (at < end && (*at == '-' || *at == '+'))
			at++;
		for (from = at; at < end && *at >= '0' && *at <= '9';)
			at++;
		return at == end && at > from;
	}
	return at == end;
}

static bool word_is(const struct conf_lex *lex, const char *word)
{
	return lex->token == CONF_TOKEN_WORD && lex->len == strlen(word) &&
	       strncasecmp(lex->start, word, lex->len) == 0;
}
