/*
 * fuzz_file.c: any bytes as a path, a range, a time and conditions. Invariants: a path that names a file
 * holds no segment that climbs, hides or ends early; a part lies within its whole; a time can be
 * written and read again.
 */
#include <assert.h>
#include <string.h>

#include "http/condition.h"
#include "http/date.h"
#include "http/filepath.h"
#include "http/range.h"
#include "http/write.h"

#include "base/poison.h"

enum { NOW = 1795507200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void path(struct bytes in, const char *prefix)
{
	static char name[FILEPATH_MAX];
	const char *segment = name, *slash;
	bool folder;

	if (!filepath_read(in, prefix, false, name, &folder))
		return;
	assert(strlen(name) > 0 && strlen(name) < FILEPATH_MAX);
	assert(strchr(name, '\\') == NULL && name[0] != '/' && name[strlen(name) - 1] != '/');
	if (strcmp(name, ".") == 0)
		return;
	for (; segment != NULL; segment = slash != NULL ? slash + 1 : NULL) {
		slash = strchr(segment, '/');
		assert(segment[0] != '\0' && segment[0] != '/');
		assert(segment[0] != '.' ||
		       (segment == name && strncmp(name, ".well-known", 11) == 0));
	}
}

static void range(struct bytes in, uint64_t whole)
{
	struct range_bytes part;

	if (range_read(in, whole, &part) == RANGE_PART)
		assert(part.len > 0 && part.len <= whole && part.first <= whole - part.len);
}

static void date(struct bytes in)
{
	char text[WRITE_DATE_SIZE];
	time_t t, again;

	if (!date_read(in, NOW, &t))
		return;
	write_date(t, text);
	assert(date_read(bytes_str(text), NOW, &again) && again == t);
}

static void conditions(struct bytes in)
{
	static const char *const names[] = { "if-match", "if-none-match", "if-modified-since",
		"if-unmodified-since", "if-range" };
	const struct validators v = { bytes_str("\"a-1\""), 784111777 };
	static struct head head;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		head_init(&head);
		if (!head_add(&head, bytes_str(names[i]), in))
			return;
		(void)condition_check(&head, &v, NOW);
		(void)condition_range(&head, &v, NOW);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);

	path(in, "/");
	path(in, "/static");
	path(in, "/static/");
	for (uint64_t whole = 0; whole < 1000; whole = 3 * whole + 1)
		range(in, whole);
	range(in, UINT64_MAX);
	date(in);
	conditions(in);
	return 0;
}
