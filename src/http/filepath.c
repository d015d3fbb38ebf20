/*
 * filepath.c: see filepath.h. The prefix is compared as target_under() does.
 */
#include "http/filepath.h"

#include <string.h>

#include "http/octet.h"

#include "base/poison.h"

/* Takes the next octet off; a slash comes back only where it was one. False: one that no name has. */
static bool octet_next(struct bytes *path, uint8_t *octet)
{
	size_t len = 1;
	int value = path->at[0];

	if (value == '%') {
		value = octet_escape(path->at, path->len);
		len = 3;
	}
	if (value < ' ' || value == 0x7f || value == '\\' || (value == '/' && len > 1))
		return false;
	*octet = (uint8_t)value;
	*path = bytes_sub(*path, len, SIZE_MAX);
	return true;
}

static bool prefix_skip(struct bytes *path, const char *prefix, bool any_case)
{
	uint8_t octet;

	for (; *prefix != '\0'; prefix++) {
		if (path->len == 0 || !octet_next(path, &octet) ||
		    octet_folded(octet, any_case) != octet_folded((uint8_t)*prefix, any_case))
			return false;
	}
	return true;
}

/* A segment is complete: name[0 .. len). */
static bool segment_good(const char *name, size_t len, bool first)
{
	static const char known[] = ".well-known";

	return name[0] != '.' ||
	       (first && len == sizeof known - 1 && memcmp(name, known, len) == 0);
}

bool filepath_read(struct bytes path, const char *prefix, bool any_case,
    char buf[static FILEPATH_MAX], bool *folder)
{
	size_t prefix_len = strlen(prefix), len = 0, segment = 0; /* where it begins in buf */
	uint8_t octet = '/';

	if (!prefix_skip(&path, prefix, any_case))
		return false;
	*folder = prefix_len > 0 && prefix[prefix_len - 1] == '/';
	if (!*folder && path.len > 0 && path.at[0] != '/')
		return false;
	while (path.len > 0) {
		if (!octet_next(&path, &octet) || len + 2 > FILEPATH_MAX)
			return false;
		*folder = octet == '/';
		if (*folder && len == segment)
			continue; /* an empty one */
		if (*folder && !segment_good(buf + segment, len - segment, segment == 0))
			return false;
		buf[len++] = (char)octet;
		if (*folder)
			segment = len;
	}
	if (len > segment && !segment_good(buf + segment, len - segment, segment == 0))
		return false;
	if (len > 0 && len == segment)
		len--; /* the slash at the end */
	if (len == 0)
		buf[len++] = '.';
	buf[len] = '\0';
	return true;
}
