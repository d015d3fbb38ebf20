/*
 * downs.c: see downs.h.
 */
#include "gateway/master/downs.h"

#include <stdlib.h>
#include <string.h>

#include "proc/channel.h"

#include "base/poison.h"

/* What follows the first word: "POOL ADDRESS". */
static const char *server_of(const char *line)
{
	return line + strcspn(line, " ");
}

static size_t find(const struct downs *downs, const char *line)
{
	size_t i = 0;

	while (i < downs->n && strcmp(server_of(downs->lines[i]), server_of(line)) != 0)
		i++;
	return i;
}

void downs_keep(struct downs *downs, const char *line)
{
	size_t at = find(downs, line);
	char **grown, *copy;

	if (strncmp(line, "up ", 3) == 0) {
		if (at == downs->n)
			return;
		free(downs->lines[at]);
		downs->lines[at] = downs->lines[--downs->n];
		return;
	}
	if (at < downs->n || downs->n == DOWNS_MAX || (copy = strdup(line)) == NULL)
		return;
	grown = reallocarray(downs->lines, downs->n + 1, sizeof(*grown));
	if (grown == NULL) {
		free(copy);
		return;
	}
	downs->lines = grown;
	grown[downs->n++] = copy;
}

void downs_tell(const struct downs *downs, struct channel *channel)
{
	for (size_t i = 0; i < downs->n && channel != NULL; i++)
		channel_send(channel, NULL, 0, "health %s", downs->lines[i]);
}

void downs_clear(struct downs *downs)
{
	for (size_t i = 0; i < downs->n; i++)
		free(downs->lines[i]);
	free(downs->lines);
	*downs = (struct downs){ 0 };
}
