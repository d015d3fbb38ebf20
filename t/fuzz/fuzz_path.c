/*
 * fuzz_path.c: any bytes as a path, for servers of all habits. Invariants: what is written begins with
 * '/', never outgrows what was read and has nothing left to resolve; nothing climbs unseen; where
 * nothing is odd every reading gives the same bytes; a prefix is found within the path.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http/octet.h"
#include "http/path.h"
#include "http/target.h"

#include "base/poison.h"

enum { PATH_MAX_LEN = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A block of just the size that path.h asks for: a sanitizer sees a byte too many. */
static struct bytes resolved(struct bytes path, unsigned habits)
{
	uint8_t *buf = malloc(path.len + 1);
	size_t n;

	assert(buf != NULL);
	n = path_resolve(path, habits, buf);
	assert(n <= path.len + 1);
	return bytes_of(buf, n);
}

static void release(struct bytes b)
{
	free((uint8_t *)(uintptr_t)b.at);
}

/* "." or "..", however it is spelt: written anew here, so that path.c is not asked about itself. */
static bool is_dots(struct bytes segment)
{
	char plain[3];
	size_t n = 0;

	for (size_t i = 0; i < segment.len;) {
		int escape = octet_escape(segment.at + i, segment.len - i);

		if (n == sizeof plain)
			return false;
		plain[n++] = escape >= 0 ? (char)escape : (char)segment.at[i];
		i += escape >= 0 ? 3 : 1;
	}
	return (n == 1 || n == 2) && memcmp(plain, "..", n) == 0;
}

static void is_resolved(struct bytes path, unsigned habits)
{
	size_t from = 1;

	assert(path.len > 0 && path.at[0] == '/');
	for (size_t i = 1; i <= path.len; i++) {
		if (i < path.len && path.at[i] != '/')
			continue;
		assert(!is_dots(bytes_sub(path, from, i - from)));
		assert((habits & PATH_MERGED) == 0 || i > from || i == path.len);
		from = i + 1;
	}
	if ((habits & PATH_PARAMETERS) != 0)
		assert(memchr(path.at, ';', path.len) == NULL);
	if ((habits & PATH_BACKSLASH) != 0)
		assert(memchr(path.at, '\\', path.len) == NULL);
}

static void one_reading(struct bytes path, unsigned habits, unsigned odd)
{
	struct bytes once = resolved(path, habits), twice, as_found;

	if (once.len == 0) {
		assert((odd & TARGET_CLIMBS) != 0);
		release(once);
		return;
	}
	is_resolved(once, habits);
	twice = resolved(once, habits);
	assert(bytes_equal(once, twice));
	/* Habits that path_habits() does not name make no difference: a route is judged by the others. */
	as_found = resolved(path, habits & path_habits(path));
	assert(bytes_equal(once, as_found));
	/* What has no dots is matched as it came, and sent so. */
	if (habits == 0 && (odd & TARGET_DOTS) == 0)
		assert(bytes_equal(once, path));
	release(once);
	release(twice);
	release(as_found);
}

static void prefixes(struct bytes path)
{
	static const char *const some[] = { "/", "/a", "/a/", "/asp/", "/a/b" };

	for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
		size_t len = target_prefix(path, some[i], false);

		assert(len <= path.len && (len > 0) == target_under(path, some[i], false));
		if (len == 0) {
			assert(!target_is(path, some[i], false));
			continue;
		}
		/* What stands for the prefix is the prefix, by itself, too. */
		assert(target_is(bytes_sub(path, 0, len), some[i], false));
		assert(
		    some[i][strlen(some[i]) - 1] == '/' || len == path.len || path.at[len] == '/');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes path = bytes_of(data, size);
	unsigned odd;

	if (size == 0 || size > PATH_MAX_LEN || data[0] != '/')
		return 0;
	odd = target_oddities(path, bytes_of(NULL, 0));
	for (unsigned habits = 0; habits <= PATH_HABITS; habits++)
		one_reading(path, habits, odd);
	prefixes(path);
	return 0;
}
