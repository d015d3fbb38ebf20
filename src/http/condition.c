/*
 * condition.c: see condition.h.
 */
#include "http/condition.h"

#include <string.h>

#include "http/date.h"
#include "http/octet.h"

#include "base/poison.h"

/* Takes the next tag off a list; a comma may stand within its quotes. False: no more that is one. */
static bool tag_next(struct bytes *list, struct bytes *tag, bool *weak)
{
	const uint8_t *end;
	size_t at = 0;

	while (at < list->len && memchr(", \t", list->at[at], 3) != NULL)
		at++;
	*list = bytes_sub(*list, at, SIZE_MAX);
	*weak = list->len > 2 && memcmp(list->at, "W/", 2) == 0;
	if (*weak)
		*list = bytes_sub(*list, 2, SIZE_MAX);
	if (list->len < 2 || list->at[0] != '"' ||
	    (end = memchr(list->at + 1, '"', list->len - 1)) == NULL)
		return false;
	*tag = bytes_sub(*list, 0, (size_t)(end - list->at) + 1);
	*list = bytes_sub(*list, tag->len, SIZE_MAX);
	return true;
}

static bool lists(struct bytes value, struct bytes etag, bool weak_too)
{
	struct bytes tag;
	bool weak;

	if (bytes_equal_str(value, "*"))
		return true;
	while (tag_next(&value, &tag, &weak))
		if ((weak_too || !weak) && bytes_equal(tag, etag))
			return true;
	return false;
}

/* Is the tag in one of the fields of that name? *there: there are such fields. */
static bool fields_list(
    const struct head *head, const char *name, struct bytes etag, bool weak_too, bool *there)
{
	bool found = false;

	*there = false;
	for (size_t i = 0; i < head->fields_n; i++) {
		if (!bytes_case_equal_str(head->fields[i].name, name))
			continue;
		*there = true;
		found |= lists(head->fields[i].value, etag, weak_too);
	}
	return found;
}

static bool field_date(const struct head *head, const char *name, time_t now, time_t *out)
{
	const struct field *f = head_field(head, name);

	return f != NULL && date_read(f->value, now, out);
}

enum condition condition_check(const struct head *head, const struct validators *v, time_t now)
{
	bool there, found;
	time_t date;

	found = fields_list(head, "if-match", v->etag, false, &there);
	if (there && !found)
		return CONDITION_FAILED;
	if (!there && field_date(head, "if-unmodified-since", now, &date) && v->modified > date)
		return CONDITION_FAILED;
	found = fields_list(head, "if-none-match", v->etag, true, &there);
	if (there)
		return found ? CONDITION_NOT_MODIFIED : CONDITION_GO;
	if (field_date(head, "if-modified-since", now, &date) && v->modified <= date)
		return CONDITION_NOT_MODIFIED;
	return CONDITION_GO;
}

/* A time of this very second says little: what was sent with it may have changed since (section 8.8.2.2). */
bool condition_range(const struct head *head, const struct validators *v, time_t now)
{
	const struct field *f = head_field(head, "if-range");
	struct bytes list, tag;
	time_t date;
	bool weak;

	if (f == NULL)
		return true;
	if (date_read(f->value, now, &date))
		return date == v->modified && now > date + 1;
	list = f->value;
	return tag_next(&list, &tag, &weak) && !weak && list.len == 0 && bytes_equal(tag, v->etag);
}
