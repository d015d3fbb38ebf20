/*
 * replace.h: files written whole or not at all: a reader sees the former content or the new one.
 */
#ifndef CTL_REPLACE_H
#define CTL_REPLACE_H

#include <stdbool.h>
#include <sys/types.h>

/* Longer paths are refused: room for them is on the stack. */
enum { REPLACE_PATH_MAX = 512 };

/* Who may read a new file. One that is replaced keeps its mode (but others' rights, where mode has none),
 * and its owner where none is named here. */
struct replace_mode {
	mode_t mode;
	uid_t uid; /* (uid_t)-1: as it was, or who runs this */
	gid_t gid;
};

/* 0, or -1: said. */
int replace_file(const char *path, const char *text, const struct replace_mode *)
    __attribute__((warn_unused_result));
/* mkdir, where it is no folder already. 0, or -1: said. */
int replace_folder(const char *path, mode_t mode) __attribute__((warn_unused_result));
/* All of a text file, NUL-terminated, in the heap; NULL: errno says why (EFBIG: more than 16 MiB). */
char *replace_read(const char *path);

#endif
