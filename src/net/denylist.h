/*
 * denylist.h: the SPKIs of certificates that are no longer wanted, from a file: a line each, the
 * SHA-256 in 64 hex digits, what follows a blank is a note; '#' begins a comment.
 */
#ifndef NET_DENYLIST_H
#define NET_DENYLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum { DENYLIST_SPKI_LEN = 32, DENYLIST_FILE_MAX = 16 * 1024 * 1024 };

struct denylist {
	uint8_t (*at)[DENYLIST_SPKI_LEN]; /* sorted; owned */
	size_t n;
	/* What the file was when it was read: another value of any of these is another file. */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

void denylist_init(struct denylist *); /* empty */
void denylist_clear(struct denylist *);
/* 0; -1: all stays as it was, error says file, line and the fix. */
int denylist_load(struct denylist *, const char *path, char *error, size_t error_size);
bool denylist_is_stale(const struct denylist *, const char *path); /* not the file that was read */
bool denylist_has(const struct denylist *, const uint8_t spki[static DENYLIST_SPKI_LEN]);

#endif
