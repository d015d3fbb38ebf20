/*
 * child.h: fork and exec of a role or a service. What the child may know reaches it by descriptors
 * with names (proc/inherited.h); no memory of the parent does.
 */
#ifndef PROC_CHILD_H
#define PROC_CHILD_H

#include <stddef.h>
#include <sys/types.h>

struct child_fd {
	int fd; /* stays the parent's */
	const char *name;
};

enum { CHILD_FDS_MAX = 64 };

/* path is executed with argv (NULL-terminated). The child has stdin from /dev/null, stdout and stderr of
 * the parent, the named descriptors from 3 on, nothing else open, and default signal actions. env: one more
 * variable "NAME=value", in place of one that the parent has, or NULL. The pid, or -1: errno (E2BIG: too many
 * descriptors or names of over 1000 bytes; else of fork; a failed exec is exit status 127). */
pid_t child_spawn(
    const char *path, char *const argv[], const char *env, const struct child_fd *, size_t n);

#endif
