/*
 * conf_table.c: the option table read as a tree, and which of its names a wrong one is nearest to.
 */
#include <stdio.h>
#include <string.h>

#include "base/conf_impl.h"

#include "base/poison.h"

enum { NAME_MAX_BYTES = 40 };

static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len);
static bool near(const char *a, const char *b, size_t b_len, size_t *best);

const char *conf_leaf(const struct conf_option *o, const char *scope)
{
	size_t len = strlen(scope);
	const char *dot;

	if (strncmp(o->path, scope, len) != 0)
		return NULL;
	dot = strchr(o->path + len, '.');
	return dot == NULL && o->path[len] != '\0' ? o->path + len : NULL;
}

/* A leaf's name is without the [] of a list. */
static size_t leaf_len(const char *leaf)
{
	return strcspn(leaf, "[");
}

const struct conf_option *conf_find(
    const struct conf_option *table, size_t n, const char *scope, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < n; i++) {
		const char *leaf = conf_leaf(&table[i], scope);

		if (leaf != NULL && leaf_len(leaf) == len && memcmp(leaf, name, len) == 0)
			return &table[i];
	}
	return NULL;
}

size_t conf_field_size(const struct conf_option *o)
{
	switch (o->type) {
	case CONF_STRING:
	case CONF_PATH:
		return sizeof(char *);
	case CONF_BOOL:
		return sizeof(bool);
	case CONF_INTEGER:
	case CONF_DURATION:
	case CONF_SIZE:
	case CONF_RATE:
		return sizeof(uint64_t);
	case CONF_ENUM:
	case CONF_FLAGS:
		return sizeof(int);
	case CONF_STRINGS:
	case CONF_PATHS:
	case CONF_PAIRS:
	case CONF_LIST: /* { T *at; size_t n; } has the same shape */
		return sizeof(struct conf_strings);
	case CONF_GROUP:
		return 0;
	}
	return 0;
}

int conf_value_index(const char *values, const char *word, size_t len)
{
	int index = 0;

	while (values != NULL) {
		size_t here = strcspn(values, "|");

		if (here == len && memcmp(values, word, len) == 0)
			return index;
		index++;
		values = values[here] == '|' ? values + here + 1 : NULL;
	}
	return -1;
}

const char *conf_suggest(const struct conf_option *table, size_t n, const char *scope,
    const char *name, char *buf, size_t size)
{
	const char *best_leaf = NULL;
	size_t best = SIZE_MAX, len = strlen(name);

	buf[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		const char *leaf = conf_leaf(&table[i], scope);

		if (leaf != NULL && near(name, leaf, leaf_len(leaf), &best))
			best_leaf = leaf;
	}
	if (best_leaf != NULL) {
		snprintf(buf, size, ": did you mean %.*s?", (int)leaf_len(best_leaf), best_leaf);
		return buf;
	}
	/* The right name in the wrong place. */
	for (size_t i = 0; i < n; i++) {
		const char *dot = strrchr(table[i].path, '.');
		const char *leaf = dot != NULL ? dot + 1 : table[i].path;

		if (leaf_len(leaf) == len && memcmp(leaf, name, len) == 0) {
			snprintf(buf, size, ": it belongs in %.*s%s",
			    dot != NULL ? (int)(dot - table[i].path) : 0, table[i].path,
			    dot != NULL ? "" : "no group, at the top");
			return buf;
		}
	}
	return buf;
}

const char *conf_suggest_value(const char *values, const char *word, char *buf, size_t size)
{
	const char *best_word = NULL;
	size_t best = SIZE_MAX, best_len = 0;

	buf[0] = '\0';
	while (values != NULL) {
		size_t here = strcspn(values, "|");

		if (near(word, values, here, &best)) {
			best_word = values;
			best_len = here;
		}
		values = values[here] == '|' ? values + here + 1 : NULL;
	}
	if (best_word != NULL)
		snprintf(buf, size, ": did you mean \"%.*s\"?", (int)best_len, best_word);
	return buf;
}

/* Nearer than the best till now, and near enough to be a slip of the hand. */
static bool near(const char *a, const char *b, size_t b_len, size_t *best)
{
	size_t a_len = strlen(a), d;

	if (a_len >= NAME_MAX_BYTES || b_len >= NAME_MAX_BYTES)
		return false;
	d = distance(a, a_len, b, b_len);
	if (d > (b_len < 4 ? 1 : b_len / 3 + 1) || d >= *best)
		return false;
	*best = d;
	return true;
}

/* Edits and swaps of neighbours that make b of a (optimal string alignment). */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][NAME_MAX_BYTES + 1] = { { 0 } };
	size_t *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *oldest = before;

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t d = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < d)
				d = last[j] + 1;
			if (row[j - 1] + 1 < d)
				d = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < d)
				d = before[j - 2] + 1;
			row[j] = d;
		}
		before = last;
		last = row;
		row = oldest;
	}
	return last[b_len];
}
