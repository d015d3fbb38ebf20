/*
 * fuzz_format.c: any bytes as what strangers said and as a format, in a line of the access log.
 * Invariants: a line is printable ASCII with one end, whatever stands in it; it is the only line; the
 * combined form has its quotes in pairs; JSON's strings end where they should.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/exchange/format.h"

#include "base/poison.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_one_line(const char *line, size_t len, const char *ours)
{
	assert(len > 0 && line[len - 1] == '\n');
	for (size_t i = 0; i + 1 < len; i++)
		assert((line[i] >= ' ' && line[i] <= '~') || strchr(ours, line[i]) != NULL);
}

/* How many strings a line has, with \ before what does not end them; a brace outside of them only. */
static unsigned strings(const char *line, size_t len, const char *outside)
{
	unsigned n = 0;
	bool in = false;

	for (size_t i = 0; i + 1 < len; i++) {
		if (in && line[i] == '\\') {
			assert(i + 2 < len);
			i++;
		} else if (line[i] == '"') {
			n += in;
			in = !in;
		} else if (!in) {
			assert(outside == NULL || strchr(outside, line[i]) != NULL);
		}
	}
	assert(!in);
	return n;
}

static struct bytes next(struct bytes *rest)
{
	size_t len = rest->len > 0 ? 1 + rest->at[0] % 64u : 0;
	struct bytes part = bytes_sub(*rest, 1, len);

	if (len == 64) /* one that is cut */
		part = bytes_sub(*rest, 1, rest->len);
	*rest = bytes_sub(*rest, 1 + len, rest->len);
	return part;
}

static void write_it(const char *text, const struct format_facts *facts)
{
	static char line[FORMAT_LINE_MAX];
	static struct format format;
	static char why[1024];
	size_t len;

	if (format_parse(&format, text, why, sizeof why) != NULL)
		return;
	len = format_write(&format, facts, line, sizeof line);
	is_one_line(line, len, format.kind == FORMAT_TEXT ? text : "");
	if (format.kind == FORMAT_COMBINED)
		assert(strings(line, len, NULL) == 3);
	if (format.kind == FORMAT_JSON) {
		assert(line[0] == '{' && line[len - 2] == '}');
		(void)strings(line, len, "{}:,-.0123456789");
	}
	/* In less room: a line, or none. */
	len = format_write(&format, facts, line, sizeof line / 64);
	if (len > 0)
		is_one_line(line, len, format.kind == FORMAT_TEXT ? text : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = bytes_of(data, size);
	static const struct client client = {
		.version = "TLSv1.3", .cipher = "TLS_X", .verify = "NONE"
	};
	struct format_facts facts = { .client = &client,
		.peer = bytes_str("192.0.2.7"),
		.time = bytes_str("24/Nov/2026:08:21:47 +0000"),
		.wall = 1795508507,
		.status = 200,
		.ms = FORMAT_NONE,
		.tries = 1 };
	char *text;

	if (size > 8192)
		return 0;
	facts.method = next(&rest);
	facts.target = next(&rest);
	facts.host = next(&rest);
	facts.referer = next(&rest);
	facts.agent = next(&rest);
	facts.id = next(&rest);
	facts.site = next(&rest);
	write_it("combined", &facts);
	write_it("json", &facts);
	write_it("%{client} \"%{user_agent}\" \"%{referer}\" %{target} %{method}", &facts);
	text = bytes_dup_str(rest);
	assert(text != NULL);
	if (strlen(text) == rest.len)
		write_it(text, &facts);
	free(text);
	return 0;
}
