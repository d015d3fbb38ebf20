/*
 * conf_value.c: one value of a configuration: ${NAME} from the environment, relative paths, units,
 * words out of a list, ranges.
 */
#include "config.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_impl.h"

#include "base/poison.h"

enum { VALUE_MAX_BYTES = 64 * 1024, SHOWN_MAX = 60 };

static char *wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *expanded(const char *text, char **why);
static char *resolved(const struct conf_option *, char *path, const char *folder);
static char *set_expanded(const struct conf_option *, char *s, const char *folder, void *field);
static char *set_units(const struct conf_option *, const char *s, void *field);
static char *word_wrong(const struct conf_option *, const char *s);
static bool in_range(const struct conf_option *, double);
static char *out_of_range(const struct conf_option *);

char *conf_value_set(const struct conf_option *o, const char *text, const char *folder, void *field)
{
	char *why = NULL, *s = expanded(text, &why);

	return s != NULL ? set_expanded(o, s, folder, field) : why;
}

char *conf_value_add(const struct conf_option *o, const char *text, const char *folder, void *field)
{
	char *why = NULL, *s = expanded(text, &why), **more;
	struct conf_strings *list = field;
	int bit;

	if (s == NULL)
		return why;
	if (o->type == CONF_FLAGS) {
		bit = conf_value_index(o->values, s, strlen(s));
		if (bit == -1)
			why = word_wrong(o, s);
		else
			*(unsigned *)field |= 1u << bit;
		free(s);
		return why;
	}
	if (o->type == CONF_PATHS)
		s = resolved(o, s, folder);
	more = s != NULL ? reallocarray(list->at, list->n + 1, sizeof(*more)) : NULL;
	if (more == NULL) {
		free(s);
		return wrong("out of memory");
	}
	list->at = more;
	list->at[list->n++] = s;
	return NULL;
}

/* A default is ours: what does not fit its own type is a mistake in the table. */
void conf_value_default(const struct conf_option *o, void *field)
{
	char *why = NULL, *text, *rest, *word;

	if (o->def == NULL)
		return;
	if (o->type == CONF_BOOL) {
		*(bool *)field = strcmp(o->def, "true") == 0;
	} else if (o->type == CONF_INTEGER) {
		*(int64_t *)field = strtoll(o->def, NULL, 10);
	} else if (o->type == CONF_FLAGS || o->type == CONF_STRINGS || o->type == CONF_PATHS) {
		text = rest = strdup(o->def);
		while (rest != NULL && why == NULL && (word = strsep(&rest, "|")) != NULL)
			why = conf_value_add(o, word, "", field);
		free(text);
	} else {
		why = conf_value_set(o, o->def, "", field);
	}
	assert(why == NULL);
}

void conf_value_clear(const struct conf_option *o, void *field)
{
	struct conf_strings *list = field;

	if (o->type == CONF_STRING || o->type == CONF_PATH) {
		free(*(char **)field);
		*(char **)field = NULL;
	} else if (o->type == CONF_STRINGS || o->type == CONF_PATHS || o->type == CONF_PAIRS) {
		for (size_t i = 0; i < list->n; i++)
			free(list->at[i]);
		free(list->at);
		*list = (struct conf_strings){ NULL, 0 };
	} else if (o->type == CONF_FLAGS) {
		*(unsigned *)field = 0;
	}
}

char *conf_value_number(const struct conf_option *o, double value, uint64_t as_is, void *field)
{
	if (!in_range(o, value))
		return out_of_range(o);
	memcpy(field, &as_is, sizeof(as_is));
	return NULL;
}

const char *conf_type_text(const struct conf_option *o)
{
	switch (o->type) {
	case CONF_STRING:
		return "a string in quotes";
	case CONF_PATH:
		return "a path in quotes";
	case CONF_BOOL:
		return "true or false";
	case CONF_INTEGER:
		return "a whole number without quotes";
	case CONF_DURATION:
		return "a time with its unit, in quotes (\"20ms\", \"10s\", \"5m\", \"24h\")";
	case CONF_SIZE:
		return "a size with its unit, in quotes (\"64K\", \"512M\", \"2G\")";
	case CONF_RATE:
		return "a rate in quotes (\"5000/s\", \"600/min\")";
	case CONF_ENUM:
		return "a word in quotes";
	case CONF_FLAGS:
		return "a list of words: [ \"a\", \"b\" ]";
	case CONF_STRINGS:
		return "a list of strings: [ \"a\", \"b\" ]";
	case CONF_PATHS:
		return "a list of paths: [ \"a\", \"b\" ]";
	case CONF_PAIRS:
		return "names with a string each: { Name = \"value\"; }, or ( { name = \"Name\"; "
		       "value = \"value\"; } )";
	case CONF_GROUP:
		return "a group: { ... }";
	case CONF_LIST:
		return "a list of groups: ( { ... }, { ... } )";
	}
	return "";
}

static char *wrong(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) == -1)
		text = NULL;
	va_end(ap);
	return text != NULL ? text : strdup("");
}

/* With each ${NAME} replaced; $${ is ${ itself. NULL: *why. */
static char *expanded(const char *text, char **why)
{
	char *out = NULL;
	size_t len = 0;
	FILE *f;

	if (text[0] == '\0') {
		*why = wrong("is empty: give a value, or leave the line out");
		return NULL;
	}
	f = open_memstream(&out, &len);
	while (f != NULL && *why == NULL && *text != '\0') {
		char name[64];
		const char *end, *value;

		if (strncmp(text, "$${", 3) == 0) {
			fputs("${", f);
			text += 3;
			continue;
		}
		if (strncmp(text, "${", 2) != 0) {
			fputc(*text++, f);
			continue;
		}
		end = strchr(text, '}');
		if (end == NULL || (size_t)(end - text) - 2 >= sizeof(name) || end == text + 2) {
			*why = wrong("has ${ without a name and }: write ${NAME}, or $${ for the "
				     "signs themselves");
			break;
		}
		snprintf(name, sizeof(name), "%.*s", (int)(end - text - 2), text + 2);
		value = getenv(name);
		if (value == NULL)
			*why = wrong(
			    "needs ${%s}, which is not in the environment: set it before the start",
			    name);
		else
			fputs(value, f);
		text = end + 1;
	}
	if (f == NULL || fclose(f) != 0) {
		free(*why);
		*why = wrong("out of memory");
	} else if (*why == NULL && (len == 0 || len > VALUE_MAX_BYTES)) {
		*why = wrong(
		    len == 0 ? "is empty: its ${NAME} has no value" : "is longer than 64 KiB");
	}
	if (*why == NULL)
		return out;
	free(out);
	return NULL;
}

/* Takes path over. Words of the option's values, and what begins with one that ends in a colon, are
 * no paths ("stderr", "pkcs11:"). */
static char *resolved(const struct conf_option *o, char *path, const char *folder)
{
	size_t head = strcspn(path, ":");
	char *full = NULL;

	if (path[0] == '/' || folder[0] == '\0' ||
	    conf_value_index(o->values, path, strlen(path)) != -1 ||
	    (path[head] == ':' && conf_value_index(o->values, path, head + 1) != -1))
		return path;
	if (asprintf(&full, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", path) ==
	    -1)
		full = NULL;
	free(path);
	return full;
}

/* Takes s over. */
static char *set_expanded(const struct conf_option *o, char *s, const char *folder, void *field)
{
	char *why = NULL;
	int index;

	if (o->type == CONF_PATH)
		s = resolved(o, s, folder);
	if (s == NULL)
		return wrong("out of memory");
	if (o->type == CONF_STRING || o->type == CONF_PATH) {
		conf_value_clear(o, field);
		*(char **)field = s;
		return NULL;
	}
	if (o->type == CONF_ENUM) {
		index = conf_value_index(o->values, s, strlen(s));
		if (index == -1)
			why = word_wrong(o, s);
		else
			*(int *)field = index;
	} else {
		why = set_units(o, s, field);
	}
	free(s);
	return why;
}

static char *set_units(const struct conf_option *o, const char *s, void *field)
{
	const char *what;
	uint64_t n = 0;

	if (o->type == CONF_DURATION)
		what = conf_duration(s, &n);
	else if (o->type == CONF_SIZE)
		what = conf_size(s, &n);
	else
		what = conf_rate(s, &n);
	if (what != NULL)
		return wrong("cannot be \"%.*s\": %s", SHOWN_MAX, s, what);
	return conf_value_number(o, (double)n, n, field);
}

static char *word_wrong(const struct conf_option *o, const char *s)
{
	char suggestion[64], words[160];
	size_t len = 0;

	for (const char *v = o->values; *v != '\0' && len + 3 < sizeof(words); v++) {
		if (*v == '|') {
			words[len++] = ',';
			words[len++] = ' ';
		} else {
			words[len++] = *v;
		}
	}
	words[len] = '\0';
	conf_suggest_value(o->values, s, suggestion, sizeof(suggestion));
	return wrong("cannot be \"%.*s\" (%s)%s", SHOWN_MAX, s, words, suggestion);
}

static bool in_range(const struct conf_option *o, double value)
{
	/* Max 0: no bound above; min 0: none below but for numbers that cannot be negative anyway. */
	if (o->min == 0 && o->max == 0)
		return true;
	return value >= o->min && (o->max == 0 || value <= o->max);
}

static char *out_of_range(const struct conf_option *o)
{
	char low[CONF_UNITS_TEXT_BYTES], high[CONF_UNITS_TEXT_BYTES];

	if (o->type == CONF_INTEGER) {
		snprintf(low, sizeof(low), "%.0f", o->min);
		snprintf(high, sizeof(high), "%.0f", o->max);
	} else {
		conf_units_text(o->type, (uint64_t)o->min, low);
		conf_units_text(o->type, (uint64_t)o->max, high);
	}
	if (o->max == 0)
		return wrong("is out of range: at least %s", low);
	return wrong("is out of range: %s to %s", low, high);
}
