/*
 * privileges.c: see privileges.h.
 */
#include "proc/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"

#include "base/poison.h"

static int number(const char *text, long *n)
{
	const char *why;

	*n = (long)strtonum(text, 0, INT32_MAX, &why);
	return why == NULL ? 0 : -1;
}

int privileges_user(const char *text, uid_t *uid, gid_t *gid)
{
	struct passwd *pw = getpwnam(text);
	long n;

	if (pw == NULL && number(text, &n) != 0)
		return -1;
	if (pw == NULL)
		pw = getpwuid((uid_t)n);
	*uid = pw != NULL ? pw->pw_uid : (uid_t)n;
	if (gid != NULL)
		*gid = pw != NULL ? pw->pw_gid : (gid_t)n;
	return 0;
}

int privileges_group(const char *text, gid_t *gid)
{
	struct group *gr = getgrnam(text);
	long n;

	if (gr == NULL && number(text, &n) != 0)
		return -1;
	*gid = gr != NULL ? gr->gr_gid : (gid_t)n;
	return 0;
}

uid_t privileges_unused_id(uid_t start)
{
	while (getpwuid(start) != NULL || getgrgid((gid_t)start) != NULL)
		start++;
	return start;
}

void privileges_harden(void)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		log_warn("cannot forbid core files and new privileges");
}

int privileges_drop(uid_t uid, gid_t gid)
{
	if (uid == geteuid() && gid == getegid() && uid != 0)
		return 0;
	if (geteuid() == 0 && setgroups(0, NULL) != 0)
		return -1;
	if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
		return -1;
	if (uid != 0 && setuid(0) == 0) {
		errno = EPERM;
		return -1;
	}
	/* Changing the user has set it again. */
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
