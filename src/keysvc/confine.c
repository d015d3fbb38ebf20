/*
 * confine.c: limits, prctl and the change of user. Called by main, first of all.
 */
#include "config.h"

#include "keysvc/confine.h"

#include <grp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"

#include "base/poison.h"

void confine_start(void)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) == -1 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal(EXIT_RUNTIME, "cannot forbid core dumps of this process");
}

void confine_lock(void)
{
#ifndef WITH_SANITIZERS /* their shadow memory is terabytes */
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	/* Under a finite limit MCL_FUTURE would make some later allocation fail. */
	if (setrlimit(RLIMIT_MEMLOCK, &limit) == -1 || mlockall(MCL_CURRENT | MCL_FUTURE) == -1)
		log_warn(
		    "memory cannot be locked, so keys may be swapped out: start as root, or with "
		    "LimitMEMLOCK=infinity");
#endif
}

int confine_drop(const struct keysvc_conf *conf)
{
	uid_t uid = getuid();
	gid_t gid = getgid();

	if (conf->user == NULL && conf->group == NULL)
		return 0;
	if (conf->user != NULL && keysvc_conf_user(conf->user, &uid, &gid) == -1)
		return -1; /* conf was checked: it went since */
	if (conf->group != NULL && keysvc_conf_group(conf->group, &gid) == -1)
		return -1;
	if (uid == getuid() && gid == getgid() && uid != 0)
		return 0;
	if ((geteuid() == 0 && setgroups(0, NULL) == -1) || setresgid(gid, gid, gid) == -1 ||
	    setresuid(uid, uid, uid) == -1) {
		log_error(
		    "cannot become user %u, group %u: start as root, or leave out user and group",
		    (unsigned)uid, (unsigned)gid);
		return -1;
	}
	if (uid != 0 && setuid(0) == 0) {
		log_errorx("became user %u, but could become root again", (unsigned)uid);
		return -1;
	}
	/* A change of user makes a process dumpable again. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1) {
		log_error("prctl(PR_SET_DUMPABLE)");
		return -1;
	}
	return 0;
}
