/*
 * path.c: see path.h. One pass over the segments; what is written never grows beyond what was read.
 */
#include "http/path.h"

#include <string.h>

#include "http/octet.h"

#include "base/poison.h"

/* How many bytes at i separate segments for a server with these habits. */
static size_t separator(struct bytes path, size_t i, unsigned habits)
{
	uint8_t c = path.at[i];
	int value;

	if (c == '/' || (c == '\\' && (habits & PATH_BACKSLASH) != 0))
		return 1;
	if (c != '%')
		return 0;
	value = octet_escape(path.at + i, path.len - i);
	if ((value == '/' && (habits & PATH_SLASH) != 0) ||
	    (value == '\\' && (habits & PATH_BACKSLASH) != 0))
		return 3;
	return 0;
}

/* 1 or 2 for "." and "..", in any spelling; else 0. */
static unsigned dots(struct bytes segment)
{
	unsigned n = 0;

	for (size_t i = 0; i < segment.len; n++) {
		if (segment.at[i] == '.')
			i++;
		else if (octet_escape(segment.at + i, segment.len - i) == '.')
			i += 3;
		else
			return 0;
		if (n == 2)
			return 0;
	}
	return n;
}

/* Without its parameters, as a server has it that drops them. */
static struct bytes bare(struct bytes segment, unsigned habits)
{
	const uint8_t *mark = NULL;

	if ((habits & PATH_PARAMETERS) != 0 && segment.len > 0)
		mark = memchr(segment.at, ';', segment.len);
	return mark != NULL ? bytes_sub(segment, 0, (size_t)(mark - segment.at)) : segment;
}

/* Drops the last segment. False: there is none. */
static bool up(const uint8_t *buf, size_t *n)
{
	if (*n == 0)
		return false;
	do
		(*n)--;
	while (buf[*n] != '/');
	return true;
}

size_t path_resolve(struct bytes path, unsigned habits, uint8_t *buf)
{
	size_t n = 0, i = 0;

	while (i < path.len) {
		size_t from = i + separator(path, i, habits);
		struct bytes segment;
		bool last;

		for (i = from; i < path.len && separator(path, i, habits) == 0; i++)
			continue;
		last = i == path.len;
		segment = bare(bytes_sub(path, from, i - from), habits);
		switch (dots(segment)) {
		case 2:
			if (!up(buf, &n))
				return 0;
			/* FALLTHROUGH */
		case 1:
			if (last)
				buf[n++] = '/';
			continue;
		default:
			break;
		}
		if (segment.len == 0 && !last && (habits & PATH_MERGED) != 0)
			continue;
		buf[n++] = '/';
		if (segment.len > 0)
			memcpy(buf + n, segment.at, segment.len);
		n += segment.len;
	}
	if (n == 0)
		buf[n++] = '/';
	return n;
}

unsigned path_habits(struct bytes path)
{
	unsigned habits = 0;

	for (size_t i = 0; i < path.len; i++) {
		switch (path.at[i]) {
		case '%':
			if (separator(path, i, PATH_SLASH) != 0)
				habits |= PATH_SLASH;
			else if (separator(path, i, PATH_BACKSLASH) != 0)
				habits |= PATH_BACKSLASH;
			break;
		case '\\':
			habits |= PATH_BACKSLASH;
			break;
		case ';':
			habits |= PATH_PARAMETERS;
			break;
		case '/':
			if (i > 0 && path.at[i - 1] == '/')
				habits |= PATH_MERGED;
			break;
		default:
			break;
		}
	}
	/* Separators that only some see may stand side by side, or after parameters. */
	return habits != 0 ? habits | PATH_MERGED : 0;
}
