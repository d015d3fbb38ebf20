/*
 * inherited.h: the descriptors that a process was started with, by name (LISTEN_FDS, LISTEN_FDNAMES,
 * LISTEN_PID as systemd passes them; the master passes its children's the same way). Names may repeat.
 */
#ifndef PROC_INHERITED_H
#define PROC_INHERITED_H

#include <stddef.h>

enum { INHERITED_MAX = 256 };

struct inherited {
	int n;
	struct {
		int fd; /* -1: taken */
		char name[64];
	} at[INHERITED_MAX];
};

void inherited_load(
    struct inherited *); /* from the environment, which is cleared; sets close-on-exec */
int inherited_take(struct inherited *, const char *name); /* -1: none (left) */
int inherited_read_secret(
    int fd, void *buf, size_t len); /* exactly len bytes of a memfd; closes it. 0, -1 */

#endif
