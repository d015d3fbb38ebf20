/*
 * range.c: see range.h. A field that breaks the grammar is as good as none.
 */
#include "http/range.h"

#include "http/field.h"
#include "http/octet.h"

#include "base/poison.h"

/* All digits of the text; above the largest number, that. */
static bool number(struct bytes text, uint64_t *n)
{
	if (text.len == 0 || octet_run(text.at, text.len, OCTET_DIGIT) != text.len)
		return false;
	*n = 0;
	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = text.at[i] - '0';

		if (*n > (UINT64_MAX - digit) / 10) {
			*n = UINT64_MAX;
			return true;
		}
		*n = *n * 10 + digit;
	}
	return true;
}

/* False: no range. One that lies outside has len 0. */
static bool one(struct bytes text, uint64_t size, struct range_bytes *range)
{
	size_t digits = octet_run(text.at, text.len, OCTET_DIGIT);
	struct bytes from = bytes_sub(text, 0, digits), to = bytes_sub(text, digits + 1, SIZE_MAX);
	uint64_t last = UINT64_MAX;

	*range = (struct range_bytes){ 0, 0 };
	if (digits >= text.len || text.at[digits] != '-')
		return false;
	if (from.len == 0) { /* the last so many */
		if (!number(to, &last))
			return false;
		range->len = last < size ? last : size;
		range->first = size - range->len;
		return true;
	}
	if (!number(from, &range->first) || (to.len > 0 && !number(to, &last)) ||
	    last < range->first)
		return false;
	if (range->first >= size)
		return true;
	range->len = (last < size ? last + 1 : size) - range->first;
	return true;
}

enum range range_read(struct bytes field, uint64_t size, struct range_bytes *range)
{
	static const char unit[] = "bytes=";
	size_t n = 0, inside = 0;
	struct bytes element;

	if (!bytes_case_equal_str(bytes_sub(field, 0, sizeof unit - 1), unit) || size == 0)
		return RANGE_WHOLE;
	field = bytes_sub(field, sizeof unit - 1, SIZE_MAX);
	while (field_list_next(&field, &element)) {
		if (!one(element, size, range))
			return RANGE_WHOLE;
		n++;
		inside += range->len > 0;
	}
	if (n > 0 && inside == 0)
		return RANGE_OUTSIDE;
	return n == 1 ? RANGE_PART : RANGE_WHOLE;
}
