/*
 * hostile.h: reads the corpus of t/hostile, whose README is the format's description.
 */
#ifndef UNIT_HOSTILE_H
#define UNIT_HOSTILE_H

#include "base/bytes.h"

#define HOSTILE_BYTES_MAX (256 * 1024)

struct hostile_case {
	const char *file;
	int line; /* of its "# case:" */
	bool request;
	char name[200];
	char expect[400]; /* "400 content_length", "more", "ok ..." */
	char to_method[32]; /* responses: empty means GET */
	char to_upgrade[32];
	uint8_t *text; /* borrowed by the callback */
	size_t len;
};

/* Calls back for each case of each file of the folder, in the order of their names; their number. */
size_t hostile_read(const char *folder, void (*each)(const struct hostile_case *));

#endif
