/*
 * names.c: see names.h.
 */
#include "gateway/master/names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proc/channel.h"

#include "base/poison.h"

static int same_host(const char *a, const char *b)
{
	size_t len = strcspn(a, " ");

	return len == strcspn(b, " ") && strncasecmp(a, b, len) == 0;
}

void names_keep(struct names *names, const char *line)
{
	char *copy = strdup(line), **grown;

	if (copy == NULL)
		return;
	for (size_t i = 0; i < names->n; i++) {
		if (!same_host(names->lines[i], line))
			continue;
		free(names->lines[i]);
		names->lines[i] = copy;
		return;
	}
	if (names->n == NAMES_MAX) { /* names of former configurations: the oldest goes */
		free(names->lines[0]);
		memmove(names->lines, names->lines + 1, --names->n * sizeof *names->lines);
	}
	grown = reallocarray(names->lines, names->n + 1, sizeof *grown);
	if (grown == NULL) {
		free(copy);
		return;
	}
	names->lines = grown;
	grown[names->n++] = copy;
}

void names_tell(const struct names *names, struct channel *channel)
{
	for (size_t i = 0; i < names->n && channel != NULL; i++)
		channel_send(channel, NULL, 0, "resolved %s", names->lines[i]);
}

void names_clear(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->lines[i]);
	free(names->lines);
	*names = (struct names){ 0 };
}
