/*
 * conf_print.c: a table written out: the help on the terminal, the man page's list, a sample, and
 * the effective values as a file (-T), which reads back to the same struct.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/conf_impl.h"

#include "base/poison.h"

struct printer {
	FILE *f;
	const struct conf_option *table;
	size_t n;
	const char *lead; /* opens each line: "#" in a sample */
};

static void help(const struct printer *);
static void mdoc(const struct printer *);
static void sample(const struct printer *, const char *scope, int indent);
static void dump(const struct printer *, const char *scope, const char *base, int indent);
static void type_write(FILE *, const struct conf_option *);
static void value_write(FILE *, const struct conf_option *, const void *field);
static void default_write(FILE *, const struct conf_option *);
static void words_write(FILE *, const char *values, const char *between);
static void quoted_write(FILE *, const char *);
static void scope_write(const struct conf_option *, char scope[static CONF_SCOPE_BYTES]);

void conf_print(FILE *f, const struct conf_option *table, size_t n, enum conf_form form)
{
	struct printer p = { f, table, n, "" };

	switch (form) {
	case CONF_HELP:
		help(&p);
		break;
	case CONF_MDOC:
		mdoc(&p);
		break;
	case CONF_SAMPLE:
		p.lead = "#";
		sample(&p, "", 0);
		break;
	}
}

void conf_dump(FILE *f, const struct conf_option *table, size_t n, const void *out)
{
	struct printer p = { f, table, n, "" };

	dump(&p, "", out, 0);
}

static void help(const struct printer *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct conf_option *o = &p->table[i];

		fprintf(p->f, "%s\n    %s\n    ", o->path, o->help);
		type_write(p->f, o);
		fputs(o->required ? "; required\n" : "\n", p->f);
	}
}

/* A line of text for mdoc(7): a backslash is an escape, a dot or an apostrophe in front a request. */
static void mdoc_write(FILE *f, const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", f);
	for (; *s != '\0'; s++) {
		if (*s == '\\')
			fputs("\\e", f);
		else
			fputc(*s, f);
	}
}

static void mdoc(const struct printer *p)
{
	fputs(".Bl -tag -width Ds\n", p->f);
	for (size_t i = 0; i < p->n; i++) {
		const struct conf_option *o = &p->table[i];
		char *text = NULL;
		size_t len;
		FILE *f = open_memstream(&text, &len);

		if (f == NULL)
			return;
		type_write(f, o);
		fclose(f);
		fprintf(p->f, ".It Ic %s\n", o->path);
		mdoc_write(p->f, o->help);
		fputs(".\n.br\nTakes ", p->f);
		mdoc_write(p->f, text);
		fprintf(p->f, "%s.\n", o->required ? "; required" : "");
		free(text);
	}
	fputs(".El\n", p->f);
}

static void line_begin(const struct printer *p, int indent)
{
	fprintf(p->f, "%s%*s", p->lead, indent, "");
}

static void sample(const struct printer *p, const char *scope, int indent)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct conf_option *o = &p->table[i];
		const char *leaf = conf_leaf(o, scope);
		char inner[CONF_SCOPE_BYTES];

		if (leaf == NULL)
			continue;
		line_begin(p, indent);
		fprintf(p->f, "# %s\n", o->help);
		line_begin(p, indent);
		fprintf(p->f, "%.*s = ", (int)strcspn(leaf, "["), leaf);
		if (o->type != CONF_LIST && o->type != CONF_GROUP) {
			default_write(p->f, o);
			fputs(";\n", p->f);
			continue;
		}
		fputs(o->type == CONF_LIST ? "( {\n" : "{\n", p->f);
		scope_write(o, inner);
		sample(p, inner, indent + 4);
		line_begin(p, indent);
		fputs(o->type == CONF_LIST ? "} );\n" : "};\n", p->f);
	}
}

/* A string or list that was not given stays unsaid. */
static bool is_unset(const struct conf_option *o, const void *field)
{
	if (o->type == CONF_STRING || o->type == CONF_PATH)
		return *(char *const *)field == NULL;
	/* No empty list of words: with a default it would be the default, without one it is nothing. */
	if (o->type == CONF_STRINGS || o->type == CONF_PATHS || o->type == CONF_PAIRS ||
	    o->type == CONF_LIST)
		return ((const struct conf_strings *)field)->n == 0;
	return false;
}

static void dump(const struct printer *p, const char *scope, const char *base, int indent)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct conf_option *o = &p->table[i];
		const char *leaf = conf_leaf(o, scope), *field = base + o->at;
		const struct conf_strings *list = (const struct conf_strings *)(const void *)field;
		char inner[CONF_SCOPE_BYTES];

		if (leaf == NULL || is_unset(o, field))
			continue;
		fprintf(p->f, "%*s%.*s = ", indent, "", (int)strcspn(leaf, "["), leaf);
		if (o->type == CONF_GROUP) {
			scope_write(o, inner);
			fputs("{\n", p->f);
			dump(p, inner, base, indent + 4);
			fprintf(p->f, "%*s};\n", indent, "");
		} else if (o->type == CONF_LIST) {
			scope_write(o, inner);
			for (size_t j = 0; j < list->n; j++) {
				fputs(j == 0 ? "( {\n" : ", {\n", p->f);
				dump(p, inner, (const char *)list->at + j * o->size, indent + 4);
				fprintf(p->f, "%*s}", indent, "");
			}
			fputs(" );\n", p->f);
		} else {
			value_write(p->f, o, field);
			fputs(";\n", p->f);
		}
	}
}

/* "a time (20ms, 10s); default 75s" */
static void type_write(FILE *f, const struct conf_option *o)
{
	if (o->type == CONF_ENUM || o->type == CONF_FLAGS) {
		fputs(o->type == CONF_ENUM ? "one of " : "a list of ", f);
		words_write(f, o->values, ", ");
	} else {
		fputs(conf_type_text(o), f);
	}
	if (o->def != NULL) {
		fputs("; default ", f);
		default_write(f, o);
	}
}

static void default_write(FILE *f, const struct conf_option *o)
{
	switch (o->type) {
	case CONF_BOOL:
	case CONF_INTEGER:
		fputs(o->def != NULL ? o->def : "0", f);
		break;
	case CONF_FLAGS:
	case CONF_STRINGS:
	case CONF_PATHS:
		fputs(o->def != NULL ? "[ \"" : "[ ", f);
		words_write(f, o->def, "\", \"");
		fputs(o->def != NULL ? "\" ]" : "]", f);
		break;
	case CONF_PAIRS:
		fputs("{ }", f);
		break;
	default:
		quoted_write(f, o->def != NULL ? o->def : "");
		break;
	}
}

static void value_write(FILE *f, const struct conf_option *o, const void *field)
{
	const struct conf_strings *list = field;
	char text[CONF_UNITS_TEXT_BYTES];
	const char *v = o->values;
	bool first = true;

	switch (o->type) {
	case CONF_STRING:
	case CONF_PATH:
		quoted_write(f, *(char *const *)field);
		break;
	case CONF_BOOL:
		fputs(*(const bool *)field ? "true" : "false", f);
		break;
	case CONF_INTEGER:
		fprintf(f, "%lld", (long long)*(const int64_t *)field);
		break;
	case CONF_DURATION:
	case CONF_SIZE:
	case CONF_RATE:
		conf_units_text(o->type, *(const uint64_t *)field, text);
		quoted_write(f, text);
		break;
	case CONF_ENUM:
		for (int i = *(const int *)field; i > 0; i--)
			v += strcspn(v, "|") + 1;
		fprintf(f, "\"%.*s\"", (int)strcspn(v, "|"), v);
		break;
	case CONF_FLAGS:
		fputs("[ ", f);
		for (unsigned bits = *(const unsigned *)field; bits != 0; bits >>= 1) {
			if (bits & 1) {
				fprintf(
				    f, "%s\"%.*s\"", first ? "" : ", ", (int)strcspn(v, "|"), v);
				first = false;
			}
			v += strcspn(v, "|") + (bits > 1);
		}
		fputs(" ]", f);
		break;
	case CONF_STRINGS:
	case CONF_PATHS:
		for (size_t i = 0; i < list->n; i++) {
			fputs(i == 0 ? "[ " : ", ", f);
			quoted_write(f, list->at[i]);
		}
		fputs(" ]", f);
		break;
	case CONF_PAIRS:
		for (size_t i = 0; i + 1 < list->n; i += 2) {
			fputs(i == 0 ? "( { name = " : ", { name = ", f);
			quoted_write(f, list->at[i]);
			fputs("; value = ", f);
			quoted_write(f, list->at[i + 1]);
			fputs("; }", f);
		}
		fputs(" )", f);
		break;
	case CONF_GROUP:
	case CONF_LIST:
		break;
	}
}

static void words_write(FILE *f, const char *values, const char *between)
{
	for (; values != NULL && *values != '\0'; values++) {
		if (*values == '|')
			fputs(between, f);
		else
			fputc(*values, f);
	}
}

/* So that reading gives the same: ${ would come from the environment, a backslash escapes. */
static void quoted_write(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '$' && s[1] == '{')
			fputc('$', f);
		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(f, "\\x%02x", c);
		else
			fputc(c, f);
	}
	fputc('"', f);
}

static void scope_write(const struct conf_option *o, char scope[static CONF_SCOPE_BYTES])
{
	snprintf(scope, CONF_SCOPE_BYTES, "%s.", o->path);
}
