/*
 * privileges.h: users by name or number, and giving rights up for good.
 */
#ifndef PROC_PRIVILEGES_H
#define PROC_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

/* A user's name or number; gid (may be NULL) is its group's; for a number that has no name, the same number. 0, -1: none. */
int privileges_user(const char *text, uid_t *uid, gid_t *gid);
int privileges_group(const char *text, gid_t *gid);
/* An id that no user and no group has, from start on upwards. */
uid_t privileges_unused_id(uid_t start);

/* No core files, no ptrace, no new privileges by exec. First thing of a process. */
void privileges_harden(void);
/* Supplementary groups, gid, uid, for good; checks that root does not come back. Does nothing where uid and gid are
 * those in force and are not root's. 0, -1: errno. */
int privileges_drop(uid_t uid, gid_t gid) __attribute__((warn_unused_result));

#endif
