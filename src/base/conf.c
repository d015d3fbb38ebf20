/*
 * conf.c: a text and a table make a filled struct. The only file that includes libconfig, which
 * gets what conf_scan() has let pass.
 *
 * Errors do not stop it: every setting is read, and all that is wrong is told at once.
 */
#include <assert.h>
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_impl.h"

#include "base/poison.h"

struct parser {
	const struct conf_text *text;
	const struct conf_option *table;
	size_t n;
	struct conf_errors *errors;
	struct conf_places *places;
};

struct list { /* every CONF_LIST's field: { T *at; size_t n; } */
	char *at;
	size_t n;
};

static void defaults(const struct parser *, const char *scope, char *base);
static void parse_group(const struct parser *, const config_setting_t *, const char *scope,
    char *base, const struct conf_place *);
static void parse_setting(
    const struct parser *, const struct conf_option *, const config_setting_t *, char *base);
static void parse_list(const struct parser *, const struct conf_option *, const config_setting_t *,
    char *base, const struct conf_place *);
static void parse_members(
    const struct parser *, const struct conf_option *, const config_setting_t *, struct list *);
static void parse_inner(const struct parser *, const struct conf_option *, const config_setting_t *,
    char *base, const struct conf_place *);
static void parse_words(const struct parser *, const struct conf_option *, const config_setting_t *,
    void *field, const struct conf_place *);
static void parse_pairs(const struct parser *, const struct conf_option *, const config_setting_t *,
    void *field, const struct conf_place *);
static void parse_scalar(const struct parser *, const struct conf_option *,
    const config_setting_t *, void *field, const struct conf_place *);
static void unknown(const struct parser *, const char *scope, const char *name, size_t len,
    const struct conf_place *);
static void not_read(const struct parser *, const config_t *);
static void scope_of(const struct conf_option *, char scope[static CONF_SCOPE_BYTES]);
static struct conf_place place_of(const struct parser *, const config_setting_t *);
static size_t name_len(const config_setting_t *);
static size_t base_size(const struct parser *, const char *scope, size_t *from);
static void clear(const struct conf_option *, size_t n, const char *scope, char *base);

int conf_parse(const struct conf_text *text, const struct conf_option *table, size_t n, void *out,
    struct conf_errors *errors)
{
	struct parser p = { text, table, n, errors, NULL };
	struct conf_place top = conf_text_place(text, 1);
	size_t before = conf_errors_n(errors), from;
	char *copy = conf_scan(text, errors);
	config_t config;

	assert(n <= CONF_OPTIONS_MAX);
	p.places = conf_places_new(out, base_size(&p, "", &from), &top);
	if (p.places == NULL)
		conf_errors_add(errors, &top, "out of memory");
	defaults(&p, "", out);
	if (copy != NULL && p.places != NULL) {
		config_init(&config);
		if (config_read_string(&config, copy) == CONFIG_TRUE)
			parse_group(&p, config_root_setting(&config), "", out, &top);
		else
			not_read(&p, &config);
		config_destroy(&config);
		conf_places_done(p.places);
	}
	free(copy);
	return conf_errors_n(errors) == before ? 0 : -1;
}

void conf_free(const struct conf_option *table, size_t n, void *out)
{
	clear(table, n, "", out);
	conf_places_forget(out);
}

static void defaults(const struct parser *p, const char *scope, char *base)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct conf_option *o = &p->table[i];
		char inner[CONF_SCOPE_BYTES];

		if (conf_leaf(o, scope) == NULL)
			continue;
		conf_value_default(o, base + o->at);
		if (o->type == CONF_GROUP) {
			scope_of(o, inner);
			defaults(p, inner, base);
		}
	}
}

/* The settings of one group, whose fields lie in the struct at base. */
static void parse_group(const struct parser *p, const config_setting_t *group, const char *scope,
    char *base, const struct conf_place *place)
{
	bool given[CONF_OPTIONS_MAX] = { false };

	for (int i = 0; i < config_setting_length(group); i++) {
		config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		struct conf_place here = place_of(p, s);
		const struct conf_option *o;
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)name_len(s), config_setting_name(s));
		o = conf_find(p->table, p->n, scope, name);
		if (o == NULL) {
			unknown(p, scope, config_setting_name(s), name_len(s), &here);
		} else if (!given[o -
				  p->table]) { /* else a list's next part, read with the first */
			given[o - p->table] = true;
			parse_setting(p, o, s, base);
		}
	}
	for (size_t i = 0; i < p->n; i++) {
		const char *leaf = conf_leaf(&p->table[i], scope);

		if (leaf != NULL && p->table[i].required && !given[i])
			conf_errors_add(p->errors, place, "%s%.*s is missing: %s", scope,
			    (int)strcspn(leaf, "["), leaf, p->table[i].help);
	}
}

static void parse_setting(
    const struct parser *p, const struct conf_option *o, const config_setting_t *s, char *base)
{
	struct conf_place place = place_of(p, s);

	switch (o->type) {
	case CONF_LIST:
		parse_list(p, o, s, base, &place);
		break;
	case CONF_GROUP:
		parse_inner(p, o, s, base, &place);
		break;
	case CONF_FLAGS:
	case CONF_STRINGS:
	case CONF_PATHS:
		conf_places_field(p->places, base + o->at, &place);
		parse_words(p, o, s, base + o->at, &place);
		break;
	case CONF_PAIRS:
		conf_places_field(p->places, base + o->at, &place);
		parse_pairs(p, o, s, base + o->at, &place);
		break;
	default:
		conf_places_field(p->places, base + o->at, &place);
		parse_scalar(p, o, s, base + o->at, &place);
		break;
	}
}

static const char *leaf_of(const struct conf_option *o)
{
	const char *dot = strrchr(o->path, '.');

	return dot != NULL ? dot + 1 : o->path;
}

static void wrong_type(
    const struct parser *p, const struct conf_option *o, const struct conf_place *place)
{
	const char *leaf = leaf_of(o);

	conf_errors_add(
	    p->errors, place, "%.*s must be %s", (int)strcspn(leaf, "["), leaf, conf_type_text(o));
}

/*
 * Runs through the parts of a list, of which there are several when several files gave one each;
 * NULL: no more. They stand in one group, after the first.
 */
static const config_setting_t *part(const config_setting_t *first, int *i)
{
	const config_setting_t *parent = config_setting_parent(first);
	size_t len = name_len(first);

	while (*i < config_setting_length(parent)) {
		const config_setting_t *s = config_setting_get_elem(parent, (unsigned)(*i)++);

		if (name_len(s) == len &&
		    memcmp(config_setting_name(s), config_setting_name(first), len) == 0)
			return s;
	}
	return NULL;
}

static void parse_list(const struct parser *p, const struct conf_option *o,
    const config_setting_t *first, char *base, const struct conf_place *place)
{
	struct list *list = (struct list *)(void *)(base + o->at);
	const char *leaf = leaf_of(o);
	const config_setting_t *s;
	size_t room = 0, before = conf_errors_n(p->errors);

	conf_places_field(p->places, list, place);
	for (int i = config_setting_index(first); (s = part(first, &i)) != NULL;)
		room += config_setting_is_list(s) ? (size_t)config_setting_length(s) : 0;
	/* In one piece: members whose places are known must not move. */
	if (room != 0 && (list->at = calloc(room, o->size)) == NULL) {
		conf_errors_add(p->errors, place, "out of memory");
		return;
	}
	for (int i = config_setting_index(first); (s = part(first, &i)) != NULL;)
		parse_members(p, o, s, list);
	if (room == 0 && conf_errors_n(p->errors) != before)
		return; /* it was no list at all */
	if ((double)room < o->min || (o->max != 0 && (double)room > o->max))
		conf_errors_add(p->errors, place, "%.*s %s: %s", (int)strcspn(leaf, "["), leaf,
		    room == 0 ? "is empty" : "has too few or too many members", o->help);
}

static void parse_members(const struct parser *p, const struct conf_option *o,
    const config_setting_t *s, struct list *list)
{
	struct conf_place place = place_of(p, s);
	char scope[CONF_SCOPE_BYTES];

	scope_of(o, scope);
	/* [ ] is an empty list as well. */
	if (!config_setting_is_list(s) &&
	    (!config_setting_is_array(s) || config_setting_length(s) != 0)) {
		wrong_type(p, o, &place);
		return;
	}
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *member = config_setting_get_elem(s, (unsigned)i);
		char *at = list->at + list->n * o->size;

		place = place_of(p, member);
		if (!config_setting_is_group(member)) {
			wrong_type(p, o, &place);
			continue;
		}
		list->n++;
		conf_places_range(p->places, at, o->size, &place);
		defaults(p, scope, at);
		parse_group(p, member, scope, at, &place);
	}
}

static void parse_inner(const struct parser *p, const struct conf_option *o,
    const config_setting_t *s, char *base, const struct conf_place *place)
{
	char scope[CONF_SCOPE_BYTES];
	size_t from, size;

	if (!config_setting_is_group(s)) {
		wrong_type(p, o, place);
		return;
	}
	scope_of(o, scope);
	size = base_size(p, scope, &from);
	conf_places_range(p->places, base + from, size - from, place);
	parse_group(p, s, scope, base, place);
}

static void told(
    const struct parser *p, const struct conf_option *o, const struct conf_place *place, char *why)
{
	if (why == NULL)
		return;
	conf_errors_add(p->errors, place, "%s %s", leaf_of(o), why);
	free(why);
}

static void parse_words(const struct parser *p, const struct conf_option *o,
    const config_setting_t *s, void *field, const struct conf_place *place)
{
	const struct conf_strings *list = field;
	bool strings = o->type != CONF_FLAGS;

	if (!config_setting_is_array(s) && !config_setting_is_list(s)) {
		wrong_type(p, o, place);
		return;
	}
	conf_value_clear(o, field);
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *member = config_setting_get_elem(s, (unsigned)i);
		struct conf_place here = place_of(p, member);

		if (config_setting_type(member) != CONFIG_TYPE_STRING)
			wrong_type(p, o, &here);
		else
			told(p, o, &here,
			    conf_value_add(
				o, config_setting_get_string(member), here.folder, field));
	}
	/* Only now: adding moves the members. Those that were refused are not there. */
	for (size_t i = 0, j = 0; strings && i < list->n && j < (size_t)config_setting_length(s);
	     j++) {
		const config_setting_t *member = config_setting_get_elem(s, (unsigned)j);
		struct conf_place here = place_of(p, member);

		conf_places_field(p->places, &list->at[i++], &here);
	}
}

/* One name and its value. */
static void parse_pair(const struct parser *p, const struct conf_option *o, const char *name,
    const config_setting_t *value, const struct conf_place *place, void *field)
{
	struct conf_strings *list = field;
	size_t before = list->n;

	if (name == NULL || value == NULL || config_setting_type(value) != CONFIG_TYPE_STRING) {
		wrong_type(p, o, place);
		return;
	}
	told(p, o, place, conf_value_add(o, name, place->folder, field));
	if (list->n == before + 1)
		told(p, o, place,
		    conf_value_add(o, config_setting_get_string(value), place->folder, field));
	if (list->n == before + 1)
		free(list->at[--list->n]);
}

static void parse_pairs(const struct parser *p, const struct conf_option *o,
    const config_setting_t *s, void *field, const struct conf_place *place)
{
	bool group = config_setting_is_group(s);

	if (!group && !config_setting_is_list(s)) {
		wrong_type(p, o, place);
		return;
	}
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *member = config_setting_get_elem(s, (unsigned)i);
		struct conf_place here = place_of(p, member);
		const char *name = NULL;

		if (group) {
			parse_pair(p, o, config_setting_name(member), member, &here, field);
			continue;
		}
		if (!config_setting_is_group(member) || config_setting_length(member) != 2 ||
		    config_setting_lookup_string(member, "name", &name) != CONFIG_TRUE)
			name = NULL;
		parse_pair(p, o, name,
		    name != NULL ? config_setting_get_member(member, "value") : NULL, &here, field);
	}
}

static void parse_scalar(const struct parser *p, const struct conf_option *o,
    const config_setting_t *s, void *field, const struct conf_place *place)
{
	int type = config_setting_type(s);
	int64_t n;

	if (o->type == CONF_BOOL && type == CONFIG_TYPE_BOOL) {
		*(bool *)field = config_setting_get_bool(s) != 0;
	} else if (o->type == CONF_INTEGER &&
		   (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64)) {
		n = type == CONFIG_TYPE_INT ? config_setting_get_int(s)
					    : config_setting_get_int64(s);
		told(p, o, place, conf_value_number(o, (double)n, (uint64_t)n, field));
	} else if (o->type != CONF_BOOL && o->type != CONF_INTEGER && type == CONFIG_TYPE_STRING) {
		told(p, o, place,
		    conf_value_set(o, config_setting_get_string(s), place->folder, field));
	} else {
		wrong_type(p, o, place);
	}
}

static void unknown(const struct parser *p, const char *scope, const char *name, size_t len,
    const struct conf_place *place)
{
	char whole[64], suggestion[128];

	snprintf(whole, sizeof(whole), "%.*s", (int)len, name);
	if (strcmp(whole, "include_dir") == 0) {
		conf_errors_add(p->errors, place,
		    "include_dir works in files only, at the top, outside of all brackets");
		return;
	}
	conf_suggest(p->table, p->n, scope, whole, suggestion, sizeof(suggestion));
	conf_errors_add(p->errors, place, "unknown setting %s%s%s", scope, whole, suggestion);
}

/* What the scan does not see: a name doubled in one group, members of several kinds in [ ]. */
static void not_read(const struct parser *p, const config_t *config)
{
	int line = config_error_line(config);
	struct conf_place place = conf_text_place(p->text, line > 0 ? (unsigned)line : 1);
	const char *what = config_error_text(config), *mend = "";

	if (what != NULL && strstr(what, "duplicate") != NULL)
		mend = ": the same name twice in one group: leave one out";
	else if (what != NULL && strstr(what, "mismatched") != NULL)
		mend = ": [ ] holds strings or numbers, not both";
	conf_errors_add(p->errors, &place, "%s%s", what != NULL ? what : "syntax error", mend);
}

static void scope_of(const struct conf_option *o, char scope[static CONF_SCOPE_BYTES])
{
	int n = snprintf(scope, CONF_SCOPE_BYTES, "%s.", o->path);

	assert(n > 0 && n < CONF_SCOPE_BYTES);
}

static struct conf_place place_of(const struct parser *p, const config_setting_t *s)
{
	return conf_text_place(p->text, config_setting_source_line(s));
}

/* Without the *2 that conf_scan() gave to a list's second part. */
static size_t name_len(const config_setting_t *s)
{
	return strcspn(config_setting_name(s), "*");
}

/* Where the last field of a scope ends in its struct, and where the first begins. */
static size_t base_size(const struct parser *p, const char *scope, size_t *from)
{
	size_t size = 0, len = strlen(scope);

	*from = SIZE_MAX;
	for (size_t i = 0; i < p->n; i++) {
		const struct conf_option *o = &p->table[i];
		const char *list = strstr(
		    o->path + (strncmp(o->path, scope, len) == 0 ? len : 0), "[].");
		size_t end = o->at + conf_field_size(o);

		if (strncmp(o->path, scope, len) != 0 || list != NULL || o->type == CONF_GROUP)
			continue;
		if (end > size)
			size = end;
		if (o->at < *from)
			*from = o->at;
	}
	if (*from > size)
		*from = size;
	return size;
}

static void clear(const struct conf_option *table, size_t n, const char *scope, char *base)
{
	char inner[CONF_SCOPE_BYTES];

	for (size_t i = 0; i < n; i++) {
		const struct conf_option *o = &table[i];
		struct conf_strings *list = (struct conf_strings *)(void *)(base + o->at);

		if (conf_leaf(o, scope) == NULL)
			continue;
		if (o->type == CONF_LIST || o->type == CONF_GROUP)
			scope_of(o, inner);
		if (o->type == CONF_GROUP) {
			clear(table, n, inner, base);
		} else if (o->type == CONF_LIST) {
			for (size_t j = 0; j < list->n; j++)
				clear(table, n, inner, (char *)list->at + j * o->size);
			free(list->at);
			*list = (struct conf_strings){ NULL, 0 };
		} else {
			conf_value_clear(o, base + o->at);
		}
	}
}
