/*
 * folder.h: the folders of routes with `files`, and how a file below one is opened: never outside of
 * it, never what is no regular file. Also what all files of a worker share: types, and the buffer
 * that they are read through.
 */
#ifndef GATEWAY_ORIGIN_FOLDER_H
#define GATEWAY_ORIGIN_FOLDER_H

#include <sys/stat.h>

#include "gateway/origin/filetypes.h"
#include "gateway/worker.h"
#include "http/filepath.h"

enum {
	FOLDER_LOOK_MS = 1000, /* a folder that was replaced is seen after so long */
	FOLDER_READ_BYTES = 64 * 1024, /* read at once, between two looks at the loop */
	FOLDER_INDEX_MAX = 255, /* bytes of an index's name */
	FOLDER_TRIES = 4, /* of openat2(2), while names change under it */
};

struct folder {
	struct folders *all;
	const struct route_conf *conf;
	bool any_case; /* the site's ignore_case: of the route's path, not of files */
	int fd; /* O_PATH; -1: it could not be opened */
	dev_t dev;
	ino_t ino;
	uint64_t looked_ms;
};

struct folders {
	struct worker *worker;
	struct filetypes *types;
	struct folder *at; /* by conf */
	size_t n;
	char path[FILEPATH_MAX + FOLDER_INDEX_MAX + 2]; /* scratch: what is being opened */
	uint8_t buffer[FOLDER_READ_BYTES]; /* scratch */
};

/* Of all routes with files. Opened before rights are given up, so that folders above need not be open to all.
 * NULL: no memory. */
struct folders *folders_new(struct worker *);
void folders_free(struct folders *);
struct folder *folders_find(struct folders *, const struct route_conf *);

/* The file that path names (filepath_read), to read; or -1, and errno: ENOENT for whatever nobody is to know
 * of, EISDIR for a folder. */
int folder_open(struct folder *, const char *path, struct stat *);

#endif
