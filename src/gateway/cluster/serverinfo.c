/*
 * serverinfo.c: see serverinfo.h. Lines of "name:value"; titles ("# Server") and what nobody asked
 * for are passed over.
 */
#include "gateway/cluster/serverinfo.h"

#include <stddef.h>
#include <string.h>

#include "base/poison.h"

static const struct {
	const char *name;
	size_t at;
} fields[] = {
	{ "run_id", offsetof(struct serverinfo, run_id) },
	{ "role", offsetof(struct serverinfo, role) },
	{ "maxmemory_policy", offsetof(struct serverinfo, maxmemory_policy) },
	{ "claims_policy", offsetof(struct serverinfo, claims_policy) },
};

static void parse_line(struct bytes line, struct serverinfo *info)
{
	const uint8_t *colon = line.len > 0 ? memchr(line.at, ':', line.len) : NULL;
	struct bytes name, *value;

	if (colon == NULL)
		return;
	name = bytes_of(line.at, (size_t)(colon - line.at));
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		value = (struct bytes *)(void *)((char *)info + fields[i].at);
		if (value->len == 0 && bytes_equal_str(name, fields[i].name))
			*value = bytes_sub(line, name.len + 1, line.len - name.len - 1);
	}
}

void serverinfo_parse(struct bytes text, struct serverinfo *info)
{
	*info = (struct serverinfo){ 0 };
	while (text.len > 0) {
		const uint8_t *end = memchr(text.at, '\n', text.len);
		size_t len = end != NULL ? (size_t)(end - text.at) : text.len;
		size_t rest = len + (end != NULL);

		parse_line(bytes_of(text.at, len - (len > 0 && text.at[len - 1] == '\r')), info);
		text = bytes_sub(text, rest, text.len - rest);
	}
}

const char *serverinfo_unfit(const struct serverinfo *info)
{
	if (info->run_id.len < SERVERINFO_RUN_ID_MIN || info->run_id.len > SERVERINFO_RUN_ID_MAX)
		return "its INFO has no run_id, so nobody would notice that it was started anew";
	if (!bytes_equal_str(info->role, "master"))
		return "it is a replica: name the master in its place";
	if (!bytes_equal_str(info->claims_policy, "noeviction") &&
	    !bytes_equal_str(info->maxmemory_policy, "noeviction"))
		return "it may forget a claim before its time: set its maxmemory-policy to "
		       "noeviction";
	return NULL;
}
