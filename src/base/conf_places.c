/*
 * conf_places.c: where each field of a parsed configuration was given. A field is known by its
 * address alone, so that an owner's cross-checks need no second set of names.
 */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_impl.h"

#include "base/poison.h"

struct entry {
	const char *at;
	size_t size; /* of a range; 0: a field */
	const char *file;
	unsigned line;
	char *text; /* "FILE:LINE", made when it is asked for */
};

struct conf_places {
	struct conf_places *next;
	const void *out;
	struct entry *fields, *ranges; /* by address once done */
	size_t fields_n, ranges_n, fields_room, ranges_room;
	char **files; /* copies of names, which outlive the text */
	size_t files_n;
};

/*
 * conf_where() and conf_reject() take an address and nothing else, so what was parsed must be found
 * without a handle. It is empty but while a configuration lives; one thread parses.
 */
static struct conf_places *all_places;

static void add(struct conf_places *, struct entry **, size_t *n, size_t *room, const void *at,
    size_t size, const struct conf_place *);
static const char *file_keep(struct conf_places *, const char *file);
static struct entry *field_find(const void *field);
static struct entry *range_find(const void *field);

struct conf_places *conf_places_new(const void *out, size_t size, const struct conf_place *place)
{
	struct conf_places *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->out = out;
	conf_places_range(p, out, size, place);
	p->next = all_places;
	all_places = p;
	return p;
}

void conf_places_field(struct conf_places *p, const void *field, const struct conf_place *place)
{
	add(p, &p->fields, &p->fields_n, &p->fields_room, field, 0, place);
}

void conf_places_range(
    struct conf_places *p, const void *from, size_t size, const struct conf_place *place)
{
	add(p, &p->ranges, &p->ranges_n, &p->ranges_room, from, size, place);
}

static int by_address(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

void conf_places_done(struct conf_places *p)
{
	if (p->fields_n != 0)
		qsort(p->fields, p->fields_n, sizeof(*p->fields), by_address);
}

void conf_places_forget(const void *out)
{
	struct conf_places **at = &all_places, *p;

	while (*at != NULL && (*at)->out != out)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	p = *at;
	*at = p->next;
	for (size_t i = 0; i < p->fields_n; i++)
		free(p->fields[i].text);
	for (size_t i = 0; i < p->files_n; i++)
		free(p->files[i]);
	free(p->fields);
	free(p->ranges);
	free(p->files);
	free(p);
}

const char *conf_where(const void *field)
{
	struct entry *e = field_find(field);

	if (e == NULL)
		return NULL;
	if (e->text == NULL && e->line == 0)
		e->text = strdup(e->file);
	else if (e->text == NULL && asprintf(&e->text, "%s:%u", e->file, e->line) == -1)
		e->text = NULL;
	return e->text != NULL ? e->text : e->file;
}

void conf_reject(struct conf_errors *errors, const void *field, const char *fmt, ...)
{
	const struct entry *e = field_find(field);
	struct conf_place place = { "configuration", "", 0 };
	char *what = NULL;
	va_list ap;

	if (e == NULL)
		e = range_find(field);
	if (e != NULL)
		place = (struct conf_place){ e->file, "", e->line };
	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) == -1)
		what = NULL;
	va_end(ap);
	conf_errors_add(errors, &place, "%s", what != NULL ? what : fmt);
	free(what);
}

/* Without memory the place is lost, and with it only a line number. */
static void add(struct conf_places *p, struct entry **list, size_t *n, size_t *room, const void *at,
    size_t size, const struct conf_place *place)
{
	const char *file = file_keep(p, place->file);

	if (file == NULL)
		return;
	if (*n == *room) {
		struct entry *more = reallocarray(*list, *room * 2 + 32, sizeof(*more));

		if (more == NULL)
			return;
		*list = more;
		*room = *room * 2 + 32;
	}
	(*list)[(*n)++] = (struct entry){
		.at = at, .size = size, .file = file, .line = place->line
	};
}

static const char *file_keep(struct conf_places *p, const char *file)
{
	char **more;

	/* Fields come file by file, so the last one is nearly always it. */
	for (size_t i = p->files_n; i-- > 0;) {
		if (strcmp(p->files[i], file) == 0)
			return p->files[i];
	}
	more = reallocarray(p->files, p->files_n + 1, sizeof(*more));
	if (more == NULL)
		return NULL;
	p->files = more;
	p->files[p->files_n] = strdup(file);
	return p->files[p->files_n] != NULL ? p->files[p->files_n++] : NULL;
}

static struct entry *field_find(const void *field)
{
	const struct entry key = { .at = field };
	struct entry *e = NULL;

	for (struct conf_places *p = all_places; p != NULL && e == NULL; p = p->next) {
		if (p->fields_n != 0)
			e = bsearch(&key, p->fields, p->fields_n, sizeof(key), by_address);
	}
	return e;
}

/* The innermost group that holds the field. */
static struct entry *range_find(const void *field)
{
	struct entry *best = NULL;
	const char *at = field;

	for (struct conf_places *p = all_places; p != NULL; p = p->next) {
		for (size_t i = 0; i < p->ranges_n; i++) {
			struct entry *e = &p->ranges[i];

			if (at >= e->at && (size_t)(at - e->at) < e->size &&
			    (best == NULL || e->size < best->size))
				best = e;
		}
	}
	return best;
}
