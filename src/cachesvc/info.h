/*
 * info.h: the text that INFO answers: "# Section", then "name:value" a line, under Redis's names
 * where Redis has one, so its tools and Apache's status page read it.
 */
#ifndef CACHESVC_INFO_H
#define CACHESVC_INFO_H

#include "cachesvc/commands.h"

#define INFO_REDIS_VERSION "7.0.0" /* whose commands it speaks; some clients ask */

struct info {
	const struct commands *commands;
	uint64_t now_ms;
	const struct bytes *sections; /* none, "all", "default", "everything": all */
	uint32_t sections_n;
};

size_t info_write(
    const struct info *, uint8_t *buf, size_t max); /* the length; cut at a line's end if need be */

#endif
